"""Whose removal lets a gang fit, for the least cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import gcd
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import Certificate, Feasible, GangAnswer, Infeasible, Optimal, RolePlacement, Unknown
from binpacking.capacity import demand, slots, unpinned
from binpacking.check import check
from binpacking.core import name_core
from binpacking.debts import Ledger, Terms
from binpacking.greedy import Packing, as_placement, dense, place_greedy
from binpacking.minimal import Standing
from binpacking.model import Model
from binpacking.problem import AMOUNT_MAX, BrokenInvariant, Gang, require, require_match
from binpacking.prove import prove_unfit

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import IntVar

    Weighted = list[tuple[int, IntVar]]

#: Victims considered in one search.
VICTIMS_MAX = 20_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Pods that can be taken without the rest of their gang, since they are above its minimum.

    cost: what losing them costs, >= 0. nodes: int64[K] distinct. amounts: int64[K, R] released there.
    frees: int64[Q], what that counts for in ``Terms``.
    """

    cost: int
    nodes: NDArray[np.int64]
    amounts: NDArray[np.int64]
    frees: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __post_init__(self) -> None:
        require(0 <= self.cost <= AMOUNT_MAX, f"victim.cost is {self.cost}, from 0 to {AMOUNT_MAX}")
        require(self.nodes.dtype == np.int64 and self.nodes.ndim == 1, "victim.nodes must be int64[K]")
        is_distinct = len(self.nodes) < 2 or len(np.unique(self.nodes)) == len(self.nodes)
        require(is_distinct, "victim.nodes holds a node twice")
        require(
            self.amounts.dtype == np.int64 and self.amounts.ndim == 2, "victim.amounts must be int64[K, R]"
        )
        require(len(self.amounts) == len(self.nodes), "victim.amounts and victim.nodes differ in length")
        least, most = int(self.amounts.min(initial=0)), int(self.amounts.max(initial=0))
        require(
            least >= 0 and most <= AMOUNT_MAX, f"victim.amounts from {least} to {most}, 0 to {AMOUNT_MAX}"
        )
        require(self.frees.dtype == np.int64 and self.frees.ndim == 1, "victim.frees must be int64[Q]")
        require(int(self.frees.min(initial=0)) >= 0, "victim.frees holds less than 0")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Victim:
    """A gang that may be taken: ``base`` is the pods it stands on, ``extra`` what can go alone.

    Taking the base takes every extra part with it, and costs the sum; without one, only extra parts may go.
    debtor: an index into ``Terms.levels``.
    """

    name: str
    base: Part | None
    extra: tuple[Part, ...] = ()
    debtor: int = 0

    @property
    def whole(self) -> tuple[Part, ...]:
        """All parts that may go."""
        return self.extra if self.base is None else (self.base, *self.extra)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """victim: index among the candidates. base: whether all of it goes. extra: indices of parts that go."""

    victim: int
    base: bool
    extra: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VictimAnswer:
    """taken: who goes, ascending; empty with no placement. placement: where the gang then stands.

    certificate: of the cost: ``Optimal(cost)``, ``Feasible(cost, bound)`` with bound <= cost, ``Infeasible``
    when not even all candidates together make room, or ``Unknown``. The set is minimal: with any one taken
    part kept the gang would not fit, or less would come free than has to. Where the budget ran out this is
    shown for this placement only.
    """

    taken: tuple[Taken, ...]
    placement: tuple[RolePlacement, ...] | None
    certificate: Certificate
    spent: float = 0.0


