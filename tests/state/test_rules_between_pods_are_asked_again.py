"""Pods come, go and change labels while a gang waits, is planned and bound: its rules hold to the end."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.cycles import Cycles, unfit
from scheduler.gangs.healing import Healing
from scheduler.model.objects import Pod, Shape
from scheduler.model.plan import Assignment, Budget, Place, Policy
from scheduler.model.selection import HostPort, PodTerm, Requirement, Selector, SpreadConstraint
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import gang, node, pod, shape

HOST = "kubernetes.io/hostname"
PORT = HostPort(protocol="TCP", host_ip="0.0.0.0", port=80)


def chosen(key: str, value: str) -> Selector:
    return Selector(requirements=(Requirement(key=key, operator="In", values=(value,)),))


def term(key: str, value: str, topology: str = HOST) -> PodTerm:
    return PodTerm(topology_key=topology, selector=chosen(key, value), namespaces=("team",))


LEADER = term("role", "leader")
AWAY = shape(pod_anti_affinity=(LEADER,))
NEAR = shape(pod_affinity=(LEADER,))
EVEN = shape(
    spread=(
        SpreadConstraint(topology_key=HOST, max_skew=1, is_required=True, selector=chosen("role", "leader")),
    )
)


def cluster(nodes: int = 2) -> ClusterState:
    state = ClusterState("stowplan")
    for i in range(nodes):
        state.set_node(node(f"n{i}"))
    return state


def other(name: str, on: str, *, role: str = "leader", of: Shape | None = None) -> Pod:
    return pod(name, of=of, node=on, phase="Running", labels={"role": role}, scheduler="another")


def decided(state: ClusterState) -> dict[str, str]:
    places = plan(state.snapshot(), Policy(), Budget()).places
    return {a.pod.name: a.node for place in places for a in place.assignments}


@pytest.mark.parametrize("looked", [False, True])
@pytest.mark.parametrize(("of", "node_name"), [(AWAY, "n1"), (NEAR, "n0")])
def test_a_label_set_later_counts(of: Shape, node_name: str, looked: bool) -> None:
    state = cluster()
    state.set_pod(other("db", "n0", role="follower"))
    if looked:
        state.set_pod(pod("first", of=NEAR))
        assert decided(state) == {}
        state.remove_pod("uid-team-first")
    assert state.set_pod(other("db", "n0")) or not looked
    state.set_pod(pod("new", of=of))
    assert decided(state) == {"new": node_name}


def test_a_label_set_later_wakes_who_waits_for_it() -> None:
    state = cluster()
    state.set_pod(other("db", "n0", role="follower"))
    state.set_pod(pod("new", of=NEAR))
    assert decided(state) == {}
    before = state.releases
    assert state.set_pod(other("db", "n0"))
    assert state.releases > before


def test_spread_does_not_count_pods_that_are_being_deleted_and_affinity_does() -> None:
    state = cluster()
    state.set_pod(replace(other("db", "n0"), is_deleting=True))
    state.set_pod(pod("even", of=EVEN, labels={"role": "leader"}))
    state.set_pod(pod("near", of=NEAR))
    assert decided(state)["near"] == "n0"
    for i in range(3):
        state.set_pod(replace(other(f"db-{i}", "n0"), is_deleting=True))
    state.set_pod(other("there", "n1"))
    assert decided(state)["even"] == "n0"


CONFLICTS = {
    "one that it avoids comes": (AWAY, other("late", "n0")),
    "one that avoids it comes": (
        shape(),
        other("late", "n0", of=shape(pod_anti_affinity=(term("app", "g"),))),
    ),
    "its host port is taken": (shape(host_ports=(PORT,)), other("late", "n0", of=shape(host_ports=(PORT,)))),
    "it would stand out": (EVEN, other("late", "n0")),
}


def planned(of: Shape, *, beside: Pod | None = None) -> tuple[ClusterState, Place]:
    """A pod planned on the node n0, the other being cordoned."""
    state = cluster()
    state.set_node(node("n1", is_unschedulable=True))
    if beside is not None:
        state.set_pod(beside)
    labels = {"app": "g", **({"role": "leader"} if of is EVEN else {})}
    state.set_pod(pod("new", of=of, labels=labels))
    (place,) = plan(state.snapshot(), Policy(), Budget()).places
    return state, place


@pytest.mark.parametrize("kind", CONFLICTS)
def test_who_comes_after_the_plan_is_an_objection(kind: str) -> None:
    of, late = CONFLICTS[kind]
    state, place = planned(of)
    assert state.objection(place) is None
    # Spread looks at nodes that are open to the pod, of which there is one: two more make it uneven.
    state.set_node(node("n1"))
    state.set_pod(late)
    state.set_pod(replace(late, uid="later", name="later", shape=shape()))
    assert "keep pod new off node n0" in str(state.objection(place))


@pytest.mark.parametrize("kind", CONFLICTS)
def test_who_comes_before_the_binding_is_found(kind: str) -> None:
    of, late = CONFLICTS[kind]
    state, place = planned(of)
    (assignment,) = place.assignments
    state.assume(assignment)
    assert unfit(state, assignment) is None
    state.set_node(node("n1"))
    state.set_pod(late)
    state.set_pod(replace(late, uid="later", name="later", shape=shape()))
    assert "keep pod new off node n0" in str(unfit(state, assignment))


def test_who_is_needed_and_goes_is_an_objection() -> None:
    db = other("db", "n0")
    state, place = planned(NEAR, beside=db)
    state.remove_pod(db.uid)
    assert state.objection(place) is not None
    state, place = planned(NEAR, beside=db)
    state.assume(place.assignments[0])
    state.set_pod(replace(db, labels=(("role", "follower"),)))
    assert unfit(state, place.assignments[0]) is not None


def test_who_does_not_matter_is_none() -> None:
    state, place = planned(AWAY)
    state.set_pod(other("late", "n0", role="follower"))
    state.set_pod(other("far", "n1"))
    assert state.objection(place) is None
    state.assume(place.assignments[0])
    state.set_pod(other("later", "n0", role="follower"))
    assert unfit(state, place.assignments[0]) is None


def test_a_place_planned_beside_one_that_is_dropped_is_dropped_too() -> None:
    state = cluster()
    state.set_node(node("n1", is_unschedulable=True))
    state.set_pod(pod("db", labels={"role": "leader"}, priority=9))
    state.set_pod(pod("near", of=NEAR))
    places = plan(state.snapshot(), Policy(), Budget()).places
    assert [place.gang.pods[0].name for place in places] == ["db", "near"]
    state.remove_pod("uid-team-db")
    cycles = Cycles(state, policy=Policy(), budget=Budget(), healing=Healing())
    accepted, dropped = cycles.admit(places, lambda key: False)
    assert (accepted, len(dropped)) == ([], 2)


def test_bindings_that_are_confirmed_are_no_news_to_the_gang() -> None:
    """The API server copies the node's zone to the pod as it is bound: nothing came that was not planned."""
    state = cluster(4)
    avoids = shape(pod_anti_affinity=(term("app", "g"),))
    for one in gang("g", 4, of=avoids, labels={"app": "g"}):
        state.set_pod(one)
    (place,) = plan(state.snapshot(), Policy(), Budget()).places
    for assignment in place.assignments:
        state.assume(assignment)
    zone = (("app", "g"), ("topology.kubernetes.io/zone", "z"))
    for done, assignment in enumerate(place.assignments):
        for left in place.assignments[done:]:
            assert unfit(state, left) is None
        state.set_pod(replace(assignment.pod, node_name=assignment.node, phase="Running", labels=zone))


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_an_objection_is_made_if_and_only_if_a_new_plan_would_not_allow_it(seed: int) -> None:
    """Of one pod on one node: what the last look says is what a plan with that node alone says now."""
    rng = Random(seed)
    of = rng.choice([AWAY, NEAR, EVEN, shape(), shape(host_ports=(PORT,))])
    state = cluster(1)
    there = [other(f"o{i}", "n0", role=rng.choice(["leader", "follower"])) for i in range(rng.randint(0, 2))]
    for one in there:
        state.set_pod(one)
    state.set_pod(pod("new", of=of, labels={"app": "g", "role": rng.choice(["leader", "follower"])}))
    places = plan(state.snapshot(), Policy(), Budget()).places
    if not places:
        return
    for i in range(rng.randint(1, 3)):
        late = rng.choice([None, shape(host_ports=(PORT,)), shape(pod_anti_affinity=(term("app", "g"),))])
        if there and rng.random() < 0.3:
            state.remove_pod(there.pop().uid)
        elif there and rng.random() < 0.3:
            there[0] = replace(there[0], labels=(("role", rng.choice(["leader", "follower"])),))
            state.set_pod(there[0])
        else:
            state.set_pod(other(f"late{i}", "n0", role=rng.choice(["leader", "follower"]), of=late))
    objects = state.objection(places[0]) is not None
    (assignment,) = places[0].assignments
    fresh = bool(plan(state.snapshot(), Policy(), Budget()).places)
    assert objects != fresh
    assert isinstance(assignment, Assignment)
