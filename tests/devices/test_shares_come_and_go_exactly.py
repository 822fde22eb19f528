"""Ten thousand arrivals and departures through state and planner, counted by others than who decided."""

from __future__ import annotations

import pytest

from tests.devices.churn import Churn

ROUNDS = 250
PER_ROUND = 40


@pytest.mark.parametrize("seed", [1])
def test_no_device_is_ever_above_one_or_its_memory(seed: int) -> None:
    churn = Churn(seed)
    arrivals = 0
    for _ in range(ROUNDS):
        arrivals += churn.arrive(PER_ROUND)
        churn.plan()
        churn.depart()
    assert arrivals == ROUNDS * PER_ROUND
    # The nodes' own count rejected none, and the auditor's own finds nothing at any revision.
    assert churn.rejected == []
    assert churn.violations() == []
    # It is no feat to be right where little is placed.
    assert churn.placed > arrivals // 4
    assert churn.utilisation() > 0.8


def test_the_same_arrivals_are_placed_the_same() -> None:
    one, other = Churn(7), Churn(7)
    for churn in (one, other):
        for _ in range(5):
            churn.arrive(PER_ROUND)
            churn.plan()
            churn.depart()
    assert one.story == other.story
