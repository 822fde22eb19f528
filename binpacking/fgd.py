"""FGD (Weng, Yang et al., "Beware of Fragmentation", USENIX ATC '23): the published baseline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from binpacking.devices import WHOLE, Mix, Shape
from binpacking.sharing import Rating, SharedState, best_fit

#: Typical pods are the most frequent shapes that cover this share of pods.
TYPICAL_SHARE = 0.95
_CHUNK = 256


class FgdScore:
    """Expected rise of GPU milli that typical pods cannot use; best fit among equal scores.

    The score is rounded as published, int(100 * sigmoid(change in GPUs)), since most of FGD's strength
    comes from the ties that this makes. The published simulator breaks them by node name; here best fit does.
    """

    def __init__(self, mix: Mix) -> None:
        order = sorted(range(len(mix.shapes)), key=lambda t: -mix.weights[t])
        whole, covered = sum(mix.weights) or 1.0, 0.0
        self._typical: list[tuple[Shape, float]] = []
        for index in order:
            if covered >= TYPICAL_SHARE * whole:
                break
            self._typical.append((mix.shapes[index], mix.weights[index]))
            covered += mix.weights[index]
        self._covered = covered or 1.0

    def refresh(self, state: SharedState) -> bool:
        """Ratings depend on node states alone."""
        return False

    def rate(self, state: SharedState, shape: Shape, rows: NDArray[np.int64]) -> Rating:
        """See ``SharedScore``."""
        cost = np.empty(len(rows))
        device = np.full(len(rows), -1, dtype=np.int64)
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            cost[part], device[part] = self._rate_part(state, shape, rows[part])
        return Rating(cost=cost, tie=best_fit(state, shape, rows, cpu_weight=0.5), device=device)

    def _rate_part(
        self, state: SharedState, shape: Shape, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        free, cpu, model = state.free[rows], state.cpu[rows], state.nodes.model[rows]
        before = self._fragments(free, cpu, model)
        left = cpu - shape.cpu
        best = np.full(len(rows), np.inf)
        device = np.full(len(rows), -1, dtype=np.int64)
        if not shape.is_fraction:
            after = free.copy()
            whole = after == WHOLE
            after[whole & (whole.cumsum(axis=1) <= shape.gpus)] = 0
            best = _score(before, self._fragments(after, left, model))
            return best, device
        for slot in range(free.shape[1]):
            after = free.copy()
            after[:, slot] -= shape.milli
            fits = free[:, slot] >= shape.milli
            score = np.where(fits, _score(before, self._fragments(after, left, model)), np.inf)
            better = (score < best) | (
                (score == best) & fits & (free[:, slot] < free[np.arange(len(rows)), device])
            )
            best, device = np.where(better, score, best), np.where(better, slot, device)
        return best, device

    def _fragments(
        self, free: NDArray[np.int64], cpu: NDArray[np.int64], model: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        """float64[M]: expected idle milli that a typical pod could not use."""
        idle = np.maximum(free, 0)
        total = idle.sum(axis=1)
        wholes = (free == WHOLE).sum(axis=1)
        expected = np.zeros(len(free))
        for shape, weight in self._typical:
            fits = (cpu >= shape.cpu) & shape.may_use(model)
            if shape.is_fraction:
                fits &= (free >= shape.milli).any(axis=1)
            else:
                fits &= (wholes >= shape.gpus) & (shape.gpus > 0)
            unusable = np.where(free < shape.milli, idle, 0).sum(axis=1)
            expected += weight / self._covered * np.where(fits, unusable, total)
        return expected


def _score(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    return -np.floor(100.0 / (1.0 + np.exp((after - before) / WHOLE)))
