"""Some of many at a time, so that nothing that a tenant can make many of holds the event loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Rotation:
    """count: how many at a time."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._at = 0

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """The next of them; all, where they are no more than that."""
        if len(items) <= self._count:
            return items
        begin = self._at % len(items)
        self._at = begin + self._count
        return (*items[begin : self._at], *items[: max(0, self._at - len(items))])
