"""The best multiset of sizes in a capacity: the pricing problem of patterns, and the value of a space."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Gains closer than this are equal.
EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class Knapsack:
    """best: float64[C + 1], the most gain in each capacity. last: int64[C + 1], an item of it, or -1."""

    best: NDArray[np.float64]
    last: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def pattern(self, capacity: int) -> Counter[int]:
        """How often each item is in the best pattern for the capacity."""
        items: Counter[int] = Counter()
        while capacity > 0:
            item = int(self.last[capacity])
            if item < 0:
                capacity -= 1
            else:
                items[item] += 1
                capacity -= int(self.sizes[item])
        return items


def knapsack(
    sizes: NDArray[np.int64], gains: NDArray[np.float64], capacity: int, *, is_exact: bool = False
) -> Knapsack:
    """Unbounded knapsack for every capacity up to ``capacity``.

    Items without gain are never used, unless the capacity must be filled exactly (``is_exact``); then a
    capacity that cannot be is worth minus infinity.
    """
    best = np.zeros(capacity + 1, dtype=np.float64)
    if is_exact:
        best[1:] = -np.inf
    last = np.full(capacity + 1, -1, dtype=np.int64)
    useful = np.arange(len(gains)) if is_exact else np.flatnonzero(gains > EPSILON)
    useful = useful[np.argsort(sizes[useful], kind="stable")]
    weights, worth = sizes[useful], gains[useful]
    fitting = np.searchsorted(weights, np.arange(capacity + 1), side="right")
    for room in range(1, capacity + 1):
        if not is_exact:
            best[room] = best[room - 1]
        count = int(fitting[room])
        if count:
            totals = best[room - weights[:count]] + worth[:count]
            top = int(totals.argmax())
            if totals[top] > best[room] + EPSILON:
                best[room], last[room] = totals[top], useful[top]
    return Knapsack(best, last, sizes)
