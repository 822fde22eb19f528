"""In-place resize: what is wished, what is allocated and what is in force, as kube-scheduler counts them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.kube import wire
from scheduler.model.objects import CPU, Pod
from scheduler.model.plan import Budget, Policy
from scheduler.parse.pod import parse_pod
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import node, pod, shape

cores = st.integers(0, 90)


def resized(
    wished: int,
    allocated: int | None,
    actuated: int | None,
    *,
    reason: str = "",
    is_bound: bool = True,
    scheduler: str = "default-scheduler",
) -> Pod:
    told: dict[str, object] = {"name": "c"}
    if allocated is not None:
        told["allocatedResources"] = {"cpu": str(allocated)}
    if actuated is not None:
        told["resources"] = {"requests": {"cpu": str(actuated)}}
    pending = [{"type": "PodResizePending", "status": "True", "reason": reason}] if reason else []
    body = {
        "metadata": {"name": "big", "namespace": "t", "uid": "big", "resourceVersion": "1"},
        "spec": {
            "schedulerName": scheduler,
            "nodeName": "n0" if is_bound else "",
            "containers": [{"name": "c", "resources": {"requests": {"cpu": str(wished)}}}],
        },
        "status": {"phase": "Running", "containerStatuses": [told], "conditions": pending},
    }
    found = parse_pod(msgspec.json.decode(msgspec.json.encode(body), type=wire.Pod))
    assert isinstance(found, Pod)
    return found


def held(found: Pod) -> int:
    return dict(found.shape.requests).get(CPU, 0) // 1_000


@given(cores, cores, cores, st.sampled_from(["", "Deferred"]))
def test_the_most_of_them_is_held(wished: int, allocated: int, actuated: int, reason: str) -> None:
    assert held(resized(wished, allocated, actuated, reason=reason)) == max(wished, allocated, actuated)


@given(cores, cores, cores)
def test_a_wish_that_the_node_refused_for_good_does_not_count(
    wished: int, allocated: int, actuated: int
) -> None:
    assert held(resized(wished, allocated, actuated, reason="Infeasible")) == max(allocated, actuated)


@given(cores, cores)
def test_what_is_not_told_is_as_wished_or_as_allocated(wished: int, allocated: int) -> None:
    assert held(resized(wished, None, None)) == wished
    assert held(resized(wished, allocated, None)) == max(wished, allocated)
    assert held(resized(wished, allocated, None, reason="Infeasible")) == allocated


@given(cores, cores, cores)
def test_a_pod_without_a_node_asks_what_its_spec_says(wished: int, allocated: int, actuated: int) -> None:
    assert held(resized(wished, allocated, actuated, is_bound=False)) == wished


@pytest.mark.parametrize("scheduler", ["default-scheduler", "stowplan"])
def test_the_room_of_a_pod_that_shrinks_is_given_when_it_has_shrunk(scheduler: str) -> None:
    state = ClusterState("stowplan")
    state.set_node(node("n0"))
    state.set_pod(resized(10, 90, 90, scheduler=scheduler))
    state.set_pod(pod("new", of=shape(cpu=80_000)))
    assert not plan(state.snapshot(), Policy(), Budget()).places
    before = state.releases
    assert state.set_pod(resized(10, 10, 10, scheduler=scheduler))
    assert state.releases > before
    assert plan(state.snapshot(), Policy(), Budget()).places


def test_pod_level_resources_are_resized_as_a_whole() -> None:
    body = {
        "metadata": {"name": "p", "namespace": "t", "uid": "p", "resourceVersion": "1"},
        "spec": {
            "nodeName": "n0",
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}],
            "resources": {"requests": {"cpu": "4"}},
        },
        "status": {
            "phase": "Running",
            "allocatedResources": {"cpu": "6"},
            "resources": {"requests": {"cpu": "8"}},
        },
    }
    found = parse_pod(msgspec.json.decode(msgspec.json.encode(body), type=wire.Pod))
    assert isinstance(found, Pod)
    assert held(found) == 8
