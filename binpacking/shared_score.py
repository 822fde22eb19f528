"""Where a pod on shared GPUs costs least by LP prices."""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from binpacking.devices import DEVICES_MAX, WHOLE, Mix, Shape
from binpacking.prices import gpu_worth
from binpacking.sharing import Rating, SharedState, best_fit

#: Pods after which scarcity and abundance are measured anew.
REFRESH_PODS = 200
#: CPU and memory kept for a free fraction, as a share of what the mix asks for that much worth ...
KEPT_FOR_FRACTIONS = 0.8
#: ... and for a wholly free GPU, which can still wait for a pod that asks little of them.
KEPT_FOR_WHOLE = 0.2
#: Share of the reserve that follows free milli rather than their worth, while both are abundant.
FLAT_SHARE = 0.1
#: Standard deviations of demand for each to hedge against, while both are abundant.
HEDGE = 0.2
#: They are abundant when what is free of each exceeds what the mix needs for the free GPUs by this share.
ABUNDANT = 0.45
#: Cost of a GPU that lacks the CPU or memory to be used, against the worth of a free one.
STRANDED = 2.5
#: Weight of breaking a row of whole GPUs that pods of several may need; little, but it stops an avalanche.
BREAKING = 0.03
#: A model is scarce around this ratio of restricted demand to what is free of it, softened by the width.
SCARCE_RATIO = 0.8
SCARCE_WIDTH = 0.2
#: Costs closer than this are equal, and best fit decides.
RESOLUTION = 1e-3


