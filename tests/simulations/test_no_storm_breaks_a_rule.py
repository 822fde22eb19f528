"""The live shell in 300 seeded storms: no invariant breaks, at any revision, and all settles in the end."""

from __future__ import annotations

import pytest

from simulations.faults.storm import run

STORMS = 300
AT_ONCE = 20


@pytest.mark.parametrize("first", range(0, STORMS, AT_ONCE))
def test_every_invariant_holds_at_every_revision(first: int) -> None:
    broken = [found for seed in range(first, first + AT_ONCE) if (found := run(seed)).violations]
    assert not broken, "\n\n".join(map(str, broken))
