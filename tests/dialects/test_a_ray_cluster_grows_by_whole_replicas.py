"""Ray's replicas of several pods: of none of them is a part ever bound, at the start or beyond it."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.gangs import events as ev
from scheduler.gangs.attempt import Phase, verify
from scheduler.gangs.machine import start
from scheduler.model.gang import GangKey
from scheduler.model.plan import Budget, Place, Policy
from scheduler.planner import plan
from tests.dialects.recorded import Body, Json, metadata_of, pod
from tests.dialects.recorded_jobs import ray_host, ray_multi_host, ray_pod
from tests.dialects.stage import Stage
from tests.gangs.gang_cases import after
from tests.teams.worlds import quota

GPUS_PER_NODE = 8


def stage_with(free: int, nodes: int = 1) -> Stage:
    """So many GPUs are free; the others are held by single pods ``filler-0`` and so on."""
    stage = Stage(nodes=nodes)
    for i in range(nodes * GPUS_PER_NODE - free):
        stage.arrive(pod(f"filler-{i}"))
    stage.plan()
    return stage


def bound(stage: Stage) -> list[str]:
    return [name for name in stage.bound if name.startswith("bert")]


def by_replica(stage: Stage) -> Counter[str]:
    """Bound workers by the replica that their label names."""
    labels = (dict(stage.pod(name).labels) for name in bound(stage) if "worker" in name)
    return Counter(found["ray.io/worker-group-replica-name"] for found in labels)


def ray_key(stage: Stage) -> GangKey:
    (key,) = (key for key in stage.state.gang_keys() if key.dialect == "raycluster")
    return key


def told_of_growth(stage: Stage) -> str:
    return stage.told(next(p.name for p in stage.state.members(ray_key(stage)) if not p.node_name))


@given(
    seed=st.integers(0, 2**32),
    free=st.integers(1, 16),
    least=st.integers(0, 2),
    hosts=st.integers(2, 4),
    count=st.integers(2, 4),
)
@settings(max_examples=60, deadline=None)
def test_no_part_of_a_named_replica_is_bound_in_whatever_order_its_pods_come(
    seed: int, free: int, least: int, hosts: int, count: int
) -> None:
    recording = ray_multi_host("bert", count, least=least, hosts=hosts)
    group = dict(recording.objects[0].body["spec"])  # type: ignore[arg-type] # a mapping
    stage = stage_with(free, nodes=2)
    # With minReplicas 0 only an autoscaler makes the replicas growth.
    stage.give(recording.objects[0].with_spec({**group, "enableInTreeAutoscaling": True}))
    arrivals: list[Body] = list(recording.pods)
    random.Random(seed).shuffle(arrivals)
    for found in arrivals:
        stage.arrive(found)
        stage.plan()
        whole = by_replica(stage)
        assert set(whole.values()) <= {hosts}
        assert not bound(stage) or len(whole) >= least
    stage.plan()
    room = (free - 1) // hosts
    assert len(by_replica(stage)) == (min(count, room) if room >= least else 0)


@given(seed=st.integers(0, 2**32), free=st.integers(1, 16), hosts=st.integers(2, 4))
@settings(max_examples=30, deadline=None)
def test_where_nothing_names_the_replicas_as_many_pods_are_bound_as_make_whole_ones(
    seed: int, free: int, hosts: int
) -> None:
    recording = ray_multi_host("bert", 3, least=1, hosts=hosts, is_named=False)
    stage = stage_with(free, nodes=2)
    stage.give(recording.objects[0])
    arrivals = list(recording.pods)
    random.Random(seed).shuffle(arrivals)
    for found in arrivals:
        stage.arrive(found)
        stage.plan()
        assert len(bound(stage)) % hosts == (1 if bound(stage) else 0)
    stage.plan()
    room = min(3, (free - 1) // hosts)
    assert len(bound(stage)) == (1 + hosts * room if room else 0)


def test_two_halves_are_no_replica_to_start_with() -> None:
    stage = stage_with(8)
    recording = ray_multi_host("bert", 2, least=1)
    stage.give(recording.objects[0])
    stage.arrive(recording.pods[0])
    for replica in range(2):
        stage.arrive(ray_host("bert", replica, 0))
    assert stage.told("bert-headgroup-head").startswith("2 of 3 members exist")
    stage.arrive(ray_host("bert", 1, 1))
    stage.plan()
    assert by_replica(stage) == {"tpu-1": 2}


def test_a_replica_whose_pods_are_still_to_come_is_awaited_and_others_pass_it() -> None:
    stage = stage_with(8)
    recording = ray_multi_host("bert", 3, least=1)
    stage.give(recording.objects[0])
    for found in (*recording.pods[:3], ray_host("bert", 1, 1)):
        stage.arrive(found)
    stage.plan()
    assert told_of_growth(stage) == "1 of 2 members of replica tpu-1 of role tpu exist"
    for host in range(2):
        stage.arrive(ray_host("bert", 2, host))
    stage.plan()
    assert by_replica(stage) == {"tpu-0": 2, "tpu-2": 2}


def test_a_replica_that_finds_no_room_is_told_what_all_of_it_needs() -> None:
    stage = stage_with(4)
    stage.take_all([ray_multi_host("bert", 2, least=1)])
    stage.plan()
    assert list(by_replica(stage).values()) == [2]
    assert told_of_growth(stage).startswith("needs 2 of 2 x (1 nvidia.com/gpu) at once")
    stage.state.remove_pod("uid-filler-0")
    stage.plan()
    assert by_replica(stage) == {"tpu-0": 2, "tpu-1": 2}


def test_a_lost_pod_comes_back_beside_the_rest_of_its_replica() -> None:
    stage = stage_with(8)
    stage.take_all([ray_multi_host("bert", 2, least=1)])
    stage.plan()
    stage.plan()
    lost = str(metadata_of(ray_host("bert", 1, 0))["name"])
    del stage.bound[lost]
    stage.state.remove_pod(f"uid-{lost}")
    stage.arrive(ray_host("bert", 1, 0))
    stage.plan()
    assert by_replica(stage) == {"tpu-0": 2, "tpu-1": 2}


def growing() -> tuple[Stage, Place]:
    """A cluster that stands, and the place that a plan finds for its second replica."""
    stage = stage_with(8)
    stage.take_all([ray_multi_host("bert", 2, least=1)])
    stage.plan()
    assert len(bound(stage)) == 3
    (place,) = plan(stage.state.snapshot(), Policy(), Budget()).places
    assert len(place.assignments) == 2
    return stage, place


def test_a_binding_refused_to_one_pod_takes_the_replica_back_and_leaves_the_cluster() -> None:
    _, place = growing()
    one, two = (a.pod.uid for a in place.assignments)
    attempt, _ = start(place.gang, place.assignments, epoch=1, at_s=0.0)
    attempt, todo = after(
        attempt,
        [
            ev.ClaimAcked(at_s=0.1),
            ev.BindAcked(at_s=0.2, uid=one),
            ev.BindRefused(at_s=0.2, uid=two, reason="node is gone", is_permanent=False),
        ],
    )
    verify(attempt)
    assert attempt.phase is Phase.UNWINDING
    assert [what.uid for what in todo if isinstance(what, ev.EvictPod)] == [one]
    attempt, todo = after(attempt, [ev.EvictAcked(at_s=0.3, uid=one)])
    assert [what.phase for what in todo if isinstance(what, ev.WriteStatus)] == ["Bound"]


def test_a_team_at_its_limit_gets_no_part_of_a_replica() -> None:
    for limit, replicas in ((4, 1), (5, 2)):
        stage = stage_with(8)
        stage.state.set_namespace("red", {})
        stage.state.set_team_quota(quota("red", {"limit": {"gpu": limit}}))
        stage.take_all([ray_multi_host("bert", 3, least=1)])
        for _ in range(3):
            stage.plan()
        assert list(by_replica(stage).values()) == [2] * replicas
        assert "is at its limit" in told_of_growth(stage)


def test_other_workers_take_no_place_of_a_replica_at_the_start() -> None:
    stage = stage_with(4)
    found = ray_multi_host("bert", 2, least=1).objects[0]
    spec: dict[str, Any] = dict(found.body["spec"])  # type: ignore[arg-type] # a mapping
    single: Json = {"groupName": "gpu", "replicas": 6, "minReplicas": 1, "maxReplicas": 6}
    stage.give(found.with_spec({"workerGroupSpecs": [single, *spec["workerGroupSpecs"]]}))
    for worker in ray_multi_host("bert", 2, least=1).pods:
        stage.arrive(worker)
    for i in range(6):
        stage.arrive(ray_pod("bert", "worker", "gpu", f"worker-{i}"))
    stage.plan()
    named = [dict(stage.pod(name).labels) for name in bound(stage)]
    assert Counter(labels["ray.io/group"] for labels in named) == {"headgroup": 1, "gpu": 1, "tpu": 2}


def test_another_replica_does_not_stand_in_for_half_of_the_one_that_is_needed() -> None:
    stage = stage_with(8)
    recording = ray_multi_host("bert", 2, least=1)
    stage.give(recording.objects[0])
    for found in recording.pods[:3]:
        stage.arrive(found)
    stage.plan()
    lost = str(metadata_of(ray_host("bert", 0, 1))["name"])
    stage.state.remove_pod(f"uid-{lost}")
    for found in recording.pods[3:]:
        stage.arrive(found)
    assert told_of_growth(stage) == "2 of 3 members exist"
    stage.arrive(ray_host("bert", 0, 1))
    for _ in range(2):
        stage.plan()
    assert by_replica(stage) == {"tpu-0": 2, "tpu-1": 2}


def test_room_nominated_to_a_part_of_a_replica_is_not_taken_by_it() -> None:
    stage = stage_with(4)
    stage.state.set_namespace("red", {})
    stage.state.set_team_quota(quota("red"))
    stage.take_all([ray_multi_host("bert", 2, least=1)])
    stage.plan()
    waiting = next(pod for pod in stage.state.members(ray_key(stage)) if not pod.node_name)
    stage.change(waiting.name, nominated_node="n0")
    stage.plan()
    assert list(by_replica(stage).values()) == [2]


def test_a_pod_that_the_cluster_stands_on_comes_back_before_it_grows() -> None:
    """One GPU is free: for the pod that is missed, whatever its name, not for a worker beyond the minimum."""
    stage = stage_with(4)
    recording = ray_multi_host("bert", 2, least=1)
    tpu: dict[str, Any] = dict(recording.objects[0].body["spec"])  # type: ignore[arg-type] # a mapping
    single: Json = {"groupName": "gpu", "replicas": 2, "minReplicas": 0, "maxReplicas": 2}
    groups = [single, *tpu["workerGroupSpecs"]]
    stage.give(recording.objects[0].with_spec({"enableInTreeAutoscaling": True, "workerGroupSpecs": groups}))
    for found in (recording.pods[0], *(ray_host("bert", 1, host) for host in range(2)), pod("other")):
        stage.arrive(found)
    stage.plan()
    assert by_replica(stage) == {"tpu-1": 2}
    lost = str(metadata_of(ray_host("bert", 1, 1))["name"])
    stage.state.remove_pod(f"uid-{lost}")
    for found in (*(ray_host("bert", 0, host) for host in range(2)), ray_host("bert", 1, 1)):
        stage.arrive(found)
    for i in range(2):
        stage.arrive(ray_pod("bert", "worker", "gpu", f"worker-{i}"))
    del stage.bound[lost]
    stage.plan()
    assert by_replica(stage) == {"tpu-1": 2}
    assert not any("gpu-worker" in name for name in stage.bound)
