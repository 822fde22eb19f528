"""A kubelet's refusal is remembered: the replacement goes elsewhere for a while, and is told why it waits."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.kube import wire
from scheduler.model.objects import Owner, Pod, Rejected
from scheduler.model.plan import Budget, Plan, Policy
from scheduler.parse.pod import parse_pod
from scheduler.planner import plan
from scheduler.state import ClusterState
from scheduler.state.refusals import FIRST_S, LONGEST_S
from tests.builders import node, pod

KEYS = {"stowplan.dev/gang": "g", "stowplan.dev/gang-min-member": "2"}
JOB = Owner(api_version="batch/v1", kind="Job", name="j", uid="job")


def cluster(count: int) -> ClusterState:
    state = ClusterState("stowplan")
    for i in range(count):
        state.set_node(node(f"n{i}"))
    return state


def refused(name: str, on: str, at_s: float, reason: str = "OutOfnvidia.com/gpu", **fields: object) -> Pod:
    """A pod as its kubelet leaves it that did not admit it."""
    found = pod(name, gpu=1, node=on, phase="Failed", created_s=at_s, **fields)  # type: ignore[arg-type] # fields of pod()
    return replace(found, reason=reason)


def planned(state: ClusterState, at_s: float) -> Plan:
    return plan(state.snapshot(at_s), Policy(), Budget())


def nodes_of(found: Plan) -> dict[str, str]:
    return {a.pod.name: a.node for place in found.places for a in place.assignments}


@pytest.mark.parametrize("reason", ["OutOfcpu", "OutOfpods", "UnexpectedAdmissionError", "NodeAffinity"])
@pytest.mark.parametrize("keys", [KEYS, {}], ids=["of a gang", "single"])
def test_the_replacement_goes_to_another_node(reason: str, keys: dict[str, str]) -> None:
    state = cluster(2)
    state.set_pod(pod("mate", gpu=1, node="n0", phase="Running", annotations=keys, owner=JOB))
    state.set_pod(refused("lost", "n0", 100.0, reason, annotations=keys, owner=JOB))
    state.set_pod(pod("again", gpu=1, created_s=101.0, annotations=keys, owner=JOB))
    assert nodes_of(planned(state, 101.0)) == {"again": "n1"}


def test_a_process_that_failed_says_nothing_about_its_node() -> None:
    state = cluster(1)
    state.set_pod(refused("lost", "n0", 100.0, "Error", owner=JOB))
    state.set_pod(pod("again", gpu=1, created_s=101.0, owner=JOB))
    assert nodes_of(planned(state, 101.0)) == {"again": "n0"}


def test_where_there_is_no_other_node_it_waits_and_is_told_why_for_as_long_as_that() -> None:
    state = cluster(1)
    state.set_pod(refused("lost", "n0", 100.0, owner=JOB))
    state.set_pod(pod("again", gpu=1, created_s=101.0, owner=JOB))
    (verdict,) = planned(state, 101.0).verdicts
    assert "1 node(s) whose kubelet turned down a pod of it a moment ago" in verdict.message
    assert verdict.reason != "NeverFits"
    assert nodes_of(planned(state, 100.0 + FIRST_S + 1.0)) == {"again": "n0"}


@settings(max_examples=30, deadline=None)
@given(times=st.integers(1, 14))
def test_each_refusal_in_a_row_keeps_it_away_for_twice_as_long_and_never_for_ever(times: int) -> None:
    state = cluster(1)
    at_s = 1000.0
    for i in range(times):
        state.set_pod(refused(f"lost-{i}", "n0", at_s, owner=JOB))
        wait_s = min(LONGEST_S, FIRST_S * 2.0**i)
        state.set_pod(pod(f"again-{i}", gpu=1, created_s=at_s, owner=JOB))
        assert not planned(state, at_s + wait_s - 0.5).places
        assert planned(state, at_s + wait_s + 0.5).places
        state.remove_pod(f"uid-team-again-{i}")
        at_s += wait_s + 1.0


def test_others_still_go_there_and_each_pod_counts_once() -> None:
    state = cluster(1)
    lost = refused("lost", "n0", 100.0, owner=JOB)
    for _ in range(5):
        state.set_pod(lost)
        state.remove_pod(lost.uid)
    state.set_pod(pod("other", gpu=1, created_s=101.0))
    assert nodes_of(planned(state, 101.0)) == {"other": "n0"}
    state.set_pod(pod("again", gpu=1, created_s=101.0, owner=JOB))
    assert set(nodes_of(planned(state, 100.0 + FIRST_S + 1.0))) == {"other", "again"}


def test_pods_of_one_shape_are_planned_together_only_where_they_may_go_alike() -> None:
    state = cluster(2)
    state.set_pod(refused("lost", "n0", 100.0, owner=JOB))
    for i in range(8):
        state.set_pod(pod(f"mine-{i}", gpu=1, created_s=101.0 + i, owner=JOB))
        state.set_pod(pod(f"other-{i}", gpu=1, created_s=101.5 + i))
    found = nodes_of(planned(state, 105.0))
    assert {node for name, node in found.items() if name.startswith("mine")} == {"n1"}
    assert "n0" in found.values()


def test_a_node_that_changed_is_tried_at_once() -> None:
    state = cluster(1)
    state.set_pod(refused("lost", "n0", 100.0, owner=JOB))
    state.set_pod(pod("again", gpu=1, created_s=101.0, owner=JOB))
    assert not planned(state, 101.0).places
    state.set_node(node("n0", gpu=7))
    assert planned(state, 101.0).places


def test_the_kubelets_reason_is_read() -> None:
    body = {
        "metadata": {"name": "p", "namespace": "team", "uid": "u"},
        "spec": {"nodeName": "n0", "containers": [{"name": "c"}]},
        "status": {"phase": "Failed", "reason": "OutOfcpu"},
    }
    found = parse_pod(msgspec.json.decode(msgspec.json.encode(body), type=wire.Pod))
    assert not isinstance(found, Rejected)
    assert (found.reason, found.has_ended) == ("OutOfcpu", True)
