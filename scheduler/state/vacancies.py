"""Rooms that members of running gangs left, until others of their gang take them or they are given up."""

from __future__ import annotations

from scheduler.model.gang import GangKey, Vacancy, taken_by
from scheduler.model.objects import Shape

#: Rooms kept at a time, over all gangs; further ones are anybody's.
VACANCIES_MAX = 10_000


class Vacancies:
    """``by_gang``: by the UID of who left. ``dropped`` counts rooms that nobody is kept from any more."""

    def __init__(self) -> None:
        self.by_gang: dict[GangKey, dict[str, Vacancy]] = {}
        self.dropped = 0
        self._count = 0
        #: Gangs that are being evicted: nobody comes in their members' places.
        self._given_up: set[GangKey] = set()

    def add(self, vacancy: Vacancy) -> None:
        if vacancy.gang in self._given_up or self._count >= VACANCIES_MAX:
            return
        rooms = self.by_gang.setdefault(vacancy.gang, {})
        self._count += vacancy.uid not in rooms
        rooms[vacancy.uid] = vacancy

    def fill(self, key: GangKey, node: str, shape: Shape) -> None:
        """A member came to the node: one room is taken, there if there is one, else any for its shape."""
        room = taken_by(self.by_gang.get(key, {}).values(), node, shape)
        if room is not None:
            self.lapse(key, room.uid)

    def lapse(self, key: GangKey, uid: str) -> None:
        """One room is anybody's again."""
        rooms = self.by_gang.get(key, {})
        if rooms.pop(uid, None) is not None:
            self._count -= 1
            self.dropped += 1
        if not rooms:
            self.by_gang.pop(key, None)

    def drop(self, key: GangKey) -> None:
        """The gang stands, or is over."""
        self._given_up.discard(key)
        if key in self.by_gang:
            for uid in list(self.by_gang[key]):
                self.lapse(key, uid)

    def is_given_up(self, key: GangKey) -> bool:
        return key in self._given_up

    def give_up(self, key: GangKey) -> None:
        """The gang is evicted: its rooms are for whom it goes."""
        self.drop(key)
        self._given_up.add(key)
