"""Shares of devices beside devices taken whole: exact counts by node, and exact choices on a node.

Counts by kind are not enough where kinds meet: a share may open the very device that a whole set needs.
Here a node has one variable for each share on each device, and one for each linked set on each island;
devices taken whole without links are counts, since any that are left will do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from binpacking.choice import Ask, Devices
from binpacking.groups import group_nodes
from binpacking.problem import BrokenInvariant, Role, require

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, CpSolver, IntVar, LinearExprT

    from binpacking.model import Model

Chosen = tuple[int, ...]
#: Work units for the devices of one node. Its pods were counted to fit there; few such puzzles need a search.
ARRANGE_BUDGET = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeviceDemand:
    """What a gang's roles ask of devices.

    asks: one per role, None for a role that asks nothing. is_known: bool[N], nodes whose devices are known;
    the others take only pods that ask whole devices without links, as their resources allow.
    """

    devices: Devices
    asks: tuple[Ask | None, ...]
    is_known: NDArray[np.bool_]

    def __post_init__(self) -> None:
        require(self.is_known.shape == (len(self.devices),), "demand.is_known must be bool[N]")

    def codes(self) -> NDArray[np.int64]:
        """int64[N]: nodes with the same code have the same devices in the same state."""
        devices = self.devices
        columns = [devices.room, devices.size, devices.island.astype(np.int64), devices.most[:, None]]
        columns.append(self.is_known[:, None].astype(np.int64))
        found = np.unique(np.concatenate(columns, axis=1), axis=0, return_inverse=True)[1]
        return np.asarray(found, dtype=np.int64).reshape(-1)

    def enough_of(
        self, free: NDArray[np.int64], roles: Sequence[Role], rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Of the rows those that a search has to see: of nodes in one state, as many as there are pods."""
        pods = sum(role.count for role in roles)
        groups = group_nodes(free, roles, rows, (self.codes(),))
        kept = [group.nodes[:pods] for group in groups]
        return np.sort(np.concatenate(kept)) if kept else rows[:0]

    def constrain(self, model: Model, rows: NDArray[np.int64]) -> None:
        """Let the model's counts on these rows be such as the devices allow. It keeps every node apart."""
        nodes = np.arange(len(self.devices), dtype=np.int64)
        held = {role: model.by_domain(role, nodes) for role, ask in enumerate(self.asks) if ask is not None}
        for node in rows.tolist():
            pods = [
                (ask, held[role][node][0])
                for role, ask in enumerate(self.asks)
                if ask is not None and node in held[role]
            ]
            if self.is_known[node]:
                _OneNode(model.cp, self.devices, node, pods)
                continue
            for ask, count in pods:
                if ask.is_share or ask.linked:
                    model.cp.add(count == 0)


def arrange(devices: Devices, node: int, asks: Sequence[Ask]) -> tuple[Chosen, ...] | None:
    """The devices of each of these pods on the node, or None where none were found. Does not ``take`` them.

    Each in turn, whole ones and large shares first; where that leads nowhere, exactly.
    """
    order = sorted(range(len(asks)), key=lambda i: (-asks[i].whole, -asks[i].milli, -asks[i].units))
    mark = devices.mark()
    chosen: dict[int, Chosen] = {}
    for index in order:
        found = devices.choose(node, asks[index])
        if found is None:
            break
        devices.take(node, asks[index], found)
        chosen[index] = found
    devices.rewind(mark)
    if len(chosen) == len(asks):
        return tuple(chosen[index] for index in range(len(asks)))
    return _arranged(devices, node, asks)


def _arranged(devices: Devices, node: int, asks: Sequence[Ask]) -> tuple[Chosen, ...] | None:
    from ortools.sat.python import cp_model

    cp: CpModel = cp_model.CpModel()
    kinds = list(dict.fromkeys(asks))
    puzzle = _OneNode(cp, devices, node, [(kind, asks.count(kind)) for kind in kinds])
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    solver.parameters.max_deterministic_time = ARRANGE_BUDGET
    if solver.status_name(solver.solve(cp)) not in ("OPTIMAL", "FEASIBLE"):
        return None
    given = puzzle.given(solver)
    mark = devices.mark()
    chosen: dict[int, Chosen] = {}
    # Whole ones without links come last: they take what the others leave.
    order = sorted(range(len(asks)), key=lambda i: bool(asks[i].whole and not asks[i].linked))
    for index in order:
        kind = kinds.index(asks[index])
        found = given[kind].pop() if given[kind] else devices.choose(node, asks[index])
        if found is None:
            raise BrokenInvariant(f"the devices counted on for {asks[index]} are not there")
        devices.take(node, asks[index], found)
        chosen[index] = found
    devices.rewind(mark)
    return tuple(chosen[index] for index in range(len(asks)))


