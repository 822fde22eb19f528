"""A thousand hours of random load on three teams: nobody is evicted twice in a row, and never for nothing.

More seeds: ``python -m tests.teams.thrash --seeds 1 2 3``.
"""

from __future__ import annotations

from collections import Counter

from tests.teams.thrash import run, wrongs


def test_no_gang_is_evicted_twice_within_its_minimum_run_time_and_every_beneficiary_starts() -> None:
    outcome = run(seed=1, hours=1_000)
    assert all(story.ended_s is not None for story in outcome.stories)
    rules = Counter(gone.rule for gone in outcome.evictions)
    assert rules["reclaim"] > 40
    assert rules["preempt"] > 10
    assert any(not gone.is_whole for gone in outcome.evictions)
    assert wrongs(outcome) == []
