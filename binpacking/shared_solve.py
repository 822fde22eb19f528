"""A gang whose pods share GPUs: all of it placed device by device, or a proof that it does not fit.

``place_shared`` is the door: greedy by a score first, and the exact model where that fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import Binding, Certificate, Infeasible, Optimal, Unknown
from binpacking.check import check_shared
from binpacking.devices import WHOLE, Shape
from binpacking.problem import COUNT_MAX, BrokenInvariant, require
from binpacking.sharing import SharedScore, SharedState, Sharing, Spot

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, CpSolver, IntVar, LinearExprT

#: Devices times shapes beyond which no model is built; the answer is then "unknown".
SIZE_MAX = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """``count`` pods of one shape, all of which must be placed."""

    name: str
    shape: Shape
    count: int

    def __post_init__(self) -> None:
        require(0 <= self.count <= COUNT_MAX, f"demand.count is {self.count}, from 0 to {COUNT_MAX}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedAnswer:
    """spots: per demand one spot a pod; None where the gang is not placed. The state stays as it is."""

    spots: tuple[tuple[Spot, ...], ...] | None
    certificate: Certificate
    spent: float = 0.0


def place_shared(
    state: SharedState, demands: Sequence[Demand], *, score: SharedScore, budget: float, seed: int
) -> SharedAnswer:
    """Every pod of every demand where the score says, else where the exact model finds room, else a proof.

    The state stays as it is; callers ``take`` the spots. Deterministic.
    """
    cluster = Sharing(state.nodes, [demand.shape for demand in demands], score, state.copy())
    pods = [index for index, demand in enumerate(demands) for _ in range(demand.count)]
    found = cluster.place_whole(pods)
    if found is None:
        return solve_shared(state, demands, budget=budget, seed=seed)
    spots: list[list[Spot]] = [[] for _ in demands]
    for index, spot in zip(pods, found, strict=True):
        spots[index].append(spot)
    return _placed(state, demands, tuple(tuple(each) for each in spots), 0.0)


def _placed(
    state: SharedState, demands: Sequence[Demand], spots: tuple[tuple[Spot, ...], ...], spent: float
) -> SharedAnswer:
    """An answer with these spots, once the checker has seen them."""
    placed = [(d.shape, spot) for d, each in zip(demands, spots, strict=True) for spot in each]
    wrong = check_shared(state, placed)
    if wrong:
        raise BrokenInvariant("; ".join(wrong))
    return SharedAnswer(spots=spots, certificate=Optimal(float(len(placed))), spent=spent)


def solve_shared(state: SharedState, demands: Sequence[Demand], *, budget: float, seed: int) -> SharedAnswer:
    """Every pod of every demand on devices of its own or shared, in one exact model; deterministic."""
    if not any(demand.count for demand in demands):
        return _placed(state, demands, tuple(() for _ in demands), 0.0)
    core = _short(state, demands)
    if core:
        return SharedAnswer(spots=None, certificate=Infeasible(core))
    if state.free.size * len(demands) > SIZE_MAX:
        return SharedAnswer(spots=None, certificate=Unknown(budget))
    model = _SharedModel(state, demands)
    status, spots, spent = model.solve(budget, seed)
    pods = sum(demand.count for demand in demands)
    if status == "infeasible":
        scattered = Binding(what="fragmentation", name="gpu", need=pods, have=pods - 1)
        return SharedAnswer(spots=None, certificate=Infeasible((scattered,)), spent=spent)
    if spots is None:
        return SharedAnswer(spots=None, certificate=Unknown(budget), spent=spent)
    return _placed(state, demands, spots, spent)


def _short(state: SharedState, demands: Sequence[Demand]) -> tuple[Binding, ...]:
    """What is short in sum, or for the pods of one demand alone; proof enough."""
    core: list[Binding] = []
    for name, need, have in (
        ("gpu-milli", sum(d.count * d.shape.total for d in demands), np.maximum(state.free, 0)),
        ("cpu", sum(d.count * d.shape.cpu for d in demands), np.maximum(state.cpu, 0)),
        ("memory", sum(d.count * d.shape.memory for d in demands), np.maximum(state.memory, 0)),
    ):
        if need > int(have.sum()):
            core.append(Binding(what="resource", name=name, need=need, have=int(have.sum())))
    for demand in demands:
        room = int(np.minimum(_slots(state, demand.shape), demand.count).sum())
        if room < demand.count:
            core.append(Binding(what="fragmentation", name=demand.name, need=demand.count, have=room))
    return tuple(core)


def _slots(state: SharedState, shape: Shape) -> NDArray[np.int64]:
    """int64[N]: pods of the shape that each node could hold alone."""
    slots = np.where(shape.may_use(state.nodes.model), COUNT_MAX, 0).astype(np.int64)
    for free, asked in ((state.cpu, shape.cpu), (state.memory, shape.memory)):
        if asked:
            np.minimum(slots, np.maximum(free, 0) // asked, out=slots)
    if shape.is_fraction:
        np.minimum(slots, (np.maximum(state.free, 0) // shape.milli).sum(axis=1), out=slots)
    elif shape.gpus:
        np.minimum(slots, (state.free == WHOLE).sum(axis=1) // shape.gpus, out=slots)
    return slots


class _SharedModel:
    """Counts of whole-device pods per node, and of fractions per device."""

    def __init__(self, state: SharedState, demands: Sequence[Demand]) -> None:
        from ortools.sat.python import cp_model

        self._cp: CpModel = cp_model.CpModel()
        self._state = state
        self._demands = demands
        #: By demand and node, pods that share no device; by demand, node and device, those that do.
        self._alone: dict[tuple[int, int], IntVar] = {}
        self._sharing: dict[tuple[int, int, int], IntVar] = {}
        slots = np.stack([np.minimum(_slots(state, d.shape), d.count) for d in demands])
        for node in np.flatnonzero(slots.any(axis=0)).tolist():
            self._add_node(node, slots[:, node])
        for index, demand in enumerate(demands):
            mine = [v for key, v in self._alone.items() if key[0] == index]
            mine += [v for key, v in self._sharing.items() if key[0] == index]
            self._cp.add(sum(mine) == demand.count)

    def _add_node(self, node: int, slots: NDArray[np.int64]) -> None:
        state, demands = self._state, self._demands
        uses: list[tuple[Shape, IntVar]] = []
        whole_devices: list[LinearExprT] = []
        for index in np.flatnonzero(slots).tolist():
            shape = demands[index].shape
            if not shape.is_fraction:
                pods = self._alone[index, node] = self._cp.new_int_var(0, int(slots[index]), "")
                uses.append((shape, pods))
                whole_devices.append(shape.gpus * pods)
        for device, free in enumerate(state.free[node].tolist()):
            shared = self._add_device(node, device, free, slots)
            uses += shared
            if shared and free == WHOLE:
                is_shared = self._cp.new_bool_var("")
                whole_devices.append(is_shared)
                self._cp.add(sum(s.milli * pods for s, pods in shared) <= WHOLE * is_shared)
            elif shared:
                self._cp.add(sum(s.milli * pods for s, pods in shared) <= free)
        self._cp.add(sum(whole_devices) <= int((state.free[node] == WHOLE).sum()))
        self._cp.add(sum(s.cpu * pods for s, pods in uses) <= max(int(state.cpu[node]), 0))
        self._cp.add(sum(s.memory * pods for s, pods in uses) <= max(int(state.memory[node]), 0))

    def _add_device(
        self, node: int, device: int, free: int, slots: NDArray[np.int64]
    ) -> list[tuple[Shape, IntVar]]:
        shared: list[tuple[Shape, IntVar]] = []
        for index in np.flatnonzero(slots).tolist():
            shape = self._demands[index].shape
            if shape.is_fraction and free >= shape.milli:
                most = min(int(slots[index]), free // shape.milli)
                pods = self._sharing[index, node, device] = self._cp.new_int_var(0, most, "")
                shared.append((shape, pods))
        return shared

    def solve(self, budget: float, seed: int) -> tuple[str, tuple[tuple[Spot, ...], ...] | None, float]:
        """Status, spots where found, and the work spent."""
        from ortools.sat.python import cp_model

        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = seed % 2**31
        solver.parameters.max_deterministic_time = budget
        name = solver.status_name(solver.solve(self._cp))
        if name == "MODEL_INVALID":
            raise BrokenInvariant(f"CP-SAT refuses the model: {self._cp.validate()}")
        spots = self._decode(solver) if name in ("OPTIMAL", "FEASIBLE") else None
        return name.lower(), spots, float(solver.deterministic_time)

    def _decode(self, solver: CpSolver) -> tuple[tuple[Spot, ...], ...]:
        spots: list[list[Spot]] = [[] for _ in self._demands]
        shared = {(node, device) for (_, node, device), v in self._sharing.items() if solver.value(v)}
        for (index, node, device), pods in self._sharing.items():
            spots[index] += [Spot(node, (device,))] * int(solver.value(pods))
        whole: dict[int, list[int]] = {}
        for (index, node), pods in self._alone.items():
            if node not in whole:
                free = np.flatnonzero(self._state.free[node] == WHOLE).tolist()
                whole[node] = [device for device in free if (node, device) not in shared]
            for _ in range(int(solver.value(pods))):
                gpus = self._demands[index].shape.gpus
                taken, whole[node] = whole[node][:gpus], whole[node][gpus:]
                spots[index].append(Spot(node, tuple(taken)))
        return tuple(tuple(each) for each in spots)
