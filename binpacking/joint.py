"""Several gangs at once: in strict order, or for the most weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import Binding, Certificate, Feasible, GangAnswer, Infeasible, Optimal, Unknown
from binpacking.check import check
from binpacking.classes import Classes, Placement
from binpacking.greedy import Packing, place_greedy
from binpacking.least_slack import fill_least_slack
from binpacking.model import Model
from binpacking.problem import BrokenInvariant, Gang, require, require_match
from binpacking.prove import prove_unfit

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import IntVar, LinearExprT

    Objective = Callable[[list[IntVar], list[list[IntVar]]], LinearExprT]

Mode = Literal["strict", "throughput"]

#: Gangs in one joint model.
GANGS_MAX = 1_000
#: Classes times nodes beyond which no model is built; greedy's answer stands, unproven.
SIZE_MAX = 300_000
#: Passes of the least-slack heuristic over the nodes.
ROUNDS = 20_000


def solve_joint(
    packing: Packing, gangs: Sequence[Gang], *, budget: float, seed: int, mode: Mode
) -> tuple[GangAnswer, ...]:
    """One answer per gang, all valid together.

    strict: the set that stands is the lexicographically best, so a later gang never costs an earlier one.
    throughput: the standing gangs have the most total ``weight``.
    A gang that does not stand is ``Infeasible`` when that is proven given the gangs before it (strict) or
    given the proven optimum (throughput), else ``Unknown``. More pods than the minimums come last.
    """
    require(len(gangs) <= GANGS_MAX, f"gangs has {len(gangs)}, at most {GANGS_MAX}")
    require_match(packing.nodes, gangs)
    if not gangs:
        return ()
    joint = _Joint(packing, gangs, budget, seed)
    if mode == "strict":
        joint.in_order()
    else:
        joint.by_weight()
    joint.grow()
    return joint.answers()


class _Joint:
    """The joint problem, its best solution so far, and what is settled."""

    def __init__(self, packing: Packing, gangs: Sequence[Gang], budget: float, seed: int) -> None:
        self._packing = packing
        self._gangs = gangs
        self._left = self._budget = budget
        self._seed = seed
        self._proofs = [prove_unfit(packing, gang) for gang in gangs]
        self._placed: list[Placement | None] = greedy_in_order(packing, gangs)
        #: Gangs of which it is settled whether they stand.
        self._settled: dict[int, bool] = {i: False for i, p in enumerate(self._proofs) if p is not None}
        self._is_proven = [p is not None for p in self._proofs]
        self._classes = Classes(packing, gangs)
        self._is_small = len(self._classes.roles) * len(packing.nodes) <= SIZE_MAX

    def in_order(self) -> None:
        """Settle gang by gang: the first stands if it can, then the second beside it, and so on."""
        sizes = [gang.need + 1 for gang in self._gangs]
        if not self._repack(self._open(), self._left / 4):
            self._improve(sizes, self._left / 2)
        for index in range(len(self._gangs)):
            if self._placed[index] is None and index not in self._settled:
                before = [i for i, stands in self._settled.items() if stands]
                self._repack([*before, index], self._left / 8)
            if self._placed[index] is None and index not in self._settled:
                later = [0] * index + [0] + sizes[index + 1 :]
                weights = [*later[:index], sum(later) + 1, *later[index + 1 :]]
                bound = self._improve(weights, self._left / 3)
                self._is_proven[index] = self._placed[index] is None and bound < weights[index]
            self._settled[index] = self._placed[index] is not None

    def by_weight(self) -> None:
        """Settle all gangs at once."""
        weights = [gang.weight for gang in self._gangs]
        if not self._repack(self._open(), self._left / 2):
            for index in sorted(self._open(), key=lambda i: -weights[i]):
                if self._placed[index] is None:
                    placed = [i for i, p in enumerate(self._placed) if p is not None]
                    self._repack([*placed, index], self._left / 16)
        bound = self._improve(weights, self._left * 0.8)
        value = sum(w for w, p in zip(weights, self._placed, strict=True) if p is not None)
        for index in range(len(self._gangs)):
            self._is_proven[index] |= bound <= value
            self._settled[index] = self._placed[index] is not None

    def grow(self) -> None:
        """With the standing gangs settled, place as many pods beyond their minimums as fit."""
        if any(self._pods(i) not in (-1, gang.count) for i, gang in enumerate(self._gangs)):
            self._solve(lambda _, n: sum(var for column in n for var in column), self._left)

    def answers(self) -> tuple[GangAnswer, ...]:
        """The answers, checked together."""
        spent = (self._budget - self._left) / len(self._gangs)
        answers = tuple(
            GangAnswer(placement=placement, certificate=self._certificate(i), spent=spent)
            for i, placement in enumerate(self._placed)
        )
        wrong = check(self._packing.now(), self._gangs, answers)
        if wrong:
            raise BrokenInvariant("; ".join(wrong))
        return answers

    def _open(self) -> list[int]:
        """Gangs that are not known to have no place."""
        return [i for i in range(len(self._gangs)) if self._settled.get(i, True)]

    def _repack(self, wanted: list[int], budget: float) -> bool:
        """Place all of ``wanted`` whole, moving whoever stands, and greedily whoever else then fits.

        Changes nothing where the least-slack heuristic fails, or where a wanted gang has rules beyond masks.
        """
        if all(self._placed[i] is not None for i in wanted):
            return True
        gangs = [self._gangs[i] for i in wanted]
        if any(_has_rules(gang) for gang in gangs):
            return False
        classes = Classes(self._packing, gangs)
        filled = fill_least_slack(
            self._packing.free, classes.roles, budget=budget, seed=self._seed, rounds=ROUNDS
        )
        self._left -= filled.spent
        if filled.counts is None:
            return False
        shared = classes.share_out(filled.counts, [[r.count for r in gang.roles] for gang in gangs])
        moved: list[Placement | None] = [None] * len(self._gangs)
        for index, placement in zip(wanted, shared, strict=True):
            moved[index] = placement
        may_join = [self._settled.get(i, True) for i in range(len(self._gangs))]
        self._placed = greedy_in_order(self._packing, self._gangs, moved, may_join)
        return True

    def _pods(self, index: int) -> int:
        placement = self._placed[index]
        return -1 if placement is None else sum(int(p.counts.sum()) for p in placement)

    def _certificate(self, index: int) -> Certificate:
        gang, proof, pods = self._gangs[index], self._proofs[index], self._pods(index)
        if pods >= 0:
            return Optimal(float(pods)) if pods == gang.count else Feasible(float(pods), float(gang.count))
        if proof is not None:
            return proof
        if not self._is_proven[index]:
            return Unknown(self._budget)
        return Infeasible((Binding(what="gangs", name=gang.name, need=gang.need, have=0),))

    def _improve(self, weights: list[int], budget: float) -> float:
        """Maximise the weight that stands, keeping what is settled; returns a bound on that weight."""
        open_weight = [w * (i not in self._settled or self._settled[i]) for i, w in enumerate(weights)]
        most = float(sum(open_weight))
        if all(p is not None or not w for p, w in zip(self._placed, open_weight, strict=True)):
            return most
        return min(most, self._solve(lambda z, _: _weighted(open_weight, z), budget, most))

    def _solve(self, objective: Objective, budget: float, bound: float = 0.0) -> float:
        """Build the model with what is settled, maximise, keep the solution; returns the bound."""
        if budget <= 0 or not self._is_small:
            return bound
        gangs, classes = self._gangs, self._classes
        topologies = [self._packing.codes(g.required_levels) for g in gangs if g.required_levels]
        rows = np.arange(len(self._packing.nodes))
        model = Model(self._packing.free, classes.roles, rows, topologies)
        z = [model.cp.new_bool_var("") for _ in gangs]
        n = [[model.cp.new_int_var(0, role.count, "") for role in gang.roles] for gang in gangs]
        self._demand(model, z, n)
        for index, stands in self._settled.items():
            model.cp.add(z[index] == int(stands))
        for var, placement in zip(z, self._placed, strict=True):
            model.cp.add_hint(var, int(placement is not None))
        model.cp.maximize(objective(z, n))
        watched = [*z, *(var for column in n for var in column)]
        outcome = model.solve(budget=budget, seed=self._seed, hint=classes.merge(self._placed), watch=watched)
        self._left -= outcome.spent
        if outcome.counts is not None:
            self._keep(outcome.counts, outcome.watched)
        return outcome.bound if outcome.status != "unknown" else bound

    def _demand(self, model: Model, z: list[IntVar], n: list[list[IntVar]]) -> None:
        """Each gang whole or absent, its pods among those of their classes, inside one domain if required."""
        for members, total in zip(self._classes.members, model.totals, strict=True):
            model.cp.add(total == sum(n[m.gang][m.role] for m in members))
        for gang, stands, pods in zip(self._gangs, z, n, strict=True):
            model.cp.add(sum(pods) >= gang.minimum * stands)
            for role, count in zip(gang.roles, pods, strict=True):
                model.cp.add(count >= role.minimum * stands)
                model.cp.add(count <= role.count * stands)
        for index, gang in enumerate(self._gangs):
            if gang.required_levels:
                mine = [c for c, members in enumerate(self._classes.members) if members[0].gang == index]
                model.confine(mine, self._packing.codes(gang.required_levels))

    def _keep(self, counts: NDArray[np.int64], watched: list[int]) -> None:
        """Take the solver's solution over."""
        size = len(self._gangs)
        stands, flat = watched[:size], iter(watched[size:])
        pods = [[next(flat) for _ in gang.roles] for gang in self._gangs]
        shared = self._classes.share_out(counts, pods)
        self._placed = [p if stand else None for p, stand in zip(shared, stands, strict=True)]


