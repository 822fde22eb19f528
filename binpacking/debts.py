"""Conditions on victims beside that the gang fits: of whom how much may go, and how much has to.

Some resources may be capped: of all victims together no more than so much of them goes.

A debtor is whoever victims belong to. Debts are kept by level: a debtor's own level, and those of what it is
part of. No more is taken of a level than it owes, but for the rest of the last victim: there is an order in
which, before each victim, all levels over it still owe something of one resource that it frees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from binpacking.problem import require

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import IntVar

    from binpacking.model import Model

#: The solver sums in 64 bits; larger totals are scaled down for it.
TOTAL_MAX = 2**60


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """At least ``amount`` of one resource (an index) has to come free of these debtors together."""

    debtors: frozenset[int]
    resource: int
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terms:
    """levels: by debtor, indices of the levels over it, its own first; none: all of it may go.

    owed: int64[L, Q] by level and resource; of what is 0 or less nothing may be taken. caps: by resource, the
    most of it that may go of all debtors together; a resource with a cap is owed to nobody.
    """

    levels: tuple[tuple[int, ...], ...]
    owed: NDArray[np.int64]
    needs: tuple[Need, ...] = ()
    caps: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        require(
            all(0 <= q < self.owed.shape[1] and most >= 0 for q, most in self.caps),
            "terms.caps names a resource that is not there, or less than nothing",
        )
        require(self.owed.dtype == np.int64 and self.owed.ndim == 2, "terms.owed must be int64[L, Q]")
        known = all(0 <= level < len(self.owed) for levels in self.levels for level in levels)
        require(known, "terms.levels names a level that is not there")


class Margin:
    """How much more than each need comes free; below 0 where it is less."""

    def __init__(self, needs: Sequence[Need], debtor: Sequence[int], frees: Sequence[Sequence[int]]) -> None:
        self._needs = needs
        self._debtor = debtor
        self._frees = frees
        self.over = [-need.amount for need in needs]

    @property
    def is_met(self) -> bool:
        return all(over >= 0 for over in self.over)

    def count(self, piece: int, sign: int) -> None:
        for index, need in enumerate(self._needs):
            if self._debtor[piece] in need.debtors:
                self.over[index] += sign * self._frees[piece][need.resource]

    def keep(self, piece: int) -> bool:
        """Leave the piece where it is, if what has to come free then still does."""
        if self.over:
            self.count(piece, -1)
            if not self.is_met:
                self.count(piece, +1)
                return False
        return True


class Ledger:
    """The terms for P pieces: of which victim each is, whose that is, int64[Q] that the piece frees.

    along: the pieces of the same victim that go when this one does.
    """

    def __init__(
        self,
        terms: Terms | None,
        *,
        victim: Sequence[int],
        debtor: Sequence[int],
        frees: Sequence[NDArray[np.int64]],
        along: Sequence[tuple[int, ...]],
    ) -> None:
        self._terms = terms
        self._victim = victim
        self._debtor = debtor
        self._along = along
        self._frees: list[list[int]] = [row.tolist() for row in frees] if terms is not None else []
        if terms is not None:
            width = terms.owed.shape[1]
            require(
                all(len(row) == width for row in frees), "victim.frees and terms.owed differ in resources"
            )
            require(max(debtor, default=0) < len(terms.levels), "victim.debtor is not among terms.levels")

    def walk(self, order: Iterable[int]) -> list[int]:
        """Of pieces in this order those that may be taken one after the other.

        Of a victim that took all that a level still owed, the rest may go too: it is the last of that level.
        """
        if self._terms is None:
            return list(order)
        kept: list[int] = []
        gone: set[int] = set()
        left: list[list[int]] = self._terms.owed.tolist()
        spare = dict(self._terms.caps)
        last: dict[tuple[int, int], int] = {}
        for piece in order:
            if piece in gone:
                continue
            victim, levels = self._victim[piece], self._terms.levels[self._debtor[piece]]
            item = [piece, *(other for other in self._along[piece] if other not in gone)]
            frees = [sum(column) for column in zip(*(self._frees[p] for p in item), strict=True)]
            if any(frees[q] > most for q, most in spare.items()):
                continue
            if levels and not any(
                amount and all(left[level][q] > 0 or last.get((level, q)) == victim for level in levels)
                for q, amount in enumerate(frees)
            ):
                continue
            kept.append(piece)
            gone.update(item)
            for q in spare:
                spare[q] -= frees[q]
            for level in levels:
                for q, amount in enumerate(frees):
                    if 0 < left[level][q] <= amount:
                        last[level, q] = victim
                    left[level][q] -= amount
        return kept

    def margin(self, taken: NDArray[np.bool_]) -> Margin:
        """By how much more comes free of these pieces than has to."""
        margin = Margin(() if self._terms is None else self._terms.needs, self._debtor, self._frees)
        for piece in np.flatnonzero(taken).tolist() if margin.over else ():
            margin.count(piece, +1)
        return margin

    def bind(self, model: Model, gone: Sequence[IntVar]) -> None:
        """The terms in the solver's words; ``gone`` is true for each piece that goes.

        With one resource exact, with several necessary: victims that go by different resources may need an
        order that there is not.
        """
        if self._terms is None:
            return
        for need in self._terms.needs:
            step = self._step(need.resource)
            freed = [
                (self._frees[piece][need.resource] // step) * var
                for piece, var in enumerate(gone)
                if self._debtor[piece] in need.debtors
            ]
            model.cp.add(sum(freed) >= -(-need.amount // step))
        for q, most in self._terms.caps:
            model.cp.add(sum(self._frees[piece][q] * var for piece, var in enumerate(gone)) <= most)
        self._bind_debts(model, gone, self._terms)

    def _bind_debts(self, model: Model, gone: Sequence[IntVar], terms: Terms) -> None:
        """By level and resource one victim may be the last; without it the level stays below what it owes.

        Who is last of a level is so of each of the levels within.
        """
        last: dict[tuple[int, int], dict[int, IntVar]] = {}
        for (level, q), counted in self._counted(model, gone, terms).items():
            owed, step = int(terms.owed[level, q]), self._step(q)
            if sum(self._frees[piece][q] for piece in counted) < owed:
                continue
            victims = dict.fromkeys(self._victim[piece] for piece in counted)
            chosen = last[level, q] = {victim: model.cp.new_bool_var("") for victim in victims}
            model.cp.add(sum(chosen.values()) <= 1)
            left = []
            for piece, var in counted.items():
                # Counts unless its victim is the last.
                stays = model.cp.new_bool_var("")
                model.cp.add(stays >= var - chosen[self._victim[piece]])
                left.append((self._frees[piece][q] // step) * stays)
            model.cp.add(sum(left) <= (owed - 1) // step)
        for victim, debtor in dict(zip(self._victim, self._debtor, strict=True)).items():
            for inner, outer in pairwise(terms.levels[debtor]):
                for q in range(terms.owed.shape[1]):
                    low, high = last.get((inner, q), {}), last.get((outer, q), {})
                    if victim in low and victim in high:
                        model.cp.add_implication(high[victim], low[victim])

    def _counted(
        self, model: Model, gone: Sequence[IntVar], terms: Terms
    ) -> dict[tuple[int, int], dict[int, IntVar]]:
        """By level and resource, the pieces of victims that go by that resource; each victim goes by one."""
        found: dict[tuple[int, int], dict[int, IntVar]] = {}
        by: dict[int, dict[int, IntVar]] = {}
        for piece, debtor in enumerate(self._debtor):
            levels, victim = terms.levels[debtor], self._victim[piece]
            if not levels:
                continue
            open_ = [q for q in range(terms.owed.shape[1]) if all(terms.owed[at, q] > 0 for at in levels)]
            if victim not in by:
                by[victim] = {q: model.cp.new_bool_var("") for q in open_}
                model.cp.add(sum(by[victim].values()) <= 1)
            ways = [q for q in open_ if self._frees[piece][q]]
            model.cp.add(gone[piece] <= sum(by[victim].values()))
            for q in ways:
                var = gone[piece]
                if len(open_) > 1:
                    var = model.cp.new_bool_var("")
                    model.cp.add(var >= gone[piece] + by[victim][q] - 1)
                for level in levels:
                    found.setdefault((level, q), {})[piece] = var
        for victim, pieces in self._of_victim().items():
            for q, var in by.get(victim, {}).items():
                model.cp.add(var <= sum(gone[piece] for piece in pieces if self._frees[piece][q]))
        return found

    def _of_victim(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for piece, victim in enumerate(self._victim):
            found.setdefault(victim, []).append(piece)
        return found

    def _step(self, resource: int) -> int:
        return 1 + sum(frees[resource] for frees in self._frees) // TOTAL_MAX