class _OneNode:
    """The constraints of one node. pods: each kind of ask, and how many of it, a number or a variable."""

    def __init__(
        self, cp: CpModel, devices: Devices, node: int, pods: Sequence[tuple[Ask, LinearExprT]]
    ) -> None:
        self._cp = cp
        self._pods = pods
        self._room = devices.room[node]
        self._size = devices.size[node]
        self._island = devices.island[node]
        self._empty = np.flatnonzero((self._room == self._size) & (self._size > 0)).tolist()
        #: Pods of a share by kind and device; linked sets by kind and island; empty devices that are opened.
        self._shares: dict[tuple[int, int], IntVar] = {}
        self._sets: dict[tuple[int, int], IntVar] = {}
        self._opened: dict[int, IntVar] = {}
        for device in np.flatnonzero(self._room).tolist():
            self._add_device(device)
        self._add_islands()
        for kind, (ask, count) in enumerate(pods):
            found: Mapping[tuple[int, int], IntVar] = self._shares if ask.is_share else self._sets
            if ask.is_share or ask.linked:
                cp.add(sum(x for key, x in found.items() if key[0] == kind) == count)
        taken: list[LinearExprT] = [ask.whole * count for ask, count in pods if ask.whole]
        allowed = min(len(self._empty), max(int(devices.most[node]), 0))
        cp.add(sum([*taken, *self._opened.values()]) <= allowed)

    def given(self, solver: CpSolver) -> list[list[Chosen]]:
        """By kind, the devices of each pod that shares or wants links; nothing of the others."""
        found: list[list[Chosen]] = [[] for _ in self._pods]
        for (kind, device), count in self._shares.items():
            found[kind] += [(device,)] * int(solver.value(count))
        left: dict[int, list[int]] = {}
        for device in self._empty:
            if device not in self._opened or not solver.value(self._opened[device]):
                left.setdefault(int(self._island[device]), []).append(device)
        for (kind, island), count in self._sets.items():
            for _ in range(int(solver.value(count))):
                size = self._pods[kind][0].whole
                found[kind].append(tuple(left[island][:size]))
                left[island] = left[island][size:]
        return found

    def _add_device(self, device: int) -> None:
        room, size = int(self._room[device]), int(self._size[device])
        needs: dict[int, int] = {}
        for kind, (ask, _) in enumerate(self._pods):
            if ask.is_share:
                need = int(Devices.need(ask, self._size[[device]])[0])
                if 0 < need <= room:
                    needs[kind] = need
        if not needs:
            return
        # Smaller numbers of the same meaning, so that no sum comes near the solver's limit.
        step = int(np.gcd.reduce(list(needs.values())))
        for kind, need in needs.items():
            self._shares[kind, device] = self._cp.new_int_var(0, room // need, "")
        used = sum(need // step * self._shares[kind, device] for kind, need in needs.items())
        if room == size:
            self._opened[device] = self._cp.new_bool_var("")
            self._cp.add(used <= room // step * self._opened[device])
        else:
            self._cp.add(used <= room // step)

    def _add_islands(self) -> None:
        by_island: dict[int, list[int]] = {}
        alike: dict[tuple[int, int], int] = {}
        for device in self._empty:
            by_island.setdefault(int(self._island[device]), []).append(device)
            twin = alike.get((int(self._island[device]), int(self._size[device])))
            if twin in self._opened and device in self._opened:
                # Empty twins are opened in their order: which of them it is makes no difference.
                self._cp.add(self._opened[twin] >= self._opened[device])
            alike[int(self._island[device]), int(self._size[device])] = device
        for island, empty in by_island.items():
            sets: list[LinearExprT] = []
            for kind, (ask, _) in enumerate(self._pods):
                if ask.linked and island >= 0 and len(empty) >= ask.whole:
                    self._sets[kind, island] = self._cp.new_int_var(0, len(empty) // ask.whole, "")
                    sets.append(ask.whole * self._sets[kind, island])
            opened = [self._opened[device] for device in empty if device in self._opened]
            if sets:
                self._cp.add(sum([*sets, *opened]) <= len(empty))
