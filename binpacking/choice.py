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
    worth: float64[1001], what each number of free thousandths of a device is worth (``prices.gpu_worth``);
    without it a share costs nothing beside another and all of a device that it opens.
    """

    room: NDArray[np.int64]
    size: NDArray[np.int64]
    island: NDArray[np.int32]
    most: NDArray[np.int64]
    worth: NDArray[np.float64] | None = None
    _log: list[tuple[int, NDArray[np.int64], int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape = self.room.shape
        require(len(shape) == 2, "devices.room must be int64[N, G]")
        require(self.size.shape == shape and self.island.shape == shape, "devices.* differ in shape")
        require(self.most.shape == shape[:1], "devices.most must be int64[N]")
        require(bool(((self.room >= 0) & (self.room <= self.size)).all()), "devices.room beyond its size")
        require(self.worth is None or self.worth.shape == (MILLI + 1,), "devices.worth must be float64[1001]")

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

    def price(self, ask: Ask) -> NDArray[np.float64]:
        """float64[N]: the worth that a share takes from the device where it takes least, in whole devices;
        infinite where it fits none.
        """
        lost = self._lost(ask, self.room, self.size)
        lost[(self.room == self.size) & (self.most < 1)[:, None]] = np.inf
        return np.asarray(lost.min(axis=1, initial=np.inf))

    def choose(self, node: int, ask: Ask) -> tuple[int, ...] | None:
        """The devices for one pod, or None where it does not fit. Does not ``take`` them.

        A share goes where it costs the least worth, to the fullest device among equals; whole devices come
        from the smallest island that has enough of them, so that large sets stay together.
        """
        room, size, island = self.room[node], self.size[node], self.island[node]
        empty = np.flatnonzero((room == size) & (size > 0))
        if not ask.is_share:
            enough = min(len(empty), int(self.most[node])) >= ask.whole
            return _together(empty, island, ask) if enough else None
        lost = self._lost(ask, room, size)
        open_ = np.flatnonzero(np.isfinite(lost) & (room < size))
        fits = [int(open_[np.lexsort((room[open_], lost[open_]))[0]])] if len(open_) else []
        fresh = empty[np.isfinite(lost[empty])]
        if len(fresh) and self.most[node] >= 1:
            crowd = [int((island[empty] == island[d]).sum()) if island[d] >= 0 else 0 for d in fresh]
            # Those that hold most pods first, as ``slots`` counts; among equals, large islands last.
            holds = room[fresh] // self.need(ask, size)[fresh]
            fits.append(int(fresh[int(np.lexsort((crowd, -holds))[0])]))
        return (min(fits, key=lambda device: float(lost[device])),) if fits else None

    def _lost(self, ask: Ask, room: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[np.float64]:
        """float64 of the shape: the worth a share takes from each device, infinite where it does not fit."""
        need = np.maximum(self.need(ask, size), 1)
        units = np.maximum(size // MILLI, 1)
        if self.worth is None:
            lost = np.where(room == size, 1.0, 0.0)
        else:
            left = np.maximum(room - need, 0)
            # To a millionth: what is equal must not differ by how it was summed up.
            lost = np.round(self.worth[room // units] - self.worth[left // units], 6)
        return np.asarray(np.where((size > 0) & (room >= need), lost, np.inf))

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
