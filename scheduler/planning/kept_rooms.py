"""Rooms of lost members in a planning run: for nobody but their own gang, and who might have evicted it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from binpacking.greedy import Packing
from scheduler.model.gang import GangKey, PendingGang, Vacancy, taken_by
from scheduler.model.plan import Place, Snapshot
from scheduler.teams.desk import Desk
from scheduler.translation import Translation


@dataclass(frozen=True, slots=True, eq=False)
class _Room:
    vacancy: Vacancy
    row: int
    request: NDArray[np.int64]


class KeptRooms:
    """What ``packing`` counts as used although it is free. A room that is not there whole is not kept.

    Of rooms that members are still to leave nobody expects anything but those who may take them.
    """

    def __init__(
        self, snapshot: Snapshot, translation: Translation, packing: Packing, desk: Desk | None
    ) -> None:
        self._packing = packing
        self._desk = desk
        self._rooms: dict[GangKey, list[_Room]] = {}
        #: Some room came free in this run for those who were told before that there is none.
        self.has_released = False
        rows = {node.name: i for i, node in enumerate(snapshot.nodes)} if snapshot.vacancies else {}
        for vacancy in snapshot.vacancies:
            if vacancy.node in rows:
                room = _Room(vacancy, rows[vacancy.node], translation.request(vacancy.shape))
                if vacancy.is_coming:
                    self._rooms.setdefault(vacancy.gang, []).append(room)
                else:
                    self._keep(room)

    @property
    def count(self) -> int:
        """Gangs for which some room is kept."""
        return len(self._rooms)

    def rights(self, gang: PendingGang) -> Hashable:
        """By which gangs are told apart by the rooms that they may take."""
        if not self._rooms:
            return None
        return _rights(gang), gang.key if gang.key in self._rooms else None

    def apart(self, batches: Iterable[list[PendingGang]]) -> Iterator[list[PendingGang]]:
        """The batches, each of gangs with equal rights to rooms."""
        for batch in batches:
            if self._rooms and len(batch) > 1:
                yield from (list(alike) for _, alike in groupby(batch, _rights))
            else:
                yield batch

    @contextmanager
    def opened(self, gangs: Sequence[PendingGang], places: Sequence[Place]) -> Iterator[None]:
        """Let these, which have equal rights, plan with the rooms that they may take.

        places: of this run, which grows; a gang that stands with its places needs no more rooms.
        """
        if not self._rooms or not gangs:
            yield
            return
        before = len(places)
        mine = [rooms for rooms in self._rooms.values() if self._may_take(gangs[0], rooms[0].vacancy)]
        for rooms in mine:
            del self._rooms[rooms[0].vacancy.gang]
            for room in rooms:
                self._open(room)
        try:
            yield
        finally:
            placed = {place.gang.key: place for place in places[before:]}
            for rooms in mine:
                for room in _left(rooms, placed.get(rooms[0].vacancy.gang)):
                    self._keep(room)
                self._note(rooms, placed)

    def _note(self, rooms: Sequence[_Room], placed: Mapping[GangKey, Place]) -> None:
        """Whether some of these came free: others start in part of one, or its gang goes on elsewhere."""
        key = rooms[0].vacancy.gang
        kept = self._rooms.get(key, ())
        own = {each.node for each in placed[key].assignments} if key in placed else set()
        others = {each.node for place in placed.values() for each in place.assignments} - own
        self.has_released |= any(
            room not in kept
            and not room.vacancy.is_coming
            and (room.vacancy.node in others or (key in placed and room.vacancy.node not in own))
            for room in rooms
        )

    def _open(self, room: _Room) -> None:
        if not room.vacancy.is_coming:
            self._packing.free[room.row] += room.request
        elif self._desk is not None:
            self._desk.expect(room.row, room.request)

    def _keep(self, room: _Room) -> None:
        if room.vacancy.is_coming:
            if self._desk is not None and self._desk.expect(room.row, -room.request):
                self._rooms.setdefault(room.vacancy.gang, []).append(room)
        elif (self._packing.free[room.row] >= room.request).all():
            self._packing.free[room.row] -= room.request
            self._rooms.setdefault(room.vacancy.gang, []).append(room)

    def _may_take(self, gang: PendingGang, vacancy: Vacancy) -> bool:
        if gang.key == vacancy.gang:
            return True
        if self._desk is not None:
            return self._desk.may_take(gang, vacancy)
        return gang.priority > vacancy.priority and all(pod.can_preempt for pod in gang.pods)


def _left(rooms: Sequence[_Room], place: Place | None) -> Sequence[_Room]:
    """The rooms of members that a gang still lacks: each that got a place comes for one of them."""
    if place is None:
        return rooms
    if place.stands:
        return ()
    left = {room.vacancy.uid: room for room in rooms}
    for each in place.assignments:
        taken = taken_by((room.vacancy for room in left.values()), each.node, each.pod.shape)
        if taken is not None:
            del left[taken.uid]
    return list(left.values())


def _rights(gang: PendingGang) -> tuple[str, int, bool]:
    return gang.key.namespace, gang.priority, all(pod.can_preempt for pod in gang.pods)
