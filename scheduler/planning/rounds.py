"""Whose turn it is in a cycle that cannot try all that waits, and who goes on where the last one stopped."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.plan import Verdict
from scheduler.planning.meter import Meter


@dataclass(frozen=True, slots=True)
class Open:
    """Gangs that are decided together and were left open; ``told`` is what stands unless they are tried."""

    batch: list[PendingGang]
    told: Verdict | None


class Rounds:
    """The second turn of a cycle. served: gangs that had it in earlier cycles of this round.

    A round is over when every gang that was left open has had its turn.
    """

    def __init__(self, meter: Meter, served: Collection[GangKey]) -> None:
        self._meter = meter
        self._before = served
        self._open: dict[str, list[Open]] = {}
        self.served: list[GangKey] = []

    def defer(self, group: str, batch: list[PendingGang], told: Verdict | None) -> None:
        """Leave these for the second turn."""
        self._open.setdefault(group, []).append(Open(batch, told))

    def second(self) -> Iterator[tuple[str, Open]]:
        """Those left open, first who had no turn in this round; each time of the group that had the fewest
        turns in it, and then of the one that has cost least. Ends when the budget is spent, but after one at
        least: else first turns that take all of it would keep the round from ever ending.
        """
        self._meter.is_second = True
        lines = {
            group: [
                *(one for one in waiting if one.batch[0].key not in self._before),
                *(one for one in waiting if one.batch[0].key in self._before),
            ][::-1]
            for group, waiting in self._open.items()
        }
        self._open = lines
        turns = {
            group: sum(one.batch[0].key in self._before for one in line) for group, line in lines.items()
        }

        def place(group: str) -> tuple[bool, int, float]:
            return (
                lines[group][-1].batch[0].key in self._before,
                turns[group],
                self._meter.work[group] + self._meter.solved[group],
            )

        heap = [(place(group), at, group) for at, group in enumerate(lines)]
        heapq.heapify(heap)
        is_first = True
        while heap and (is_first or not self._meter.is_spent):
            is_first = False
            _, at, group = heapq.heappop(heap)
            one = lines[group].pop()
            self._meter.group = group
            yield group, one
            turns[group] += 1
            if lines[group]:
                heapq.heappush(heap, (place(group), at, group))

    def had(self, batch: Sequence[PendingGang]) -> None:
        """These had their turn."""
        self.served.extend(gang.key for gang in batch)

    def left(self) -> Iterator[tuple[str, Open]]:
        """Those that had no turn in this cycle."""
        for group, waiting in self._open.items():
            for one in waiting:
                yield group, one


def shortlist(
    gangs: Sequence[PendingGang],
    most: int,
    group_of: Callable[[PendingGang], str],
    served: Collection[GangKey],
) -> tuple[list[PendingGang], list[PendingGang]]:
    """The gangs that one cycle looks at, at most ``most``, and the others.

    Shared out evenly between the groups; within one first who had no turn in this round, then by priority
    and age.
    """
    if len(gangs) <= most:
        return list(gangs), []
    lines: dict[str, list[PendingGang]] = {}
    for gang in gangs:
        lines.setdefault(group_of(gang), []).append(gang)
    # Where there are more groups than that, those come last of which everybody had a turn.
    first_first = sorted(lines, key=lambda group: all(gang.key in served for gang in lines[group]))
    shares = even_shares({group: len(lines[group]) for group in first_first}, most)
    chosen: set[GangKey] = set()
    for group, line in lines.items():
        first = heapq.nsmallest(
            shares[group], line, key=lambda g: (g.key in served, -g.priority, g.created_s, g.key)
        )
        chosen.update(gang.key for gang in first)
    return [g for g in gangs if g.key in chosen], [g for g in gangs if g.key not in chosen]


def even_shares(sizes: Mapping[str, int], most: int) -> Counter[str]:
    """How many of each group may be looked at, ``most`` in all; the small ones first, and whole. Where there
    are more groups than that, the first of them have one each.
    """
    shares: Counter[str] = Counter()
    groups = list(sizes)[:most]
    left = len(groups)
    for group in sorted(groups, key=sizes.__getitem__):
        shares[group] = min(sizes[group], most // left)
        most -= shares[group]
        left -= 1
    return shares
