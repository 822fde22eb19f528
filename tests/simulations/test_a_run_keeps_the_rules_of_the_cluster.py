"""Under whatever policy: no GPU twice, no part of a gang, nobody lost, and the same again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.objects import GPU
from scheduler.model.plan import Policy
from simulations.engine import Engine, Setting
from simulations.node_events import NodeChange
from simulations.outcome import Outcome
from simulations.summary import means, summarise
from simulations.workload import Job, workload
from tests.simulations.drawn import NODES, jobs, policies


def run(found: Sequence[Job], policy: Policy, **fields: object) -> Outcome:
    setting = Setting(policy=policy, **fields)  # type: ignore[arg-type] # fields of Setting by name
    return Engine(workload("drawn", found), NODES, setting).run()


def most_used(outcome: Outcome) -> dict[str, float]:
    """The most GPUs ever held on each node; a stay that ends leaves before one that begins."""
    moves: list[tuple[float, int, str, float]] = []
    for stay in outcome.stays:
        if stay.to_s > stay.from_s:
            gpus = stay.gpus
            moves += [(stay.from_s, 1, stay.node, gpus), (stay.to_s, 0, stay.node, -gpus)]
    held: dict[str, float] = defaultdict(float)
    most: dict[str, float] = {}
    for _, _, name, gpus in sorted(moves):
        held[name] += gpus
        most[name] = max(most.get(name, 0), held[name])
    return most


@settings(max_examples=60, deadline=None)
@given(found=jobs(), policy=policies, restart_s=st.sampled_from([0.0, 7.0]))
def test_every_job_runs_whole_and_no_gpu_is_given_twice(
    found: list[Job], policy: Policy, restart_s: float
) -> None:
    outcome = run(found, policy, restart_s=restart_s)
    assert all(gpus <= 8 for gpus in most_used(outcome).values())
    for story in outcome.stories:
        assert story.ended_s is not None, story.verdict
        assert story.started_s is not None
        assert story.started_s >= story.job.submit_s
        least_s = story.job.duration_s + restart_s * story.evictions
        if restart_s == 0 or not story.evictions:
            assert story.ended_s - story.started_s >= least_s - 1e-6
    # Whatever comes and goes, a job has none of its pods or at least its minimum.
    moved: Counter[tuple[int, float]] = Counter()
    gpus_moved: dict[tuple[int, float], float] = defaultdict(float)
    for stay in outcome.stays:
        moved[stay.job, stay.from_s] += stay.pods
        moved[stay.job, stay.to_s] -= stay.pods
        gpus_moved[stay.job, stay.from_s] += stay.gpus
        gpus_moved[stay.job, stay.to_s] -= stay.gpus
    held: Counter[int] = Counter()
    gpus_held: dict[int, float] = defaultdict(float)
    for (job, at_s), pods in sorted(moved.items()):
        held[job] += pods
        gpus_held[job] += gpus_moved[job, at_s]
        asked = outcome.workload.jobs[job]
        assert held[job] == 0 or held[job] >= asked.min_pods
        if held[job] in (0, asked.pods):
            assert gpus_held[job] == (asked.total_gpus if held[job] else 0)
    if not policy.displaces and len({job.priority for job in found}) == 1:
        assert all(story.evictions == 0 for story in outcome.stories)


@settings(max_examples=20, deadline=None)
@given(found=jobs(), policy=policies)
def test_the_same_input_gives_the_same_outcome(found: list[Job], policy: Policy) -> None:
    one, other = run(found, policy), run(found, policy)
    assert one.stories == other.stories
    assert one.stays == other.stays
    assert summarise(one) == summarise(other)


@settings(max_examples=30, deadline=None)
@given(found=jobs(), policy=policies, at_s=st.integers(0, 300), which=st.integers(0, 3))
def test_a_lost_node_costs_no_job_its_end(found: list[Job], policy: Policy, at_s: int, which: int) -> None:
    lost = NODES[which]
    changes = (
        NodeChange(at_s=float(at_s), node=lost, does="fails"),
        NodeChange(at_s=at_s + 400.0, node=lost, does="joins"),
    )
    outcome = run(found, policy, changes=changes)
    assert all(story.ended_s is not None for story in outcome.stories)
    for stay in outcome.stays:
        if stay.node == lost.name:
            assert stay.to_s <= at_s or stay.from_s >= at_s + 400.0


def test_a_job_that_never_fits_says_why() -> None:
    outcome = run([Job(name="big", submit_s=0, duration_s=1, gpus=8, pods=5, min_pods=5)], Policy())
    assert outcome.stories[0].started_s is None
    assert "needs 5 of 5" in outcome.stories[0].verdict
    assert list(summarise(outcome).never_started.values()) == [1]


def test_the_share_of_gpus_held_is_that_of_the_work() -> None:
    outcome = run([Job(name="half", submit_s=0, duration_s=100, gpus=8, pods=2, min_pods=2)], Policy())
    assert summarise(outcome).gpu_share == pytest.approx(0.5, abs=1e-3)
    assert means(outcome.curve, 0.0, 100.0).capacity == sum(one.allocatable[GPU] for one in NODES)
