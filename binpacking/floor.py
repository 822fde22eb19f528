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
from heapq import heappop, heappush
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from binpacking.devices import WHOLE, DeviceNodes, Mix, Shape
from binpacking.floor_model import FloorModel, Marked

#: The interval with the highest bound is split until it is this share of the arrivals, or its bound this
#: close to that without a drop: more costs LPs and gains little. Stopping early only weakens the bound.
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
        dropped = self._dropped
        if dropped is None:
            return best
        intervals: list[tuple[float, float, float]] = []

        def push(early: float, late: float) -> None:
            demand = self._demand(arrivals, early), self._demand(arrivals, late)
            heappush(intervals, (-dropped.most(*demand, end), early, late))

        for early, late in pairwise(_START):
            push(early, late)
        while True:
            value, early, late = heappop(intervals)
            if -value <= best * (1 + CLOSE) or late - early <= NARROWEST:
                # The rest of the intervals have lower bounds still.
                return max(best, -value)
            middle = (early + late) / 2
            push(early, middle)
            push(middle, late)

    def _demand(self, arrivals: NDArray[np.int64], share: float) -> NDArray[np.float64]:
        came = arrivals[: round(share * len(arrivals))]
        return np.bincount(came, minlength=self._count).astype(np.float64)


def marks(mix: Mix) -> list[Marked]:
    """Sets of pods that are good ones to mark; none where no pod leaves the most of a GPU over.

    Of the size that wastes most: up to the largest of its size, and three quarters of all pods that ask no
    more of a GPU. Of wider sets more must be placed, but nodes lack their CPU sooner.
    """
    asked = [(s, w) for s, w in zip(mix.shapes, mix.weights, strict=True) if _is_markable(s) and w > 0]
    waste = {s: w * (WHOLE - s.milli) for s, w in asked if s.is_fraction and 2 * s.milli > WHOLE}
    worst = max(waste, key=lambda s: (waste[s], s.milli, s.cpu, s.memory), default=None)
    if worst is None:
        return []
    alike = [(s, w) for s, w in asked if s.milli == worst.milli]
    smaller = [(s, w) for s, w in asked if s.milli <= worst.milli]
    pairs = [_quantiles(alike, 1.0), _quantiles(smaller, 0.75)]
    return [Marked(milli=worst.milli, cpu=cpu, memory=memory) for cpu, memory in dict.fromkeys(pairs)]


def narrowest(
    nodes: DeviceNodes, shapes: Sequence[Shape], marked: Sequence[Marked], arrivals: NDArray[np.int64]
) -> Floor:
    """The floor of the mark that bounds most after ``arrivals``; without marks, that of refusing policies."""
    floors = [Floor(nodes, shapes, mark) for mark in marked] or [Floor(nodes, shapes, None)]
    if len(floors) == 1:
        return floors[0]
    bounds = [floor.most(arrivals) for floor in floors]
    return floors[bounds.index(min(bounds))]


def _is_markable(shape: Shape) -> bool:
    return shape.gpus == 1 and shape.models is None


def _quantiles(pods: Sequence[tuple[Shape, float]], share: float) -> tuple[int, int]:
    """CPU and memory that this share of the weighted pods asks at most, each by itself."""
    weights = np.array([weight for _, weight in pods])

    def quantile(amounts: Sequence[int]) -> int:
        order = np.argsort(amounts, kind="stable")
        upto = np.cumsum(weights[order])
        at = min(int(np.searchsorted(upto, share * upto[-1])), len(order) - 1)
        return amounts[int(order[at])]

    return quantile([shape.cpu for shape, _ in pods]), quantile([shape.memory for shape, _ in pods])
