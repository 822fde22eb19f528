"""Teams' turns while a plan is made: what found no place puts off nobody of its team."""

from __future__ import annotations

from collections.abc import Sequence

from quotas.order import Position, Turns
from scheduler.model.gang import PendingGang
from scheduler.teams.allowance import Allowance


class TeamTurns:
    """``gangs`` one after the other, each chosen by the books as they are then.

    Those that were given since the last ``decide`` count as if they started, for they are decided together;
    afterwards the books say which of them did. The caller charges those itself.
    """

    def __init__(self, gangs: Sequence[PendingGang], allowance: Allowance) -> None:
        self._gangs = gangs
        self._turns = Turns([allowance.entry(gang) for gang in gangs], allowance.books)
        self._given: list[Position] = []

    def next(self) -> PendingGang | None:
        """Whose turn it is; None when all had theirs."""
        position = self._turns.next()
        if position is None:
            return None
        self._turns.charge(position)
        self._given.append(position)
        return self._gangs[position.index]

    def put_back(self) -> None:
        """The last one waits: whose turn it is shows once the others are decided."""
        position = self._given.pop()
        self._turns.release(position)
        self._turns.put_back(position)

    def decide(self) -> None:
        """Those that were given are decided now."""
        for position in self._given:
            self._turns.release(position)
        self._given.clear()
