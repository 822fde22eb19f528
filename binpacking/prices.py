"""What free space on a GPU is worth: the prices of a configuration LP over the mix that comes.

The LP packs the mix's fractions into the fewest GPUs (Gilmore and Gomory's cutting stock, by column
generation). Its dual price of a size is the share of a GPU that one such pod really costs; the worth of
``f`` free milli is the most price that fits in, so that a left-over which no pod can use is worth nothing.
"""

from __future__ import annotations

from math import gcd, inf
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from binpacking.devices import WHOLE, Mix
from binpacking.knapsack import knapsacks
from binpacking.lp import LinearProgramme
from binpacking.problem import BrokenInvariant

#: Rounds of column generation; a few dozen are enough for hundreds of sizes.
ROUNDS_MAX = 1_000
SAMPLES = 20
SAMPLE_PODS = 10_000
GOLDEN = 0.6180339887498949


def gpu_worth(mix: Mix) -> NDArray[np.float64]:
    """float64[1001]: worth of each number of free milli on one GPU; a whole one is worth 1.

    The prices of one LP jump when the mix changes a little, and tie many sizes; so they are the mean over
    ``SAMPLES`` mixes as they would differ if each were ``SAMPLE_PODS`` pods drawn from this one.
    """
    worth = np.zeros(WHOLE + 1, dtype=np.float64)
    demand = _fractions(mix)
    if demand:
        step = gcd(WHOLE, *demand)
        sizes = np.array(sorted(demand), dtype=np.int64) // step
        share = np.array([demand[s * step] for s in sizes.tolist()])
        share /= share.sum()
        programme = _Bins(sizes, WHOLE // step)
        for sample in range(SAMPLES):
            prices = programme.prices(share * _swing(sample, share))
            steps = np.minimum(knapsacks(sizes, prices[None], WHOLE // step).best[0], 1.0)
            worth += steps[np.arange(WHOLE + 1) // step] / SAMPLES
    worth[WHOLE] = 1.0
    return worth


def _swing(sample: int, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[S]: factors near 1, normal with the deviation of a count in ``SAMPLE_PODS`` draws.

    The quantiles come from a Kronecker sequence, so that the same mix always gives the same prices.
    """
    sizes = np.arange(1, len(share) + 1)
    quantiles = np.modf((sample + 1) * sizes * GOLDEN)[0].tolist()
    deviates = np.array([NormalDist().inv_cdf(q) for q in quantiles])
    factors: NDArray[np.float64] = 1 + deviates / np.sqrt(SAMPLE_PODS * share)
    return np.maximum(factors, 0.0) + 1e-6


def _fractions(mix: Mix) -> dict[int, float]:
    demand: dict[int, float] = {}
    for shape, weight in zip(mix.shapes, mix.weights, strict=True):
        if shape.is_fraction and weight > 0:
            demand[shape.milli] = demand.get(shape.milli, 0.0) + weight
    return demand


class _Bins:
    """The fewest bins of ``capacity`` for a demand that may change; patterns once found are kept."""

    def __init__(self, sizes: NDArray[np.int64], capacity: int) -> None:
        self._sizes = sizes
        self._capacity = capacity
        self._programme = LinearProgramme()
        self._rows = [self._programme.row(0.0, inf) for _ in sizes]
        for row, size in zip(self._rows, sizes.tolist(), strict=True):
            self._programme.column(-1.0, [(row, float(capacity // size))])

    def prices(self, demand: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64[S]: the dual price of each size."""
        for row, amount in zip(self._rows, demand.tolist(), strict=True):
            self._programme.bound(row, amount, inf)
        for _ in range(ROUNDS_MAX):
            if self._programme.solve() is None:
                raise BrokenInvariant("single-size patterns do not cover the demand")
            prices = np.maximum(-self._programme.duals(), 0.0)
            found = knapsacks(self._sizes, prices[None], self._capacity)
            if found.best[0, self._capacity] <= 1.0 + 1e-7:
                return prices
            pattern = found.pattern(0, self._capacity)
            self._programme.column(
                -1.0, [(self._rows[item], float(count)) for item, count in pattern.items()]
            )
        raise BrokenInvariant(f"column generation did not end in {ROUNDS_MAX} rounds")
