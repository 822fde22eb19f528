"""Policies are data: each order does what its name says, and nobody leaves for nothing."""

from __future__ import annotations

import random

import pytest

from scheduler.model.plan import Ordering, Policy
from scheduler.service import ATTAINED, ESTIMATE, rank, seconds
from simulations.engine import Engine, Setting
from simulations.summary import figures
from simulations.workload import Job, workload
from tests.builders import node, pod


def mean_jct_s(order: Ordering, *, displaces: bool, seed: int) -> float:
    rng = random.Random(seed)
    jobs = [
        Job(
            name=f"job-{i}",
            submit_s=rng.uniform(0, 2_000),
            duration_s=(took := rng.lognormvariate(5, 1.5)),
            estimate_s=took,
            gpus=rng.choice([1, 2, 4, 8]),
        )
        for i in range(60)
    ]
    setting = Setting(policy=Policy(order=order, displaces=displaces))
    return figures(Engine(workload("drawn", jobs), [node("a"), node("b")], setting).run().stories).avg_jct_s


@pytest.mark.parametrize("seed", range(3))
def test_knowing_what_is_left_shortens_the_wait(seed: int) -> None:
    oldest = mean_jct_s("oldest", displaces=False, seed=seed)
    shortest = mean_jct_s("shortest-service", displaces=True, seed=seed)
    assert shortest < 0.8 * oldest
    assert mean_jct_s("shortest-time", displaces=True, seed=seed) < 0.8 * oldest
    assert mean_jct_s("least-service", displaces=True, seed=seed) < oldest


def test_the_newcomer_with_less_left_takes_the_place_and_the_other_ends_later() -> None:
    jobs = [
        Job(name="long", submit_s=0, duration_s=1_000, estimate_s=1_000, gpus=8),
        Job(name="short", submit_s=100, duration_s=50, estimate_s=50, gpus=8),
    ]
    policy = Policy(order="shortest-service", displaces=True)
    outcome = Engine(workload("two", jobs), [node("a")], Setting(policy=policy, restart_s=5.0)).run()
    long, short = outcome.stories
    assert short.ended_s == pytest.approx(150, abs=0.1)
    assert (long.evictions, short.evictions) == (1, 0)
    assert long.ended_s == pytest.approx(1_000 + 50 + 5, abs=0.1)


def test_who_fits_beside_the_newcomer_stays() -> None:
    jobs = [
        Job(name="long", submit_s=0, duration_s=1_000, estimate_s=1_000, gpus=4),
        Job(name="longer", submit_s=0, duration_s=2_000, estimate_s=2_000, gpus=4),
        Job(name="short", submit_s=100, duration_s=50, estimate_s=50, gpus=4),
    ]
    policy = Policy(order="shortest-service", displaces=True)
    outcome = Engine(workload("three", jobs), [node("a")], Setting(policy=policy)).run()
    assert [story.evictions for story in outcome.stories] == [0, 1, 0]


def test_priority_comes_before_any_rank() -> None:
    jobs = [
        Job(name="urgent", submit_s=0, duration_s=1_000, estimate_s=1_000, gpus=8, priority=5),
        Job(name="short", submit_s=100, duration_s=50, estimate_s=50, gpus=8),
    ]
    policy = Policy(order="shortest-service", displaces=True)
    outcome = Engine(workload("two", jobs), [node("a")], Setting(policy=policy)).run()
    assert [story.evictions for story in outcome.stories] == [0, 0]


@pytest.mark.parametrize("said", ["", "soon", "nan", "inf", "-1", "1e11"])
def test_a_claim_that_is_no_time_ranks_last(said: str) -> None:
    found = pod("a", gpu=1, annotations={ESTIMATE: said})
    assert seconds(found, ESTIMATE) is None
    assert rank("shortest-time", [found], 0.0) == float("inf")


def test_ranks_are_in_seconds_and_gpu_seconds() -> None:
    found = pod("a", gpu=4, annotations={ESTIMATE: "100", ATTAINED: "40"})
    assert rank("shortest-time", [found], 0.0) == 60.0
    assert rank("shortest-service", [found], 0.0) == 240.0
    assert rank("oldest", [found], 0.0) == 0.0
    assert rank("least-service", [found], 0.0) == 0.0
    assert rank("least-service", [pod("b", gpu=4, annotations={ATTAINED: "3600"})], 0.0) == 2.0
