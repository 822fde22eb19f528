"""Nodes and their resources as columns: what a snapshot copies in microseconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scheduler.model.objects import CPU, GPU, MEMORY, PODS, Node, Shape

Requests = tuple[tuple[str, int], ...]

#: More distinct resource names than this in one cluster is an attack or an accident.
RESOURCES_MAX = 256
#: Stands for every name beyond the limit: asked for, provided by no node, so it fails closed.
OVERFLOW = "(too many resource names)"


class NodeColumns:
    """Rows are nodes, columns are resources; ``used`` is charged by pods that hold capacity.

    Shapes: total and used are int64[N, R], N and R current. Units are those of ``Shape.requests``.
    A charge to a node that is not known (yet) is kept by name and applied when the node comes.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.row: dict[str, int] = {}
        self.resources: list[str] = [CPU, MEMORY, PODS, GPU, OVERFLOW]
        self._column = {name: i for i, name in enumerate(self.resources)}
        self._total = np.zeros((0, len(self.resources)), dtype=np.int64)
        self._used = np.zeros((0, len(self.resources)), dtype=np.int64)
        self._vectors: dict[Requests, NDArray[np.int64]] = {}
        #: What is charged to names without a node.
        self._absent: dict[str, NDArray[np.int64]] = {}

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

    def vector(self, requests: Requests) -> NDArray[np.int64]:
        """int64[R] of the requests; adds columns for names not seen before."""
        found = self._vectors.get(requests)
        if found is not None:
            return found
        self._add_columns(name for name, _ in requests)
        vector = np.zeros(len(self.resources), dtype=np.int64)
        for name, amount in requests:
            vector[self._column.get(name, self._column[OVERFLOW])] += amount
        self._vectors[requests] = vector
        return vector

    def put(self, node: Node) -> Node | None:
        """Add or replace a node; returns the one it replaced."""
        self._add_columns(node.allocatable)
        row = self.row.get(node.name)
        before = None if row is None else self.nodes[row]
        if row is None:
            row = self._add_row(node)
        self.nodes[row] = node
        self._total[row] = 0
        for name, amount in node.allocatable.items():
            column = self._column.get(name)
            if column is not None:
                self._total[row, column] = amount
        return before

    def remove(self, name: str) -> Node | None:
        """Drop a node; its charges stay by name, since its pods still exist in the API."""
        row = self.row.pop(name, None)
        if row is None:
            return None
        node = self.nodes.pop(row)
        used = self._used[row].copy()
        if used.any():
            self._absent[name] = used
        self._total = np.delete(self._total, row, axis=0)
        self._used = np.delete(self._used, row, axis=0)
        for other, at in self.row.items():
            if at > row:
                self.row[other] = at - 1
        return node

    def charge(self, name: str, shape: Shape, sign: int) -> None:
        """Add (+1) or take back (-1) a pod's requests on a node."""
        vector = self.vector(shape.requests)
        row = self.row.get(name)
        if row is not None:
            self._used[row] += sign * vector
            return
        held = self._absent.get(name)
        total = sign * vector if held is None else held + sign * vector
        if total.any():
            self._absent[name] = total
        else:
            self._absent.pop(name, None)

    def fits(self, rows: Sequence[int], requests: Sequence[Requests]) -> bool:
        """Whether all these pods fit on these rows together, as charged now."""
        for request in requests:
            self.vector(request)  # may add columns, which would change the length of a sum half way
        need: dict[int, NDArray[np.int64]] = {}
        for row, request in zip(rows, requests, strict=True):
            vector = self.vector(request)
            need[row] = need[row] + vector if row in need else vector
        return all(
            bool(((self._total[row] - self._used[row] >= want) | (want == 0)).all())
            for row, want in need.items()
        )

    def left(self, name: str, resource: str) -> int:
        """How much of a resource that some pod asked for is left on a node."""
        row, column = self.row[name], self._column[resource]
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

    def _add_columns(self, names: Iterable[str]) -> None:
        new = [n for n in names if n not in self._column][: RESOURCES_MAX - len(self.resources)]
        if not new:
            return
        for name in new:
            self._column[name] = len(self.resources)
            self.resources.append(name)
        columns = len(self.resources)
        self._total = _grown(self._total, rows=len(self._total), columns=columns)
        self._used = _grown(self._used, rows=len(self._used), columns=columns)
        self._vectors.clear()
        self._absent = {name: np.pad(held, (0, columns - len(held))) for name, held in self._absent.items()}


def _grown(array: NDArray[np.int64], *, rows: int, columns: int) -> NDArray[np.int64]:
    grown = np.zeros((rows, columns), dtype=np.int64)
    grown[: array.shape[0], : array.shape[1]] = array
    return grown
