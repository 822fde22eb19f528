"""Verdicts while a device plugin restarts, for names that only DRA serves, for values that are no place."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.devices.offers import REMEMBERED_S
from scheduler.kube import wire
from scheduler.model.devices import WHOLE_GPU, DeviceAsk, Inventory, Slot
from scheduler.model.objects import CPU, PODS, Node, Shape
from scheduler.model.plan import Budget, Plan, Policy
from scheduler.model.platforms import NVLINK_NODES_MAX, PLACEHOLDERS, is_domain
from scheduler.parse.node import parse_node
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import gang, node, pod, shape

NOW_S = 1_700_000_000.0
BLOCK = "oci.oraclecloud.com/rdma.local_block_id"


def decide(state: ClusterState) -> Plan:
    return plan(state.snapshot(NOW_S), Policy(), Budget(per_gang=1.0, total=3.0))


def cluster(allocatable: list[int | None]) -> ClusterState:
    """Nodes of eight healthy devices each, with what the device plugin offers of them now; None: no key."""
    state = ClusterState("stowplan")
    state.at(NOW_S)
    for i, offered in enumerate(allocatable):
        there = {CPU: 96_000, "memory": 2**40, PODS: 110} | ({} if offered is None else {WHOLE_GPU: offered})
        state.set_node(node(f"n{i}", allocatable=there))
        slots = tuple(
            Slot(uuid=f"GPU-{i}-{j}", resource=WHOLE_GPU, memory_bytes=80 << 30, is_usable=True)
            for j in range(8)
        )
        state.set_inventory(Inventory(node=f"n{i}", is_ready=True, probed_s=NOW_S, slots=slots))
    return state


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([0, 8, None]), min_size=2, max_size=3), st.booleans())
def test_nothing_is_never_while_a_plugin_restarts(allocatable: list[int | None], is_held: bool) -> None:
    state = cluster(allocatable)
    if is_held:
        state.set_pod(pod("old", gpu=8, node="n0", phase="Running"))
    for one in gang("g", len(allocatable), gpu=8):
        state.set_pod(one)
    done = decide(state)
    restarting = sum(offered != 8 for offered in allocatable)
    said = [(verdict.reason, verdict.message) for verdict in done.verdicts]
    if restarting:
        assert not done.places
        assert [reason for reason, _ in said] == ["Unschedulable"]
        assert f"{restarting} node(s) allocate fewer devices than their agents see" in said[0][1]
    else:
        assert bool(done.places) == (not is_held)


def seen_by_kubelet(counted: str, allocatable: str) -> Node:
    """As the API server tells a node that counts so many GPUs and gives out so many of them."""
    amounts = {"cpu": "96", "memory": "1Ti", "pods": "110"}
    body = {
        "metadata": {"name": "n0", "uid": "u0"},
        "status": {
            "capacity": amounts | {WHOLE_GPU: counted},
            "allocatable": amounts | {WHOLE_GPU: allocatable},
        },
    }
    found = parse_node(msgspec.convert(body, wire.Node))
    assert isinstance(found, Node)
    return found


@pytest.mark.parametrize(
    ("counted", "reason"),
    [
        ("8", "Unschedulable"),
        ("9", "Unschedulable"),
        ("7", "NeverFits"),
        ("-8", "NeverFits"),
        ("x", "NeverFits"),
    ],
)
def test_what_a_kubelet_counts_is_not_gone(counted: str, reason: str) -> None:
    """No agent: a plugin that is gone leaves its devices in the node's capacity for a while."""
    state = ClusterState("stowplan")
    state.set_node(seen_by_kubelet(counted, "0"))
    state.set_pod(pod("p", gpu=8))
    (verdict,) = decide(state).verdicts
    assert verdict.reason == reason
    # What is given out as well is nothing to remember.
    assert not seen_by_kubelet(counted, counted).capacity


