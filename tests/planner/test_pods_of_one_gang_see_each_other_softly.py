"""Preferred rules between pods of one gang: each sees those before it, and the gang stands all the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.objects import Owner, Pod, Shape
from scheduler.model.plan import Budget, Policy
from scheduler.model.selection import PodTerm, Requirement, Selector, SpreadConstraint, WeightedPodTerm
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import gang, node, pod, shape

HOST = "kubernetes.io/hostname"
APP = Selector(requirements=(Requirement(key="app", operator="In", values=("g",)),))
LABELS = {"app": "g"}


def term(key: str) -> PodTerm:
    return PodTerm(topology_key=key, selector=APP, namespaces=("team",))


def wishing(kind: str, key: str) -> Shape:
    wish = (WeightedPodTerm(weight=10, term=term(key)),)
    match kind:
        case "away":
            return shape(gpu=1, preferred_anti_pods=wish)
        case "near":
            return shape(gpu=1, preferred_pods=wish)
        case _:
            even = SpreadConstraint(topology_key=key, max_skew=1, is_required=False, selector=APP)
            return shape(gpu=1, spread=(even,))


def cluster(nodes: int, *, gpu: int = 8, zones: int = 2) -> ClusterState:
    state = ClusterState("stowplan")
    for i in range(nodes):
        state.set_node(node(f"n{i}", gpu=gpu, labels={"zone": f"z{i % zones}"}))
    return state


def places(state: ClusterState, policy: Policy | None = None) -> dict[str, str]:
    decided = plan(state.snapshot(), policy or Policy(), Budget())
    return {a.pod.name: a.node for place in decided.places for a in place.assignments}


@pytest.mark.parametrize("kind", ["away", "even"])
@pytest.mark.parametrize("size", [4, 8, 12])
def test_a_gang_that_wishes_to_be_spread_is(kind: str, size: int) -> None:
    state = cluster(4)
    for one in gang("g", size, of=wishing(kind, HOST), labels=LABELS):
        state.set_pod(one)
    assert set(Counter(places(state).values()).values()) == {size // 4}


def test_zones_get_half_each_although_one_node_has_room_for_all() -> None:
    state = cluster(2)
    for one in gang("g", 4, of=wishing("even", "zone"), labels=LABELS):
        state.set_pod(one)
    assert Counter(places(state).values()) == {"n0": 2, "n1": 2}


def test_a_gang_that_wishes_to_be_near_itself_stays_in_one_zone() -> None:
    state = cluster(6, gpu=2)
    for one in gang("g", 6, of=wishing("near", "zone"), labels=LABELS):
        state.set_pod(one)
    assert len({int(name[1:]) % 2 for name in places(state).values()}) == 1


@pytest.mark.parametrize("kind", ["away", "even"])
def test_roles_see_each_other_too(kind: str) -> None:
    state = cluster(4)
    first, second = wishing(kind, HOST), replace(wishing(kind, HOST), requests=shape(gpu=2).requests)
    members = gang("g", 4, of=first, labels=LABELS)
    members[2:] = [replace(one, shape=second) for one in members[2:]]
    for one in members:
        state.set_pod(one)
    assert len(set(places(state).values())) == 4


def test_where_wishes_leave_no_room_for_the_rest_the_gang_stands_without_them() -> None:
    state = cluster(2)
    half, whole = shape(gpu=4, preferred_anti_pods=wishing("away", HOST).preferred_anti_pods), shape(gpu=8)
    members = gang("g", 3, of=half, labels=LABELS)
    members[2] = replace(members[2], shape=whole)
    for one in members:
        state.set_pod(one)
    found = places(state)
    assert found["g-0"] == found["g-1"] != found["g-2"]


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_wishes_never_cost_a_gang_its_place(seed: int) -> None:
    rng = Random(seed)
    size, kind, key = rng.randint(2, 12), rng.choice(["away", "near", "even"]), rng.choice([HOST, "zone"])
    nodes, gpus = rng.randint(1, 5), rng.randint(1, 4)
    minimum = rng.randint(1, size)
    count = {}
    for of in (wishing(kind, key), shape(gpu=1)):
        state = cluster(nodes, gpu=gpus)
        for one in gang("g", size, minimum=minimum, of=of, labels=LABELS):
            state.set_pod(one)
        count[of] = len(places(state))
    assert len(set(count.values())) == 1


def test_a_thousand_pods_are_spread_in_steps() -> None:
    state = cluster(50, gpu=40)
    for one in gang("g", 1_000, of=wishing("away", HOST), labels=LABELS):
        state.set_pod(one)
    assert set(Counter(places(state).values()).values()) == {20}


def owned(name: str, kind: str, *, of: Shape) -> Pod:
    api = {"Job": "batch/v1"}.get(kind, "apps/v1")
    return pod(name, of=of, owner=Owner(api_version=api, kind=kind, name="web", uid="uid-web"))


@pytest.mark.parametrize(
    ("kind", "of", "nodes"),
    [
        ("ReplicaSet", shape(), 4),
        ("StatefulSet", shape(), 4),
        ("Job", shape(), 1),
        ("ReplicaSet", shape(gpu=1), 1),
    ],
)
def test_pods_of_one_controller_spread_by_default_unless_they_ask_for_devices(
    kind: str, of: Shape, nodes: int
) -> None:
    state = cluster(4)
    for i in range(8):
        state.set_pod(owned(f"web-{i}", kind, of=of))
    assert len(set(places(state).values())) == nodes


def test_default_spread_counts_siblings_that_run() -> None:
    state = cluster(2)
    for i in range(4):
        state.set_pod(replace(owned(f"old-{i}", "ReplicaSet", of=shape()), node_name="n0", phase="Running"))
    for i in range(4):
        state.set_pod(owned(f"web-{i}", "ReplicaSet", of=shape()))
    assert Counter(places(state).values()) == {"n1": 4}


def test_default_spread_can_be_switched_off() -> None:
    state = cluster(4)
    for i in range(8):
        state.set_pod(owned(f"web-{i}", "ReplicaSet", of=shape()))
    assert len(set(places(state, Policy(default_spread=())).values())) == 1
