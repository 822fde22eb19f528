"""Which nodes the static rules leave to each shape of pods: bool[N], kept while nodes stay as they are.

Shapes that differ only in what no static rule looks at share one mask. A mask is made when it is first asked
for: by a plan that is in its own thread, not when the snapshot is taken.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from scheduler.columns import NodeColumns
from scheduler.model.objects import Node, Shape
from scheduler.model.volumes import Claims
from scheduler.predicates.node_rows import NodeRows
from scheduler.predicates.registry import allows, mask

#: All masks together take about so much; the oldest half goes when they take more.
BYTES_MAX = 64 * 2**20
#: A mask that so many nodes have changed since is made anew, and so is what remembers the changes.
PATCHED_MAX = 64
CHANGES_MAX = 10_000


class Masks:
    def __init__(
        self, columns: NodeColumns, *, bytes_max: int = BYTES_MAX, patched_max: int = PATCHED_MAX
    ) -> None:
        self._columns = columns
        self._bytes_max = bytes_max
        self._patched_max = patched_max
        self._table = _Table(patched_max)
        self._rows: NodeRows | None = None

    def of(self, shape: Shape, claims: Claims) -> NDArray[np.bool_]:
        """bool[N]: where the static rules let pods of this shape go."""
        return self._table.of(shape, self._now(), len(self._table.changes), claims)

    def at(self, shapes: Collection[Shape], claims: Claims) -> MasksAt:
        """The masks of these shapes as they are now, whatever changes later. Not while a plan reads them."""
        self._table.shrink(self._bytes_max // max(1, len(self._columns.nodes)))
        return MasksAt(self._table, self._now(), claims, shapes)

    def node_changed(self, node: Node) -> None:
        """The rules may say something else of this node."""
        self._rows = None
        if len(self._table.changes) >= CHANGES_MAX:
            self._table = _Table(self._patched_max)
        else:
            self._table.changes.append(self._columns.row[node.name])

    def storage_changed(self) -> None:
        """Every mask that depends on where a volume can be had is stale."""
        self._table = self._table.without_open()

    def rows_moved(self) -> None:
        self._rows = None
        self._table = _Table(self._patched_max)

    def _now(self) -> NodeRows:
        if self._rows is None:
            self._rows = NodeRows.of(self._columns.layout.nodes)
        return self._rows


class MasksAt(Mapping[Shape, NDArray[np.bool_]]):
    """Masks over nodes as they were at one moment; a later state may share the table."""

    def __init__(self, table: _Table, rows: NodeRows, claims: Claims, shapes: Collection[Shape]) -> None:
        self._table = table
        self._rows = rows
        self._stamp = len(table.changes)
        self._claims = claims
        self._shapes = shapes

    def __getitem__(self, shape: Shape) -> NDArray[np.bool_]:
        if shape not in self._shapes:
            raise KeyError(shape)
        return self._table.of(shape, self._rows, self._stamp, self._claims)

    def __iter__(self) -> Iterator[Shape]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


class _Table:
    """Masks over rows that do not move, each with the number of changes that it knows of.

    changes: rows of nodes that changed, in order.
    """

    def __init__(self, patched_max: int) -> None:
        self.changes: list[int] = []
        self._patched_max = patched_max
        self._masks: dict[Hashable, tuple[int, Shape, NDArray[np.bool_]]] = {}

    def of(self, shape: Shape, rows: NodeRows, stamp: int, claims: Claims) -> NDArray[np.bool_]:
        """The mask on these rows, as they are after ``stamp`` changes."""
        key = _looked_at(shape)
        known = self._masks.get(key)
        if known is not None and known[0] == stamp:
            return known[2]
        if known is not None and 0 < stamp - known[0] <= self._patched_max:
            found = known[2].copy()
            for row in set(self.changes[known[0] : stamp]):
                found[row] = allows(shape, rows[row], claims)
        else:
            found = mask(shape, rows, claims)
        found.setflags(write=False)
        if known is None or known[0] < stamp:
            self._masks[key] = (stamp, shape, found)
        return found

    def shrink(self, most: int) -> None:
        """Forget the oldest half when there are more."""
        if len(self._masks) > max(1, most):
            self._masks = dict(list(self._masks.items())[-max(1, most // 2) :])

    def without_open(self) -> _Table:
        """Without the masks of volumes that are still to be had."""
        left = _Table(self._patched_max)
        left.changes = self.changes.copy()
        left._masks = {key: known for key, known in list(self._masks.items()) if not _is_open(known[1])}
        return left


def _looked_at(shape: Shape) -> Hashable:
    """All of a shape that static rules look at."""
    return (
        shape.node_selector,
        shape.node_terms,
        shape.tolerations,
        shape.features,
        shape.volumes,
        shape.namespace if shape.volumes else "",
    )


def _is_open(shape: Shape) -> bool:
    """Whether the shape has a volume that is still to be had, or that nobody looked up."""
    return any(v.mount is None or v.mount.wanted is not None for v in shape.volumes)
