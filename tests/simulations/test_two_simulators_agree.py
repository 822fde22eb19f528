"""Start by start ours is what a simulator of a page says; no clock, name or order of rows changes it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.model.objects import Node
from scheduler.model.plan import Policy
from simulations.engine import Engine, Setting
from simulations.loads.formats import read
from simulations.outcome import Outcome, Story
from simulations.summary import summarise
from simulations.workload import Job, Workload, workload
from tests.builders import node
from tests.simulations.independent import starts

SAMPLES = Path(__file__).parents[2] / "simulations" / "samples"
GPUS = 64
LARGE = node("large", gpu=GPUS, pods=100_000)


def run(jobs: Sequence[Job], policy: Policy, nodes: Sequence[Node] = (LARGE,)) -> Outcome:
    return Engine(workload("drawn", jobs), nodes, Setting(policy=policy)).run()


def by_name(outcome: Outcome) -> dict[str, float | None]:
    return {story.job.name: story.started_s for story in outcome.stories}


def agree(jobs: Sequence[Job], *, strict: bool) -> None:
    ordered = workload("drawn", jobs).jobs
    ours = by_name(run(ordered, Policy(backfill=not strict)))
    plain = [(job.submit_s, job.duration_s, job.total_gpus) for job in ordered]
    theirs = starts(plain, GPUS, strict=strict)
    assert ours == {job.name: at for job, at in zip(ordered, theirs, strict=True)}


def drawn(seed: int) -> list[Job]:
    """Whole seconds; now and then several at once, and some that can never start."""
    chance = random.Random(seed)
    at_s, found = 0, []
    for number in range(chance.randint(1, 24)):
        at_s += chance.choice((0, 1, chance.randint(0, 400)))
        pods = chance.choice((1, 1, 2, 4, 8, 9))
        length_s = float(chance.randint(1, 2_000))
        found.append(
            Job(
                name=f"job-{number}",
                submit_s=float(at_s),
                duration_s=length_s,
                estimate_s=chance.choice((None, length_s)),
                gpus=chance.choice((1, 2, 4, 8)),
                pods=pods,
                min_pods=pods,
            )
        )
    return found


@pytest.mark.parametrize("strict", [False, True], ids=["backfill", "strict"])
@pytest.mark.parametrize("first", range(0, 200, 20))
def test_on_generated_loads(first: int, strict: bool) -> None:
    for seed in range(first, first + 20):
        agree(drawn(seed), strict=strict)


@pytest.mark.parametrize("strict", [False, True], ids=["backfill", "strict"])
@pytest.mark.parametrize("name", ["itp.csv", "muri.csv", "small.swf"])
def test_on_traces(name: str, strict: bool) -> None:
    found: Workload = read(SAMPLES / name, per_node=8)
    whole = [replace(j, submit_s=round(j.submit_s), duration_s=round(j.duration_s)) for j in found.jobs]
    agree(whole, strict=strict)


POLICIES = {
    "oldest": Policy(),
    "strict": Policy(backfill=False),
    "shortest": Policy(order="shortest-time", displaces=True),
    "service": Policy(order="shortest-service", displaces=True),
    "attained": Policy(order="least-service", displaces=True),
}


def told(story: Story) -> tuple[float, float, int]:
    """Milliseconds suffice: times as large as a day's have no more digits to be equal in."""
    return round(story.jct_s or -1.0, 3), round(story.wait_s or -1.0, 3), story.evictions


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_shifting_all_times_changes_nothing(policy: Policy) -> None:
    nodes = [node(f"n{i}", gpu=8) for i in range(4)]
    for seed in range(5):
        jobs = drawn(seed)
        known = run(jobs, policy, nodes)
        for later_s in (1.0, 86_400.0):
            shifted = run([replace(job, submit_s=job.submit_s + later_s) for job in jobs], policy, nodes)
            assert [told(story) for story in shifted.stories] == [told(story) for story in known.stories]


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_names_and_the_order_of_the_file_change_nothing(policy: Policy) -> None:
    """The order of rows says who came first where times are equal, so here none are."""
    nodes = [node(f"n{i}", gpu=8) for i in range(4)]
    for seed in range(5):
        jobs = [replace(job, submit_s=job.submit_s + i / 16) for i, job in enumerate(drawn(seed))]
        known = by_name(run(jobs, policy, nodes))
        new = {job.name: f"x{random.Random(job.name).random()}" for job in jobs}
        renamed = [replace(job, name=new[job.name]) for job in jobs]
        random.Random(seed).shuffle(renamed)
        assert by_name(run(renamed, policy, nodes)) == {new[name]: at for name, at in known.items()}


def test_waiting_counts_all_time_in_the_queue() -> None:
    """The long job starts at once, leaves for the short one, and waits again until that has ended."""
    jobs = [
        Job(name="long", submit_s=0, duration_s=1_000, estimate_s=1_000, gpus=8),
        Job(name="short", submit_s=100, duration_s=300, estimate_s=300, gpus=8),
    ]
    policy = Policy(order="shortest-time", displaces=True)
    outcome = run(jobs, policy, [node("n", gpu=8)])
    long, short = outcome.stories
    assert long.first_wait_s == 0.0
    assert short.wait_s == pytest.approx(0.0, abs=0.02)
    assert long.wait_s == pytest.approx(300.0, abs=0.1)
    total = summarise(outcome).total
    assert total.avg_wait_s == pytest.approx(150.0, abs=0.1)
    assert total.avg_first_wait_s == pytest.approx(0.0, abs=0.02)


def test_fragmentation_is_of_all_free_gpu_seconds() -> None:
    """For 100 s one of 2 free GPUs lies on a node in use; for 900 s none of 16 does."""
    jobs = [
        Job(name="a", submit_s=0, duration_s=100, gpus=7),
        Job(name="b", submit_s=0, duration_s=1_000, gpus=0),
        Job(name="c", submit_s=0, duration_s=100, gpus=8),
    ]
    outcome = run(jobs, Policy(), [node("m", gpu=8), node("n", gpu=8)])
    summary = summarise(outcome)
    assert summary.makespan_s == 1_000.0
    assert summary.fragmented_share == pytest.approx(100 / (100 + 900 * 16))


def test_sizes_are_powers_of_two_in_order() -> None:
    sizes = (1, 2, 3, 8, 9, 64, 65, 512, 513)
    jobs = [Job(name=f"j{n}", submit_s=n, duration_s=1, gpus=1, pods=n, min_pods=n) for n in sizes]
    assert list(summarise(run(jobs, Policy())).by_gpus) == [
        "1", "2", "3-4", "5-8", "9-16", "33-64", "65-128", "257-512", "513-1024",
    ]  # fmt: skip