@pytest.mark.parametrize(
    "resource", [WHOLE_GPU, "nvidia.com/mig-1g.10gb", "nvidia.com/gpu.shared", "amd.com/gpu"]
)
def test_what_was_offered_a_minute_ago_is_not_gone(resource: str) -> None:
    """A kubelet that began anew counts nothing before the plugin is back."""
    state = ClusterState("stowplan")
    bare = {CPU: 96_000, "memory": 2**40, PODS: 110}
    state.at(NOW_S)
    state.set_node(node("n0", allocatable=bare | {resource: 8}))
    state.set_pod(pod("p", of=shape(requests=((CPU, 1_000), (PODS, 1), (resource, 8)))))
    state.set_node(node("n0", allocatable=bare))
    (verdict,) = decide(state).verdicts
    assert verdict.reason == "Unschedulable"
    assert "did until a few minutes ago" in verdict.message
    before = state.moment
    assert not state.at(NOW_S + REMEMBERED_S - 1.0)
    assert [v.reason for v in decide(state).verdicts] == ["Unschedulable"]
    # Then it is looked at again, and gone.
    assert state.at(NOW_S + REMEMBERED_S)
    assert state.moment != before
    assert [v.reason for v in decide(state).verdicts] == ["NeverFits"]


def test_another_node_of_that_name_offers_what_it_offers() -> None:
    state = ClusterState("stowplan")
    state.set_node(node("n0", gpu=8))
    state.set_node(node("n0", gpu=0, uid="another"))
    state.set_pod(pod("p", gpu=1))
    assert [v.reason for v in decide(state).verdicts] == ["NeverFits"]


@pytest.mark.parametrize("ask", [DeviceAsk(milli=500), DeviceAsk(nvlink="required")])
def test_what_takes_a_report_is_not_never_where_none_is(ask: DeviceAsk) -> None:
    state = ClusterState("stowplan")
    state.at(NOW_S)
    state.set_node(node("n0", gpu=8))
    state.set_pod(pod("p", of=shape(gpu=0 if ask.milli else 2, ask=ask)))
    (verdict,) = decide(state).verdicts
    assert verdict.reason == "Unschedulable"
    assert "no agent tells of the devices of 1 node(s) that allocate GPUs" in verdict.message


@pytest.mark.parametrize("of", [shape(gpu=8), shape(ask=DeviceAsk(milli=500))])
def test_an_agent_that_could_not_look_yet_proves_nothing(of: Shape) -> None:
    state = ClusterState("stowplan")
    state.at(NOW_S)
    state.set_node(node("n0", gpu=8))
    state.set_inventory(Inventory(node="n0", is_ready=False, probed_s=None, slots=()))
    state.set_pod(pod("p", of=of))
    assert [v.reason for v in decide(state).verdicts] == ["Unschedulable"]


def test_a_device_that_cannot_be_asked_may_be_there() -> None:
    state = cluster([8])
    state.set_node(node("n0", gpu=9))
    state.set_pod(pod("p", gpu=9))
    (verdict,) = decide(state).verdicts
    assert verdict.reason == "Unschedulable"
    assert "1 node(s) allocate more devices than their agents see" in verdict.message


@pytest.mark.parametrize("allocatable", [[8, 8], [8, 0], [0, None]])
def test_what_is_more_than_all_devices_is_still_proven(allocatable: list[int | None]) -> None:
    state = cluster(allocatable)
    for one in gang("g", 3, gpu=8):
        state.set_pod(one)
    (verdict,) = decide(state).verdicts
    assert verdict.reason == "NeverFits"
    assert "as they are now" in verdict.message


def test_a_name_that_only_claims_could_serve_says_so() -> None:
    state = ClusterState("stowplan")
    state.set_node(node("n0", allocatable={CPU: 96_000, "memory": 2**40, PODS: 110}))
    state.set_pod(pod("p", gpu=1))
    (verdict,) = decide(state).verdicts
    assert verdict.reason == "NeverFits"
    assert "what resource claims (DRA) could give is not counted" in verdict.message


CLASS = "deviceclass.resource.kubernetes.io/gpu.nvidia.com"


