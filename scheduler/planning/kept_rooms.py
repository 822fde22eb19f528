"""Rooms of lost members in a planning run: for nobody but their own gang, and who might have evicted it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from binpacking.greedy import Packing
from scheduler.model.gang import GangKey, PendingGang, Vacancy
from scheduler.model.plan import Place, Snapshot
from scheduler.teams.desk import Desk
from scheduler.translation import Translation


@dataclass(frozen=True, slots=True, eq=False)
class _Room:
    vacancy: Vacancy
    row: int
    request: NDArray[np.int64]


class KeptRooms:
    """What ``packing`` counts as used although it is free. A room that is not there whole is not kept."""

    def __init__(
        self, snapshot: Snapshot, translation: Translation, packing: Packing, desk: Desk | None
    ) -> None:
        self._packing = packing
        self._desk = desk
        self._rooms: dict[GangKey, list[_Room]] = {}
        rows = {node.name: i for i, node in enumerate(snapshot.nodes)} if snapshot.vacancies else {}
        for vacancy in snapshot.vacancies:
            if vacancy.node in rows:
                self._keep(_Room(vacancy, rows[vacancy.node], translation.request(vacancy.shape)))

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

        places: of this run, which grows; whoever finds a place needs its rooms no more.
        """
        if not self._rooms or not gangs:
            yield
            return
        before = len(places)
        mine = [rooms for rooms in self._rooms.values() if self._may_take(gangs[0], rooms[0].vacancy)]
        for rooms in mine:
            del self._rooms[rooms[0].vacancy.gang]
            for room in rooms:
                self._packing.free[room.row] += room.request
        try:
            yield
        finally:
            placed = {place.gang.key for place in places[before:]}
            for room in (room for rooms in mine for room in rooms):
                if room.vacancy.gang not in placed:
                    self._keep(room)

    def _keep(self, room: _Room) -> None:
        if (self._packing.free[room.row] >= room.request).all():
            self._packing.free[room.row] -= room.request
            self._rooms.setdefault(room.vacancy.gang, []).append(room)

    def _may_take(self, gang: PendingGang, vacancy: Vacancy) -> bool:
        if gang.key == vacancy.gang:
            return True
        if self._desk is not None:
            return self._desk.may_take(gang, vacancy)
        return gang.priority > vacancy.priority and all(pod.can_preempt for pod in gang.pods)


def _rights(gang: PendingGang) -> tuple[str, int, bool]:
    return gang.key.namespace, gang.priority, all(pod.can_preempt for pod in gang.pods)
