"""What one cycle may cost, in units of work and not of time, and how that is shared out.

A cycle that tries everything that waits takes as long as a tenant likes. So it has a budget: the first of
each group (a team, or a namespace where there are no teams) are tried in their order, up to half of the
budget; the rest is for those left open, group by group, each going on where it stopped the last time.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from scheduler.model.plan import Budget

#: Of one attempt to place a gang, in units of about a second of one core: at all, and for each node's
#: amount of one resource.
ATTEMPT, ATTEMPT_PER_CELL = 1e-3, 2.5e-7
#: An attempt to find victims takes about so many attempts to place.
ROOM_ATTEMPTS = 10.0
#: Rounding of sums of budgets.
_SLACK = 1e-9


@dataclass(slots=True, kw_only=True)
class Meter:
    """attempt: what one attempt costs. groups: how many share. group: whose turn it is.

    is_second: whether this is the turn of those left open.
    """

    budget: Budget
    attempt: float
    groups: int = 1
    group: str = ""
    is_second: bool = False
    work: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    solved: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def charge(self, attempts: float = 1.0) -> None:
        """The group's turn took so many attempts."""
        self.work[self.group] += attempts * self.attempt

    def charge_solver(self, spent: float) -> None:
        self.solved[self.group] += spent

    @property
    def spent(self) -> float:
        """Solver units, of all groups."""
        return sum(self.solved.values())

    @property
    def is_spent(self) -> bool:
        """Whether the cycle ends here."""
        return sum(self.work.values()) >= self.budget.work

    def may_try(self, group: str) -> bool:
        """Whether the group's first turn goes on."""
        return self.work[group] < self.budget.work / 2 / self.groups

    def allowance(self) -> float:
        """Solver units for one gang, now; 0 where there are none for it in this cycle."""
        want, total = min(self.budget.per_gang, self.budget.total), self.budget.total
        spent = self.spent
        if not self.is_second:
            # One gang's worth is for those left open.
            total -= want
            own = self.solved[self.group]
            if own and own + want > max(want, total / self.groups) + _SLACK:
                return 0.0
        return want if spent + want <= total + _SLACK else 0.0

    @property
    def left(self) -> float:
        """Solver units for victims."""
        return self.budget.total - self.spent
