"""Pods that share GPUs, one at a time, where the score says; only what changed is rated anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from binpacking.devices import WHOLE, DeviceNodes, Shape
from binpacking.problem import require


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a pod went: the node, and which of its devices it uses."""

    node: int
    devices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rating:
    """Per rated node: cost (lower is better), tie (lower is better among equal costs), device of a fraction.

    cost, tie: float64[M]. device: int64[M], -1 where the shape takes whole devices or none.
    """

    cost: NDArray[np.float64]
    tie: NDArray[np.float64]
    device: NDArray[np.int64]


class SharedScore(Protocol):
    """How dear each node is for one more pod of a shape, from node states alone."""

    def refresh(self, state: SharedState) -> bool:
        """Called before each pod; returns whether ratings made before no longer hold."""

    def rate(self, state: SharedState, shape: Shape, rows: NDArray[np.int64]) -> Rating:
        """Rate ``rows``, all of which can hold the pod."""


class SharedState:
    """What is free, device by device.

    cpu, memory: int64[N]. free: int64[N, G] milli per device, -1 where the node has no such device.
    """

    def __init__(self, nodes: DeviceNodes) -> None:
        self.nodes = nodes
        self.cpu = nodes.cpu.copy()
        self.memory = nodes.memory.copy()
        devices = np.arange(max(int(nodes.gpus.max(initial=0)), 1))
        self.free = np.where(devices < nodes.gpus[:, None], WHOLE, -1).astype(np.int64)

    def copy(self) -> SharedState:
        """The same amounts in arrays of their own."""
        twin = SharedState(self.nodes)
        twin.cpu[:], twin.memory[:], twin.free[:] = self.cpu, self.memory, self.free
        return twin

    def fits(self, shape: Shape, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """bool[M]: whether a pod of the shape fits each of ``rows``, its GPU model aside."""
        fits = (self.cpu[rows] >= shape.cpu) & (self.memory[rows] >= shape.memory)
        if shape.is_fraction:
            fits &= (self.free[rows] >= shape.milli).any(axis=1)
        elif shape.gpus:
            fits &= (self.free[rows] == WHOLE).sum(axis=1) >= shape.gpus
        return fits

    def take(self, shape: Shape, spot: Spot, sign: int = -1) -> None:
        """Occupy what the pod uses there; ``sign`` 1 releases it."""
        self.cpu[spot.node] += sign * shape.cpu
        self.memory[spot.node] += sign * shape.memory
        self.free[spot.node, list(spot.devices)] += sign * shape.milli


@dataclass(slots=True)
class _Known:
    """Ratings of one shape on all nodes, true up to a point of the log."""

    allowed: NDArray[np.bool_]
    cost: NDArray[np.float64]
    tie: NDArray[np.float64]
    device: NDArray[np.int64]
    upto: int


class Sharing:
    """A cluster that places pods of known shapes one by one. Deterministic; costs only what changed."""

    def __init__(
        self,
        nodes: DeviceNodes,
        shapes: Sequence[Shape],
        score: SharedScore,
        state: SharedState | None = None,
    ) -> None:
        """``state`` is what is free already, and is changed; without it the nodes are empty."""
        self.state = SharedState(nodes) if state is None else state
        self._shapes = tuple(shapes)
        self._score = score
        self._known: dict[int, _Known] = {}
        self._changed: list[int] = []

    def place(self, index: int) -> Spot | None:
        """Place one pod of shape ``index`` where it costs least, or None where it fits nowhere.

        Ties go to the best fit; nodes that tie in that too are in the same state as far as the score sees.
        """
        require(0 <= index < len(self._shapes), f"shape {index} of {len(self._shapes)}")
        if self._score.refresh(self.state):
            self._known.clear()
        known = self._rated(index)
        lowest = known.cost.min(initial=np.inf)
        if lowest == np.inf:
            return None
        nodes = np.flatnonzero(known.cost == lowest)
        node = int(nodes[np.argmin(known.tie[nodes])])
        spot = Spot(node, self._devices(index, node, int(known.device[node])))
        self.state.take(self._shapes[index], spot)
        self._changed.append(node)
        return spot

    def place_whole(self, pods: Sequence[int]) -> tuple[Spot, ...] | None:
        """Place all of these pods (shape indices), largest first, or none. Spots in the order given."""
        size = [(s.total, s.cpu, s.memory) for s in self._shapes]
        spots: dict[int, Spot] = {}
        for position in sorted(range(len(pods)), key=lambda i: size[pods[i]], reverse=True):
            spot = self.place(pods[position])
            if spot is None:
                for taken, back in spots.items():
                    self.release(pods[taken], back)
                return None
            spots[position] = spot
        return tuple(spots[position] for position in range(len(pods)))

    def release(self, index: int, spot: Spot) -> None:
        """The pod of shape ``index`` at the spot is gone."""
        self.state.take(self._shapes[index], spot, sign=1)
        self._changed.append(spot.node)

    def _devices(self, index: int, node: int, device: int) -> tuple[int, ...]:
        shape = self._shapes[index]
        if shape.is_fraction:
            return (device,)
        whole = np.flatnonzero(self.state.free[node] == WHOLE)
        return tuple(whole[: shape.gpus].tolist())

    def _rated(self, index: int) -> _Known:
        shape, size = self._shapes[index], len(self.state.cpu)
        known = self._known.get(index)
        if known is None:
            allowed = shape.may_use(self.state.nodes.model)
            known = _Known(allowed, np.empty(size), np.empty(size), np.empty(size, dtype=np.int64), 0)
            self._known[index] = known
            rows = np.arange(size)
        else:
            rows = np.unique(np.array(self._changed[known.upto :], dtype=np.int64))
        known.upto = len(self._changed)
        known.cost[rows] = np.inf
        rows = rows[known.allowed[rows]]
        rows = rows[self.state.fits(shape, rows)]
        if len(rows):
            rating = self._score.rate(self.state, shape, rows)
            known.cost[rows], known.tie[rows] = rating.cost, rating.tie
            known.device[rows] = rating.device
        return known


def best_fit(
    state: SharedState, shape: Shape, rows: NDArray[np.int64], cpu_weight: float
) -> NDArray[np.float64]:
    """float64[M]: what is left on the node, in shares of the largest node's CPU and GPUs; memory last."""
    nodes = state.nodes
    gpu = np.maximum(state.free[rows], 0).sum(axis=1) - shape.total
    fit: NDArray[np.float64] = (
        cpu_weight * (state.cpu[rows] - shape.cpu) / max(int(nodes.cpu.max(initial=1)), 1)
        + 0.5 * gpu / (WHOLE * max(int(nodes.gpus.max(initial=1)), 1))
        + 1e-6 * (state.memory[rows] - shape.memory) / max(int(nodes.memory.max(initial=1)), 1)
    )
    return fit
