"""Which gangs look different since cycles last asked; of newcomers so many at a time."""

from __future__ import annotations

from itertools import islice

from scheduler.model.gang import GangKey


class News:
    def __init__(self) -> None:
        #: Gangs that were told of and wait still.
        self._known: set[GangKey] = set()
        self._changed: dict[GangKey, None] = {}
        self._new: dict[GangKey, None] = {}

    def note(self, key: GangKey, *, waits: bool) -> None:
        """The gang's view was made anew."""
        if key in self._known:
            self._changed[key] = None
        elif waits:
            self._new[key] = None
        else:
            self._new.pop(key, None)

    def take(self, most: int) -> list[GangKey]:
        """All that changed or wait no more, and at most so many newcomers, the first of them."""
        came = list(islice(self._new, most))
        for key in came:
            del self._new[key]
        self._known.update(came)
        found = [*self._changed, *came]
        self._changed.clear()
        return found

    def forget(self, key: GangKey) -> None:
        """It was told of that nobody of the gang waits any more."""
        self._known.discard(key)

    @property
    def left(self) -> int:
        """Newcomers that are still to be told of."""
        return len(self._new)
