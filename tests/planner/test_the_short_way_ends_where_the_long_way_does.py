"""A cycle with one plain pod to decide lays out less than others do, and decides the same to the last bit."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.cycles import Cycles
from scheduler.gangs.healing import Healing
from scheduler.model.objects import Node, Pod
from scheduler.model.plan import Budget, Policy, Prices
from scheduler.model.selection import PodTerm, Selector, Taint
from scheduler.planner import plan
from scheduler.record import encode, replay
from scheduler.state import ClusterState
from tests.builders import gang, node, pod, shape

RACK = "topology.stowplan.dev/rack"
#: Prices of a label that no node has: the stages look for them, so that they are gone through, and find none.
LONG_WAY = Policy(prices=(Prices(label="nobody.has/this", values=()),))
#: Nobody of its namespace beside it.
ALONE = PodTerm(topology_key=RACK, selector=Selector(), namespaces=("team",))
SOFT = Taint(key="old", value="", effect="PreferNoSchedule")


def drawn_node(rng: random.Random, name: str) -> Node:
    found = node(
        name,
        gpu=rng.choice((0, 4, 8)),
        cpu=rng.choice((16_000, 96_000)),
        labels={RACK: f"r{rng.randrange(2)}"},
        is_unschedulable=rng.random() < 0.1,
    )
    return replace(found, taints=(SOFT,)) if rng.random() < 0.1 else found


def drawn_pods(rng: random.Random, name: str) -> list[Pod]:
    """Plain pods mostly, now and then one that looks at more than room, or a gang."""
    of = shape(gpu=rng.choice((0, 1, 2, 8)), cpu=rng.choice((500, 8_000)))
    match rng.randrange(12):
        case 0:
            topology = {"stowplan.dev/topology-preferred": RACK} if rng.random() < 0.5 else {}
            return [
                replace(one, annotations=tuple(sorted((*one.annotations, *topology.items()))))
                for one in gang(name, rng.randint(2, 4), of=of)
            ]
        case 1:
            return [pod(name, of=replace(of, spot="avoid"))]
        case 2:
            return [pod(name, of=of, gates=("later",))]
        case 3:
            return [pod(name, of=replace(of, pod_anti_affinity=(ALONE,)))]
        case 4 | 5:
            return [pod(f"{name}-{i}", of=shape(gpu=1 + i)) for i in range(2)]
        case _:
            return [pod(name, of=of, priority=rng.randrange(2))]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_cycle_by_cycle_both_ways_and_a_replay_say_the_same(seed: int) -> None:
    rng = random.Random(seed)
    state = ClusterState("stowplan")
    for i in range(rng.randint(1, 6)):
        state.set_node(drawn_node(rng, f"n{i}"))
    cycles = Cycles(state, policy=Policy(), budget=Budget(), healing=Healing())
    bound: list[Pod] = []
    for step in range(25):
        match rng.randrange(8):
            case 0:
                state.set_node(drawn_node(rng, f"n{rng.randrange(6)}"))
            case 1 | 2 if bound:
                state.remove_pod(bound.pop(rng.randrange(len(bound))).uid)
            case _:
                for one in drawn_pods(rng, f"p{step}"):
                    state.set_pod(replace(one, created_s=float(step)))
        begun = cycles.begin(float(step), float(step))
        planned = begun.plan()
        longer = plan(begun.snapshot, LONG_WAY, Budget(), begun.settled)
        assert encode(planned) == encode(longer)
        # A replay knows the nodes by nothing but their names, so that nothing kept of them can help it.
        assert replay(begun.record(planned))[2]
        accepted, dropped = cycles.admit(planned.places, lambda key: False)
        assert not dropped
        for assignment in (a for place in accepted for a in place.assignments):
            bound.append(replace(assignment.pod, node_name=assignment.node, phase="Running"))
            state.set_pod(bound[-1])
        cycles.remember(begun, planned)


def planned_both_ways(state: ClusterState) -> list[str]:
    """Where pods go, which is the same either way."""
    snapshot = state.snapshot()
    found = plan(snapshot, Policy(), Budget())
    assert encode(found) == encode(plan(snapshot, LONG_WAY, Budget()))
    return [a.node for place in found.places for a in place.assignments]


def test_a_level_that_somebody_waits_for_breaks_ties() -> None:
    """Three nodes are empty; the one in the fuller rack is taken where racks are looked at."""
    state = ClusterState("stowplan")
    for i, rack in enumerate(("a", "a", "b", "b")):
        state.set_node(node(f"n{i}", labels={RACK: rack}))
    state.set_pod(pod("runs", gpu=8, node="n3", phase="Running"))
    state.set_pod(pod("new", gpu=1))
    assert planned_both_ways(state) == ["n0"]
    awaited = gang("awaited", 2)[0]
    words = tuple(sorted((*awaited.annotations, ("stowplan.dev/topology-preferred", RACK))))
    state.set_pod(replace(awaited, annotations=words))
    assert planned_both_ways(state) == ["n2"]


def test_a_pod_that_avoids_spot_nodes_does() -> None:
    state = ClusterState("stowplan")
    state.set_node(node("n0", labels={"cloud.google.com/gke-spot": "true"}))
    state.set_node(node("n1"))
    state.set_pod(pod("new", of=replace(shape(gpu=1), spot="avoid")))
    assert planned_both_ways(state) == ["n1"]


def test_two_that_come_at_once_both_start() -> None:
    state = ClusterState("stowplan")
    state.set_node(node("n0"))
    for i in range(2):
        state.set_pod(pod(f"new-{i}", of=shape(gpu=1 + i)))
    assert planned_both_ways(state) == ["n0", "n0"]


@pytest.mark.parametrize("of", [shape(gpu=1), shape(gpu=8)], ids=["fits", "waits"])
def test_whoever_waits_already_keeps_what_is_known_of_it(of: object) -> None:
    """The newcomer goes beside a gang that is known not to fit; the gang is told what it was told before."""
    state = ClusterState("stowplan")
    state.set_node(node("n0"))
    cycles = Cycles(state, policy=Policy(), budget=Budget(), healing=Healing())
    state.set_pod(pod("runs", gpu=4, node="n0", phase="Running"))
    for one in gang("large", 2, gpu=8):
        state.set_pod(one)
    first = cycles.begin(0.0, 0.0)
    cycles.remember(first, first.plan())
    state.set_pod(pod("new", of=of, created_s=1.0))  # type: ignore[arg-type] # parametrised
    second = cycles.begin(1.0, 1.0)
    again, found = cycles.told_again(), second.plan()
    assert encode(found) == encode(plan(second.snapshot, LONG_WAY, Budget(), second.settled))
    assert [told.message for _, told in again] == [v.message for v in first.plan().verdicts]
    assert len(found.places) == (of == shape(gpu=1))
