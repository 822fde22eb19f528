"""The best multiset of sizes in a capacity: the pricing problem of patterns, and the value of a space."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Gains closer than this are equal.
EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Knapsacks:
    """Solutions of K knapsacks over the same sizes.

    best: float64[K, C + 1], the most gain in each capacity. last: int64[K, C + 1], a size of it, or -1.
    """

    best: NDArray[np.float64]
    last: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def pattern(self, which: int, capacity: int) -> Counter[int]:
        """How often each size (by index) is in the best pattern of one knapsack for the capacity."""
        sizes: Counter[int] = Counter()
        while capacity > 0:
            size = int(self.last[which, capacity])
            if size < 0:
                capacity -= 1
            else:
                sizes[size] += 1
                capacity -= int(self.sizes[size])
        return sizes


def knapsacks(
    sizes: NDArray[np.int64], gains: NDArray[np.float64], capacity: int, *, is_exact: bool = False
) -> Knapsacks:
    """Unbounded knapsacks for every capacity up to ``capacity``.

    sizes: int64[S] ascending, at least 1. gains: float64[K, S], minus infinity where a size is not to be had.
    Sizes without gain are never used, unless the capacity must be filled exactly (``is_exact``); then a
    capacity that cannot be is worth minus infinity.
    """
    count = len(gains)
    best = np.zeros((count, capacity + 1), dtype=np.float64)
    if is_exact:
        best[:, 1:] = -np.inf
    else:
        gains = np.where(gains > EPSILON, gains, -np.inf)
    last = np.full((count, capacity + 1), -1, dtype=np.int64)
    fitting = np.searchsorted(sizes, np.arange(capacity + 1), side="right")
    rows = np.arange(count)
    for room in range(1, capacity + 1):
        if not is_exact:
            best[:, room] = best[:, room - 1]
        width = int(fitting[room])
        if width:
            totals = best[:, room - sizes[:width]] + gains[:, :width]
            top = totals.argmax(axis=1)
            most = totals[rows, top]
            better = most > best[:, room] + EPSILON
            best[:, room] = np.where(better, most, best[:, room])
            last[:, room] = np.where(better, top, -1)
    return Knapsacks(best, last, sizes)
