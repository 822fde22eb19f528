"""Between planning and acting the cluster moves on: what no longer holds is dropped, the rest goes ahead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from scheduler.model.gang import GangKey, Waiting
from scheduler.model.objects import Pod
from scheduler.model.plan import Budget, Place, Policy
from scheduler.model.selection import HostPort
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import gang, node, pod, shape

MEMBERS = gang("g", 3, gpu=8)
KEY = GangKey(namespace="team", dialect="own", name="g")


def planned() -> tuple[ClusterState, Place]:
    """Four nodes of eight GPUs, and a plan for a gang of three."""
    state = ClusterState("stowplan")
    for i in range(4):
        state.set_node(node(f"n{i}"))
    for one in MEMBERS:
        state.set_pod(one)
    (place,) = plan(state.snapshot(), Policy(), Budget()).places
    return state, place


def test_an_unchanged_cluster_raises_no_objection() -> None:
    state, place = planned()
    assert state.objection(place) is None


def fill(state: ClusterState, place: Place) -> None:
    on = place.assignments[0].node
    state.set_pod(pod("foreign", gpu=1, node=on, phase="Running", scheduler="another"))


def cordon(state: ClusterState, place: Place) -> None:
    state.set_node(node(place.assignments[0].node, is_unschedulable=True))


def shrink(state: ClusterState, place: Place) -> None:
    state.set_node(node(place.assignments[1].node, gpu=4))


def drop_node(state: ClusterState, place: Place) -> None:
    state.remove_node(place.assignments[2].node)


def delete_member(state: ClusterState, place: Place) -> None:
    state.remove_pod(place.assignments[0].pod.uid)


def deleting_member(state: ClusterState, place: Place) -> None:
    state.set_pod(replace(place.assignments[0].pod, is_deleting=True))


def bound_member(state: ClusterState, place: Place) -> None:
    state.set_pod(replace(place.assignments[0].pod, node_name="elsewhere"))


def raise_minimum(state: ClusterState, place: Place) -> None:
    for one in gang("g", 4, gpu=8):
        state.set_pod(one)


def assume_another(state: ClusterState, place: Place) -> None:
    other = pod("other", gpu=8)
    state.set_pod(other)
    state.assume(replace(place.assignments[0], pod=other))


@pytest.mark.parametrize(
    "change",
    [
        fill,
        cordon,
        shrink,
        drop_node,
        delete_member,
        deleting_member,
        bound_member,
        raise_minimum,
        assume_another,
    ],
)
def test_a_plan_that_no_longer_holds_is_dropped(change: Callable[[ClusterState, Place], None]) -> None:
    state, place = planned()
    change(state, place)
    assert state.objection(place) is not None


def test_a_gang_on_hold_waits_until_it_is_released() -> None:
    state, place = planned()
    state.gangs.hold(KEY, "back-off", Waiting(reason="backing off"))
    assert state.objection(place) is not None
    held = plan(state.snapshot(), Policy(), Budget())
    assert held.places == ()
    assert [v.message for v in held.verdicts] == ["backing off"]
    state.gangs.unhold(KEY, "back-off")
    assert len(plan(state.snapshot(), Policy(), Budget()).places) == 1


def test_a_partly_bound_gang_is_known_until_it_stands_or_is_gone() -> None:
    state, _ = planned()
    bound: list[Pod] = [replace(p, node_name=f"n{i}", phase="Running") for i, p in enumerate(MEMBERS)]
    state.set_pod(bound[0])
    assert state.partial() == {KEY: (1, 3)}
    assert [p.uid for p in state.remains(KEY)[1]] == [bound[0].uid]
    for one in bound[1:]:
        state.set_pod(one)
    assert state.partial() == {}
    state.set_pod(replace(bound[2], phase="Failed"))
    assert state.partial() == {KEY: (2, 3)}
    state.set_pod(replace(bound[2], phase="Succeeded"))
    assert state.partial() == {}
    for one in bound:
        state.remove_pod(one.uid)
    assert state.partial() == {}
    assert state.gang_keys() == []


def confirmed(found: Pod, on: str) -> Pod:
    """The pod as the API server shows it once a Binding of ours has landed."""
    return replace(
        found,
        node_name=on,
        resource_version="2",
        annotations=(*found.annotations, ("stowplan.dev/epoch", "7")),
        labels=(*found.labels, ("topology.kubernetes.io/zone", "a")),
    )


def test_a_binding_that_landed_as_planned_is_no_news() -> None:
    state, place = planned()
    for assignment in place.assignments:
        state.assume(assignment)
    assert not any(state.set_pod(confirmed(a.pod, a.node)) for a in place.assignments)
    (first, *_) = place.assignments
    assert state.set_pod(replace(confirmed(first.pod, first.node), labels=(("team", "other"),)))


def test_a_label_copied_by_a_binding_is_news_where_pods_may_select_others_by_it() -> None:
    state, place = planned()
    state.set_pod(
        pod("other", of=shape(gpu=1, host_ports=(HostPort(protocol="TCP", host_ip="0.0.0.0", port=9000),)))
    )
    plan(state.snapshot(), Policy(), Budget())
    (first, *_) = place.assignments
    state.assume(first)
    assert state.set_pod(confirmed(first.pod, first.node))
