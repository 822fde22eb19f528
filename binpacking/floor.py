"""A proven bound on the GPU milli that any policy can have allocated after a sequence of arrivals.

It holds for every policy, clairvoyant ones too, that places each pod as it arrives if it fits anywhere, and
moves none. The argument, for one marked kind of pod (docs/packing.md has it in full): either every marked pod
that arrived is placed, or a first one is dropped at some moment. Then, at that moment, each node has no
device with enough free for it (the device is closed), or lacks its CPU, or its memory. Space never comes
back: later pods that need as much of a device go to no closed device, and nodes that lacked CPU or memory
hold no more of it than the marked pod asks. A configuration LP over node kinds maximises what can be
allocated under these conditions. The largest optimum over all moments is the bound. Without a marked pod
policies may refuse pods: a wider class, and a weaker bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from binpacking.devices import WHOLE, DeviceNodes, Mix, Shape
from binpacking.floor_model import FloorModel, Marked

#: An interval for the first drop is split until it is this share of the arrivals, or its bound this close
#: to the best: narrower costs more LPs and gains little. Stopping early only weakens the bound.
NARROWEST = 0.01
CLOSE = 1e-4
_START = (0.0, 0.6, 0.8, 0.9, 1.0)


class Floor:
    """The bound for one cluster and list of shapes; ``most`` may be asked for many arrival sequences."""

    def __init__(self, nodes: DeviceNodes, shapes: Sequence[Shape], marked: Marked | None) -> None:
        self._count = len(shapes)
        self._never = FloorModel(nodes, shapes, marked, is_dropped=False)
        self._dropped = FloorModel(nodes, shapes, marked, is_dropped=True) if marked is not None else None

    def most(self, arrivals: NDArray[np.int64]) -> float:
        """The most GPU milli allocated once all of ``arrivals`` (shape indices, in order) have come."""
        end = self._demand(arrivals, 1.0)
        best = self._never.most(end, end, end)
        if self._dropped is None:
            return best
        intervals = list(pairwise(_START))
        while intervals:
            early, late = intervals.pop()
            value = self._dropped.most(self._demand(arrivals, early), self._demand(arrivals, late), end)
            if value <= best:
                continue
            if late - early <= NARROWEST or value - best <= CLOSE * best:
                best = value
            else:
                middle = (early + late) / 2
                intervals += [(early, middle), (middle, late)]
        return best

    def _demand(self, arrivals: NDArray[np.int64], share: float) -> NDArray[np.float64]:
        came = arrivals[: round(share * len(arrivals))]
        return np.bincount(came, minlength=self._count).astype(np.float64)


def most_wasteful(mix: Mix) -> Marked | None:
    """The kind of pod that leaves the most of its GPUs over: a good one to mark. None without such."""
    waste: dict[Shape, float] = {}
    for shape, weight in zip(mix.shapes, mix.weights, strict=True):
        if shape.is_fraction and 2 * shape.milli > WHOLE and shape.models is None:
            waste[shape] = weight * (WHOLE - shape.milli)
    worst = max(waste, key=lambda s: (waste[s], s.milli, s.cpu, s.memory), default=None)
    return None if worst is None else Marked(milli=worst.milli, cpu=worst.cpu, memory=worst.memory)
