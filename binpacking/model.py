"""The CP-SAT model of roles on grouped nodes: integer counts per role and group, never a Boolean per pod.

OR-Tools is loaded on first use, since importing it costs more than most plans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from binpacking.groups import Group, group_nodes, spans_nodes
from binpacking.problem import BrokenInvariant, DomainLimit, Role, Skew

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, CpSolver, IntVar, LinearExprT


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the solver said. status: "optimal", "feasible", "infeasible" or "unknown".

    counts: int64[J, N] where a solution was found. bound: best possible objective. spent: work units.
    watched: values of the variables that the caller asked to see.
    """

    status: str
    counts: NDArray[np.int64] | None
    objective: float
    bound: float
    spent: float
    watched: list[int]


@dataclass(frozen=True, slots=True)
class _Unit:
    """A group with its variables: pods by role, and how many nodes follow each pattern."""

    group: Group
    pods: dict[int, IntVar]
    following: list[IntVar]


class Model:
    """Counts of ``roles`` on ``rows`` of the nodes under resources, masks, limits and skews.

    ``totals[j]`` is the expression of role j's pods; callers add demands and an objective to ``cp``.
    """

    def __init__(
        self,
        free: NDArray[np.int64],
        roles: Sequence[Role],
        rows: NDArray[np.int64],
        apart: Sequence[NDArray[np.int64]] = (),
    ) -> None:
        from ortools.sat.python import cp_model

        self.cp: CpModel = cp_model.CpModel()
        self._sum: Callable[[list[IntVar]], LinearExprT] = cp_model.LinearExpr.sum
        self._weighted: Callable[[list[IntVar], list[int]], LinearExprT] = cp_model.LinearExpr.weighted_sum
        self._requests = np.stack([role.request for role in roles])
        self._nodes = len(free)
        self._roles = roles
        self._units: list[_Unit] = []
        for group in group_nodes(free, roles, rows, apart):
            for part in _split(group):
                self._add(part)
        self.totals = [self._sum([x for x, _ in self._of(j)]) for j in range(len(roles))]
        for index, role in enumerate(roles):
            for limit in role.limits:
                if spans_nodes(limit):
                    self._add_limit(index, limit)
            for skew in role.skews:
                self._add_skew(index, skew)

    def by_domain(self, role: int, domain_of: NDArray[np.int64]) -> dict[int, list[IntVar]]:
        """The role's variables by the domain their nodes are in; groups must not span domains."""
        held: dict[int, list[IntVar]] = {}
        for x, group in self._of(role):
            held.setdefault(int(domain_of[group.nodes[0]]), []).append(x)
        return held

    def confine(self, roles: Iterable[int], codes: NDArray[np.int64]) -> None:
        """All pods of these roles in one domain of ``codes``, one of the arrays nodes are kept apart by."""
        chosen: dict[int, IntVar] = {}
        for role in roles:
            for domain, variables in self.by_domain(role, codes).items():
                if domain not in chosen:
                    chosen[domain] = self.cp.new_bool_var("")
                self.cp.add(self._sum(variables) <= self._roles[role].count * chosen[domain])
        self.cp.add(self._sum(list(chosen.values())) <= 1)

    def solve(
        self,
        *,
        budget: float,
        seed: int,
        hint: NDArray[np.int64] | None = None,
        watch: Sequence[IntVar] = (),
    ) -> Outcome:
        """Run one worker for ``budget`` deterministic work units; the same call gives the same answer.

        hint: int64[J, N], a placement to start from. watch: variables of the caller's own.
        """
        from ortools.sat.python import cp_model

        if hint is not None:
            self._hint(hint)
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = seed % 2**31
        solver.parameters.max_deterministic_time = budget
        status = solver.solve(self.cp)
        name = solver.status_name(status)
        if name == "MODEL_INVALID":
            raise BrokenInvariant(f"CP-SAT refuses the model: {self.cp.validate()}")
        found = name in ("OPTIMAL", "FEASIBLE")
        return Outcome(
            status=name.lower(),
            counts=self._decode(solver) if found else None,
            objective=solver.objective_value if found else 0.0,
            bound=solver.best_objective_bound,
            spent=float(solver.deterministic_time),
            watched=[int(solver.value(x)) for x in watch] if found else [],
        )

    def _of(self, role: int) -> Iterator[tuple[IntVar, Group]]:
        """The role's variables, each with its group."""
        return ((unit.pods[role], unit.group) for unit in self._units if role in unit.pods)

    def _add(self, group: Group) -> None:
        size = len(group.nodes)
        pods = {
            role: self.cp.new_int_var(0, int(most) * size, "")
            for role, most in enumerate(group.most.tolist())
            if most
        }
        following: list[IntVar] = []
        if len(pods) > 1 and size > 1 and group.patterns is not None:
            following = [self.cp.new_int_var(0, size, "") for _ in group.patterns]
            self.cp.add(self._sum(following) <= size)
            for role, x in pods.items():
                self.cp.add(x <= self._weighted(following, group.patterns[:, role].tolist()))
        elif len(pods) > 1:
            self._add_resources(group, pods)
        self._units.append(_Unit(group, pods, following))

    def _add_resources(self, group: Group, pods: dict[int, IntVar]) -> None:
        variables = list(pods.values())
        requests = self._requests[list(pods)]
        for column in np.flatnonzero((requests > 0).sum(axis=0) > 1).tolist():
            step = int(np.gcd.reduce(requests[:, column]))
            weights = (requests[:, column] // step).tolist()
            room = int(group.free[column]) // step
            if sum(w * int(group.most[j]) for w, j in zip(weights, pods, strict=True)) > room:
                self.cp.add(self._weighted(variables, weights) <= room)

    def _add_limit(self, role: int, limit: DomainLimit) -> None:
        for domain, variables in self.by_domain(role, limit.domain_of.astype(np.int64)).items():
            self.cp.add(self._sum(variables) <= int(limit.most[domain]))

    def _add_skew(self, role: int, skew: Skew) -> None:
        eligible = skew.eligible()
        count = self._roles[role].count
        least = skew.floor(skew.have, eligible)
        counts_as_zero = int(eligible.sum()) < skew.min_domains
        lowest = self.cp.new_int_var(least, least if counts_as_zero else least + count, "")
        held = self.by_domain(role, skew.domain_of.astype(np.int64))
        for domain in np.flatnonzero(eligible).tolist():
            have, pods = int(skew.have[domain]), self._sum(held.get(domain, []))
            if not counts_as_zero:
                self.cp.add(lowest <= pods + have)
            if domain in held:
                receives = self.cp.new_bool_var("")
                self.cp.add(pods <= count * receives)
                self.cp.add(pods + have <= lowest + skew.max_skew).only_enforce_if(receives)

    def _hint(self, hint: NDArray[np.int64]) -> None:
        for unit in self._units:
            for role, x in unit.pods.items():
                self.cp.add_hint(x, int(hint[role, unit.group.nodes].sum()))

    def _decode(self, solver: CpSolver) -> NDArray[np.int64]:
        counts = np.zeros((len(self._roles), self._nodes), dtype=np.int64)
        for unit in self._units:
            pods = {role: int(solver.value(x)) for role, x in unit.pods.items()}
            if any(pods.values()):
                following = [int(solver.value(y)) for y in unit.following]
                for role, most in self._room(unit, following).items():
                    counts[role, unit.group.nodes] = _fill_up(most, pods[role])
        return counts

    @staticmethod
    def _room(unit: _Unit, following: list[int]) -> dict[int, NDArray[np.int64]]:
        """Per role int64[M]: what each node of the group may hold."""
        size = len(unit.group.nodes)
        if not following or unit.group.patterns is None:
            return {role: np.full(size, unit.group.most[role]) for role in unit.pods}
        rows = np.repeat(np.arange(len(following)), following)
        room = np.zeros((size, len(unit.group.most)), dtype=np.int64)
        room[: len(rows)] = unit.group.patterns[rows]
        return {role: room[:, role] for role in unit.pods}


def _split(group: Group) -> Iterable[Group]:
    """The group itself where counts over it can be shared out to its nodes, else its nodes one by one."""
    if np.count_nonzero(group.most) <= 1 or group.patterns is not None:
        return [group]
    return [
        Group(nodes=group.nodes[i : i + 1], free=group.free, most=group.most, patterns=None)
        for i in range(len(group.nodes))
    ]


def _fill_up(room: NDArray[np.int64], pods: int) -> NDArray[np.int64]:
    """Share ``pods`` out in order, each node up to its room."""
    before = np.cumsum(room) - room
    filled: NDArray[np.int64] = np.clip(pods - before, 0, room)
    if int(filled.sum()) != pods:
        raise BrokenInvariant(f"{pods} pods do not fit into room for {int(room.sum())}")
    return filled
