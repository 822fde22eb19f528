"""What waits to be written, bounded: urgent things first, then of each namespace in turn."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Outbox(Generic[T]):
    """Items by slot, of which each holds one. most: how many wait at most."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._urgent: OrderedDict[str, T] = OrderedDict()
        #: By namespace; whose turn it is comes first.
        self._lines: OrderedDict[str, OrderedDict[str, T]] = OrderedDict()
        self._namespace_of: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._urgent) + len(self._namespace_of)

    def put(self, slot: str, namespace: str, item: T, *, is_urgent: bool = False) -> T | None:
        """Let it wait, in the place of what the slot held. What found no room: of the longest line the last.

        So one namespace with much to be told takes nothing from the others.
        """
        if slot in self._urgent:
            self._urgent[slot] = item
        elif is_urgent:
            self.drop(slot)
            self._urgent[slot] = item
        else:
            self._namespace_of[slot] = namespace
            self._lines.setdefault(namespace, OrderedDict())[slot] = item
        if len(self) <= self._most:
            return None
        if not self._lines:
            return self._urgent.popitem()[1]
        longest = max(self._lines, key=lambda name: len(self._lines[name]))
        return self._taken(longest, last=True)

    def drop(self, slot: str) -> bool:
        """Whether something waited there."""
        if self._urgent.pop(slot, None) is not None:
            return True
        namespace = self._namespace_of.pop(slot, None)
        if namespace is None:
            return False
        line = self._lines[namespace]
        del line[slot]
        if not line:
            del self._lines[namespace]
        return True

    def next(self) -> T:
        """Take what comes first. Raises KeyError where nothing waits."""
        if self._urgent:
            return self._urgent.popitem(last=False)[1]
        namespace = next(iter(self._lines), "")
        item = self._taken(namespace, last=False)
        if namespace in self._lines:
            self._lines.move_to_end(namespace)
        return item

    def _taken(self, namespace: str, *, last: bool) -> T:
        line = self._lines[namespace]
        slot, item = line.popitem(last=last)
        del self._namespace_of[slot]
        if not line:
            del self._lines[namespace]
        return item