Resource = Literal["cpu", "memory"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Need:
    """What the mix asks of CPU or memory, per GPU it asks.

    rate: by pods that ask GPUs. rate_of_all: by all pods. variance: of the former's demand, in units squared.
    """

    resource: Resource
    rate: float
    rate_of_all: float
    variance: float

    def free(self, state: SharedState) -> NDArray[np.int64]:
        return state.cpu if self.resource == "cpu" else state.memory

    def asked(self, shape: Shape) -> int:
        return _asked(shape, self.resource)


class PriceScore:
    """Opportunity cost of what a pod uses up: space, CPU and memory that GPUs need, scarce models.

    The terms, in whole GPUs (docs/packing.md derives them):
    - the fall in the LP worth of the device's free space;
    - the rise in GPUs expected to strand for lack of CPU or memory, whichever strands more: E[(need - free)+]
      with the need normal around what the mix asks for the node's free worth;
    - the pod's own GPUs, priced by how scarce their model is for pods that can use no other;
    - a little for whole GPUs of a node that become too few for pods that ask several.
    Only the mix is assumed; what is free is looked at again every ``REFRESH_PODS`` pods.
    """

    def __init__(self, mix: Mix) -> None:
        self._mix = mix
        self._worth = gpu_worth(mix)
        self._needs = [need for need in _needs(mix) if need.rate]
        self._kept = KEPT_FOR_FRACTIONS * self._worth
        self._kept[WHOLE] = KEPT_FOR_WHOLE
        self._restricted = self._restricted_demand()
        self._too_few = self._too_few_whole()
        self._scarcity = np.zeros(0)
        self._abundance = 1.0
        self._pods_left = 0

    def refresh(self, state: SharedState) -> bool:
        """Measure scarcity and abundance anew when enough pods came."""
        self._pods_left -= 1
        if self._pods_left >= 0:
            return False
        self._pods_left = REFRESH_PODS - 1
        free = np.maximum(state.free, 0).sum(axis=1)
        by_model = np.bincount(state.nodes.model, weights=free, minlength=state.nodes.models).astype(
            np.float64
        )
        self._scarcity = self._scarcities(by_model)
        self._abundance = self._least_abundance(state, float(by_model.sum()) / WHOLE)
        return True

    def _least_abundance(self, state: SharedState, gpus: float) -> float:
        """From 0, where CPU or memory is short for this many free GPUs, to 1, where both are abundant.

        One figure for both: where one is short, hedging the other would spend the first.
        """
        least = 1.0
        for need in self._needs:
            surplus = float(need.free(state).sum()) - need.rate_of_all * gpus
            least = min(least, surplus / max(ABUNDANT * need.rate_of_all * gpus, 1e-9))
        return max(least, 0.0)

    def rate(self, state: SharedState, shape: Shape, rows: NDArray[np.int64]) -> Rating:
        """See ``SharedScore``."""
        free = np.maximum(state.free[rows], 0)
        device, lost, kept_before, kept_after = self._device_choice(state, shape, rows, free)
        milli = free.sum(axis=1)
        left = [(need, need.free(state)[rows]) for need in self._needs]
        before = self._stranded(kept_before, milli, left)
        left = [(need, amounts - need.asked(shape)) for need, amounts in left]
        after = self._stranded(kept_after, milli - shape.total, left)
        scarcity = self._scarcity[state.nodes.model[rows]]
        cost = lost * (1 + scarcity) + scarcity * shape.total / WHOLE + STRANDED * (after - before)
        cost += BREAKING * self._broken(state, shape, rows, device)
        return Rating(
            cost=np.floor(cost / RESOLUTION + 0.5),
            tie=best_fit(state, shape, rows, cpu_weight=0.25),
            device=device,
        )

    def _device_choice(
        self, state: SharedState, shape: Shape, rows: NDArray[np.int64], free: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Device, worth lost there, and CPU reserve of the node before and after."""
        kept = self._kept[free].sum(axis=1)
        device = np.full(len(rows), -1, dtype=np.int64)
        if not shape.is_fraction:
            lost = np.full(len(rows), shape.gpus * self._worth[WHOLE])
            return device, lost, kept, kept - shape.gpus * self._kept[WHOLE]
        left = free - shape.milli
        fits = state.free[rows] >= shape.milli
        loss = np.where(fits, np.round(self._worth[free] - self._worth[left], 6), np.inf)
        # Equal losses go to the fullest device: the loss is a multiple of 1e-6, the left-over below 1e-6.
        device = np.argmin(loss + left * 1e-10, axis=1)
        at = np.arange(len(rows)), device
        return device, loss[at], kept, kept - self._kept[free[at]] + self._kept[left[at]]

    def _broken(
        self, state: SharedState, shape: Shape, rows: NDArray[np.int64], device: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """float64[M]: rise in whole GPUs of the node that are too few for pods which ask several."""
        whole = (state.free[rows] == WHOLE).sum(axis=1)
        taken = np.full(len(rows), shape.gpus)
        if shape.is_fraction:
            taken = (state.free[rows, device] == WHOLE).astype(np.int64)
        rise: NDArray[np.float64] = self._too_few[whole - taken] - self._too_few[whole]
        return np.maximum(rise, 0.0)

    def _too_few_whole(self) -> NDArray[np.float64]:
        """float64[65]: of m whole GPUs on a node, those that the mix's pods of more than m cannot use."""
        held = np.arange(DEVICES_MAX + 1)
        expected = np.zeros(DEVICES_MAX + 1)
        for shape, weight in zip(self._mix.shapes, self._mix.weights, strict=True):
            if shape.gpus > 1:
                share = weight * shape.total / (self._mix.gpu_milli or 1.0)
                expected += np.where(held < shape.gpus, share * held, 0.0)
        return expected

    def _stranded(
        self,
        kept: NDArray[np.float64],
        milli: NDArray[np.int64],
        left: list[tuple[_Need, NDArray[np.int64]]],
    ) -> NDArray[np.float64]:
        """float64[M]: GPUs expected to lack CPU or memory on each node; one that lacks both is lost once."""
        stranded = np.zeros(len(kept))
        flat = FLAT_SHARE * self._abundance
        worth = (1 - flat) * kept + flat * milli / WHOLE
        spread = HEDGE * self._abundance * np.sqrt(milli / WHOLE)
        for need, amounts in left:
            short = expected_excess(need.rate * worth - amounts, sqrt(need.variance) * spread)
            np.maximum(stranded, short / need.rate, out=stranded)
        return stranded

    def _restricted_demand(self) -> list[tuple[list[int], float]]:
        """Sets of models that some pods are restricted to, with their share of all GPU demand."""
        shares: dict[frozenset[int], float] = {}
        whole = self._mix.gpu_milli or 1.0
        for shape, weight in zip(self._mix.shapes, self._mix.weights, strict=True):
            if shape.models is not None and shape.gpus:
                shares[shape.models] = shares.get(shape.models, 0.0) + weight * shape.total / whole
        return [(sorted(models), share) for models, share in shares.items()]

    def _scarcities(self, free: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64[models]: from 0, for anyone, to 1, where restricted pods will need all that is free."""
        ratio = np.zeros(len(free))
        for models, share in self._restricted:
            usable = [m for m in models if m < len(free)]
            if len(usable) < len(free):
                ratio[usable] += share * free.sum() / max(float(free[usable].sum()), 1.0)
        return np.array([_normal_below((r - SCARCE_RATIO) / SCARCE_WIDTH) for r in ratio.tolist()])


def _asked(shape: Shape, resource: Resource) -> int:
    return shape.cpu if resource == "cpu" else shape.memory


def _needs(mix: Mix) -> tuple[_Need, _Need]:
    gpus = mix.gpu_milli / WHOLE or 1.0

    def need(resource: Resource) -> _Need:
        pods = [
            (weight, _asked(shape, resource), shape.gpus)
            for weight, shape in zip(mix.weights, mix.shapes, strict=True)
        ]
        return _Need(
            resource=resource,
            rate=sum(weight * asked for weight, asked, asks_gpu in pods if asks_gpu) / gpus,
            rate_of_all=sum(weight * asked for weight, asked, _ in pods) / gpus,
            variance=sum(weight * asked * asked for weight, asked, asks_gpu in pods if asks_gpu) / gpus,
        )

    return need("cpu"), need("memory")


_GRID = np.linspace(-6.0, 6.0, 3073)
_EXCESS = np.array([z * 0.5 * (1 + erf(z / sqrt(2))) + np.exp(-z * z / 2) / sqrt(2 * np.pi) for z in _GRID])


def expected_excess(mean: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[M]: E[max(X, 0)] for X normal with this mean and standard deviation."""
    safe = np.maximum(spread, 1e-9)
    z = np.clip(mean / safe, -6.0, 6.0)
    return np.where(np.abs(mean) < 6.0 * safe, safe * np.interp(z, _GRID, _EXCESS), np.maximum(mean, 0.0))


def _normal_below(z: float) -> float:
    return 0.5 * (1 + erf(z / sqrt(2)))
