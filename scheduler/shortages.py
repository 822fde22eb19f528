"""What findings ask for, as rows: whether room that came free serves any of them, asked of all at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_NEVER: Final = np.iinfo(np.int64).max
#: With more nodes, the most that any of them has free of each resource stands for all of them.
NODES_MAX: Final = 64


class Shortages(Generic[T]):
    """Rows int64[K, R] of requests, each of somebody; R is that of the first row."""

    def __init__(self) -> None:
        self._rows = np.zeros((0, 0), dtype=np.int64)
        self._of: list[T | None] = []
        self._unused: list[int] = []

    def add(self, whose: T, requests: Iterable[NDArray[np.int64]]) -> list[int]:
        """The rows that it got, by which it is dropped."""
        return [self._put(whose, each) for each in requests]

    def drop(self, rows: Iterable[int]) -> None:
        for row in rows:
            self._rows[row] = _NEVER
            self._of[row] = None
            self._unused.append(row)

    def served(self, free: NDArray[np.int64]) -> list[T]:
        """Those of whom a row fits into what is free (int64[k, R]) on one of these nodes."""
        if not self._of or not len(free):
            return []
        room = np.maximum(free if len(free) <= NODES_MAX else free.max(axis=0)[None], 0)
        rows = self._rows[: len(self._of)]
        fits = np.zeros(len(rows), dtype=np.bool_)
        for one in room:
            fits |= (rows <= one).all(axis=1)
        found = (self._of[row] for row in np.flatnonzero(fits))
        return list({id(each): each for each in found if each is not None}.values())

    def _put(self, whose: T, requests: NDArray[np.int64]) -> int:
        if self._unused:
            row = self._unused.pop()
            self._of[row] = whose
        else:
            row = len(self._of)
            self._of.append(whose)
        if row >= len(self._rows):
            grown = np.full((max(64, 2 * row), len(requests)), _NEVER, dtype=np.int64)
            if row:
                grown[:row] = self._rows[:row]
            self._rows = grown
        self._rows[row] = requests
        return row
