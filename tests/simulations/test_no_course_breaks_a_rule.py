"""The live shell in 300 long courses: nobody is evicted for nothing, and nobody waits for nothing."""

from __future__ import annotations

import pytest

from simulations.life.course import run

COURSES = 300
AT_ONCE = 20
#: Courses of later seeds that broke a rule once, for what no shorter story shows.
BROKE_ONCE = (1034, 9106)


@pytest.mark.parametrize("first", range(0, COURSES, AT_ONCE))
def test_every_life_is_a_useful_one(first: int) -> None:
    broken = [found for seed in range(first, first + AT_ONCE) if not (found := run(seed)).is_clean]
    assert not broken, "\n\n".join(map(str, broken))


@pytest.mark.parametrize("seed", BROKE_ONCE)
def test_what_broke_a_rule_once_does_so_no_more(seed: int) -> None:
    found = run(seed)
    assert found.is_clean, str(found)
