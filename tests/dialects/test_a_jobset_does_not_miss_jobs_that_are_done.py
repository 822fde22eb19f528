"""A JobSet some of whose Jobs are done, and their pods deleted: by kubectl, or with a node that left.

Its status counts the Jobs that succeeded (kubernetes-sigs/jobset jobset_controller.go
calculateReplicatedJobStatuses): those of the current run, by replicated job.
"""

from __future__ import annotations

import msgspec
import pytest

from deploy.local.audit.descriptions import DESCRIPTIONS
from scheduler.invariants.history import GroupVersion
from tests.dialects.recorded import Body, Recording, metadata_of
from tests.dialects.recorded_jobs import jobset, jobset_exclusive, jobset_in_order, trainjob, with_done
from tests.dialects.stage import Stage


def name_of(body: Body) -> str:
    return str(metadata_of(body)["name"])


def end(stage: Stage, body: Body, *, is_deleted: bool = True) -> None:
    """A pod succeeds and stays, or is deleted before anybody who leads now has seen that it had succeeded."""
    if is_deleted:
        stage.state.remove_pod(f"uid-{name_of(body)}")
    else:
        stage.change(name_of(body), phase="Succeeded")


def again(stage: Stage, lost: Body) -> None:
    """The pod that the Job makes instead."""
    stage.arrive({**lost, "metadata": {**metadata_of(lost), "name": "another", "uid": "uid-another"}})


def started(recording: Recording) -> Stage:
    stage = Stage(nodes=8)
    stage.take_all([recording])
    stage.plan()
    assert len(stage.bound) == len(recording.pods)
    return stage


def test_what_is_left_is_whole_and_heals() -> None:
    recording = jobset("bert", 3)
    driver, *workers = recording.pods
    stage = started(recording)
    for body in workers[:2]:
        end(stage, body)
    assert list(stage.state.partial().values()) == [(5, 7)]
    stage.give(with_done(recording, workers=1))
    assert not stage.state.partial()
    stage.state.remove_pod(f"uid-{name_of(workers[5])}")
    assert list(stage.state.partial().values()) == [(4, 5)]
    again(stage, workers[5])
    stage.plan()
    assert "another" in stage.bound
    assert not stage.state.partial()
    end(stage, driver)
    stage.give(with_done(recording, workers=1, driver=1))
    assert not stage.state.partial()


def test_a_pod_that_is_kept_takes_no_other_pods_place() -> None:
    """One of a done Job's two pods still exists and stands, and one of another Job's two is lost."""
    recording = jobset("bert", 3)
    _, *workers = recording.pods
    stage = started(recording)
    end(stage, workers[0])
    end(stage, workers[1], is_deleted=False)
    stage.give(with_done(recording, workers=1))
    assert not stage.state.partial()
    stage.state.remove_pod(f"uid-{name_of(workers[3])}")
    assert list(stage.state.partial().values()) == [(4, 6)]


def test_a_job_that_lost_what_still_ran_is_not_taken_for_the_one_that_is_done() -> None:
    """The status says one, and of that one more pods have succeeded."""
    recording = jobset("bert", 3)
    _, *workers = recording.pods
    stage = started(recording)
    for body in workers[:3]:
        end(stage, body, is_deleted=False)
    stage.state.remove_pod(f"uid-{name_of(workers[3])}")
    stage.give(with_done(recording, workers=1))
    assert list(stage.state.partial().values()) == [(3, 7)]


def test_a_pod_that_succeeded_in_a_job_that_runs_on_counts() -> None:
    recording = jobset("bert", 3)
    _, *workers = recording.pods
    stage = started(recording)
    for body in workers[:2]:
        end(stage, body)
    end(stage, workers[2], is_deleted=False)
    stage.give(with_done(recording, workers=1))
    assert not stage.state.partial()


@pytest.mark.parametrize("done", [1, 3, 10**12, -5])
def test_a_job_whose_pods_wait_is_not_done_whatever_the_status_says(done: int) -> None:
    """The status of before a restart, or one that somebody made up."""
    recording = jobset("bert", 3)
    stage = Stage(nodes=8)
    stage.give(with_done(recording, workers=done, driver=done))
    for body in recording.pods[:-1]:
        stage.arrive(body)
    assert stage.told(name_of(recording.pods[0])).startswith("6 of 7 members exist")
    assert not stage.bound
    stage.arrive(recording.pods[-1])
    stage.plan()
    assert len(stage.bound) == 7


@pytest.mark.parametrize(
    ("recording", "first"),
    [(trainjob("bert", 3), "dataset-initializer"), (jobset_in_order("bert", 3), "driver")],
    ids=["trainjob", "in order"],
)
def test_the_later_jobs_start_whole_when_the_first_is_done_and_gone(recording: Recording, first: str) -> None:
    stage = started(recording)
    for body in recording.pods:
        end(stage, body)
    stage.give(with_done(recording, **{first: 1}))
    *most, last = recording.late
    for body in most:
        stage.arrive(body)
    assert stage.told(name_of(most[0])).startswith("2 of 3 members exist")
    assert not set(stage.bound) & {name_of(body) for body in recording.late}
    stage.arrive(last)
    stage.plan()
    assert {name_of(body) for body in recording.late} <= set(stage.bound)


def test_a_job_with_a_topology_domain_of_its_own_is_not_missed_either() -> None:
    recording = jobset_exclusive("bert", 3)
    stage = started(recording)
    for body in recording.late:
        stage.arrive(body)
    stage.plan()
    assert len(stage.bound) == 6
    for body in (*recording.pods, *recording.late):
        if "-workers-0-" in name_of(body):
            end(stage, body)
    assert stage.state.partial()
    stage.give(with_done(recording, workers=1))
    assert not stage.state.partial()


@pytest.mark.parametrize("dialect", ["jobset", "trainjob"])
def test_the_auditor_asks_for_no_more_either(dialect: str) -> None:
    (fact,) = (found.fact for found in DESCRIPTIONS if found.dialect == dialect)
    for done, minimum, roles in (
        ({"workers": 1, "driver": 1}, 4, {"driver": 0, "workers": 4}),
        ({"workers": 9}, 1, {"driver": 1, "workers": 0}),
    ):
        _, group = fact(msgspec.json.encode(with_done(jobset("bert", 3), **done).body))
        assert isinstance(group, GroupVersion)
        assert (group.minimum, dict(group.roles)) == (minimum, roles)
