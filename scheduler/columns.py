"""Nodes and their resources as columns: what a snapshot copies in microseconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scheduler.model.objects import ATTACHABLE, CPU, GPU, MEMORY, PODS, Node, Shape

Requests = tuple[tuple[str, int], ...]

#: Resource names that nodes offer beyond this are an attack or an accident.
RESOURCES_MAX = 256
#: Requests of which the vector is remembered; the oldest are made anew.
VECTORS_MAX = 8_192
#: Stands for every name that has no column: asked for, provided by no node, so it fails closed.
OVERFLOW = "(offered by no node)"
#: Always there, whatever nodes offer.
ALWAYS = (CPU, MEMORY, PODS, GPU, OVERFLOW)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The columns without their charges, the very same objects until a node changes for plans.

    total: int64[N, R], read only. What a node attaches is no part of its size: it counts, and does not weigh.
    """

    nodes: tuple[Node, ...]
    resources: tuple[str, ...]
    total: NDArray[np.int64]


class NodeColumns:
    """Rows are nodes, columns are resources; ``used`` is charged by pods that hold capacity.

    Shapes: total and used are int64[N, R], N and R current. Units are those of ``Shape.requests``.
    A name has a column while some node offers it, so what pods ask for costs nothing here: a name that
    no node offers is charged to ``OVERFLOW``, and noted by name for the day when a node offers it.
    A charge to a node that is not known (yet) is kept by name and applied when the node comes.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.row: dict[str, int] = {}
        self.resources: list[str] = list(ALWAYS)
        self._column = {name: i for i, name in enumerate(self.resources)}
        #: How many nodes offer each name that has a column of its own or found no place for one.
        self._offers: Counter[str] = Counter()
        self._total = np.zeros((0, len(self.resources)), dtype=np.int64)
        self._used = np.zeros((0, len(self.resources)), dtype=np.int64)
        self._vectors: dict[Requests, NDArray[np.int64]] = {}
        #: What is charged to names without a node.
        self._absent: dict[str, NDArray[np.int64]] = {}
        #: By resource without a column and node: what of ``OVERFLOW`` there is charged for it.
        self._folded: dict[str, Counter[str]] = {}
        self._layout: Layout | None = None

    @property
    def layout(self) -> Layout:
        """The nodes, the resources and what each node has of them."""
        if self._layout is None:
            total = self.total.copy()
            for name, column in self._column.items():
                if name.startswith(ATTACHABLE):
                    total[:, column] = 0
            total.setflags(write=False)
            self._layout = Layout(tuple(self.nodes), tuple(self.resources), total)
        return self._layout

    @property
    def column(self) -> Mapping[str, int]:
        """Column of each resource."""
        return self._column

    @property
    def total(self) -> NDArray[np.int64]:
        return self._total[: len(self.nodes)]

    @property
    def used(self) -> NDArray[np.int64]:
        return self._used[: len(self.nodes)]

    @property
    def free(self) -> NDArray[np.int64]:
        """int64[N, R], made anew: what no pod is charged for; below 0 where a node is overfull."""
        return self.total - self.used

    def vector(self, requests: Requests) -> NDArray[np.int64]:
        """int64[R] of the requests."""
        found = self._vectors.get(requests)
        if found is not None:
            return found
        vector = np.zeros(len(self.resources), dtype=np.int64)
        for name, amount in requests:
            vector[self._column.get(name, self._column[OVERFLOW])] += amount
        if len(self._vectors) >= VECTORS_MAX:
            del self._vectors[next(iter(self._vectors))]
        self._vectors[requests] = vector
        return vector

    def put(self, node: Node) -> Node | None:
        """Add or replace a node; returns the one it replaced."""
        row = self.row.get(node.name)
        before = None if row is None else self.nodes[row]
        if before is None or not before.is_like(node):
            self._layout = None
        self._offer(node, before)
        if row is None:
            row = self._add_row(node)
        self.nodes[row] = node
        self._fill(row)
        return before

    def remove(self, name: str) -> Node | None:
        """Drop a node; its charges stay by name, since its pods still exist in the API."""
        row = self.row.pop(name, None)
        if row is None:
            return None
        self._layout = None
        node = self.nodes.pop(row)
        used = self._used[row].copy()
        if used.any():
            self._absent[name] = used
        self._total = np.delete(self._total, row, axis=0)
        self._used = np.delete(self._used, row, axis=0)
        for other, at in self.row.items():
            if at > row:
                self.row[other] = at - 1
        self._offer(None, node)
        return node

    def charge(self, name: str, shape: Shape, sign: int) -> None:
        """Add (+1) or take back (-1) a pod's requests on a node."""
        vector = self.vector(shape.requests)
        if vector[self._column[OVERFLOW]]:
            for resource, amount in shape.requests:
                if resource not in self._column:
                    self._fold(resource, name, sign * amount)
        row = self.row.get(name)
        if row is not None:
            used = self._used[row]
            if sign > 0:
                used += vector
            else:
                used -= vector
            return
        held = self._absent.get(name)
        total = sign * vector if held is None else held + sign * vector
        if total.any():
            self._absent[name] = total
        else:
            self._absent.pop(name, None)

    def fits(
        self,
        rows: Sequence[int],
        requests: Sequence[Requests],
        other_rows: Sequence[int] = (),
        other_requests: Sequence[Requests] = (),
    ) -> bool:
        """Whether all these pods fit on these rows together, as charged now, and beside the others."""
        if len(rows) == 1 and not other_rows:
            left = self._total[rows[0]] - self._used[rows[0]]
            return _covers(left, self.vector(requests[0]))
        need, kept = self._sums(rows, requests), self._sums(other_rows, other_requests)
        return all(
            _covers(self._total[row] - self._used[row] - kept.get(row, 0), want) for row, want in need.items()
        )

    def _sums(self, rows: Sequence[int], requests: Sequence[Requests]) -> dict[int, NDArray[np.int64]]:
        need: dict[int, NDArray[np.int64]] = {}
        for row, request in zip(rows, requests, strict=True):
            vector = self.vector(request)
            need[row] = need[row] + vector if row in need else vector
        return need

    def left(self, name: str, resource: str) -> int:
        """How much of a resource is left on a node; nothing of one that no node offers."""
        row, column = self.row[name], self._column.get(resource, self._column[OVERFLOW])
        return int(self._total[row, column] - self._used[row, column])

    def is_overfull(self, row: int, requests: Requests) -> bool:
        """Whether more is charged of something that these requests name than the row has."""
        asked = self.vector(requests) > 0
        return bool((self._used[row] > self._total[row])[asked].any())

    def _add_row(self, node: Node) -> int:
        row = len(self.nodes)
        if row == len(self._total):
            grown = max(64, 2 * row)
            self._total = _grown(self._total, rows=grown, columns=len(self.resources))
            self._used = _grown(self._used, rows=grown, columns=len(self.resources))
        self.nodes.append(node)
        self.row[node.name] = row
        absent = self._absent.pop(node.name, None)
        self._used[row] = 0 if absent is None else absent
        return row

    def _fill(self, row: int) -> None:
        """Write what the node of the row has."""
        self._total[row] = 0
        for name, amount in self.nodes[row].allocatable.items():
            column = self._column.get(name)
            if column is not None:
                self._total[row, column] = amount

    def _offer(self, node: Node | None, before: Node | None) -> None:
        """Keep a column for each name that some node offers, as far as there is place for them."""
        for name in () if node is None else node.allocatable:
            self._offers[name] += 1
        gone: list[str] = []
        for name in () if before is None else before.allocatable:
            self._offers[name] -= 1
            if not self._offers[name]:
                del self._offers[name]
                gone.append(name)
        self._drop_columns([n for n in gone if n in self._column and n not in ALWAYS])
        # Where a column came free, it is for whoever was first to find no place.
        wanted = [*self._offers] if gone else [] if node is None else [*node.allocatable]
        new = [n for n in wanted if n not in self._column][: RESOURCES_MAX - len(self.resources)]
        if new:
            self._add_columns(new)

    def _add_columns(self, names: Sequence[str]) -> None:
        """Columns for names that nodes offer; what is charged for them moves there."""
        for name in names:
            self._column[name] = len(self.resources)
            self.resources.append(name)
        columns, rest = len(self.resources), self._column[OVERFLOW]
        self._total = _grown(self._total, rows=len(self._total), columns=columns)
        self._used = _grown(self._used, rows=len(self._used), columns=columns)
        self._vectors.clear()
        self._absent = {name: np.pad(held, (0, columns - len(held))) for name, held in self._absent.items()}
        for name in names:
            for node, amount in self._folded.pop(name, {}).items():
                charged = self._charged(node)
                charged[self._column[name]] += amount
                charged[rest] -= amount
        for row in range(len(self.nodes)):
            self._fill(row)

    def _drop_columns(self, names: Sequence[str]) -> None:
        """No node offers these any more; what is charged for them is noted by name."""
        if not names:
            return
        rest = self._column[OVERFLOW]
        for name in names:
            column = self._column[name]
            nodes = {node: self._used[row] for node, row in self.row.items()} | self._absent
            for node, charged in nodes.items():
                if charged[column]:
                    self._fold(name, node, int(charged[column]))
                    charged[rest] += charged[column]
        kept = [i for i, name in enumerate(self.resources) if name not in names]
        self.resources = [self.resources[i] for i in kept]
        self._column = {name: i for i, name in enumerate(self.resources)}
        self._total = np.ascontiguousarray(self._total[:, kept])
        self._used = np.ascontiguousarray(self._used[:, kept])
        self._vectors.clear()
        self._absent = {name: held[kept] for name, held in self._absent.items()}

    def _charged(self, node: str) -> NDArray[np.int64]:
        """What is charged to a node, known or not, to be written to."""
        row = self.row.get(node)
        return self._absent[node] if row is None else self._used[row]

    def _fold(self, resource: str, node: str, amount: int) -> None:
        folded = self._folded.setdefault(resource, Counter())
        folded[node] += amount
        if not folded[node]:
            del folded[node]
            if not folded:
                del self._folded[resource]


def _covers(left: NDArray[np.int64], want: NDArray[np.int64]) -> bool:
    """Whether of all that is wanted, int64[R], so much is left. There are too few for array work to pay."""
    return all(amount <= have for amount, have in zip(want.tolist(), left.tolist(), strict=True) if amount)


def _grown(array: NDArray[np.int64], *, rows: int, columns: int) -> NDArray[np.int64]:
    grown = np.zeros((rows, columns), dtype=np.int64)
    grown[: array.shape[0], : array.shape[1]] = array
    return grown
