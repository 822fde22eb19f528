"""What free parts of a device are worth, by the LP prices of the shares that pods hold and wait for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import log2

import numpy as np
from numpy.typing import NDArray

from binpacking.devices import WHOLE, Mix, Shape

#: Sizes are told apart by this many thousandths, so that their number stays small whatever tenants write.
STEP = 10
#: The sizes that most of the demand is for; others are few, and change no price by much.
SIZES_MAX = 16
#: A size's part of the demand is told in steps of this root of two, so that prices are made anew when the mix
#: drifts and not with every pod.
STEPS_A_DOUBLING = 4


def share_worth(shares: Mapping[int, int]) -> NDArray[np.float64] | None:
    """float64[1001], read-only: worth of each number of free thousandths of a device; a whole one is worth 1.

    shares: how many pods there are by the thousandths they ask; None without any.
    """
    demand: dict[int, int] = {}
    for milli, count in shares.items():
        size = min(-(-milli // STEP) * STEP, WHOLE)
        demand[size] = demand.get(size, 0) + count * size
    most = sorted(demand, key=lambda size: (-demand[size], size))[:SIZES_MAX]
    whole = sum(demand.values())
    parts = tuple(
        (size, round(STEPS_A_DOUBLING * log2(demand[size] / whole))) for size in sorted(most) if size < WHOLE
    )
    return _worth(parts) if parts else None


@lru_cache(maxsize=64)
def _worth(parts: tuple[tuple[int, int], ...]) -> NDArray[np.float64]:
    """parts: sizes, and the part of the demand that each is, in steps."""
    # Loaded on first use: a scheduler starts sooner without it, and most clusters share no device.
    from binpacking.prices import gpu_worth

    worth = gpu_worth(
        Mix(
            shapes=tuple(Shape(cpu=0, memory=0, gpus=1, milli=size) for size, _ in parts),
            weights=tuple(2 ** (steps / STEPS_A_DOUBLING) / size for size, steps in parts),
        )
    )
    worth.setflags(write=False)
    return worth
