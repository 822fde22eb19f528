"""What leaves is judged, not the gang it belongs to: its own priority, its budget, what it really costs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.gangs.groups import Replicas, Workload
from scheduler.model.disruption import DisruptionBudget
from scheduler.model.objects import Owner
from scheduler.model.plan import Budget, Policy
from scheduler.model.selection import Selector
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import gang, node, pod
from tests.teams.worlds import World, cluster, quota


@pytest.mark.parametrize("wanted", [1, 2, 3, 4])
def test_a_head_stays_though_its_workers_count_for_less(wanted: int) -> None:
    state = cluster([4], [quota("lab", {"guaranteed": {"gpu": 4}})])
    roles = (Replicas(name="head", count=1), Replicas(name="spot", count=3, minimum=0))
    mixed = Workload(
        kind="RayCluster",
        api_version="ray.io/v1",
        namespace="lab",
        name="mixed",
        uid="rc",
        generation=1,
        roles=roles,
    )
    state.set_group(mixed)
    owner = Owner(api_version="ray.io/v1", kind="RayCluster", name="mixed", uid="rc")
    world = World(state)
    head = {"ray.io/node-type": "head", "ray.io/group": "headgroup"}
    world.submit(pod("head", gpu=1, namespace="lab", owner=owner, labels=head, priority=1000))
    worker = {"ray.io/node-type": "worker", "ray.io/group": "spot"}
    for index in range(3):
        name = f"worker-{index}"
        world.submit(pod(name, gpu=1, namespace="lab", owner=owner, labels=worker, priority=10))
    world.settle()
    assert len(world.running("lab")) == 4
    world.submit(pod("usual", gpu=wanted, namespace="lab", priority=500, created_s=1.0))
    world.settle()
    assert "head" in world.running("lab")
    assert ("usual" in world.running("lab")) == (wanted <= 3)
    assert len(world.running("lab")) == (5 - wanted if wanted <= 3 else 4)


def _lending(*, guarded: int | None, owed: int = 8) -> World:
    """Three gangs of ``a`` on three nodes, two of them beyond its guarantee; all pods may have a budget."""
    guarantees = {"a": 8, "b": owed}
    state = cluster([8] * 3, [quota(t, {"guaranteed": {"gpu": g}}) for t, g in guarantees.items()])
    world = World(state)
    for name in ("old", "middle", "young"):
        labels = {"app": name}
        world.submit(*gang(name, 4, gpu=2, namespace="a", labels=labels))
        world.settle()
        world.now_s += 600
    if guarded is not None:
        requirement = Selector(requirements=())
        for name in ("young",):
            state.disruption.put(
                DisruptionBudget(namespace="a", name=name, selector=requirement, allowed=guarded)
            )
    return world


@pytest.mark.parametrize(("allowed", "leaves"), [(None, 4), (12, 4), (4, 4), (3, 0), (0, 0)])
def test_a_budget_that_does_not_let_a_whole_gang_go_lets_nobody_go(allowed: int | None, leaves: int) -> None:
    world = _lending(guarded=allowed)
    world.submit(pod("needs", gpu=8, namespace="b"))
    done = world.cycle()
    victims = [one.name for clearing in done.clearings for victim in clearing.victims for one in victim.pods]
    assert len(victims) == leaves
    assert {name.partition("-")[0] for name in victims} <= {"young"}


def test_two_beneficiaries_of_one_plan_share_what_a_budget_allows() -> None:
    for allowed, leave in ((4, 4), (7, 4), (8, 8)):
        world = _lending(guarded=allowed, owed=16)
        world.submit(pod("first", gpu=8, namespace="b"))
        world.submit(*gang("second", 2, gpu=4, namespace="b", created_s=2.0))
        done = world.cycle()
        gone = [one for clearing in done.clearings for victim in clearing.victims for one in victim.pods]
        assert len(gone) == leave


@pytest.mark.parametrize(("allowed", "leave"), [(2, 2), (1, 0)])
def test_a_budget_holds_where_the_order_displaces(allowed: int, leave: int) -> None:
    state = ClusterState("stowplan")
    state.follows = True
    state.set_node(node("n0"))
    for one in gang("low", 2, gpu=4):
        state.set_pod(replace(one, node_name="n0", phase="Running", started_s=0.0))
    state.disruption.put(DisruptionBudget(namespace="team", name="low", selector=Selector(), allowed=allowed))
    state.set_pod(pod("urgent", gpu=8, priority=100, created_s=50.0))
    done = plan(state.snapshot(100.0), Policy(displaces=True), Budget())
    assert sum(len(victim.pods) for clearing in done.clearings for victim in clearing.victims) == leave


@pytest.mark.parametrize("useless", range(4))
@pytest.mark.parametrize(("allowed", "leave"), [(3, 1), (1, 1), (0, 0)])
def test_the_order_takes_no_more_of_a_service_than_its_budget_lets_go(
    allowed: int, leave: int, useless: int
) -> None:
    """Of the pods of a service, each on a node of its own, those that came last are of no use to anybody."""
    state = ClusterState("stowplan")
    state.follows = True
    for index in range(4):
        state.set_node(node(f"n{index}", gpu=2 if index >= 4 - useless else 4))
        one = pod(f"web-{index}", gpu=2, created_s=float(index))
        state.set_pod(replace(one, node_name=f"n{index}", phase="Running", started_s=0.0))
    state.disruption.put(DisruptionBudget(namespace="team", name="web", selector=Selector(), allowed=allowed))
    state.set_pod(pod("urgent", gpu=4, priority=100, created_s=50.0))
    done = plan(state.snapshot(100.0), Policy(displaces=True), Budget())
    victims = [one for clearing in done.clearings for victim in clearing.victims for one in victim.pods]
    assert len(victims) == leave
    assert all("team/urgent" in clearing.why for clearing in done.clearings)


@pytest.mark.parametrize(("allowed", "leave"), [(2, 2), (1, 0), (0, 0)])
def test_the_order_takes_two_of_a_service_where_its_budget_lets_two_go(allowed: int, leave: int) -> None:
    state = ClusterState("stowplan")
    state.follows = True
    state.set_node(node("n0"))
    for index in range(4):
        one = pod(f"web-{index}", gpu=2, created_s=float(index))
        state.set_pod(replace(one, node_name="n0", phase="Running", started_s=0.0))
    state.disruption.put(DisruptionBudget(namespace="team", name="web", selector=Selector(), allowed=allowed))
    state.set_pod(pod("urgent", gpu=4, priority=100, created_s=50.0))
    done = plan(state.snapshot(100.0), Policy(displaces=True), Budget())
    assert sum(len(victim.pods) for clearing in done.clearings for victim in clearing.victims) == leave


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(2, 8), min_size=2, max_size=4),
    asks=st.lists(st.integers(1, 8), min_size=4, max_size=16),
    wanted=st.integers(2, 6),
    each=st.integers(1, 3),
)
def test_the_order_evicts_nobody_without_whom_there_is_room(
    sizes: list[int], asks: list[int], wanted: int, each: int
) -> None:
    state = ClusterState("stowplan")
    state.follows = True
    free = dict.fromkeys((f"n{index}" for index in range(len(sizes))), 0)
    for index, size in enumerate(sizes):
        state.set_node(node(f"n{index}", gpu=size))
        free[f"n{index}"] = size
    for index, ask in enumerate(asks):
        name = next((name for name, left in free.items() if left >= ask), "")
        if name:
            one = pod(f"low-{index}", gpu=ask, created_s=float(index))
            state.set_pod(replace(one, node_name=name, phase="Running", started_s=0.0))
            free[name] -= ask
    for one in gang("urgent", wanted, gpu=each, priority=100, created_s=50.0):
        state.set_pod(one)
    done = plan(state.snapshot(100.0), Policy(displaces=True), Budget())
    victims = [one for clearing in done.clearings for victim in clearing.victims for one in victim.pods]
    for spared in victims:
        left = dict(free)
        for one in victims:
            left[one.node_name] += 0 if one is spared else asks[int(one.name.removeprefix("low-"))]
        assert sum(gpus // each for gpus in left.values()) < wanted


def test_an_eviction_that_the_budget_does_not_count_yet_is_counted() -> None:
    world = _lending(guarded=4)
    young = [one for one in world.pods.values() if one.name.startswith("young")]
    world.state.roll.condemn(one.uid for one in young[:1])
    world.submit(pod("needs", gpu=8, namespace="b"))
    assert not world.cycle().clearings


@pytest.mark.parametrize("allowed", [3, 4])
def test_a_budget_that_is_seen_later_than_the_pod_goes_counts_it_all_the_same(allowed: int) -> None:
    world = _lending(guarded=allowed)
    young = [one for one in world.pods.values() if one.name.startswith("young")]
    world.state.roll.condemn(one.uid for one in young[:1])
    world.submit(replace(young[0], is_deleting=True), pod("needs", gpu=8, namespace="b"))
    assert bool(world.cycle().clearings) == (allowed > 3)
    # By then the budget that allows so many counts without it.
    world.now_s += 10.0
    assert bool(world.cycle().clearings) == (allowed == 3)


def test_a_pod_of_two_budgets_is_no_victim() -> None:
    world = _lending(guarded=100)
    world.state.disruption.put(
        DisruptionBudget(namespace="a", name="second", selector=Selector(), allowed=100)
    )
    world.submit(pod("needs", gpu=8, namespace="b"))
    assert not world.cycle().clearings


def test_a_gang_that_lost_a_member_for_a_moment_is_not_the_cheapest() -> None:
    state = cluster([8] * 6, [quota("a", {"guaranteed": {"gpu": 8}}), quota("b", {"guaranteed": {"gpu": 8}})])
    world = World(state)
    large = gang("large", 5, gpu=8, namespace="a")
    world.submit(*large)
    world.settle()
    world.submit(pod("small", gpu=8, namespace="a"))
    world.settle()
    world.now_s += 3_600
    # One member is lost with its node; its replacement and the beneficiary come in the same plan.
    (lost,) = [one for one in world.pods.values() if one.uid == large[0].uid]
    world.end(lost.uid)
    state.remove_node(lost.node_name)
    world.submit(replace(large[0], uid="large-again"))
    world.submit(*gang("needs", 1, gpu=8, namespace="b", created_s=5.0))
    for _ in range(5):
        done = world.cycle()
        world.now_s += 1
        assert all(victim.gang.key.name != "large" for c in done.clearings for victim in c.victims)
    assert len([name for name in world.running("a") if name.startswith("large")]) == 4
    assert world.running("b") == ["needs-0"]


def test_a_guarantee_is_served_under_a_name_that_took_room_before() -> None:
    state = cluster([8] * 2, [quota("a", {"guaranteed": {"gpu": 8}}), quota("b", {"guaranteed": {"gpu": 8}})])
    world = World(state)
    for run in range(3):
        world.submit(*(replace(p, uid=f"{p.uid}-{run}") for p in gang("borrower", 2, gpu=8, namespace="a")))
        world.settle()
        assert len(world.running("a")) == 2
        nightly = [replace(p, uid=f"{p.uid}-{run}") for p in gang("nightly", 2, gpu=4, namespace="b")]
        world.submit(*nightly)
        world.settle()
        assert len(world.running("b")) == 2, f"run {run}"
        world.end(*(p.uid for p in nightly))
        world.end(*[uid for uid, p in world.pods.items() if p.namespace == "a"])
        world.now_s += 30 * 86_400


def test_an_eviction_that_was_not_carried_out_is_no_eviction_for_anybody() -> None:
    world = _lending(guarded=None)
    world.submit(pod("needs", gpu=8, namespace="b"))
    (clearing,) = world.cycle().clearings
    victims = [one for victim in clearing.victims for one in victim.pods]
    for one in victims:  # Refused after all: they stay.
        world.leaving.pop(one.uid)
        world.submit(replace(world.pods.get(one.uid, one), is_deleting=False))
        world.state.roll.pardon(one.uid)
    (again,) = world.cycle().clearings
    assert again.victims[0].gang.key == clearing.victims[0].gang.key