def victims(
    packing: Packing,
    gang: Gang,
    candidates: Sequence[Victim],
    *,
    budget: float,
    seed: int,
    terms: Terms | None = None,
    barred: Sequence[tuple[Taken, ...]] = (),
) -> VictimAnswer:
    """The cheapest candidates whose removal lets the gang stand. Nobody is taken unless it then does.

    terms: of whom how much may go, and has to. barred: sets that are no answer, nor is any that holds one.
    """
    require(len(candidates) <= VICTIMS_MAX, f"candidates has {len(candidates)}, at most {VICTIMS_MAX}")
    require_match(packing.nodes, [gang])
    search = _Search(packing, gang, candidates, terms, barred)
    if not search.is_payable:
        return VictimAnswer(taken=(), placement=None, certificate=Unknown(0.0))
    proof = prove_unfit(search.relieved(search.all), gang)
    if proof is not None:
        return VictimAnswer(taken=(), placement=None, certificate=proof)
    search.start()
    certificate, spent = search.improve(budget, seed)
    if not isinstance(certificate, Optimal):
        spent += search.lessen(budget - spent, seed)
    return search.answer(certificate, spent)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A part with its place among the candidates; extra is -1 for a base, which ``needs`` its extras gone."""

    victim: int
    extra: int
    part: Part
    needs: tuple[int, ...]


def _pieces(candidates: Sequence[Victim], packing: Packing) -> list[_Piece]:
    pieces: list[_Piece] = []
    for index, victim in enumerate(candidates):
        first = len(pieces)
        for extra, part in enumerate(victim.whole if victim.base is None else (*victim.extra, victim.base)):
            is_base = extra == len(victim.extra)
            require(part.amounts.shape[1] == packing.free.shape[1], "victim.amounts has other resources")
            known = not len(part.nodes) or (part.nodes.min() >= 0 and part.nodes.max() < len(packing.nodes))
            require(bool(known), "victim.nodes names a node that is not there")
            needs = tuple(range(first, len(pieces))) if is_base else ()
            pieces.append(_Piece(victim=index, extra=-1 if is_base else extra, part=part, needs=needs))
    return pieces


class _Search:
    """The cheapest set so far, and where the gang stands without it."""

    def __init__(
        self,
        packing: Packing,
        gang: Gang,
        candidates: Sequence[Victim],
        terms: Terms | None,
        barred: Sequence[tuple[Taken, ...]],
    ) -> None:
        self._packing = packing
        self._gang = gang
        self._pieces = pieces = _pieces(candidates, packing)
        self._ledger = Ledger(
            terms,
            victim=[piece.victim for piece in pieces],
            debtor=[candidates[piece.victim].debtor for piece in pieces],
            frees=[piece.part.frees for piece in pieces],
            along=[piece.needs for piece in pieces],
        )
        self._bases = {piece.victim: i for i, piece in enumerate(pieces) if piece.extra < 0}
        self._is_free = terms is None and not barred
        at = {(piece.victim, piece.extra): index for index, piece in enumerate(pieces)}
        self._barred = [
            [at[t.victim, e] for t in taken for e in (*t.extra, *((-1,) if t.base else ()))]
            for taken in barred
        ]
        self._costs = np.array([piece.part.cost for piece in pieces], dtype=np.int64)
        self._counts: NDArray[np.int64] | None = None
        self._taken = np.zeros(len(pieces), dtype=np.bool_)
        self.all = np.ones(len(pieces), dtype=np.bool_)

    @property
    def is_payable(self) -> bool:
        """Whether all pieces together free what has to come free."""
        return self._ledger.margin(self.all).is_met

    @property
    def _cost(self) -> int:
        return int(self._costs[self._taken].sum())

    def relieved(self, taken: NDArray[np.bool_]) -> Packing:
        """The packing as it would be with these pieces gone."""
        packing = Packing(self._packing.nodes, score=self._packing.score)
        packing.free[:] = self._packing.free
        for index in np.flatnonzero(taken).tolist():
            part = self._pieces[index].part
            packing.free[part.nodes] += part.amounts
        return packing

    def start(self) -> None:
        """Take in a promising order until the gang fits, by two orders; keep the cheaper set."""
        for order in map(self._ledger.walk, self._orders()):
            shortest, longest = 0, len(order)
            found: NDArray[np.int64] | None = None
            taken = self.all
            while shortest <= longest:
                middle = (shortest + longest) // 2
                tried = self._closed(order[:middle])
                placement = None
                if self._ledger.margin(tried).is_met:
                    placement = place_greedy(self.relieved(tried), self._gang)
                if placement is None:
                    shortest = middle + 1
                else:
                    longest = middle - 1
                    found, taken = dense(placement, len(self._packing.nodes)), tried
            if found is not None:
                self._keep(found, taken)

    def improve(self, budget: float, seed: int) -> tuple[Certificate, float]:
        """Let the solver lower the cost, or prove that it cannot be lowered."""
        if self._counts is not None and not self._taken.any():
            return Optimal(0.0), 0.0
        floor = self._floor()
        if budget <= 0 or (self._counts is not None and self._cost <= floor):
            return self._unproven(float(floor), budget), 0.0
        model, gone = self._model()
        if self._counts is not None:
            for var, taken in zip(gone, self._taken.tolist(), strict=True):
                model.cp.add_hint(var, taken)
        model.cp.minimize(sum(int(c) * v for c, v in zip(self._costs, gone, strict=True)))
        outcome = model.solve(budget=budget, seed=seed, hint=self._counts, watch=gone)
        if outcome.counts is not None:
            self._keep(outcome.counts, np.array(outcome.watched, dtype=np.bool_))
        if outcome.status == "infeasible" and self._counts is None and self._is_free:
            core, spent = name_core(self.relieved(self.all), self._gang, budget, seed)
            return Infeasible(core), outcome.spent + spent
        bound = outcome.bound if outcome.status != "unknown" else 0.0
        return self._unproven(bound, budget), outcome.spent

    def lessen(self, budget: float, seed: int) -> float:
        """Keep whatever need not go, dearest first, wherever the gang then stands; solver units spent."""
        if self._counts is None:
            return 0.0
        standing = Standing(self.relieved(self._taken), self._gang, budget=budget, seed=seed)
        taken, margin = self._taken.copy(), self._ledger.margin(self._taken)
        for index in self._dearest(taken):
            part = self._pieces[index].part
            if self._is_loose(index, taken) and margin.keep(index):
                if standing.without(part.nodes, part.amounts):
                    taken[index] = False
                else:
                    margin.count(index, +1)
        placement = standing.placement()
        if placement is not None and taken.sum() < self._taken.sum():
            self._counts, self._taken = dense(placement, len(self._packing.nodes)), taken
        return standing.spent

    def answer(self, certificate: Certificate, spent: float) -> VictimAnswer:
        """Who goes and where the gang then stands, checked."""
        if isinstance(certificate, Feasible) and self._counts is not None:
            certificate = self._unproven(certificate.bound, 0.0)
        if self._counts is None:
            return VictimAnswer(taken=(), placement=None, certificate=certificate, spent=spent)
        placement = as_placement(list(self._counts))
        answer = GangAnswer(placement=placement, certificate=certificate)
        wrong = check(self.relieved(self._taken).now(), [self._gang], [answer])
        if wrong:
            raise BrokenInvariant("; ".join(wrong))
        return VictimAnswer(taken=self._listed(), placement=placement, certificate=certificate, spent=spent)

    def _model(self) -> tuple[Model, list[IntVar]]:
        """Pods on nodes against what is free and what the pieces, one Boolean each, release."""
        packing, gang = self._packing, self._gang
        whole = self.relieved(self.all)
        touched = (whole.free != packing.free).any(axis=1)
        own = np.where(touched, 1 + np.arange(len(touched)), 0)
        levels = gang.required_levels
        inside = unpinned(packing.nodes, gang, levels)
        codes = packing.codes(levels)
        model = Model(whole.free, gang.roles, np.flatnonzero(inside), [own, codes])
        for role, total in zip(gang.roles, model.totals, strict=True):
            model.cp.add(total >= role.minimum)
            model.cp.add(total <= role.count)
        model.cp.add(sum(model.totals) >= gang.minimum)
        if levels:
            model.confine(range(len(gang.roles)), codes)
        gone = [model.cp.new_bool_var("") for _ in self._pieces]
        for var, piece in zip(gone, self._pieces, strict=True):
            for extra in piece.needs:
                model.cp.add_implication(var, gone[extra])
        self._ledger.bind(model, gone)
        for together in self._barred:
            model.cp.add(sum(gone[index] for index in together) < len(together))
        self._charge(model, gone, own)
        return model, gone

    def _charge(self, model: Model, gone: list[IntVar], own: NDArray[np.int64]) -> None:
        """On nodes where something can be released, pods use only what is free once it is."""
        released: dict[tuple[int, int], list[tuple[int, IntVar]]] = {}
        for var, piece in zip(gone, self._pieces, strict=True):
            for row, column in np.argwhere(piece.part.amounts > 0).tolist():
                key = (int(piece.part.nodes[row]), column)
                released.setdefault(key, []).append((int(piece.part.amounts[row, column]), var))
        at = [model.by_domain(j, own) for j in range(len(self._gang.roles))]
        for (node, column), parts in released.items():
            users = [
                (int(role.request[column]), x)
                for role, held in zip(self._gang.roles, at, strict=True)
                if role.request[column]
                for x in held.get(1 + node, ())
            ]
            if users:
                self._fit(model, users, parts, int(self._packing.free[node, column]))

    def _fit(self, model: Model, users: Weighted, parts: Weighted, free: int) -> None:
        """The users' amounts within what is free and released; an overcommitted node need not be used."""
        step = gcd(*(amount for amount, _ in users))
        released = sum((amount // step) * var for amount, var in parts if amount % step == 0)
        used = sum((amount // step) * x for amount, x in users)
        if any(amount % step for amount, _ in parts):
            step, released = 1, sum(amount * var for amount, var in parts)
            used = sum(amount * x for amount, x in users)
        if free >= 0:
            model.cp.add(used <= released + free // step)
            return
        is_used = model.cp.new_bool_var("")
        for _, x in users:
            model.cp.add(x <= self._gang.count * is_used)
        model.cp.add(used <= released + free // step).only_enforce_if(is_used)

    def _floor(self) -> int:
        """A cost that no set is below: what lacks of one resource in sum, covered by the cheapest amounts."""
        roles = self._gang.roles
        least = [role.minimum for role in roles]
        if len(roles) == 1:
            least = [max(least[0], self._gang.minimum)]
        asked = sum(count * role.request for count, role in zip(least, roles, strict=True))
        lacks = asked - np.maximum(self._packing.free, 0).sum(axis=0)
        sums = np.array([piece.part.amounts.sum(axis=0) for piece in self._pieces], dtype=np.int64)
        floor = 0
        for column in np.flatnonzero(lacks > 0).tolist() if len(sums) else ():
            left, cost = int(lacks[column]), 0
            given = np.flatnonzero(sums[:, column] > 0)
            price = self._costs[given] / sums[given, column]
            for index in given[np.argsort(price, kind="stable")].tolist():
                amount = min(left, int(sums[index, column]))
                whole = int(sums[index, column])
                cost += (
                    -(-int(self._costs[index]) * amount // whole)
                    if amount < whole
                    else int(self._costs[index])
                )
                left -= amount
                if not left:
                    break
            floor = max(floor, cost)
        return floor

    def _unproven(self, bound: float, budget: float) -> Certificate:
        if self._counts is None:
            return Unknown(budget)
        cost = float(self._cost)
        return (
            Optimal(cost)
            if bound > cost - 1 + 1e-6
            else Feasible(cost, max(float(np.ceil(bound - 1e-6)), 0.0))
        )

    def _listed(self) -> tuple[Taken, ...]:
        by_victim: dict[int, list[int]] = {}
        for index in np.flatnonzero(self._taken).tolist():
            piece = self._pieces[index]
            by_victim.setdefault(piece.victim, []).append(piece.extra)
        return tuple(
            Taken(victim=victim, base=-1 in extras, extra=tuple(e for e in extras if e >= 0))
            for victim, extras in sorted(by_victim.items())
        )

    def _keep(self, counts: NDArray[np.int64], taken: NDArray[np.bool_]) -> None:
        """Give back what this placement does not need, dearest first; keep the rest if it is cheaper."""
        taken = taken.copy()
        used = np.zeros_like(self._packing.free)
        for role, placed in zip(self._gang.roles, counts, strict=True):
            used += placed[:, None] * role.request
        free, margin = self.relieved(taken).free, self._ledger.margin(taken)
        for index in self._dearest(taken):
            if not self._is_loose(index, taken):
                continue
            part = self._pieces[index].part
            at, left = part.nodes, free[part.nodes] - part.amounts
            if ((used[at] == 0) | (left >= used[at])).all() and margin.keep(index):
                taken[index] = False
                free[at] = left
        if any(taken[barred].all() for barred in self._barred):
            return
        if self._counts is None or int(self._costs[taken].sum()) < self._cost:
            self._counts, self._taken = counts, taken

    def _dearest(self, taken: NDArray[np.bool_]) -> list[int]:
        """What is taken, whole gangs first, the dearest first."""
        extra = [piece.extra >= 0 for piece in self._pieces]
        return sorted(np.flatnonzero(taken).tolist(), key=lambda i: (extra[i], -self._costs[i]))

    def _is_loose(self, index: int, taken: NDArray[np.bool_]) -> bool:
        """Whether the piece could stay by itself: what a gang stands on is not gone with it."""
        piece = self._pieces[index]
        base = self._bases.get(piece.victim)
        return piece.extra < 0 or base is None or not taken[base]

    def _closed(self, chosen: Sequence[int]) -> NDArray[np.bool_]:
        """The chosen pieces, and with each base its extras."""
        taken = np.zeros(len(self._pieces), dtype=np.bool_)
        for index in chosen:
            taken[index] = True
            taken[list(self._pieces[index].needs)] = True
        return taken

    def _orders(self) -> list[list[int]]:
        """Node by node, the cheapest room first; and piece by piece, the cheapest amount first."""
        asked = demand(self._gang)
        shares = asked / np.maximum(np.maximum(self._packing.total.sum(axis=0), 1), asked)
        weight = np.array([float((p.part.amounts @ shares).sum()) for p in self._pieces])
        price = self._costs / np.maximum(weight, 1e-12)
        gained = np.zeros(len(self._packing.nodes))
        before, after = self._packing.free, self.relieved(self.all).free
        for role in self._gang.roles:
            gained += (slots(after, role) - slots(before, role)) * float(role.request @ shares)
        spent = np.zeros(len(self._packing.nodes))
        for piece, cost in zip(self._pieces, price.tolist(), strict=True):
            spent[piece.part.nodes] += cost * (piece.part.amounts @ shares)
        ratio = np.where(gained > 0, spent / np.maximum(gained, 1e-12), np.inf)
        rank = np.empty(len(ratio), dtype=np.int64)
        rank[np.argsort(ratio, kind="stable")] = np.arange(len(ratio))
        first = [min(rank[p.part.nodes].tolist(), default=len(rank)) for p in self._pieces]
        indices = range(len(self._pieces))
        return [
            sorted(indices, key=lambda i: (first[i], price[i])),
            sorted(indices, key=lambda i: (price[i], first[i])),
        ]
