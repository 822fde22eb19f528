"""Gangs that are still to be decided, and which of them the next cycle looks at.

As kube-scheduler's (``pkg/scheduler/backend/queue``): an active queue, beside which those that were found not
to fit wait apart until something changes for them (``scheduler.settled``). A cycle takes many at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.plan import Reason, Verdict
from scheduler.planning.rounds import even_shares

Line = dict[int, dict[GangKey, None]]

#: A cycle looks at no fewer than so many, and at so many times as many as the last one could decide.
LOOKS_MIN = 128
LOOKS_FOR_ONE = 2


@dataclass(slots=True)
class _Lines:
    """Of one namespace, by priority: who has a turn to come in this round, and who had it."""

    coming: Line = field(default_factory=dict)
    had: Line = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(len(level) for line in (self.coming, self.had) for level in line.values())

    def first(self, count: int) -> Iterator[GangKey]:
        """The most urgent first, and among equals who came first."""
        keys = (
            key for line in (self.coming, self.had) for level in sorted(line)[::-1] for key in line[level]
        )
        return islice(keys, count)


class SchedulingQueue:
    """most: how many gangs one cycle looks at, at most. Where more wait, each namespace has an even share of
    them, and within it everybody a turn before anybody has a second one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        #: How many the next cycle looks at.
        self._looks = most
        self._gangs: dict[GangKey, PendingGang] = {}
        self._lines: dict[str, _Lines] = {}
        self._coming = 0

    def __len__(self) -> int:
        return len(self._gangs)

    def put(self, gang: PendingGang) -> None:
        """It waits, or waits for something else than before: it has a turn to come."""
        before = self._gangs.get(gang.key)
        if before is not None and (before.priority != gang.priority or not self._is_coming(before)):
            self._take_out(before)
        self._gangs[gang.key] = gang
        level = self._lines.setdefault(gang.key.namespace, _Lines()).coming.setdefault(gang.priority, {})
        self._coming += gang.key not in level
        level[gang.key] = None

    def get(self, key: GangKey) -> PendingGang | None:
        return self._gangs.get(key)

    def drop(self, key: GangKey) -> None:
        """It waits no more, or apart."""
        gang = self._gangs.pop(key, None)
        if gang is not None:
            self._take_out(gang)

    def first(self) -> list[PendingGang]:
        """Whom the next cycle looks at."""
        if self._has_room:
            return list(self._gangs.values())
        # Where there are more namespaces than looks, who has nobody with a turn to come is passed over.
        lines = sorted(self._lines.items(), key=lambda item: not item[1].coming)
        shares = even_shares({namespace: line.size for namespace, line in lines}, self._looks)
        return [self._gangs[key] for name, count in shares.items() for key in self._lines[name].first(count)]

    def unseen(self, looked_at: Iterable[GangKey]) -> int:
        """How many have a turn to come in this round beside these."""
        if self._has_room:
            return 0
        return self._coming - sum(self._is_coming(self._gangs[key]) for key in looked_at)

    def had(self, keys: Iterable[GangKey]) -> None:
        """These had their turn; when everybody had it, a new round begins."""
        if self._has_room:
            return
        for key in keys:
            gang = self._gangs.get(key)
            if gang is not None and self._is_coming(gang):
                self._take_out(gang)
                lines = self._lines.setdefault(key.namespace, _Lines())
                lines.had.setdefault(gang.priority, {})[key] = None
        if not self._coming:
            for lines in self._lines.values():
                lines.coming, lines.had = lines.had, lines.coming
            self._coming = len(self._gangs)

    def pace(self, decided: int | None) -> None:
        """Look at fewer where the last cycle could decide only so many of those it looked at; None where it
        decided all, or nobody may be left out. What is looked at in vain delays those who are new.
        """
        if decided is None:
            self._looks = min(self._most, LOOKS_FOR_ONE * self._looks)
        else:
            self._looks = min(self._most, max(LOOKS_MIN, LOOKS_FOR_ONE * decided))

    @property
    def _has_room(self) -> bool:
        """Whether one cycle can look at all of them."""
        return len(self._gangs) <= self._looks

    def _is_coming(self, gang: PendingGang) -> bool:
        lines = self._lines.get(gang.key.namespace)
        return lines is not None and gang.key in lines.coming.get(gang.priority, ())

    def _take_out(self, gang: PendingGang) -> None:
        lines = self._lines[gang.key.namespace]
        self._coming -= self._is_coming(gang)
        for line in (lines.coming, lines.had):
            level = line.get(gang.priority, {})
            if level.pop(gang.key, self) is None and not level:
                del line[gang.priority]
        if not lines.coming and not lines.had:
            del self._lines[gang.key.namespace]


class Unschedulable:
    """Gangs that wait apart, each with what it was told, while nothing changes for it."""

    def __init__(self) -> None:
        self._told: dict[GangKey, tuple[PendingGang, Verdict]] = {}
        #: How many were told each reason.
        self.reasons: Counter[Reason] = Counter()
        #: How many ask for each topology level.
        self.levels: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._told)

    def put(self, gang: PendingGang, verdict: Verdict) -> None:
        self.drop(gang.key)
        self._told[gang.key] = gang, verdict
        self.reasons[verdict.reason] += 1
        self.levels.update(each.label for each in gang.topology)

    def drop(self, key: GangKey) -> PendingGang | None:
        """The gang as it waited here; None where it did not."""
        gang, verdict = self._told.pop(key, (None, None))
        if gang is not None and verdict is not None:
            self.reasons[verdict.reason] -= 1
            self.levels.subtract(each.label for each in gang.topology)
            self.levels = +self.levels
        return gang

    def get(self, key: GangKey) -> Verdict | None:
        return self._told[key][1] if key in self._told else None

    def verdicts(self) -> Iterator[Verdict]:
        return (verdict for _, verdict in self._told.values())

    def above(self, priority: int | None) -> list[GangKey]:
        """Those of a higher priority; None for all."""
        return [key for key, (gang, _) in self._told.items() if priority is None or gang.priority > priority]

    def next(self, count: int) -> list[tuple[PendingGang, Verdict]]:
        """Some of them, each time those that were asked for the longest ago."""
        keys = list(islice(self._told, count))
        for key in keys if len(keys) < len(self._told) else ():
            self._told[key] = self._told.pop(key)
        return [self._told[key] for key in keys]
