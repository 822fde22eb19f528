"""Exact answers for gangs that greedy placement leaves over, each with its certificate.

A deterministic budget, not a clock, ends a search, so the same call gives the same answer anywhere.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import (
    Binding,
    Certificate,
    Feasible,
    GangAnswer,
    Infeasible,
    Optimal,
    RolePlacement,
    Unknown,
)
from binpacking.capacity import column_sums, demand, domain_sums, slots, unpinned
from binpacking.check import check
from binpacking.core import name_core
from binpacking.device_model import DeviceDemand
from binpacking.greedy import Packing, as_placement, dense, place_greedy
from binpacking.least_slack import fill_least_slack
from binpacking.model import Model, Outcome
from binpacking.problem import BrokenInvariant, Gang
from binpacking.prove import prove_unfit

#: Roles times nodes beyond which no model is built; the answer is then "unknown".
SIZE_MAX = 300_000
#: Passes of the least-slack heuristic, and its share of the budget, before the solver.
FILL_ROUNDS = 1_000
FILL_SHARE = 0.2


def solve_gang(
    packing: Packing,
    gang: Gang,
    *,
    budget: float,
    seed: int,
    hint: tuple[RolePlacement, ...] | None = None,
    demand: DeviceDemand | None = None,
) -> GangAnswer:
    """The placement with the most pods of the gang, or a proof that it cannot stand.

    demand: what roles ask of devices, where their kinds meet and the packing's columns do not count them
    together; ``device_model.arrange`` then finds each node's. The certificate
    speaks of pods placed: ``Optimal(pods)``, ``Feasible(pods, bound)``,
    ``Infeasible(core)`` or ``Unknown(budget)``. budget: CP-SAT's deterministic work units (about seconds).
    """
    core = prove_unfit(packing, gang)
    if core is not None:
        return GangAnswer(placement=None, certificate=core)
    if hint is None and demand is None:
        hint = place_greedy(packing, gang)
    search = _Search(packing, gang, budget, seed, demand)
    if hint is not None:
        search.accept(dense(hint, len(packing.nodes)))
    for rows, bound in _areas(packing, gang):
        search.try_area(rows, bound)
    return search.answer()


def _areas(packing: Packing, gang: Gang) -> list[tuple[NDArray[np.int64], int]]:
    """Rows of each domain that the gang may be in, with a bound on its pods there, most first."""
    levels = gang.required_levels
    inside = unpinned(packing.nodes, gang, levels)
    holds = [np.where(inside, slots(packing.free, role), 0) for role in gang.roles]
    codes = packing.codes(levels).astype(np.int32)
    size = int(codes.max(initial=-1)) + 1
    bounds = np.zeros(size, dtype=np.int64)
    stands = np.ones(size, dtype=np.bool_)
    for role, most in zip(gang.roles, holds, strict=True):
        held = np.minimum(domain_sums(codes, most, size), role.count)
        bounds += held
        stands &= held >= role.minimum
    stands &= bounds >= gang.minimum
    useful = column_sums([np.minimum(most, 1) for most in holds]) > 0
    order = np.lexsort((_room(packing, gang, codes, size), -bounds))
    return [
        (np.flatnonzero((codes == domain) & useful), int(bounds[domain]))
        for domain in order.tolist()
        if stands[domain]
    ]


def _room(packing: Packing, gang: Gang, codes: NDArray[np.int32], size: int) -> NDArray[np.float64]:
    """float64[D], minus how often the gang's demand fits into what is free: roomy domains sort first."""
    asked = demand(gang)
    room = np.full(size, np.inf)
    for column in np.flatnonzero(asked > 0).tolist():
        held = domain_sums(codes, np.maximum(packing.free[:, column], 0), size)
        np.minimum(room, held / int(asked[column]), out=room)
    return -room


