"""Which nodes the static rules leave to each shape of pods: bool[N], kept while nodes stay as they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scheduler.columns import NodeColumns
from scheduler.model.objects import Node, Shape
from scheduler.model.volumes import Claims
from scheduler.predicates.registry import allows, mask

#: Feasible-node masks kept for shapes, pending or not; the oldest go first.
MASKS_MAX = 4_096


class Masks:
    def __init__(self, columns: NodeColumns) -> None:
        self._columns = columns
        self._masks: dict[Shape, NDArray[np.bool_]] = {}

    def of(self, shape: Shape, claims: Claims) -> NDArray[np.bool_]:
        """bool[N]: where the static rules let pods of this shape go."""
        known = self._masks.get(shape)
        if known is None:
            if len(self._masks) >= MASKS_MAX:
                self._masks.pop(next(iter(self._masks)))
            known = self._masks[shape] = mask(shape, self._columns.nodes, claims)
        return known

    def node_changed(self, node: Node, claims: Claims) -> None:
        """The rules say anew what they say of this node."""
        row = self._columns.row[node.name]
        for shape, known in self._masks.items():
            changed = known.copy()
            changed[row] = allows(shape, node, claims)
            self._masks[shape] = changed

    def storage_changed(self) -> None:
        """Every mask that depends on where a volume can be had is stale."""
        self._masks = {shape: m for shape, m in self._masks.items() if not _is_open(shape)}

    def rows_moved(self) -> None:
        self._masks.clear()


def _is_open(shape: Shape) -> bool:
    """Whether the shape has a volume that is still to be had, or that nobody looked up."""
    return any(v.mount is None or v.mount.wanted is not None for v in shape.volumes)
