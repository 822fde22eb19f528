"""A pod that asks for no CPU or memory counts with its team's default, in quotas and on nodes alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.model.objects import CPU, MEMORY, Pod, Shape
from scheduler.model.plan import Budget, Policy
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import GIB, gang, node, pod, shape
from tests.teams.worlds import START_S, World, cluster, quota

SILENT = shape(gpu=1, cpu=0, memory=0)
TWO_CPU = {"podDefaults": {"cpu": 2}}


def one_node(spec: Mapping[str, object], *, cpu: int = 5_000, memory: int = 64 * GIB) -> World:
    """Eight GPUs, and little else, for team ``a`` of this spec and for nobody's namespace ``free``."""
    state = cluster([], [quota("a", spec)])
    state.set_node(node("n0", gpu=8, cpu=cpu, memory=memory))
    return World(state)


def silent(count: int, namespace: str = "a") -> list[Pod]:
    return [pod(f"{namespace}{i}", of=SILENT, namespace=namespace) for i in range(count)]


@pytest.mark.parametrize(
    ("spec", "most"),
    [
        (TWO_CPU, 2),
        ({"podDefaults": {"memory": "20Gi"}}, 3),
        ({"podDefaults": {"cpu": 1, "memory": "20Gi"}}, 3),
        ({"podDefaults": {"cpu": 6}}, 0),
        ({"podDefaults": {"gpu": 4}}, 8),
        ({}, 8),
    ],
)
def test_no_more_silent_pods_are_placed_on_a_node_than_their_defaults_leave_room_for(
    spec: Mapping[str, object], most: int
) -> None:
    world = one_node(spec)
    world.submit(*silent(8))
    world.settle()
    assert len(world.running("a")) == most


@pytest.mark.parametrize(
    ("spec", "starts"), [(TWO_CPU, False), ({"podDefaults": {"memory": 1}}, True), ({}, True)]
)
def test_where_others_use_up_the_cpu_a_silent_pod_starts_only_without_a_default_of_it(
    spec: Mapping[str, object], starts: bool
) -> None:
    world = one_node(spec)
    full = shape(gpu=0, cpu=5_000)
    world.submit(pod("other", of=full, namespace="free", scheduler="another", node="n0", phase="Running"))
    world.submit(*silent(1))
    done = plan(world.state.snapshot(START_S), Policy(), Budget(per_gang=1.0, total=3.0))
    assert len(done.places) == starts
    assert len(done.verdicts) == (not starts)


def test_a_verdict_tells_a_default_from_what_is_written() -> None:
    world = one_node({"podDefaults": {"cpu": 2, "memory": "1Gi"}}, cpu=1_000)
    world.submit(*silent(1), pod("own", of=shape(gpu=1, cpu=3_000, memory=0), namespace="a"))
    told = {verdict.key.name: verdict.message for verdict in world.cycle().verdicts}
    assert "2 cpu (its team's podDefaults), 1Gi memory (its team's podDefaults)" in told["uid-a-a0"]
    assert "3 cpu, 1Gi memory (its team's podDefaults)" in told["uid-a-own"]


def test_those_that_run_hold_their_defaults_in_the_next_cycle() -> None:
    world = one_node(TWO_CPU)
    for one in silent(3):
        world.submit(one)
        world.cycle()
    assert world.running("a") == ["a0", "a1"]
    world.submit(pod("free0", of=shape(gpu=1, cpu=2_000), namespace="free"))
    assert not world.cycle().places
    world.submit(pod("free1", of=shape(gpu=1, cpu=1_000), namespace="free"))
    assert len(world.cycle().places) == 1


def test_what_a_pod_says_itself_counts_and_other_namespaces_have_no_default() -> None:
    world = one_node(TWO_CPU)
    world.submit(*(pod(f"own{i}", of=shape(gpu=1, cpu=1_000), namespace="a") for i in range(3)))
    world.submit(*silent(4, "free"))
    world.settle()
    assert (len(world.running("a")), len(world.running("free"))) == (3, 4)


def test_pods_that_others_placed_for_the_team_hold_their_defaults_too() -> None:
    world = one_node(TWO_CPU)
    for name in ("x", "y"):
        world.submit(pod(name, of=SILENT, namespace="a", scheduler="another", node="n0", phase="Running"))
    world.submit(pod("late", of=SILENT, namespace="a"))
    done = world.cycle()
    assert [verdict.reason for verdict in done.verdicts] == ["Unschedulable"]


def test_a_gang_stands_whole_with_its_defaults_or_not_at_all() -> None:
    world = one_node(TWO_CPU)
    world.submit(*gang("three", 3, of=SILENT, namespace="a"), *gang("two", 2, of=SILENT, namespace="a"))
    world.settle()
    assert world.running("a") == ["two-0", "two-1"]


