"""Nodes device by device, for pods that ask for a fraction of a GPU: amounts are exact integers.

N nodes, G the most GPUs of any node, T shapes of pods. GPU amounts are milli, 1000 a whole device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from binpacking.problem import AMOUNT_MAX, COUNT_MAX, SUM_MAX, require

WHOLE = 1000
DEVICES_MAX = 64
MODELS_MAX = 60


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeviceNodes:
    """cpu, memory: int64[N] free. gpus: int64[N], devices of each node, all wholly free. model: int32[N]."""

    cpu: NDArray[np.int64]
    memory: NDArray[np.int64]
    gpus: NDArray[np.int64]
    model: NDArray[np.int32]

    def __post_init__(self) -> None:
        for name, most in (("cpu", AMOUNT_MAX), ("memory", AMOUNT_MAX), ("gpus", DEVICES_MAX)):
            amounts: NDArray[np.int64] = getattr(self, name)
            require(amounts.dtype == np.int64 and amounts.ndim == 1, f"devices.{name} must be int64[N]")
            require(len(amounts) == len(self.cpu), f"devices.{name} differs in length from devices.cpu")
            low, high = int(amounts.min(initial=0)), int(amounts.max(initial=0))
            require(low >= 0 and high <= most, f"devices.{name} from {low} to {high}, 0 to {most}")
            require(high * len(amounts) <= SUM_MAX, f"devices.{name} sums to more than {SUM_MAX}")
        require(self.model.dtype == np.int32, "devices.model must be int32[N]")
        require(len(self.model) == len(self.cpu), "devices.model differs in length from devices.cpu")
        low, high = int(self.model.min(initial=0)), int(self.model.max(initial=0))
        require(low >= 0 and high < MODELS_MAX, f"devices.model from {low} to {high}, 0 to {MODELS_MAX - 1}")

    def __len__(self) -> int:
        return len(self.cpu)

    @property
    def models(self) -> int:
        """How many models there are; they count from 0."""
        return int(self.model.max(initial=-1)) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What one pod asks: ``gpus`` whole devices, or with ``gpus`` 1 a ``milli`` share of one.

    models: the GPU models it may use, or None for any.
    """

    cpu: int
    memory: int
    gpus: int
    milli: int
    models: frozenset[int] | None = None

    def __post_init__(self) -> None:
        for name, amount in (("cpu", self.cpu), ("memory", self.memory)):
            require(0 <= amount <= AMOUNT_MAX, f"shape.{name} is {amount}, from 0 to {AMOUNT_MAX}")
        require(0 <= self.gpus <= DEVICES_MAX, f"shape.gpus is {self.gpus}, from 0 to {DEVICES_MAX}")
        least, most = (0, 0) if self.gpus == 0 else (1 if self.gpus == 1 else WHOLE, WHOLE)
        require(least <= self.milli <= most, f"shape.milli is {self.milli}, from {least} to {most}")

    @property
    def total(self) -> int:
        """GPU milli over all its devices."""
        return self.gpus * self.milli

    @property
    def is_fraction(self) -> bool:
        """Whether it shares a device."""
        return self.gpus == 1 and self.milli < WHOLE

    def may_use(self, model: NDArray[np.int32]) -> NDArray[np.bool_]:
        """bool[N]: whether each model suits."""
        if self.models is None:
            return np.ones(len(model), dtype=np.bool_)
        return np.isin(model, sorted(self.models))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What is expected to come: ``weights[t]`` pods of ``shapes[t]`` in any common unit."""

    shapes: tuple[Shape, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        require(len(self.shapes) == len(self.weights), "mix.weights and mix.shapes differ in length")
        require(len(self.shapes) <= COUNT_MAX, f"mix.shapes has {len(self.shapes)}, at most {COUNT_MAX}")
        require(all(0 <= w < float("inf") for w in self.weights), "mix.weights holds a negative or infinite")

    @property
    def gpu_milli(self) -> float:
        """Weighted GPU milli."""
        return sum(w * s.total for w, s in zip(self.weights, self.shapes, strict=True))


def observed(shapes: Sequence[Shape], pods: Sequence[int]) -> Mix:
    """The mix in which ``pods``, indices into ``shapes``, came."""
    counts = np.bincount(np.asarray(pods, dtype=np.int64), minlength=len(shapes))
    return Mix(shapes=tuple(shapes), weights=tuple(float(c) for c in counts))
