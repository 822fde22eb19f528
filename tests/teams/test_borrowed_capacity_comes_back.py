"""What a team borrowed comes back to one below its guarantee, with the fewest evictions, never in vain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quotas.units import UnitTable
from scheduler.state import ClusterState
from tests.builders import gang, node, pod
from tests.teams.worlds import H100, World, cluster, quota

EIGHT = {"guaranteed": {"gpu": 8}}


def two_teams(grace_s: float = 0.0, **borrower: object) -> World:
    """Two nodes of eight; ``a`` has borrowed all with single pods of one GPU."""
    state = cluster([8, 8], [quota("a", {**EIGHT, **borrower}), quota("b", EIGHT)])
    world = World(state, grace_s=grace_s)
    world.submit(*(pod(f"a{i}", gpu=1, namespace="a") for i in range(16)))
    world.settle()
    assert len(world.running("a")) == 16
    return world


@pytest.mark.parametrize("grace_s", [0.0, 5.0])
def test_a_guarantee_comes_back_whole(grace_s: float) -> None:
    world = two_teams(grace_s)
    world.submit(*gang("big", 2, gpu=4, namespace="b"))
    done = world.cycle()
    assert [(c.rule, c.team, len(c.victims)) for c in done.clearings] == [("reclaim", "b", 8)]
    assert {v.reason for v in done.verdicts} == {"WaitingForVictims"}
    world.now_s += 1.0
    world.settle(cycles=20)
    assert len(world.running("b")) == 2
    assert len(world.running("a")) == 8


def test_nothing_more_is_evicted_while_victims_leave() -> None:
    world = two_teams(grace_s=10.0)
    world.submit(pod("b0", gpu=8, namespace="b"))
    assert len(world.cycle().clearings) == 1
    for _ in range(5):
        world.now_s += 1.0
        done = world.cycle()
        assert not done.clearings
        assert not done.places
        assert [v.reason for v in done.verdicts] == ["WaitingForVictims"]


def test_room_that_comes_is_not_given_to_others() -> None:
    world = two_teams(grace_s=5.0)
    world.submit(pod("b0", gpu=8, namespace="b"))
    world.cycle()
    world.submit(*(pod(f"again{i}", gpu=1, namespace="a") for i in range(8)))
    world.end(*list(world.leaving)[:4])
    assert not world.cycle().places
    world.now_s += 6.0
    world.settle()
    assert world.running("b") == ["b0"]
    assert len(world.running("a")) == 8


def test_nobody_is_evicted_where_the_beneficiary_would_not_fit_anyway() -> None:
    world = two_teams()
    world.submit(*gang("big", 2, gpu=9, namespace="b"))
    assert not world.cycle().clearings
    world = two_teams()
    world.submit(pod("beyond", gpu=8, namespace="b"), *gang("half", 2, gpu=8, namespace="b"))
    for _ in range(4):
        world.cycle()
        world.now_s += 1.0
    assert len(world.running("b")) == 1


def test_nobody_is_evicted_for_more_than_the_guarantee() -> None:
    world = two_teams()
    world.submit(*gang("big", 3, gpu=4, namespace="b"))
    done = world.cycle()
    assert not done.clearings
    assert world.running("b") == []


def test_nothing_happens_until_the_minimum_run_time_is_over() -> None:
    world = two_teams(minRuntimeSeconds=600)
    world.submit(pod("b0", gpu=8, namespace="b"))
    for _ in range(5):
        assert not world.cycle().clearings
        world.now_s += 100.0
    world.now_s += 110.0
    assert len(world.cycle().clearings) == 1


def test_many_single_pods_take_back_together_what_they_are_guaranteed() -> None:
    world = two_teams()
    world.submit(*(pod(f"b{i}", gpu=1, namespace="b") for i in range(12)))
    done = world.cycle()
    assert sum(len(c.victims) for c in done.clearings) == 8
    world.now_s += 1.0
    world.settle()
    assert len(world.running("b")) == 8
    assert len(world.running("a")) == 8


def test_a_pod_that_may_not_be_evicted_changes_the_plan() -> None:
    world = two_teams()
    world.submit(pod("b0", gpu=8, namespace="b"))
    _, first = world.state.snapshot(world.now_s), world.cycle()
    chosen = {p.uid for c in first.clearings for v in c.victims for p in v.pods}
    world = two_teams()
    world.state.roll.spare(sorted(chosen)[0], world.now_s)
    world.submit(pod("b0", gpu=8, namespace="b"))
    done = world.cycle()
    again = {p.uid for c in done.clearings for v in c.victims for p in v.pods}
    assert len(again) == 8
    assert sorted(chosen)[0] not in again


def test_an_elastic_gang_gives_what_is_above_its_minimum() -> None:
    state = cluster([8, 8], [quota("a", EIGHT), quota("b", EIGHT)])
    world = World(state)
    world.submit(*gang("wide", 16, minimum=8, gpu=1, namespace="a"))
    world.settle()
    assert len(world.running("a")) == 16
    world.submit(*gang("big", 4, gpu=1, namespace="b"))
    world.settle()
    assert len(world.running("b")) == 4
    assert len(world.running("a")) == 12


def test_higher_priority_preempts_within_a_team_and_only_there() -> None:
    state = cluster([8], [quota("a", EIGHT), quota("b")])
    world = World(state)
    world.submit(*(pod(f"low{i}", gpu=1, namespace="a") for i in range(8)))
    world.settle()
    world.submit(pod("other", gpu=2, namespace="b", priority=100))
    assert not world.cycle().clearings
    polite = replace(pod("polite", gpu=2, namespace="a", priority=100), can_preempt=False)
    world.submit(polite)
    assert not world.cycle().clearings
    world.submit(pod("high", gpu=2, namespace="a", priority=100, created_s=1.0))
    done = world.cycle()
    assert [(c.rule, len(c.victims)) for c in done.clearings] == [("preempt", 2)]
    world.settle()
    assert len(world.running("a")) == 7


def test_priority_preempts_within_a_limit_too() -> None:
    state = cluster([8, 8], [quota("a", {"limit": {"gpu": 8}})])
    world = World(state)
    world.submit(*(pod(f"low{i}", gpu=1, namespace="a") for i in range(9)))
    world.settle()
    assert len(world.running("a")) == 8
    world.submit(pod("high", gpu=2, namespace="a", priority=100))
    done = world.cycle()
    assert [(c.rule, len(c.victims)) for c in done.clearings] == [("preempt", 2)]
    world.settle()
    assert "high" in world.running("a")
    assert len(world.running("a")) == 7


def test_a_limit_is_told_with_its_team() -> None:
    state = cluster([8, 8], [quota("a", {"limit": {"gpu": 4}})])
    world = World(state)
    world.submit(*(pod(f"a{i}", gpu=1, namespace="a") for i in range(6)), *gang("g", 2, gpu=4, namespace="a"))
    world.settle()
    assert len(world.running("a")) == 4
    assert world.last is not None
    told = {v.message for v in world.last.verdicts if v.reason == "QuotaExceeded"}
    assert "team a is at its limit of 4 gpu: 5 would be in use" in told
    assert "team a is at its limit of 4 gpu: 12 would be in use" in told


def test_what_is_free_already_is_held_with_what_is_still_to_come() -> None:
    state = cluster([8], [quota("a"), quota("b", EIGHT)])
    world = World(state, grace_s=100.0)
    world.submit(*(pod(f"a{i}", gpu=1, namespace="a") for i in range(6)))
    world.settle()
    for uid in ("uid-a-a0", "uid-a-a1"):
        world.submit(replace(world.pods[uid], is_deleting=True))
    world.submit(pod("b0", gpu=4, namespace="b"), *(pod(f"again{i}", gpu=1, namespace="a") for i in range(2)))
    done = world.cycle()
    assert not done.places
    assert not done.clearings
    world.end("uid-a-a0", "uid-a-a1")
    world.cycle()
    assert world.running("b") == ["b0"]


def test_nobody_is_evicted_for_members_above_the_minimum() -> None:
    world = two_teams()
    world.submit(*gang("big", 4, minimum=2, gpu=2, namespace="b"))
    done = world.cycle()
    assert sum(len(c.victims) for c in done.clearings) == 4
    for _ in range(5):
        world.now_s += 1.0
        assert not world.cycle().clearings
    assert len(world.running("b")) == 2
    assert len(world.running("a")) == 12
    # It grows into what becomes free by itself.
    world.end(*[pod.uid for pod in world.pods.values() if pod.namespace == "a" and pod.node_name == "n1"])
    world.settle()
    assert len(world.running("b")) == 4


def test_preempting_within_a_team_leaves_what_is_kept_for_others() -> None:
    state = cluster([8], [quota("a"), quota("b", {"guaranteed": {"gpu": 4}, "lendingLimit": {"gpu": 0}})])
    world = World(state)
    world.submit(*(pod(f"low{i}", gpu=1, namespace="a") for i in range(8)))
    world.settle()
    assert len(world.running("a")) == 4
    world.submit(pod("high", gpu=8, namespace="a", priority=100))
    assert not world.cycle().clearings
    world.submit(pod("fits", gpu=4, namespace="a", priority=100))
    assert [len(c.victims) for c in world.cycle().clearings] == [4]


def test_a_gang_larger_than_the_cluster_starts_only_as_far_as_its_team_may() -> None:
    state = cluster([8, 8], [quota("a"), quota("b", {"guaranteed": {"gpu": 8}, "lendingLimit": {"gpu": 4}})])
    world = World(state)
    world.submit(*gang("wide", 20, minimum=2, gpu=1, namespace="a"))
    world.settle()
    assert len(world.running("a")) == 12


def test_what_is_left_of_a_gang_is_protected_by_its_minimum_run_time_too() -> None:
    state = cluster([8], [quota("a", {"minRuntimeSeconds": 600}), quota("b", EIGHT)])
    world = World(state)
    world.submit(*gang("pair", 2, gpu=4, namespace="a"))
    world.settle()
    world.end("uid-a-pair-0")
    world.submit(pod("b0", gpu=8, namespace="b"))
    assert not world.cycle().clearings
    world.now_s += 700.0
    assert len(world.cycle().clearings) == 1


def test_a_guarantee_in_units_is_not_passed_where_a_dearer_model_would_be_cheaper_to_clear() -> None:
    state = ClusterState("stowplan", UnitTable(by_model={"h100-80gb": 2_000}))
    models = (H100, "NVIDIA-A100-SXM4-40GB")
    for index, model in enumerate(models):
        state.set_node(node(f"n{index}", gpu=2, labels={"nvidia.com/gpu.product": model}))
    for one in (quota("a"), quota("b", {"guaranteed": {"gpu": 2}})):
        state.set_namespace(one.spec.name, {})
        state.set_team_quota(one)
    world = World(state)
    for index, age_s in enumerate((10.0, 100_000.0)):
        for i in range(2):
            bound = pod(f"a{index}-{i}", gpu=1, namespace="a", node=f"n{index}", phase="Running")
            world.submit(replace(bound, started_s=world.now_s - age_s))
    # On the H100s, whose pods have lost least, it would be four units.
    world.submit(*gang("big", 2, gpu=1, namespace="b"))
    done = world.cycle()
    assert [set(clearing.nominated.values()) for clearing in done.clearings] == [{"n1"}]


def test_what_is_free_already_is_held_too_against_one_who_goes_first() -> None:
    state = cluster([8, 2], [quota("a", {"guaranteed": {"gpu": 10}})])
    world = World(state, grace_s=5.0)
    world.submit(*gang("old", 2, gpu=2, namespace="a", priority=200))
    world.settle()
    lost = next(p for p in world.pods.values() if p.node_name == "n1")
    world.submit(*(pod(f"low{i}", gpu=1, namespace="a") for i in range(4)))
    world.settle()
    world.submit(pod("high", gpu=6, namespace="a", priority=100))
    [clearing] = world.cycle().clearings
    assert clearing.nominated == {"uid-a-high": "n0"}
    world.end(lost.uid)
    state.remove_node("n1")
    world.submit(pod("again", gpu=2, namespace="a", annotations=dict(lost.annotations), priority=200))
    assert not world.cycle().places, "two are free, and are part of what was promised"


@pytest.mark.parametrize("later", [3, 4, 6])
def test_what_came_free_is_first_for_whom_it_was_promised_first(later: int) -> None:
    """Whoever goes first and was promised room later waits for those who leave for it."""
    state = cluster([8], [quota("a", {"guaranteed": {"gpu": 8}})])
    world = World(state, grace_s=5.0)
    world.submit(pod("soon", gpu=2, namespace="a"), pod("late", gpu=6, namespace="a", priority=1))
    world.settle()
    world.submit(pod("mid", gpu=2, namespace="a", priority=10))
    assert len(world.cycle().clearings) == 1
    world.grace_s = 100.0
    world.submit(pod("high", gpu=later, namespace="a", priority=100))
    assert len(world.cycle().clearings) == 1
    world.now_s += 6.0
    world.cycle()
    assert world.running("a") == ["mid"]
    world.now_s += 100.0
    world.cycle()
    assert world.running("a") == ["high", "mid"]
