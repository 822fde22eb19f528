"""Which devices of a node a pod gets: counted and chosen exactly, shared or whole.

N nodes, G the most devices of any node. Room on a device is measured in milli-units: an empty device of n
units has 1000 n, so a thousandth of it and an amount of its units are both integers, and sums are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from binpacking.problem import COUNT_MAX, require

MILLI = 1000
#: 1000 times this is below 2^53.
SIZE_MAX = 2**43


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """``whole`` devices; or of one device ``milli`` thousandths, or ``units`` of its size: one of the three.

    linked: the whole ones have to be on one island, whose devices reach each other.
    """

    whole: int = 0
    milli: int = 0
    units: int = 0
    linked: bool = False

    def __post_init__(self) -> None:
        given = [n for n in (self.whole, self.milli, self.units) if n]
        require(len(given) == 1 and given[0] > 0, "ask for exactly one of whole, milli and units")
        require(self.milli <= MILLI and self.units <= SIZE_MAX, "ask for at most one device")

    @property
    def is_share(self) -> bool:
        return not self.whole


@dataclass(slots=True, kw_only=True, eq=False)
class Devices:
    """What is free, device by device; changed by ``take``.

    room: int64[N, G] milli-units; 0 for a device that is held whole, unusable or absent.
    size: int64[N, G] milli-units of the empty device, 0 for an absent one.
    island: int32[N, G], -1 for a device without links. most: int64[N], empty devices that may be taken or
    opened, which may be fewer than are seen.
    """

    room: NDArray[np.int64]
    size: NDArray[np.int64]
    island: NDArray[np.int32]
    most: NDArray[np.int64]
    _log: list[tuple[int, NDArray[np.int64], int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape = self.room.shape
        require(len(shape) == 2, "devices.room must be int64[N, G]")
        require(self.size.shape == shape and self.island.shape == shape, "devices.* differ in shape")
        require(self.most.shape == shape[:1], "devices.most must be int64[N]")
        require(bool(((self.room >= 0) & (self.room <= self.size)).all()), "devices.room beyond its size")

    def __len__(self) -> int:
        return len(self.room)

    def slots(self, ask: Ask, rows: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """int64[N], or [M] of some rows: how many such pods fit each node, were they alone to come."""
        at = slice(None) if rows is None else rows
        room, size, islands = self.room[at], self.size[at], self.island[at]
        empty = (room == size) & (size > 0)
        most = np.maximum(self.most[at], 0)
        if ask.whole:
            if not ask.linked:
                return np.asarray(np.minimum(empty.sum(axis=1), most) // ask.whole)
            total = np.zeros(len(room), dtype=np.int64)
            for island in range(int(islands.max(initial=-1)) + 1):
                total += (empty & (islands == island)).sum(axis=1) // ask.whole
            return np.asarray(np.minimum(total, most // ask.whole))
        each = room // np.maximum(self.need(ask, size), 1)
        opened = np.where(empty, 0, each).sum(axis=1)
        fresh = -np.sort(-np.where(empty, each, 0), axis=1)
        allowed = np.arange(fresh.shape[1]) < most[:, None]
        return np.asarray(np.minimum(opened + np.where(allowed, fresh, 0).sum(axis=1), COUNT_MAX))

    def opened(self, ask: Ask) -> NDArray[np.bool_]:
        """bool[N]: where a share fits on a device that is shared already."""
        partly = (self.room < self.size) & (self.room > 0)
        return np.asarray((partly & (self.room >= np.maximum(self.need(ask, self.size), 1))).any(axis=1))

    def choose(self, node: int, ask: Ask) -> tuple[int, ...] | None:
        """The devices for one pod, or None where it does not fit. Does not ``take`` them.

        A share goes to the fullest device that has room; whole devices come from the smallest island that
        has enough of them, so that large sets stay together.
        """
        room, size, island = self.room[node], self.size[node], self.island[node]
        empty = np.flatnonzero((room == size) & (size > 0))
        if ask.is_share:
            need = np.maximum(self.need(ask, size), 1)
            fits = np.flatnonzero((room < size) & (room >= need))
            if len(fits):
                return (int(fits[np.argmin(room[fits])]),)
            fits = empty[room[empty] >= need[empty]]
            if not len(fits) or self.most[node] < 1:
                return None
            crowd = [int((island[empty] == island[d]).sum()) if island[d] >= 0 else 0 for d in fits]
            # Those that hold most pods first, as ``slots`` counts; among equals, large islands last.
            holds = room[fits] // need[fits]
            return (int(fits[int(np.lexsort((crowd, -holds))[0])]),)
        if len(empty) < ask.whole or self.most[node] < ask.whole:
            return None
        return _together(empty, island, ask)

    def take(self, node: int, ask: Ask, devices: tuple[int, ...]) -> None:
        """Occupy them. Raises: InvalidProblem where there is no room, which is the caller's slip."""
        self._log.append((node, self.room[node].copy(), int(self.most[node])))
        for device in devices:
            need = self.room[node, device] if ask.whole else int(self.need(ask, self.size[node])[device])
            is_empty = self.room[node, device] == self.size[node, device]
            require(0 < need <= self.room[node, device], f"device {device} of node {node} has no room")
            require(bool(is_empty) or not ask.whole, f"device {device} of node {node} is shared")
            self.room[node, device] -= need
            self.most[node] -= int(is_empty)

    def mark(self) -> int:
        """A point to rewind to."""
        return len(self._log)

    def rewind(self, mark: int) -> list[int]:
        """Undo what was taken since; the nodes concerned."""
        undone = self._log[mark:]
        for node, room, most in reversed(undone):
            self.room[node], self.most[node] = room, most
        del self._log[mark:]
        return sorted({node for node, _, _ in undone})

    @staticmethod
    def need(ask: Ask, size: NDArray[np.int64]) -> NDArray[np.int64]:
        """Milli-units of each device that the share takes there; more than there is of an absent one."""
        if ask.units:
            return np.full(size.shape, ask.units * MILLI, dtype=np.int64)
        return np.where(size > 0, ask.milli * (size // MILLI), 1)


def _together(empty: NDArray[np.intp], island: NDArray[np.int32], ask: Ask) -> tuple[int, ...] | None:
    groups: dict[int, list[int]] = {}
    for device in empty.tolist():
        # A device without links is an island of its own.
        groups.setdefault(int(island[device]) if island[device] >= 0 else -1 - device, []).append(device)
    enough = [
        group for key, group in groups.items() if len(group) >= ask.whole and (key >= 0 or not ask.linked)
    ]
    if enough:
        return tuple(min(enough, key=lambda group: (len(group), group))[: ask.whole])
    if ask.linked:
        return None
    # The largest first: as many as possible reach each other.
    ordered = sorted(groups.values(), key=lambda group: (-len(group), group))
    return tuple(sorted([device for group in ordered for device in group][: ask.whole]))
