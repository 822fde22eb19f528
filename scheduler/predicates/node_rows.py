"""Nodes as rows: what many rules ask of all of them is laid out once, so that each rule is array work."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, overload

import numpy as np
from numpy.typing import NDArray

from scheduler.model.objects import Node
from scheduler.model.selection import Requirement, Taint, Toleration
from scheduler.predicates.matching import holds

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]
#: Answers for different tolerations that are kept.
TOLERATIONS_MAX = 1_024
#: Tuples of nodes whose rows are kept.
KNOWN_MAX = 4


@dataclass(frozen=True, slots=True, eq=False)
class Domains:
    """The values of one node label. of: int32[N], -1 where the node lacks the label; ``count`` values."""

    of: NDArray[np.int32]
    count: int

    def counts(self, rows: Rows) -> NDArray[np.int64]:
        """int64[count]: how many of these rows are in each domain."""
        inside = self.of[rows]
        return np.bincount(inside[inside >= 0], minlength=self.count).astype(np.int64)

    def has(self, rows: Rows) -> NDArray[np.bool_]:
        """bool[N]: nodes in a domain that holds one of these rows."""
        return np.append(self.counts(rows) > 0, False)[self.of]


class NodeRows(Sequence[Node]):
    """Nodes that do not change."""

    #: Those of the last tuples of nodes: from one plan to the next nodes are mostly the very same.
    _known: ClassVar[tuple[NodeRows, ...]] = ()

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = tuple(nodes)
        self._labels: dict[str, _Column] = {}
        self._tolerated: dict[tuple[Toleration, ...], Mask] = {}
        self._unwelcome: dict[tuple[Toleration, ...], NDArray[np.int64] | None] = {}
        self._domains: dict[str, Domains] = {}
        self._kinds: dict[Callable[[Node], Hashable], Rows] = {}

    @staticmethod
    def of(nodes: Sequence[Node]) -> NodeRows:
        """The rows of these nodes; of the very same tuple the very same rows."""
        if isinstance(nodes, NodeRows):
            return nodes
        if not isinstance(nodes, tuple):
            return NodeRows(nodes)
        for known in NodeRows._known:
            if known.nodes is nodes:
                return known
        made = NodeRows(nodes)
        NodeRows._known = (made, *NodeRows._known[: KNOWN_MAX - 1])
        return made

    @overload
    def __getitem__(self, index: int) -> Node: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Node, ...]: ...

    def __getitem__(self, index: int | slice) -> Node | tuple[Node, ...]:
        return self.nodes[index]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    @cached_property
    def row(self) -> Mapping[str, int]:
        """The row of each node by its name."""
        return {node.name: row for row, node in enumerate(self.nodes)}

    def domains(self, key: str) -> Domains:
        """The domains of a node label, numbered in the order of the nodes."""
        known = self._domains.get(key)
        if known is None:
            seen: dict[str, int] = {}
            of = [
                -1 if (value := node.labels.get(key)) is None else seen.setdefault(value, len(seen))
                for node in self.nodes
            ]
            known = self._domains[key] = Domains(np.array(of, dtype=np.int32), len(seen))
        return known

    def kinds(self, alike: Callable[[Node], Hashable]) -> Rows:
        """int64[N]: equal where ``alike`` says the same of two nodes."""
        known = self._kinds.get(alike)
        if known is None:
            seen: dict[Hashable, int] = {}
            of = [seen.setdefault(alike(node), len(seen)) for node in self.nodes]
            known = self._kinds[alike] = np.array(of, dtype=np.int64)
        return known

    @cached_property
    def unschedulable(self) -> Mask:
        """bool[N]: cordoned nodes."""
        return np.fromiter((node.is_unschedulable for node in self.nodes), dtype=np.bool_, count=len(self))

    def where(self, requirement: Requirement) -> Mask:
        """bool[N]: nodes whose label meets the requirement."""
        column = self._labels.get(requirement.key)
        if column is None:
            values = [node.labels.get(requirement.key) for node in self.nodes]
            column = self._labels[requirement.key] = _Column(values)
        return column.where(requirement)

    def where_name(self, requirement: Requirement) -> Mask:
        """bool[N]: nodes whose name meets the requirement."""
        return self._names.where(requirement)

    def by_taints(
        self, tolerations: tuple[Toleration, ...], allows: Callable[[tuple[Taint, ...]], bool]
    ) -> Mask:
        """bool[N] of what ``allows`` says of the nodes' taints, asked once of each different set of them."""
        known = self._tolerated.get(tolerations)
        if known is None:
            kinds, of = self.taints
            verdicts = np.fromiter((allows(taints) for taints in kinds), dtype=np.bool_, count=len(kinds))
            known = verdicts[of]
            if len(self._tolerated) < TOLERATIONS_MAX:
                self._tolerated[tolerations] = known
        return known

    def unwelcome(
        self, tolerations: tuple[Toleration, ...], count: Callable[[tuple[Taint, ...]], int]
    ) -> NDArray[np.int64] | None:
        """int64[N] of what ``count`` says of the nodes' taints; None where that is 0 everywhere."""
        if tolerations in self._unwelcome:
            return self._unwelcome[tolerations]
        kinds, of = self.taints
        counts = np.array([count(taints) for taints in kinds], dtype=np.int64)
        found = counts[of] if counts.any() else None
        if len(self._unwelcome) < TOLERATIONS_MAX:
            self._unwelcome[tolerations] = found
        return found

    @cached_property
    def taints(self) -> tuple[list[tuple[Taint, ...]], NDArray[np.int32]]:
        """The different sets of taints, and which of them each node has."""
        kinds: dict[tuple[Taint, ...], int] = {}
        of = [kinds.setdefault(node.taints, len(kinds)) for node in self.nodes]
        return list(kinds), np.array(of, dtype=np.int32)

    @cached_property
    def _names(self) -> _Column:
        return _Column([node.name for node in self.nodes])


class _Column:
    """One value a node, None where it has none."""

    def __init__(self, values: Sequence[str | None]) -> None:
        self._code: dict[str | None, int] = {None: 0}
        self._codes = np.array(
            [self._code.setdefault(value, len(self._code)) for value in values], dtype=np.int32
        )

    def where(self, requirement: Requirement) -> Mask:
        match requirement.operator:
            case "In":
                return self._among(requirement.values)
            case "NotIn":
                return ~self._among(requirement.values)
            case "Exists":
                return np.not_equal(self._codes, 0)
            case "DoesNotExist":
                return np.equal(self._codes, 0)
            case _:
                verdicts = np.fromiter(
                    (holds(requirement, value) for value in self._code), dtype=np.bool_, count=len(self._code)
                )
                return verdicts[self._codes]

    def _among(self, values: Sequence[str]) -> Mask:
        codes = [code for value in values if (code := self._code.get(value)) is not None]
        if len(codes) == 1:
            return np.equal(self._codes, codes[0])
        return np.isin(self._codes, codes)
