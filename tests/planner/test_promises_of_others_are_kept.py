"""A node that another scheduler promised to its pod is left to it by whoever is no more urgent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.model.objects import Pod
from scheduler.model.plan import Budget, Policy
from scheduler.model.selection import HostPort, PodTerm, Requirement, Selector
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import gang, node, pod, shape

PORT = HostPort(protocol="TCP", host_ip="0.0.0.0", port=80)
NEW = Selector(requirements=(Requirement(key="app", operator="In", values=("new",)),))
AWAY = PodTerm(topology_key="zone", selector=NEW, namespaces=("team",))
NOBODY = PodTerm(topology_key="zone", selector=None, namespaces=("team",))


def promised(name: str, on: str, *, priority: int = 1_000, **fields: object) -> Pod:
    theirs = {"scheduler": "default-scheduler", "priority": priority, **fields}
    bare = pod(name, **theirs)  # type: ignore[arg-type] # fields of a pod by name
    return replace(bare, nominated_node=on)


def cluster(*nodes: str) -> ClusterState:
    state = ClusterState("stowplan")
    for name in nodes:
        state.set_node(node(name, labels={"zone": "z"}))
    return state


def placed(state: ClusterState) -> dict[str, str]:
    decided = plan(state.snapshot(), Policy(), Budget())
    return {a.pod.name: a.node for place in decided.places for a in place.assignments}


@pytest.mark.parametrize(("priority", "starts"), [(0, False), (1_000, False), (1_001, True)])
def test_the_room_is_left_by_who_is_no_more_urgent(priority: int, starts: bool) -> None:
    state = cluster("n0")
    state.set_pod(promised("preemptor", "n0", gpu=8))
    state.set_pod(pod("thief", gpu=8, priority=priority))
    assert bool(placed(state)) == starts


def test_what_is_left_beside_it_is_used() -> None:
    state = cluster("n0")
    state.set_pod(promised("preemptor", "n0", gpu=5))
    for one in gang("g", 3, gpu=1):
        state.set_pod(one)
    assert placed(state) == {f"g-{i}": "n0" for i in range(3)}


def test_a_gang_takes_part_of_no_promise() -> None:
    state = cluster("n0", "n1")
    state.set_pod(promised("preemptor", "n0", gpu=8))
    for one in gang("g", 2, gpu=8):
        state.set_pod(one)
    assert placed(state) == {}


@pytest.mark.parametrize("how", ["withdrawn", "bound elsewhere", "gone", "deleted"])
def test_a_promise_that_ends_wakes_who_waits(how: str) -> None:
    state = cluster("n0")
    theirs = promised("preemptor", "n0", gpu=8)
    state.set_pod(theirs)
    state.set_pod(pod("waits", gpu=8))
    assert placed(state) == {}
    before = state.releases
    match how:
        case "withdrawn":
            assert state.set_pod(replace(theirs, nominated_node=""))
        case "bound elsewhere":
            assert state.set_pod(replace(theirs, node_name="far", phase="Running"))
        case "deleted":
            assert state.set_pod(replace(theirs, is_deleting=True))
        case _:
            state.remove_pod(theirs.uid)
    assert state.releases > before
    assert placed(state) == {"waits": "n0"}


def test_rules_between_pods_hold_beside_those_promised_on_their_node_alone() -> None:
    state = cluster("n0", "n1")
    state.set_pod(promised("keeps away", "n0", of=shape(pod_anti_affinity=(AWAY,))))
    # kube-scheduler looks at such terms only for a pod that has some itself, or that a placed pod keeps away.
    state.set_pod(pod("new", labels={"app": "new"}, of=shape(pod_anti_affinity=(NOBODY,))))
    # As in kube-scheduler, who may yet go elsewhere forbids its own node only, not all of its zone.
    assert placed(state) == {"new": "n1"}


def test_a_host_port_is_left_too() -> None:
    state = cluster("n0")
    state.set_pod(promised("listens", "n0", of=shape(host_ports=(PORT,))))
    state.set_pod(pod("new", of=shape(host_ports=(PORT,))))
    assert placed(state) == {}


def test_an_absurd_promise_harms_nobody_else() -> None:
    state = cluster("n0", "n1")
    for i in range(50):
        state.set_pod(promised(f"absurd-{i}", "n0", of=shape(memory=2**53)))
    state.set_pod(pod("new", gpu=8))
    assert placed(state) == {"new": "n1"}


def test_a_promise_made_while_a_plan_was_made_is_an_objection() -> None:
    state = cluster("n0")
    state.set_pod(pod("new", gpu=8))
    (place,) = plan(state.snapshot(), Policy(), Budget()).places
    assert state.objection(place) is None
    state.set_pod(promised("quicker", "n0", gpu=1))
    assert state.objection(place) == "capacity was promised to others meanwhile"
