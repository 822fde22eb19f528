"""Growth, shrinking, suspension, success and loss: what each dialect's gang does when it is not new."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialects.recorded import Body, made, metadata_of, pod
from tests.dialects.recorded_jobs import (
    jobset,
    jobset_in_order,
    lws_leader_ready,
    mpi_late,
    pytorch,
    ray,
    trainjob,
)
from tests.dialects.recordings import RECORDINGS
from tests.dialects.stage import Stage


def started(recording_name: str, n: int, *, nodes: int = 4) -> tuple[Stage, list[str]]:
    """A gang that runs, and its pods' names."""
    recording = RECORDINGS[recording_name]("bert", n)
    stage = Stage(nodes=nodes)
    stage.take_all([recording])
    stage.plan()
    assert len(stage.bound) == len(recording.pods)
    return stage, [str(metadata_of(found)["name"]) for found in recording.pods]


@pytest.mark.parametrize("name", RECORDINGS)
@settings(max_examples=8, deadline=None)
@given(n=st.integers(2, 5), shuffle=st.randoms(use_true_random=False))
def test_a_lost_member_leaves_a_partly_bound_gang_and_another_one_heals_it(
    name: str, n: int, shuffle: random.Random
) -> None:
    stage, names = started(name, n)
    recording = RECORDINGS[name]("bert", n)
    lost = shuffle.choice(recording.pods)
    stage.state.remove_pod(str(metadata_of(lost)["uid"]))
    is_short = len(names) - 1 < recording.minimum
    # The head of a cluster counts although enough other pods are left; a whole that is one pod is gone.
    if len(names) > 1 and is_short:
        ((bound, _),) = stage.state.partial().values()
        assert bound == len(names) - 1
    stage.arrive(_again(lost))
    before = dict(stage.bound)
    stage.plan()
    assert len(stage.bound) == len(before) + 1
    assert not stage.state.partial()


def _again(lost: Body) -> Body:
    """The pod that a controller makes instead: the same but for its name and UID."""
    metadata = {**metadata_of(lost), "name": "another", "uid": "uid-another"}
    return {**lost, "metadata": metadata}


def test_members_that_succeeded_count_while_others_still_run() -> None:
    stage, names = started("pytorch", 3)
    for name in names[:2]:
        stage.change(name, phase="Succeeded")
    assert not stage.state.partial()


def test_a_success_policy_that_ends_the_rest_is_no_loss() -> None:
    """The chief is done, the operator deletes the parameter servers (cleanPodPolicy Running)."""
    stage, names = started("tensorflow", 3)
    stage.change(names[1], phase="Succeeded")
    for name in (names[0], names[2]):
        stage.change(name, is_deleting=True)
    assert not stage.state.partial()


def test_elastic_workers_join_one_by_one_and_leave_again() -> None:
    stage, names = started("pytorch-elastic", 2)
    for name in names[2:]:
        stage.state.remove_pod(f"uid-{name}")
        assert not stage.state.partial()
    owner = ("kubeflow.org/v1", "PyTorchJob", "bert", "PyTorchJob-bert")
    stage.arrive(pod("bert-worker-7", owner=owner, labels={"training.kubeflow.org/replica-type": "worker"}))
    stage.plan()
    assert "bert-worker-7" in stage.bound


def test_a_ray_cluster_grows_beyond_its_minimum_as_room_comes() -> None:
    recording = ray("bert", 3)
    stage = Stage(nodes=1)
    for i in range(4):
        stage.arrive(pod(f"filler-{i}"))
    stage.plan()
    stage.take_all([recording])
    stage.plan()
    assert len([name for name in stage.bound if name.startswith("bert")]) == 4
    stage.state.remove_pod("uid-filler-0")
    stage.plan()
    assert len([name for name in stage.bound if name.startswith("bert")]) == 5


@pytest.mark.parametrize("make", [pytorch, jobset, ray])
def test_a_suspended_job_binds_nobody_and_a_resumed_one_starts_whole(make: object) -> None:
    recording = make("bert", 3)  # type: ignore[operator] # one of the makers
    found = recording.objects[0]
    spec = dict(found.body["spec"])
    suspended = {**spec, "suspend": True, "runPolicy": {"suspend": True}}
    stage = Stage(nodes=4)
    stage.take_all([recording])
    stage.give(found.with_spec(suspended))
    assert "is suspended" in stage.told(str(metadata_of(recording.pods[0])["name"]))
    assert not stage.bound
    stage.give(found)
    stage.plan()
    assert len(stage.bound) == len(recording.pods)


def test_a_replica_that_grows_raises_the_minimum_for_those_who_wait() -> None:
    recording = pytorch("bert", 3)
    stage = Stage(nodes=4)
    for found in recording.pods:
        stage.arrive(found)
    spec = {"pytorchReplicaSpecs": {"Master": {"replicas": 1}, "Worker": {"replicas": 4}}}
    stage.give(made("PyTorchJob", "bert", spec))
    assert stage.told("bert-master-0").startswith("3 of 5 members exist")
    stage.give(recording.objects[0])
    stage.plan()
    assert len(stage.bound) == 3


@pytest.mark.parametrize("make", [mpi_late, jobset_in_order, trainjob, lws_leader_ready])
@given(bound=st.integers(1, 3))
@settings(max_examples=4, deadline=None)
def test_a_late_role_bound_in_part_is_a_partly_bound_gang(make: object, bound: int) -> None:
    recording = make("bert", 4)  # type: ignore[operator] # one of the makers
    stage = Stage(nodes=4)
    stage.take_all([recording])
    stage.plan()
    late = [stage.arrive(found) for found in recording.late]
    for found in late[:bound]:
        stage.change(found.name, node_name="n0", phase="Running")
    is_whole = bound >= len(late)
    assert bool(stage.state.partial()) is not is_whole