@pytest.mark.parametrize(
    ("gives", "asks", "reason"),
    [
        ((WHOLE_GPU,), {WHOLE_GPU: 1}, "Unproven"),
        ((CLASS,), {CLASS: 1}, "Unproven"),
        ((CLASS,), {WHOLE_GPU: 1}, "NeverFits"),
        ((), {WHOLE_GPU: 1}, "NeverFits"),
        ((WHOLE_GPU,), {WHOLE_GPU: 1, CPU: 97_000}, "NeverFits"),
        ((WHOLE_GPU,), {WHOLE_GPU: 1, "nobody/offers": 1}, "NeverFits"),
        ((WHOLE_GPU, "rdma/hca"), {"rdma/hca": 2}, "Unproven"),
        (None, {WHOLE_GPU: 1}, "Unproven"),
        (None, {CPU: 97_000}, "NeverFits"),
    ],
)
def test_what_claims_give_is_no_proof_of_never(
    gives: tuple[str, ...] | None, asks: dict[str, int], reason: str
) -> None:
    """gives: resources of a DeviceClass; None where we may not read them. One node offers one rdma/hca."""
    state = ClusterState("stowplan")
    there = {CPU: 96_000, "memory": 2**40, PODS: 110, "rdma/hca": 1}
    state.set_node(node("n0", allocatable=there))
    state.set_pod(pod("p", of=shape(requests=tuple(sorted({CPU: 1_000, PODS: 1, **asks}.items())))))
    if gives is None:
        state.hide_device_classes(True)
    else:
        state.set_device_class("gpu", gives)
    (verdict,) = decide(state).verdicts
    assert verdict.reason == reason
    assert ("so nothing is proven" in verdict.message) == (reason == "Unproven")
    assert ("as they are now" in verdict.message) == (reason == "NeverFits")
    state.hide_device_classes(False)
    state.remove_device_class("gpu")
    (verdict,) = decide(state).verdicts
    assert verdict.reason == "NeverFits"


def test_who_waits_for_claims_holds_back_nobody() -> None:
    state = ClusterState("stowplan")
    state.set_node(node("n0", allocatable={CPU: 4_000, "memory": 2**40, PODS: 110}))
    state.set_device_class("gpu", (WHOLE_GPU,))
    state.set_pod(pod("first", gpu=1, created_s=1.0))
    state.set_pod(pod("second", gpu=0, created_s=2.0))
    done = plan(state.snapshot(NOW_S), Policy(backfill=False), Budget(per_gang=1.0, total=3.0))
    assert [place.assignments[0].pod.name for place in done.places] == ["second"]
    assert [verdict.reason for verdict in done.verdicts] == ["Unproven"]


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (DeviceAsk(milli=810), "0.81 of a GPU"),
        (DeviceAsk(memory_bytes=20 << 30), "20Gi of a GPU's memory"),
    ],
)
def test_a_share_is_asked_in_plain_words(ask: DeviceAsk, words: str) -> None:
    state = cluster([8])
    of: Shape = shape(cpu=200_000, ask=ask)
    state.set_pod(pod("p", of=of))
    (verdict,) = decide(state).verdicts
    assert words in verdict.message
    assert "1 of the shares" not in verdict.message


@pytest.mark.parametrize("value", [*sorted(PLACEHOLDERS - {""}), "Unknown", "3bf4jpavrba"])
def test_a_placeholder_is_no_domain(value: str) -> None:
    state = ClusterState("stowplan")
    for name in ("n0", "n1"):
        state.set_node(node(name, gpu=8, labels={BLOCK: value}))
    for one in gang("g", 2, gpu=8):
        state.set_pod(replace(one, annotations=(*one.annotations, ("stowplan.dev/topology-required", BLOCK))))
    assert bool(decide(state).places) == (value == "3bf4jpavrba")


def test_a_clique_that_too_many_nodes_share_is_no_domain() -> None:
    assert is_domain("nvidia.com/gpu.clique", "a.1", NVLINK_NODES_MAX)
    assert not is_domain("nvidia.com/gpu.clique", "a.1", NVLINK_NODES_MAX + 1)
    assert is_domain("topology.kubernetes.io/zone", "a", 5_000)
