"""Nodes as rows: what many rules ask of all of them is laid out once, so that each rule is array work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from scheduler.model.objects import Node
from scheduler.model.selection import Requirement, Taint, Toleration
from scheduler.predicates.matching import holds

Mask = NDArray[np.bool_]
#: Answers for different tolerations that are kept.
TOLERATIONS_MAX = 1_024


class NodeRows(Sequence[Node]):
    """Nodes that do not change."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = tuple(nodes)
        self._labels: dict[str, _Column] = {}
        self._tolerated: dict[tuple[Toleration, ...], Mask] = {}

    @staticmethod
    def of(nodes: Sequence[Node]) -> NodeRows:
        return nodes if isinstance(nodes, NodeRows) else NodeRows(nodes)

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
