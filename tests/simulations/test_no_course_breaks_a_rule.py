"""The live shell in 300 long courses: nobody is evicted for nothing, and nobody waits for nothing."""

from __future__ import annotations

import pytest

from simulations.life.course import run

COURSES = 300
AT_ONCE = 20


@pytest.mark.parametrize("first", range(0, COURSES, AT_ONCE))
def test_every_life_is_a_useful_one(first: int) -> None:
    broken = [found for seed in range(first, first + AT_ONCE) if not (found := run(seed)).is_clean]
    assert not broken, "\n\n".join(map(str, broken))
