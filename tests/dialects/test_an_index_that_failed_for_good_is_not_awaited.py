"""A Job whose index has no tries left (``backoffLimitPerIndex``) goes on without it, and so does its gang."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.kube import wire
from scheduler.parse.groups import parse_job
from tests.dialects.recorded import Body, Made, Recording, made, metadata_of
from tests.dialects.recorded_jobs import job, job_pod, jobset, jobset_job
from tests.dialects.stage import Stage

OWN = {"stowplan.dev/gang": "bert", "stowplan.dev/gang-min-member": "4"}


def name_of(body: Body) -> str:
    return str(metadata_of(body)["name"])


def by_own_keys(name: str, n: int) -> Recording:
    """The Job's pods name a gang themselves, so the Job tells of its pods without describing the gang."""
    keys = {**OWN, "stowplan.dev/gang-min-member": str(n)}
    described = made("Job", name, {"parallelism": n, "completions": n, "completionMode": "Indexed"})
    pods = tuple(job_pod(name, i, keys) for i in range(n))
    return Recording(dialect="own", source="", objects=(described,), pods=pods, minimum=n)


def with_failed(found: Made, indexes: str, succeeded: int = 0) -> Made:
    return Made(found.kind, {**found.body, "status": {"failedIndexes": indexes, "succeeded": succeeded}})


def written(indexes: set[int]) -> str:
    """As the Job controller writes them: runs of three and more as ``first-last``."""
    parts: list[str] = []
    left = sorted(indexes)
    while left:
        run = [left[0]]
        while run[-1] + 1 in left:
            run.append(run[-1] + 1)
        parts += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else [str(i) for i in run]
        left = [i for i in left if i > run[-1]]
    return ",".join(parts)


@pytest.mark.parametrize("make", [job, by_own_keys])
@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 6), failed=st.sets(st.integers(0, 5), max_size=5), is_kept=st.booleans())
def test_the_others_run_on_and_another_loss_is_still_one(
    make: object, n: int, failed: set[int], is_kept: bool
) -> None:
    recording = make("bert", n)  # type: ignore[operator] # one of the makers
    failed = {i for i in failed if i < n - 1}
    stage = Stage(nodes=2)
    stage.take_all([recording])
    stage.plan()
    assert len(stage.bound) == n
    for i in failed:
        stage.change(name_of(recording.pods[i]), phase="Failed")
        if not is_kept:
            stage.state.remove_pod(f"uid-{name_of(recording.pods[i])}")
    stage.give(with_failed(recording.objects[0], written(failed)))
    assert not stage.state.partial()
    running = n - len(failed)
    stage.state.remove_pod(f"uid-{name_of(recording.pods[n - 1])}")
    assert bool(stage.state.partial()) is (running > 1)
    stage.arrive(job_again(recording.pods[n - 1]))
    stage.plan()
    assert not stage.state.partial()
    assert len(stage.bound) == n + 1


def job_again(body: Body) -> Body:
    return {**body, "metadata": {**metadata_of(body), "name": "another", "uid": "uid-another"}}


def test_until_the_job_says_so_it_is_a_loss() -> None:
    recording = job("bert", 4)
    stage = Stage(nodes=1)
    stage.take_all([recording])
    stage.plan()
    stage.change(name_of(recording.pods[2]), phase="Failed")
    assert list(stage.state.partial().values()) == [(3, 4)]
    stage.give(with_failed(recording.objects[0], "2"))
    assert not stage.state.partial()


def test_a_job_of_a_job_set_goes_on_as_well() -> None:
    recording = jobset("bert", 2)
    stage = Stage(nodes=1)
    stage.take_all([recording])
    stage.plan()
    first = recording.pods[1]
    stage.state.remove_pod(f"uid-{name_of(first)}")
    assert stage.state.partial()
    told = jobset_job(first, pods=2, succeeded=0)
    stage.give(Made(told.kind, {**told.body, "status": {"failedIndexes": "0"}}))
    assert not stage.state.partial()


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("3", 1), ("1,3-5,7", 5), ("0-9", 10), ("5-3", 0), ("x,2", 1), ("-1", 0), ("9" * 40, 0)],
)
def test_indexes_are_counted_whatever_is_written(text: str, count: int) -> None:
    body = {"metadata": {"name": "j"}, "status": {"failedIndexes": text}}
    assert parse_job(msgspec.json.decode(msgspec.json.encode(body), type=wire.Job)).failed == count


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 5), done=st.integers(1, 4))
def test_of_a_work_queue_nobody_is_awaited_after_the_first_success(n: int, done: int) -> None:
    """Its controller makes no pod for one that is lost then (job_controller.go, manageJob)."""
    recording = job("bert", n)
    queue = made("Job", "bert", {"parallelism": n})
    stage = Stage(nodes=1)
    stage.give(queue)
    for body in recording.pods:
        stage.arrive(body)
    stage.plan()
    assert len(stage.bound) == n
    stage.give(Made("Job", {**queue.body, "status": {"succeeded": min(done, n - 1)}}))
    for body in recording.pods[: min(done, n - 1)]:
        stage.state.remove_pod(f"uid-{name_of(body)}")
    assert not stage.state.partial()