class _Search:
    """One gang's search over the domains that it may be in."""

    def __init__(
        self, packing: Packing, gang: Gang, budget: float, seed: int, demand: DeviceDemand | None
    ) -> None:
        self._demand = demand
        self._packing = packing
        self._gang = gang
        self._budget = budget
        self._seed = seed
        self._best: NDArray[np.int64] | None = None
        self._spent = 0.0
        #: Where the search went, no placement has more pods than this.
        self._bound = 0
        self._is_complete = True

    @property
    def _pods(self) -> int:
        return -1 if self._best is None else int(self._best.sum())

    def accept(self, counts: NDArray[np.int64]) -> None:
        """Keep int64[J, N] if it holds more pods than the best so far."""
        if int(counts.sum()) > self._pods:
            self._best = counts

    def try_area(self, rows: NDArray[np.int64], bound: int) -> None:
        """Search one domain for more pods than the best so far has. bound: no placement there has more."""
        if bound <= self._pods:
            return
        left = self._budget - self._spent
        width = 1
        if self._demand is not None:
            rows = self._demand.enough_of(self._packing.free, self._gang.roles, rows)
            width = max(1, self._demand.devices.room.shape[1])
        if left <= 0 or len(rows) * len(self._gang.roles) * width > SIZE_MAX:
            self._is_complete = False
            self._bound = max(self._bound, bound)
            return
        self._fill(rows, left * FILL_SHARE)
        if self._pods >= bound:
            return
        left = self._budget - self._spent
        outcome = self._solve(rows, left)
        self._spent += outcome.spent
        if outcome.counts is not None:
            self.accept(outcome.counts)
        if outcome.status != "infeasible":
            reached = outcome.bound if outcome.status != "unknown" else bound
            self._bound = max(self._bound, min(bound, int(reached + 1e-6)))
            self._is_complete &= outcome.status == "optimal"

    def _fill(self, rows: NDArray[np.int64], budget: float) -> None:
        """Try the least-slack heuristic for all pods, which finds the tight packings that greedy misses."""
        roles = self._gang.roles
        if self._demand is not None or len(roles) == 1 or any(role.limits or role.skews for role in roles):
            return
        narrow = [
            replace(role, minimum=0, allowed=None if role.allowed is None else role.allowed[rows])
            for role in roles
        ]
        filled = fill_least_slack(
            self._packing.free[rows], narrow, budget=budget, seed=self._seed, rounds=FILL_ROUNDS
        )
        self._spent += filled.spent
        if filled.counts is not None:
            counts = np.zeros((len(roles), len(self._packing.nodes)), dtype=np.int64)
            counts[:, rows] = filled.counts
            self.accept(counts)

    def _solve(self, rows: NDArray[np.int64], budget: float) -> Outcome:
        gang = self._gang
        apart = () if self._demand is None else (np.arange(len(self._packing.nodes), dtype=np.int64),)
        model = Model(self._packing.free, gang.roles, rows, apart)
        if self._demand is not None:
            self._demand.constrain(model, rows)
        for role, total in zip(gang.roles, model.totals, strict=True):
            model.cp.add(total >= role.minimum)
            model.cp.add(total <= role.count)
        placed = sum(model.totals)
        model.cp.add(placed >= max(gang.minimum, self._pods + 1))
        model.cp.maximize(placed)
        return model.solve(budget=budget, seed=self._seed)

    def _core(self) -> tuple[Binding, ...]:
        """What binds a gang that cannot stand; where counts would let it stand, its devices do."""
        if self._demand is None:
            core, spent = name_core(self._packing, self._gang, self._budget, self._seed)
            self._spent += spent
            return core
        counted = solve_gang(self._packing, self._gang, budget=self._budget, seed=self._seed)
        self._spent += counted.spent
        if isinstance(counted.certificate, Infeasible):
            return counted.certificate.core
        need = self._gang.need
        return (Binding(what="devices", name="", need=need, have=need - 1),)

    def answer(self) -> GangAnswer:
        """What was found and how far it is proven, checked."""
        certificate: Certificate
        if self._best is None:
            certificate = Unknown(self._budget)
            if self._is_complete:
                certificate = Infeasible(self._core())
            return GangAnswer(placement=None, certificate=certificate, spent=self._spent)
        bound = max(self._bound, self._pods)
        certificate = (
            Optimal(float(self._pods)) if bound == self._pods else Feasible(float(self._pods), float(bound))
        )
        placement = as_placement(list(self._best))
        answer = GangAnswer(placement=placement, certificate=certificate, spent=self._spent)
        wrong = check(self._packing.now(), [self._gang], [answer])
        if wrong:
            raise BrokenInvariant("; ".join(wrong))
        return answer
