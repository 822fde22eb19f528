"""Dividing what is there by dominant resource, exactly: progressive filling on integers.

Ghodsi et al., "Dominant Resource Fairness" (NSDI 2011): a level rises from zero, and every claimant holds
as much of its want as makes its largest fraction of any resource, divided by its weight, equal to the
level. One departure: a resource that has run out stops only itself, because a claimant is a team with
many kinds of work rather than one kind that needs all resources in one proportion. So of every resource
exactly min(wanted, there) is divided.

Rounding is Jefferson's (d'Hondt's) divisor method: everybody's part is rounded down and the level rises
until the next whole unit would be one too many. More capacity therefore never makes a part smaller. Units
that fall due at one and the same level go to the heavier claimant, then to the larger want, and by name
only where nothing else differs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from quotas.amounts import Row

#: Levels are whole numbers. One unit of the largest amount, for the heaviest weight, is many of them.
_LEVELS = 2**128
#: What decides between claimants of equal weight and equal want: numbers, the least first, then a name.
Tie = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class _Pace:
    """How a claimant's parts grow: all it wants at level ``over / under``, reached at ``end``."""

    over: int
    under: int
    end: int


@dataclass(frozen=True, slots=True)
class _Column:
    """One resource in one stage: parallel lists over those who want it."""

    left: int
    who: list[int]
    wants: list[int]
    #: From earlier stages; the part never falls below it.
    gots: list[int]
    #: The part at a level is slope * level // over, up to the want.
    slopes: list[int]
    overs: list[int]
    ends: list[int]

    def part(self, i: int, level: int) -> int:
        """Of the i-th of them at a level."""
        if level >= self.ends[i]:
            return self.wants[i]
        return max(self.gots[i], self.slopes[i] * level // self.overs[i])

    def total(self, level: int) -> int:
        return sum(
            want if level >= end else max(got, slope * level // over)
            for want, got, slope, over, end in zip(
                self.wants, self.gots, self.slopes, self.overs, self.ends, strict=True
            )
        )


def fill(
    there: Sequence[int],
    wants: Sequence[Row],
    weights: Sequence[int],
    sizes: Sequence[int],
    ties: Sequence[Tie],
) -> list[Row]:
    """Who gets how much: one row per claimant, by resource.

    there: what is to be divided. wants: one row per claimant. sizes: what a fraction is a fraction of, by
    resource, > 0. ties: one per claimant. Claimants of weight 0 get what the others leave, in equal parts.
    All are >= 0, amounts and sizes at most AMOUNT_MAX, weight * size below 2^125. The sum over claimants is
    min(sum of wants, there).
    """
    left = list(there)
    gots = [[0] * len(left) for _ in wants]
    heavy = [i for i, weight in enumerate(weights) if weight > 0]
    light = [i for i, weight in enumerate(weights) if weight <= 0]
    for group, is_weighted in ((heavy, True), (light, False)):
        parts = _fill_group(
            left,
            [wants[i] for i in group],
            [weights[i] if is_weighted else 1 for i in group],
            sizes,
            [ties[i] for i in group],
        )
        for i, part in zip(group, parts, strict=True):
            gots[i] = part
        left = [amount - sum(part[r] for part in parts) for r, amount in enumerate(left)]
    return gots


def _fill_group(
    there: Row, wants: list[Row], weights: list[int], sizes: Sequence[int], ties: list[Tie]
) -> list[Row]:
    gots = [[0] * len(there) for _ in wants]
    sums = [sum(column) for column in zip(*wants, strict=True)] if wants else [0] * len(there)
    live = [r for r, amount in enumerate(there) if amount and sums[r]]
    for _ in there:  # Each stage ends because some resource ran out.
        if all(sums[r] <= there[r] for r in live):
            break
        paces = [_pace(want, weight, sizes, live) for want, weight in zip(wants, weights, strict=True)]
        columns = {r: _column(r, there[r], wants, gots, paces) for r in live}
        ran_out = _raise_level(columns, gots, weights, ties)
        live = [r for r in live if r not in ran_out]
    for got, want in zip(gots, wants, strict=True):
        for r in live:
            got[r] = want[r]
    return gots


def _pace(want: Row, weight: int, sizes: Sequence[int], live: list[int]) -> _Pace:
    """By the live resource of which the claimant wants the largest fraction."""
    most, size = 0, 1
    for r in live:
        if want[r] * size > most * sizes[r]:
            most, size = want[r], sizes[r]
    over, under = most * _LEVELS, size * weight
    return _Pace(over=over, under=under, end=-(-over // under))


def _column(r: int, left: int, wants: list[Row], gots: list[Row], paces: list[_Pace]) -> _Column:
    who = [i for i, want in enumerate(wants) if want[r]]
    return _Column(
        left=left,
        who=who,
        wants=[wants[i][r] for i in who],
        gots=[gots[i][r] for i in who],
        slopes=[wants[i][r] * paces[i].under for i in who],
        overs=[paces[i].over for i in who],
        ends=[paces[i].end for i in who],
    )


def _raise_level(
    columns: dict[int, _Column], gots: list[Row], weights: list[int], ties: list[Tie]
) -> set[int]:
    """Raise the level until a resource runs out; write the parts; say which ran out (at least one)."""
    low, high = _bracket(columns)
    due: list[tuple[int, int, int, Tie, int, int]] = []
    left: dict[int, int] = {}
    for r in _over(columns, high):
        column = columns[r]
        left[r] = column.left - column.total(low)
        for i, who in enumerate(column.who):
            part = column.part(i, low)
            gots[who][r] = part
            for unit in range(part + 1, column.part(i, high) + 1):
                level = -(-unit * column.overs[i] // column.slopes[i])
                due.append((level, -weights[who], -column.wants[i], ties[who], who, r))
    ran_out: set[int] = set()
    stop = high
    for level, _, _, _, who, r in sorted(due):
        if level > stop:
            break
        if left[r]:
            left[r] -= 1
            gots[who][r] += 1
        else:
            ran_out.add(r)
            stop = level
    for r in columns.keys() - left.keys():
        for i, who in enumerate(columns[r].who):
            gots[who][r] = columns[r].part(i, stop)
    return ran_out


def _bracket(columns: dict[int, _Column]) -> tuple[int, int]:
    """Two levels, below and above running out, between which few units fall due of what runs out."""
    ends = sorted({end for column in columns.values() for end in column.ends})
    at = bisect_left(ends, True, key=lambda level: bool(_over(columns, level)))
    low, high = (ends[at - 1] if at else 0), ends[at]
    highs = _over(columns, high)
    lows = {r: columns[r].total(low) for r in highs}
    turn = 0
    while sum(highs[r] - lows[r] - 4 * len(columns[r].who) for r in highs) > 0 and high - low > 1:
        level = _probe(columns, (low, high), lows, highs, turn)
        turn += 1
        over = _over(columns, level)
        if over:
            high, highs = level, over
        else:
            low, lows = level, {r: columns[r].total(level) for r in highs}
    return low, high


def _probe(
    columns: dict[int, _Column],
    bracket: tuple[int, int],
    lows: dict[int, int],
    highs: dict[int, int],
    turn: int,
) -> int:
    """The next level to try: a little below where a straight line says, a little above, the middle."""
    low, high = bracket
    if turn % 3 == 2:
        return (low + high) // 2
    levels = []
    for r, total in highs.items():
        column = columns[r]
        margin = len(column.who) if turn % 3 else -len(column.who)
        levels.append(low + (column.left + margin - lows[r]) * (high - low) // (total - lows[r]))
    return min(max(min(levels), low + 1), high - 1)


def _over(columns: dict[int, _Column], level: int) -> dict[int, int]:
    """The resources that would have run out at a level, with what they would need."""
    totals = {r: column.total(level) for r, column in columns.items()}
    return {r: total for r, total in totals.items() if total > columns[r].left}
