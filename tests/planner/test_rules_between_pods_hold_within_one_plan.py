"""Anti-affinity, affinity, spread and topology between pods that one plan places together."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.objects import Pod
from scheduler.model.plan import Budget, Plan, Policy
from scheduler.model.selection import HostPort, PodTerm, Requirement, Selector, SpreadConstraint
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import gang, node, pod, shape

RACK = "rack"
HOSTNAME = "kubernetes.io/hostname"
BUDGET = Budget(per_gang=1.0, total=4.0)


def term(app: str, key: str) -> PodTerm:
    selector = Selector(requirements=(Requirement(key="app", operator="In", values=(app,)),))
    return PodTerm(topology_key=key, selector=selector, namespaces=("team",))


def planned(pods: list[Pod], *, nodes: int = 8, racks: int = 2, gpu: int = 8) -> tuple[Plan, dict[str, str]]:
    """The plan for these pods on equal nodes in racks, and each placed pod's rack."""
    state = ClusterState("stowplan")
    for i in range(nodes):
        state.set_node(node(f"n{i}", gpu=gpu, labels={RACK: f"r{i % racks}"}))
    for one in pods:
        state.set_pod(one)
    result = plan(state.snapshot(), Policy(), BUDGET)
    racks_of = {f"n{i}": f"r{i % racks}" for i in range(nodes)}
    placed = {a.pod.name: racks_of[a.node] for p in result.places for a in p.assignments}
    return result, placed


def labelled(pods: list[Pod], app: str) -> list[Pod]:
    return [
        pod(p.name, of=p.shape, annotations=dict(p.annotations), labels={"app": app}, created_s=p.created_s)
        for p in pods
    ]


def test_a_gang_whose_pods_repel_each_other_uses_as_many_nodes_as_pods() -> None:
    apart = shape(gpu=1, pod_anti_affinity=(term("a", HOSTNAME),), namespace="team", labels=(("app", "a"),))
    result, placed = planned(labelled(gang("g", 6, of=apart), "a"))
    nodes = [a.node for p in result.places for a in p.assignments]
    assert len(placed) == 6
    assert len(set(nodes)) == 6


def test_a_gang_that_repels_itself_beyond_the_nodes_is_refused_whole() -> None:
    apart = shape(gpu=1, pod_anti_affinity=(term("a", HOSTNAME),), namespace="team", labels=(("app", "a"),))
    result, placed = planned(labelled(gang("g", 9, of=apart), "a"))
    assert placed == {}
    assert [v.reason for v in result.verdicts] == ["Unschedulable"]


def test_a_gang_that_attracts_itself_lands_in_one_rack() -> None:
    together = shape(gpu=8, pod_affinity=(term("a", RACK),), namespace="team", labels=(("app", "a"),))
    _, placed = planned(labelled(gang("g", 4, of=together), "a"))
    assert len(placed) == 4
    assert len(set(placed.values())) == 1


def test_a_gang_spreads_evenly_where_it_must() -> None:
    constraint = SpreadConstraint(
        topology_key=RACK, max_skew=1, is_required=True, selector=term("a", RACK).selector
    )
    even = shape(gpu=1, spread=(constraint,), namespace="team", labels=(("app", "a"),))
    _, placed = planned(labelled(gang("g", 7, of=even), "a"))
    assert sorted(Counter(placed.values()).values()) == [3, 4]


def test_pods_with_one_host_port_never_share_a_node() -> None:
    port = HostPort(protocol="TCP", host_ip="0.0.0.0", port=2222)
    result, placed = planned(gang("g", 5, of=shape(gpu=1, host_ports=(port,))))
    nodes = [a.node for p in result.places for a in p.assignments]
    assert len(placed) == 5
    assert len(set(nodes)) == 5


@pytest.mark.parametrize("size", [3, 4])
def test_a_required_topology_keeps_a_gang_inside_one_domain_or_out(size: int) -> None:
    pods = [
        pod(
            p.name,
            of=p.shape,
            annotations={**dict(p.annotations), "stowplan.dev/topology-required": RACK},
        )
        for p in gang("g", size, gpu=8)
    ]
    _, placed = planned(pods, nodes=6, racks=2)
    assert len(placed) == (size if size <= 3 else 0)
    assert len(set(placed.values())) <= 1


@given(seed=st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_gangs_of_several_roles_respect_anti_affinity_across_roles(seed: int) -> None:
    rng = random.Random(seed)
    pods: list[Pod] = []
    for g in range(rng.randint(1, 4)):
        app = f"app{g}"
        words = {"stowplan.dev/gang": app, "stowplan.dev/gang-min-member": "3"}
        for i in range(3):
            rule = shape(
                gpu=rng.randint(0, 4),
                pod_anti_affinity=(term(app, rng.choice((HOSTNAME, RACK))),) if i < 2 else (),
                namespace="team",
                labels=(("app", app),),
            )
            pods.append(pod(f"{app}-{i}", of=rule, annotations=words, labels={"app": app}))
    result, _ = planned(pods, nodes=rng.randint(1, 6), racks=3)
    where: dict[str, list[tuple[Pod, str, str]]] = defaultdict(list)
    racks_of = {f"n{i}": f"r{i % 3}" for i in range(6)}
    for place in result.places:
        assert len(place.assignments) == 3
        for a in place.assignments:
            where[dict(a.pod.labels)["app"]].append((a.pod, a.node, racks_of[a.node]))
    for placed in where.values():
        for one, on, rack in placed:
            others = [(n, r) for other, n, r in placed if other is not one]
            for apart in one.shape.pod_anti_affinity:
                used = {n for n, _ in others} if apart.topology_key == HOSTNAME else {r for _, r in others}
                assert (on if apart.topology_key == HOSTNAME else rack) not in used
