"""Devices in a planning run: extra columns that count what devices allow, and the choice of each pod's own.

To the packer a node has, beside its resources, so many shares of half a device, or so many NVLink-connected
sets of four. Each such column is exact for pods of one kind; after pods of another kind it is counted anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from binpacking.choice import Ask, Devices
from binpacking.device_model import DeviceDemand, arrange
from binpacking.greedy import Packing
from scheduler.devices.worth import share_worth
from scheduler.model.device_view import DeviceView, ask_of, column_of, mig_of
from scheduler.model.devices import WHOLE_GPU
from scheduler.model.gang import PendingGang, PendingRole
from scheduler.model.objects import Shape
from scheduler.model.plan import Assignment

#: A whole device, as prices count.
PRICE_MAX = 1_000
#: How many devices were taken, and by MIG resource and node how many instances.
Mark = tuple[int, dict[str, dict[int, int]]]


class DevicePlan:
    """One run's devices. ``names``: the extra columns, behind those of the resources."""

    def __init__(
        self,
        view: DeviceView | None,
        gangs: Iterable[PendingGang],
        shapes: Iterable[Shape],
        *,
        nodes: int,
        resources: Sequence[str],
    ) -> None:
        self._view = view
        self._size = nodes
        self._first = len(resources)
        self._gpu = resources.index(WHOLE_GPU) if WHOLE_GPU in resources else None
        self._columns: dict[Ask, int] = {}
        self._taken: dict[str, dict[int, int]] = {}
        for shape in shapes:
            ask = self.ask(shape)
            if ask is not None and column_of(ask):
                self._columns.setdefault(ask, len(self._columns))
        self.names = tuple(column_of(ask) for ask in self._columns)
        self._gangs = gangs

    @cached_property
    def _is_known(self) -> NDArray[np.bool_]:
        """bool[N]: nodes whose devices and their holders are all known."""
        view = self._view
        return np.zeros(self._size, dtype=np.bool_) if view is None else view.has_report & view.is_exact

    @cached_property
    def _devices(self) -> Devices:
        return _nothing(self._size) if self._view is None else self._view.devices(self._worth(self._view))

    @property
    def is_idle(self) -> bool:
        """No agent reports and nobody asks for more than a number of devices: nothing to do here."""
        return self._view is None and not self._columns

    def ask(self, shape: Shape) -> Ask | None:
        return ask_of(shape)

    def column(self, shape: Shape) -> int | None:
        """The extra column of which a pod of this shape needs one."""
        ask = self.ask(shape)
        at = None if ask is None else self._columns.get(ask)
        return None if at is None else self._first + at

    def counts_apart(self, roles: Iterable[PendingRole]) -> bool:
        """Whether some of these pods ask for shares or linked sets. What others' leaving frees of such is not
        counted, so nobody is evicted for them.
        """
        return any(self.column(role.shape) is not None for role in roles)

    def widened(self, amounts: NDArray[np.int64], *, is_empty: bool) -> NDArray[np.int64]:
        """int64[N, R + K]: amounts of the resources with the extra columns behind, as now or with no pod."""
        if not self._columns:
            return amounts
        devices = self._devices
        if is_empty:
            devices = Devices(
                room=devices.size.copy(),
                size=devices.size,
                island=devices.island,
                most=(devices.size > 0).sum(axis=1),
            )
        extra = [devices.slots(ask) for ask in self._columns]
        if not is_empty:
            # Where somebody holds devices that nobody named, none is chosen for anybody.
            extra = [np.where(self._is_known, slots, 0) for slots in extra]
        return np.concatenate((amounts, np.stack(extra, axis=1)), axis=1)

    def is_mixed(self, gang: PendingGang) -> bool:
        """Whether its pods ask in ways that one column does not count together."""
        kinds = {self.ask(role.shape) for role in gang.roles} - {None}
        return len(kinds) > 1 and any(ask in self._columns for ask in kinds)

    def preference(self, shapes: Iterable[Shape]) -> NDArray[np.int64] | None:
        """int64[N], higher is better: whole devices where the pods' own wish for NVLink holds."""
        total: NDArray[np.int64] | None = None
        for shape in shapes:
            ask = self.ask(shape)
            if ask is None or self._view is None or shape.ask is None or shape.ask.nvlink != "preferred":
                continue
            own = (self._devices.slots(replace(ask, linked=True)) > 0).astype(np.int64)
            total = own if total is None else total + own
        return total

    def price(self, shapes: Iterable[Shape]) -> NDArray[np.int64] | None:
        """int64[N], from 0 to ``PRICE_MAX`` a shape: the worth that its first share takes from a device."""
        total: NDArray[np.int64] | None = None
        for shape in shapes:
            ask = self.ask(shape)
            if ask is None or self._view is None or not ask.is_share:
                continue
            lost = np.minimum(self._devices.price(ask), 1.0)
            own = np.round(lost * PRICE_MAX).astype(np.int64)
            total = own if total is None else total + own
        return total

    def in_order(self, roles: Iterable[PendingRole]) -> list[PendingRole]:
        """As they are best placed one after another: whole devices first, then large shares."""
        return sorted(roles, key=lambda role: self._order(role.shape))

    def demand(self, gang: PendingGang, packing: Packing) -> DeviceDemand:
        """What the gang's roles ask of the devices that are free now, less what is held for others."""
        devices = self._devices
        most = devices.most if self._gpu is None else np.minimum(devices.most, packing.free[:, self._gpu])
        left = Devices(room=devices.room, size=devices.size, island=devices.island, most=most)
        asks = tuple(self.ask(role.shape) for role in gang.roles)
        return DeviceDemand(devices=left, asks=asks, is_known=self._is_known)

    def mark(self) -> Mark:
        """A point to rewind to."""
        return self._devices.mark(), {name: dict(by_row) for name, by_row in self._taken.items()}

    def rewind(self, mark: Mark) -> None:
        """Undo what was chosen since."""
        self._devices.rewind(mark[0])
        self._taken = mark[1]

    def choose(
        self, assignments: Sequence[Assignment], rows: Sequence[int], packing: Packing
    ) -> list[Assignment] | None:
        """The same with devices, which are taken; None, and nothing is taken, where some pod finds none.

        ``packing`` is told what that leaves of its columns on those rows.
        """
        if self.is_idle:
            return list(assignments)
        mark = self.mark()
        chosen = list(assignments)
        for i in sorted(range(len(chosen)), key=lambda i: self._order(chosen[i].pod.shape)):
            found = self._choose(chosen[i].pod.shape, rows[i])
            if found is None:
                self.rewind(mark)
                return self._choose_exactly(assignments, rows, packing)
            chosen[i] = replace(chosen[i], devices=found)
        self._refresh(packing, sorted(set(rows)))
        return chosen

    # -- inside ------------------------------------------------------------------------------

    def _worth(self, view: DeviceView) -> NDArray[np.float64] | None:
        """Prices for the mix that is held and waits; none where no share waits to be placed by them."""
        if not any(ask.is_share for ask in self._columns):
            return None
        #: Waiting pods by the thousandths of a device they ask; one by memory is not of any one size.
        waiting: Counter[int] = Counter()
        for role in (role for gang in self._gangs for role in gang.roles):
            ask = self.ask(role.shape)
            if ask is not None and ask.milli:
                waiting[ask.milli] += len(role.pods)
        return share_worth(waiting + Counter(view.shares))

    def _choose_exactly(
        self, assignments: Sequence[Assignment], rows: Sequence[int], packing: Packing
    ) -> list[Assignment] | None:
        """As ``choose``, where one pod after another leads nowhere; that settles it for pods of one kind."""
        mark = self.mark()
        chosen = list(assignments)
        asks = {i: ask for i, a in enumerate(assignments) if (ask := self.ask(a.pod.shape)) is not None}
        if self._view is None or len(set(asks.values())) < 2:
            return None
        for row in sorted(set(rows)):
            here = [i for i in asks if rows[i] == row]
            if not self._is_known[row] and not any(asks[i].is_share or asks[i].linked for i in here):
                continue
            found = arrange(self._devices, row, [asks[i] for i in here]) if self._is_known[row] else None
            if found is None:
                self.rewind(mark)
                return None
            for i, devices in zip(here, found, strict=True):
                self._devices.take(row, asks[i], devices)
                named = tuple(self._view.uuids[row][device] for device in devices)
                chosen[i] = replace(chosen[i], devices=named)
        for i, assignment in enumerate(chosen):
            mig = self._choose_mig(assignment.pod.shape, rows[i])
            chosen[i] = replace(assignment, devices=assignment.devices + mig)
        self._refresh(packing, sorted(set(rows)))
        return chosen

    def _order(self, shape: Shape) -> tuple[int, int, int]:
        """Whole ones first, then the largest shares."""
        ask = self.ask(shape)
        return (0, 0, 0) if ask is None else (-ask.whole, -ask.milli, -ask.units)

    def _choose(self, shape: Shape, row: int) -> tuple[str, ...] | None:
        """UUIDs, empty where nothing is known of the node's devices."""
        view, ask = self._view, self.ask(shape)
        named = self._choose_mig(shape, row)
        if ask is None:
            return named
        if view is None or not self._is_known[row]:
            # A node without a report, or one where somebody holds devices that nobody named.
            return None if ask.is_share or ask.linked else ()
        devices = self._devices.choose(row, ask)
        if devices is None:
            return None
        self._devices.take(row, ask, devices)
        return tuple(view.uuids[row][device] for device in devices)

    def _choose_mig(self, shape: Shape, row: int) -> tuple[str, ...]:
        view = self._view
        named: list[str] = []
        for resource, amount in () if view is None else mig_of(shape):
            free = view.free_slots.get(resource, {}).get(row, ()) if view is not None else ()
            taken = self._taken.setdefault(resource, {})
            first = taken.get(row, 0)
            named += free[first : first + amount]
            taken[row] = first + amount
        return tuple(named)

    def _refresh(self, packing: Packing, rows: list[int]) -> None:
        """What the devices allow on these rows after pods of any kind were given some."""
        view = self._view
        if view is None:
            return
        at = np.array([row for row in rows if self._is_known[row]], dtype=np.int64)
        if self._gpu is not None:
            column = packing.free[at, self._gpu]
            packing.free[at, self._gpu] = np.minimum(column, self._devices.most[at])
        for ask, column_at in self._columns.items():
            # Less may be free than the devices allow: some of it is held for somebody.
            column = packing.free[at, self._first + column_at]
            packing.free[at, self._first + column_at] = np.minimum(column, self._devices.slots(ask, at))


def _nothing(nodes: int) -> Devices:
    return Devices(
        room=np.zeros((nodes, 0), dtype=np.int64),
        size=np.zeros((nodes, 0), dtype=np.int64),
        island=np.zeros((nodes, 0), dtype=np.int32),
        most=np.zeros(nodes, dtype=np.int64),
    )
