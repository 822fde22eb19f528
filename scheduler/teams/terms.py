"""What quotas demand of victims, as ``binpacking`` reads it: who owes how much, and what has to come free."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from binpacking.debts import Need, Terms
from quotas.amounts import Amounts
from quotas.books import Books
from quotas.reclaim import Claim, Lack, closed, lacks, owing

NO_BUDGETS: Mapping[int, int] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """A request that victims of ``givers`` are to make room for.

    resources: those that count, sorted. caps: by the index of a disruption budget, how many pods of it may
    go; each is one more resource behind those.
    """

    books: Books
    team: str
    request: Amounts
    givers: tuple[str, ...]
    resources: tuple[str, ...]
    caps: Mapping[int, int]

    def vector(self, amounts: Amounts, budgets: Mapping[int, int] = NO_BUDGETS) -> NDArray[np.int64]:
        """int64[Q] of amounts, and of how many pods of each budget."""
        counts = [budgets.get(index, 0) for index in self.caps]
        return np.array([amounts.get(name, 0) for name in self.resources] + counts, dtype=np.int64)

    def preempting(self) -> Terms:
        """Nobody owes anything: whatever comes free in the own team counts."""
        owed = np.zeros((0, len(self.resources) + len(self.caps)), dtype=np.int64)
        return Terms(
            levels=((),) * len(self.givers), owed=owed, needs=self._needs(self._lacks()), caps=self._caps()
        )

    def reclaiming(self, claimed: Claim) -> Iterator[Terms]:
        """What others owe; from the teams of one department first, where that is to give before others.

        The last of these is open to all who owe.
        """
        shut = closed(self.books, claimed)
        lacking = self._lacks()
        while shut:
            yield self._owed(claimed, shut, self._needs(lacking))
            inmost = shut[0].node
            lacking += [lack for lack in shut if lack.node == inmost]
            shut = [lack for lack in shut if lack.node != inmost]
        yield self._owed(claimed, (), self._needs(lacking))

    def _caps(self) -> tuple[tuple[int, int], ...]:
        first = len(self.resources)
        return tuple((first + place, most) for place, most in enumerate(self.caps.values()))

    def _lacks(self) -> list[Lack]:
        return lacks(self.books, self.team, self.request)

    def _owed(self, claimed: Claim, shut: Sequence[Lack], needs: tuple[Need, ...]) -> Terms:
        """The terms while nothing is taken from outside of the departments that are shut, by resource."""
        tree = self.books.tree
        at: dict[int, int] = {}
        rows: list[NDArray[np.int64]] = []
        levels: list[tuple[int, ...]] = []
        for team in self.givers:
            over = owing(self.books, claimed, team)
            for node, spare in over:
                if node not in at:
                    at[node] = len(rows)
                    rows.append(self.vector(spare))
            levels.append(tuple(at[node] for node, _ in over))
            path = tree.path(tree.leaf(team))
            for name in {lack.resource for lack in shut if lack.node not in path}:
                # Its own level, which is nobody else's.
                rows[levels[-1][0]][self.resources.index(name)] = 0
        owed = np.array(rows, dtype=np.int64).reshape(len(rows), len(self.resources) + len(self.caps))
        return Terms(levels=tuple(levels), owed=owed, needs=needs, caps=self._caps())

    def _needs(self, lacking: Iterable[Lack]) -> tuple[Need, ...]:
        tree = self.books.tree
        inside: dict[int, frozenset[int]] = {0: frozenset(range(len(self.givers)))}
        found: list[Need] = []
        for lack in lacking:
            if lack.node not in inside:
                inside[lack.node] = frozenset(
                    k for k, team in enumerate(self.givers) if lack.node in tree.path(tree.leaf(team))
                )
            found.append(
                Need(
                    debtors=inside[lack.node],
                    resource=self.resources.index(lack.resource),
                    amount=lack.amount,
                )
            )
        return tuple(found)
