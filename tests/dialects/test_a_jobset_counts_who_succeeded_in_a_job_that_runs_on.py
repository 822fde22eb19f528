"""Pods of a JobSet that succeeded and were deleted while others of their Job run on: it tells of them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scheduler.gangs import words
from tests.dialects.recorded import Body, Made, Recording, metadata_of, words_of
from tests.dialects.recorded_jobs import (
    jobset,
    jobset_exclusive,
    jobset_in_order,
    jobset_job,
    trainjob,
    with_done,
)
from tests.dialects.stage import Stage

Make = Callable[[str, int], Recording]
ALL = [jobset, jobset_exclusive, jobset_in_order, trainjob]
GONE, STAYS, RUNS = "succeeded and deleted", "succeeded", "runs"
FATES = st.lists(st.sampled_from([GONE, STAYS, RUNS]), min_size=16, max_size=16)


def uid_of(body: Body) -> str:
    return str(metadata_of(body)["uid"])


def job_of(body: Body) -> tuple[str, str]:
    """(replicated job, index)."""
    said = words_of(body)
    return said["jobset.sigs.k8s.io/replicatedjob-name"], said["jobset.sigs.k8s.io/job-index"]


def running(recording: Recording) -> tuple[Stage, list[Body]]:
    """A JobSet all of whose pods run, and those pods."""
    stage = Stage(nodes=4)
    stage.take_all([recording])
    stage.plan()
    for body in recording.late:
        stage.arrive(body)
    stage.plan()
    bodies = [*recording.pods, *recording.late]
    assert len(stage.bound) == len(bodies)
    return stage, bodies


def end(
    stage: Stage, recording: Recording, fates: list[tuple[Body, str]], shuffle: random.Random
) -> list[Body]:
    """Pods end as they are fated; what the statuses say of them comes before or after they are deleted.

    Returns those that run on.
    """
    size = Counter(job_of(body) for body, _ in fates)
    ended = Counter(job_of(body) for body, fate in fates if fate != RUNS)
    news: list[Made | Body] = [
        jobset_job(body, size[job], ended[job]) for job, body in {job_of(b): b for b, _ in fates}.items()
    ]
    done = Counter(role for (role, index), count in size.items() if ended[role, index] == count)
    news.append(with_done(recording, **done))
    for body, fate in fates:
        if fate != RUNS:
            stage.change(str(metadata_of(body)["name"]), phase="Succeeded")
        if fate == GONE:
            news.append(body)
    shuffle.shuffle(news)
    for item in news:
        if isinstance(item, Made):
            stage.give(item)
        else:
            stage.state.remove_pod(uid_of(item))
        # Judged after each, as the scheduler does, so that what comes later must be taken in.
        stage.state.partial()
    return [body for body, fate in fates if fate == RUNS]


@pytest.mark.parametrize("make", ALL)
@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 4), fates=FATES, shuffle=st.randoms(use_true_random=False))
def test_who_succeeded_and_was_deleted_is_no_loss(
    make: Make, n: int, fates: list[str], shuffle: random.Random
) -> None:
    recording = make("bert", n)
    stage, bodies = running(recording)
    end(stage, recording, list(zip(bodies, fates, strict=False)), shuffle)
    assert not stage.state.partial()


@pytest.mark.parametrize("asks", [False, True], ids=["size of the JobSet", "size said by the pods"])
@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 4), fates=FATES, shuffle=st.randoms(use_true_random=False))
def test_beside_them_a_lost_pod_is_a_loss_and_another_one_heals_it(
    asks: bool, n: int, fates: list[str], shuffle: random.Random
) -> None:
    recording = jobset("bert", n)
    if asks:
        pods = tuple(asking(body, recording.minimum) for body in recording.pods)
        recording = replace(recording, pods=pods)
    stage, bodies = running(recording)
    fated = list(zip(bodies, fates, strict=False))
    assume(sum(fate == RUNS for _, fate in fated) > 1)
    left = end(stage, recording, fated, shuffle)
    lost = shuffle.choice(left)
    stage.state.remove_pod(uid_of(lost))
    ((bound, _),) = stage.state.partial().values()
    assert bound == len(left) - 1
    stage.arrive({**lost, "metadata": {**metadata_of(lost), "name": "another", "uid": "uid-another"}})
    stage.plan()
    assert "another" in stage.bound
    assert not stage.state.partial()


def asking(body: Body, size: int) -> Body:
    """The pod with stowplan's own key for the size of its gang."""
    notes = {**words_of(body), words.MIN_MEMBER: str(size)}
    return {**body, "metadata": {**metadata_of(body), "annotations": notes}}


def test_a_job_that_did_not_make_the_pods_says_nothing_of_them() -> None:
    """It is of before a restart, when one of its two had succeeded; of those made anew the first is here."""
    recording = jobset("bert", 2)
    stage = Stage(nodes=4)
    stage.give(recording.objects[0])
    first, second = (body for body in recording.pods if job_of(body) == ("workers", "0"))
    for body in recording.pods:
        if body is not second:
            stage.arrive(body)
    job = jobset_job(first, pods=2, succeeded=1)
    earlier = {**job.body, "metadata": {**metadata_of(job.body), "uid": "of-an-earlier-run"}}
    stage.give(Made("Job", earlier))
    assert stage.told(str(metadata_of(first)["name"])).startswith("4 of 5 members exist")
    stage.arrive(second)
    stage.plan()
    assert len(stage.bound) == 5


def test_a_succeeded_pod_that_is_leaving_is_asked_for_no_more() -> None:
    recording = jobset("bert", 2)
    stage, bodies = running(recording)
    _, first, *_ = bodies
    stage.give(jobset_job(first, pods=2, succeeded=1))
    stage.change(str(metadata_of(first)["name"]), phase="Succeeded", is_deleting=True)
    assert not stage.state.partial()
