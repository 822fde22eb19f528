"""quotas.filling against two other ways to say the same: unit by unit, and in fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from quotas.filling import Tie, fill


def _ties(count: int) -> list[Tie]:
    return [(0, 0, f"{i:02d}") for i in range(count)]


WANTS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5)), min_size=1, max_size=7)


@settings(deadline=None)
@given(WANTS, st.integers(0, 120), st.integers(1, 200))
def test_one_resource_is_given_out_unit_by_unit_to_who_has_least(
    claimants: list[tuple[int, int]], there: int, size: int
) -> None:
    wants = [want for want, _ in claimants]
    weights = [weight for _, weight in claimants]
    ties = _ties(len(wants))
    expected = [0] * len(wants)
    for is_weighted in (True, False):
        group = [i for i, weight in enumerate(weights) if bool(weight) is is_weighted]
        while there and (open_ := [i for i in group if expected[i] < wants[i]]):
            nxt = min(
                open_,
                key=lambda i: (
                    Fraction(expected[i] + 1, weights[i] or 1),
                    -(weights[i] or 1),
                    -wants[i],
                    ties[i],
                ),
            )
            expected[nxt] += 1
            there -= 1
    total = sum(expected) + there
    found = fill([total], [[want] for want in wants], weights, [size], ties)
    assert [part for (part,) in found] == expected


ROWS = st.lists(
    st.tuples(st.lists(st.integers(0, 10**6), min_size=3, max_size=3), st.integers(1, 9)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=50, deadline=None)
@given(ROWS, st.lists(st.integers(300_000, 3 * 10**6), min_size=3, max_size=3), st.integers(1, 3))
def test_several_resources_follow_dominant_shares_to_the_unit(
    claimants: list[tuple[list[int], int]], there: list[int], scale: int
) -> None:
    # As bytes beside GPUs: what is most of a resource is not what is most in number.
    units = (1, 1_000, 1)
    wants = [[amount * unit for amount, unit in zip(want, units, strict=True)] for want, _ in claimants]
    there = [amount * unit for amount, unit in zip(there, units, strict=True)]
    weights = [weight for _, weight in claimants]
    sizes = [amount * scale for amount in there]
    found = fill(there, wants, weights, sizes, _ties(len(wants)))
    ideal = _in_fractions(there, wants, weights, sizes)
    for r in range(3):
        assert sum(part[r] for part in found) == min(there[r], sum(want[r] for want in wants))
        for part, want, exact in zip(found, wants, ideal, strict=True):
            assert 0 <= part[r] <= want[r]
            # A stage ends at most one unit of each claimant late, and a unit is little of any resource.
            assert abs(part[r] - exact[r]) <= sizes[r] // 100


class _Stage:
    """Progressive filling as a paper has it, between two resources running out, without rounding."""

    def __init__(self, gots: list[list[Fraction]], wants: list[list[int]], ends: list[Fraction]) -> None:
        self.gots, self.wants, self.ends = gots, wants, ends

    def part(self, i: int, r: int, level: Fraction) -> Fraction:
        if not self.ends[i]:
            return self.gots[i][r]
        return max(self.gots[i][r], self.wants[i][r] * min(Fraction(1), level / self.ends[i]))

    def total(self, r: int, level: Fraction) -> Fraction:
        return sum((self.part(i, r, level) for i in range(len(self.wants))), Fraction(0))

    def ladder(self, live: set[int]) -> list[Fraction]:
        """Levels between which everything is a straight line."""
        starts = {
            self.gots[i][r] * end / self.wants[i][r]
            for i, end in enumerate(self.ends)
            for r in live
            if self.wants[i][r]
        }
        return sorted({Fraction(0), *self.ends, *starts})

    def runs_out(self, r: int, there: int, ladder: list[Fraction]) -> Fraction | None:
        for low, high in pairwise(ladder):
            if self.total(r, high) > there:
                slope = (self.total(r, high) - self.total(r, low)) / (high - low)
                return low + (there - self.total(r, low)) / slope
        return None


def _in_fractions(
    there: list[int], wants: list[list[int]], weights: list[int], sizes: list[int]
) -> list[list[Fraction]]:
    gots = [[Fraction(0)] * 3 for _ in wants]
    live = {r for r in range(3) if there[r]}
    while live:
        ends = [
            max(Fraction(want[r], sizes[r] * weight) for r in live)
            for want, weight in zip(wants, weights, strict=True)
        ]
        stage = _Stage(gots, wants, ends)
        ladder = stage.ladder(live)
        levels = {r: level for r in live if (level := stage.runs_out(r, there[r], ladder)) is not None}
        stop = min(levels.values(), default=ladder[-1])
        gots = [
            [stage.part(i, r, stop) if r in live else gots[i][r] for r in range(3)] for i in range(len(wants))
        ]
        if not levels:
            break
        live -= {r for r, level in levels.items() if level == stop}
    return gots


@settings(deadline=None)
@given(ROWS, st.integers(0, 3 * 10**6), st.integers(1, 500_000))
def test_more_of_the_only_resource_makes_no_part_smaller(
    claimants: list[tuple[list[int], int]], there: int, more: int
) -> None:
    wants = [[want[0]] for want, _ in claimants]
    weights = [weight for _, weight in claimants]
    ties = _ties(len(wants))
    before = fill([there], wants, weights, [3 * 10**6], ties)
    after = fill([there + more], wants, weights, [3 * 10**6], ties)
    assert all(b <= a for (b,), (a,) in zip(before, after, strict=True))


HUGE = st.sampled_from([0, 1, 2, 2**31, 2**61 + 1, 2**62 - 1, 2**62])


@settings(deadline=None)
@given(
    st.lists(st.tuples(HUGE, HUGE, st.sampled_from([0, 1, 3, 10**6])), min_size=1, max_size=8),
    st.tuples(HUGE, HUGE),
)
def test_the_largest_amounts_are_divided_exactly_too(
    claimants: list[tuple[int, int, int]], there: tuple[int, int]
) -> None:
    wants = [[one, other] for one, other, _ in claimants]
    weights = [weight for _, _, weight in claimants]
    found = fill(there, wants, weights, [max(1, a) for a in there], _ties(len(wants)))
    for r in range(2):
        assert sum(part[r] for part in found) == min(there[r], sum(want[r] for want in wants))
        assert all(0 <= part[r] <= want[r] for part, want in zip(found, wants, strict=True))