def greedy_in_order(
    packing: Packing,
    gangs: Sequence[Gang],
    placed: Sequence[Placement | None] | None = None,
    may_join: Sequence[bool] | None = None,
) -> list[Placement | None]:
    """Beside those ``placed`` already, each gang in turn where greedy finds it a place. The packing stays."""
    result: list[Placement | None] = [None] * len(gangs) if placed is None else list(placed)
    _occupy(packing, gangs, result, range(len(gangs)))
    for index, gang in enumerate(gangs):
        if result[index] is None and (may_join is None or may_join[index]):
            result[index] = place_greedy(packing, gang)
            _occupy(packing, gangs, result, [index])
    for gang, placement in zip(gangs, result, strict=True):
        for role, where in zip(gang.roles, placement or (), strict=False):
            packing.give(role, where)
    return result


def _occupy(
    packing: Packing, gangs: Sequence[Gang], placed: Sequence[Placement | None], which: Iterable[int]
) -> None:
    for index in which:
        for role, where in zip(gangs[index].roles, placed[index] or (), strict=False):
            packing.take(role, where)


def _has_rules(gang: Gang) -> bool:
    return bool(gang.required_levels) or any(role.limits or role.skews for role in gang.roles)


def _weighted(weights: list[int], variables: list[IntVar]) -> LinearExprT:
    return sum(w * x for w, x in zip(weights, variables, strict=True))