def test_what_counts_on_nodes_counts_in_the_quota_as_well() -> None:
    world = one_node({**TWO_CPU, "limit": {"cpu": 7}}, cpu=96_000)
    world.submit(*silent(8))
    done = world.cycle()
    assert len(world.running("a")) == 3
    assert {v.message for v in done.verdicts} == {"team a is at its limit of 7 cpu: 8 would be in use"}


def test_a_change_of_the_default_counts_for_those_that_wait_and_those_that_run() -> None:
    world = one_node({"podDefaults": {"cpu": 1}})
    world.submit(*silent(2))
    world.settle()
    world.state.set_team_quota(quota("a", {"podDefaults": {"cpu": 3}}))
    world.submit(pod("late", of=shape(gpu=1, cpu=1), namespace="free"))
    assert not world.cycle().places  # 6 of 5 CPUs: nobody is sent away, and nobody comes
    assert len(world.running("a")) == 2
    world.state.set_team_quota(quota("a", {"podDefaults": {"cpu": 2}}))
    assert [place.gang.pods[0].name for place in world.cycle().places] == ["late"]
    world.submit(*(pod(f"more{i}", of=SILENT, namespace="a") for i in range(2)))
    assert not world.cycle().places
    world.state.remove_team_quota("a")
    assert len(world.cycle().places) == 2


def test_an_overdrawn_node_takes_those_that_ask_nothing_of_what_is_overdrawn() -> None:
    world = one_node({"podDefaults": {"cpu": 1}})
    world.submit(*silent(2))
    world.settle()
    world.state.set_team_quota(quota("a", {"podDefaults": {"cpu": 3}}))
    world.submit(*gang("two", 2, of=SILENT, namespace="free"), pod("late", of=shape(cpu=1), namespace="free"))
    assert [place.gang.key.name for place in world.cycle().places] == ["two"]


def test_a_namespace_that_joins_a_team_gets_its_defaults() -> None:
    chosen = {"namespaces": [], "namespaceSelector": {"matchLabels": {"team": "a"}}, **TWO_CPU}
    world = one_node(chosen)
    world.state.set_namespace("lab", {})
    world.submit(*silent(3, "lab"))
    world.cycle()
    assert len(world.running("lab")) == 3
    world.state.set_namespace("lab", {"team": "a"})
    world.submit(pod("late", of=shape(gpu=1, cpu=1), namespace="lab"))
    assert not world.cycle().places


def test_room_is_made_for_what_a_pod_asks_by_default() -> None:
    """A victim gives back what it held, its default included, and no more are sent away than that takes."""
    world = one_node({**TWO_CPU, "guaranteed": {"cpu": 5, "gpu": 8}})
    world.submit(*silent(2))
    world.settle()
    world.submit(pod("high", of=SILENT, namespace="a", priority=9))
    done = world.cycle()
    assert [(clearing.rule, len(clearing.victims)) for clearing in done.clearings] == [("preempt", 1)]
    world.settle()
    assert "high" in world.running("a")
    assert len(world.running("a")) == 2


def test_a_bound_pod_is_checked_against_its_default_right_before_its_binding() -> None:
    world = one_node(TWO_CPU)
    world.submit(*silent(2))
    (first, second) = plan(world.state.snapshot(START_S), Policy(), Budget(per_gang=1.0, total=3.0)).places
    world.state.assume(first.assignments[0])
    world.submit(pod("other", of=shape(gpu=1, cpu=2_000), namespace="free", node="n0", phase="Running"))
    assert world.state.objection(second) == "capacity was taken meanwhile"


REQUESTS = st.sampled_from([0, 500, 1_500])


@given(
    st.lists(st.tuples(REQUESTS, REQUESTS, st.booleans()), max_size=20),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_no_node_is_given_more_than_it_has_by_what_is_written_or_by_default(
    asked: list[tuple[int, int, bool]], cpu: int, memory: int
) -> None:
    world = one_node({"podDefaults": {"cpu": cpu, "memory": f"{memory}Ki"}}, cpu=5_000, memory=6 * 1024)
    for i, (milli, size, is_ours) in enumerate(asked):
        of = shape(gpu=0, cpu=milli, memory=size)
        world.submit(pod(f"p{i}", of=of, namespace="a" if is_ours else "free"))
    world.settle()
    placed = [p for p in world.pods.values() if p.node_name]
    for name, have, default in ((CPU, 5_000, cpu * 1_000), (MEMORY, 6 * 1024, memory * 1024)):
        written = [(_asked(p.shape, name), p.namespace == "a") for p in placed]
        assert sum(amount for amount, _ in written) <= have
        assert sum(amount or default * is_ours for amount, is_ours in written) <= have


def _asked(of: Shape, name: str) -> int:
    return dict(of.requests).get(name, 0)


def test_pods_of_one_shape_stay_pods_of_one_shape() -> None:
    state: ClusterState = one_node(TWO_CPU).state
    state.snapshot(START_S)
    for one in silent(4):
        state.set_pod(replace(one, shape=replace(SILENT)))
    snapshot = state.snapshot(START_S)
    assert len({id(role.shape) for found in snapshot.gangs for role in found.roles}) == 1
