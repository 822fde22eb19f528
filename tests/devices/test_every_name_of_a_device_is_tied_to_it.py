"""Replicas, MIG instances with attributes, passed-through GPUs: tied to devices, their health and quotas."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduler.model.devices import DEVICES, WHOLE_GPU, Holder, Inventory, Slot
from scheduler.model.gpu_names import counted_as, wider
from scheduler.model.gpu_resources import gpu_milli, is_gpu, mig_resource, stands_on
from scheduler.model.objects import CPU, PODS, Shape
from scheduler.state import ClusterState
from tests.builders import node, pod
from tests.teams.worlds import World, quota

NOW_S = 1_700_000_000.0
SHARED = "nvidia.com/gpu.shared"
REPLICAS = "nvidia.com/gpu.replicas"
MIG = "nvidia.com/mig-1g.10gb"


def inventory(well: int, sick: int, *, resource: str = WHOLE_GPU, age_s: float = 0.0) -> Inventory:
    slots = tuple(
        Slot(uuid=f"GPU-{i}", resource=resource, memory_bytes=16 << 30, is_usable=i < well)
        for i in range(well + sick)
    )
    return Inventory(node="n0", is_ready=True, probed_s=NOW_S - age_s, slots=slots)


def placed(resource: str, offered: int, report: Inventory | None, labels: dict[str, str], pods: int) -> int:
    """How many pods that ask one of a resource start."""
    state = ClusterState("stowplan")
    state.at(NOW_S)
    there = {CPU: 96_000, PODS: 110, resource: offered}
    state.set_node(node("n0", labels=labels, allocatable=there))
    if report is not None:
        state.set_inventory(report)
    world = World(state, now_s=NOW_S)
    of = Shape(requests=((CPU, 100), (resource, 1), (PODS, 1)))
    world.submit(*(pod(f"p{i}", of=of) for i in range(pods)))
    world.settle(cycles=3, step_s=0.0)
    return len(world.running("team"))


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([WHOLE_GPU, SHARED]),
    st.integers(0, 3),
    st.integers(0, 2),
    st.integers(2, 6),
    st.sampled_from([0.0, 600.0]),
)
def test_replicas_go_as_far_as_devices_are_well(
    resource: str, well: int, sick: int, replicas: int, age_s: float
) -> None:
    offered = (well + sick) * replicas
    report = inventory(well, sick, age_s=age_s)
    found = placed(resource, offered, report, {REPLICAS: str(replicas)}, offered + 2)
    assert found == (0 if age_s else well * replicas)


@pytest.mark.parametrize("profile", ["1g.10gb", "1g.10gb+me", "1g.24gb-me", "2g.48gb+me.all", "1g.24gb+gfx"])
@pytest.mark.parametrize("well", [0, 2])
def test_instances_with_attributes_are_placed_on_those_that_are_well(profile: str, well: int) -> None:
    resource = mig_resource(profile)
    assert "+" not in resource
    report = inventory(well, 1, resource=resource)
    assert placed(resource, well + 1, report, {}, 4) == well


def test_what_a_report_does_not_have_is_not_given() -> None:
    assert placed("nvidia.com/mig-1g.10gb.me", 2, inventory(2, 0), {}, 2) == 0
    assert placed("amd.com/gpu", 2, inventory(2, 0), {}, 2) == 2


@pytest.mark.parametrize("resource", [MIG, f"{MIG}.shared"])
def test_what_another_nodes_report_has_is_not_given_here(resource: str) -> None:
    """A plugin that still offers instances of before, beside a node that has such."""
    state = ClusterState("stowplan")
    state.at(NOW_S)
    for name, kind in (("cut", MIG), ("whole", WHOLE_GPU)):
        state.set_node(node(name, allocatable={CPU: 96_000, PODS: 110, resource: 2}))
        state.set_inventory(replace(inventory(2, 0, resource=kind), node=name))
    world = World(state, now_s=NOW_S)
    of = Shape(requests=((CPU, 100), (resource, 1), (PODS, 1)))
    world.submit(*(pod(f"p{i}", of=of) for i in range(4)))
    world.settle(cycles=3, step_s=0.0)
    assert [one.node_name for one in world.pods.values() if one.node_name] == ["cut", "cut"]


@pytest.mark.parametrize(
    ("resource", "model", "milli"),
    [
        (WHOLE_GPU, "t4", 1_000),
        (WHOLE_GPU, "t4-shared-12", 84),
        (SHARED, "t4-shared-4", 250),
        (WHOLE_GPU, "a100-40gb-mig-1g-5gb", 143),
        ("nvidia.com/mig-1g.10gb.me", "a100-80gb", 143),
        ("nvidia.com/mig-3g.40gb", "a100-80gb", 500),
        ("nvidia.com/mig-1g.24gb-me", "rtx-pro-6000", 250),
        ("amd.com/gpu", "mi300x-cpx", 125),
        ("amd.com/cpx_nps4", "mi300x", 125),
        ("amd.com/cpx_nps1", "mi300a", 167),
        ("amd.com/spx_nps1", "mi300x", 1_000),
        ("gpu.intel.com/xe", "max-1550", 1_000),
        ("gpu.intel.com/i915", "", 1_000),
        ("nvidia.com/GA102GL_A10", "", 1_000),
        ("nvidia.com/pgpu", "", 1_000),
        ("nvidia.com/NVIDIA_A10-12Q", "", 500),
    ],
)
def test_each_name_counts_for_its_part_of_a_gpu(resource: str, model: str, milli: int) -> None:
    assert is_gpu(resource)
    memory_gb = {"a100-80gb": 80, "rtx-pro-6000": 96}.get(model, 0)
    assert gpu_milli(resource, memory_gb * 1_024, model) == milli


@pytest.mark.parametrize(
    "resource",
    ["nvidia.com/rdma-vf", "nvidia.com/hostdev", "gpu.intel.com/i915_monitoring", "amd.com/nic", "cpu"],
)
def test_what_is_no_gpu_counts_for_none(resource: str) -> None:
    assert not is_gpu(resource)
    assert not stands_on(resource)
    assert gpu_milli(resource, 0) == 0


@pytest.mark.parametrize("resource", [WHOLE_GPU, SHARED])
def test_a_limit_holds_for_replicas(resource: str) -> None:
    state = ClusterState("stowplan")
    labels = {REPLICAS: "4", "nvidia.com/gpu.product": "Tesla-T4"}
    there = {CPU: 96_000, PODS: 110, resource: 8}
    state.set_node(node("n0", labels=labels, allocatable=there))
    state.set_namespace("a", {})
    state.set_team_quota(quota("a", {"limit": {"gpuModels": {"t4": "1250m"}}}))
    world = World(state)
    of = Shape(requests=((CPU, 100), (resource, 1), (PODS, 1)))
    world.submit(*(pod(f"p{i}", of=of, namespace="a") for i in range(8)))
    world.settle()
    assert len(world.running("a")) == 5


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["single", "mixed"]),
    st.booleans(),
    st.integers(0, 3),
    st.integers(0, 2),
    st.integers(1, 4),
    st.booleans(),
)
@example("single", False, 2, 0, 1, True)
def test_instances_go_as_far_as_they_are_well_and_shared(
    strategy: str, has_own_name: bool, well: int, sick: int, replicas: int, is_seen: bool
) -> None:
    """Whether the plugin counts instances as devices or by their profile, and replicas under either name.

    Where no label says how many share one, replicas with a name are there as long as an instance is.
    is_seen: the kubelet names the instance of each pod that runs, one after the other.
    """
    plain = WHOLE_GPU if strategy == "single" else MIG
    resource = f"{plain}.shared" if has_own_name else plain
    labels = {f"{plain}.replicas": str(replicas), "nvidia.com/mig.strategy": strategy}
    state = ClusterState("stowplan")
    state.at(NOW_S)
    offered = (well + sick) * replicas
    state.set_node(node("n0", labels=labels, allocatable={CPU: 96_000, PODS: 110, resource: offered}))
    report = inventory(well, sick, resource=MIG)
    state.set_inventory(report)
    world = World(state, now_s=NOW_S)
    of = Shape(requests=((CPU, 100), (resource, 1), (PODS, 1)))
    for i in range(offered + 2):
        world.submit(pod(f"p{i}", of=of))
        world.settle(cycles=2, step_s=0.0)
        if is_seen:
            state.set_inventory(seen(report, world))
    is_counted = replicas > 1 or not has_own_name
    assert len(world.running("team")) == (well * replicas if is_counted or not well else offered)
    named = [dict(one.annotations).get(DEVICES) for one in world.pods.values() if one.node_name]
    is_named = strategy == "mixed" and replicas == 1 and not has_own_name
    assert sorted(filter(None, named)) == ([f"GPU-{i}" for i in range(well)] if is_named else [])


def seen(report: Inventory, world: World) -> Inventory:
    """The same a probe later, with the pods that run on its instances that are well, one after the other."""
    pods = [one for one in world.pods.values() if one.node_name]
    well = sum(slot.is_usable for slot in report.slots)
    slots = tuple(
        replace(slot, holders=tuple(Holder(uid=one.uid) for one in pods[i :: max(1, well)] if slot.is_usable))
        for i, slot in enumerate(report.slots)
    )
    return replace(report, slots=slots, probed_s=NOW_S + len(pods) / 100)


@pytest.mark.parametrize(
    ("labels", "resource", "milli"),
    [
        ({f"{MIG}.replicas": "4"}, MIG, 36),
        ({f"{MIG}.replicas": "4"}, f"{MIG}.shared", 36),
        ({f"{MIG}.replicas": "4"}, "nvidia.com/mig-2g.20gb", 286),
        ({f"{MIG}.replicas": "4", REPLICAS: "2"}, WHOLE_GPU, 500),
        ({f"{MIG}.me.replicas": "2"}, f"{MIG}.me", 72),
        ({f"{MIG}.replicas": "no"}, MIG, 143),
    ],
)
def test_a_shared_instance_counts_for_its_part(labels: dict[str, str], resource: str, milli: int) -> None:
    model = counted_as({"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB", **labels})
    assert gpu_milli(resource, 81_920, model) == milli
    assert "a100" in (model, *wider(model))


def test_a_limit_holds_for_shared_instances() -> None:
    state = ClusterState("stowplan")
    labels = {f"{MIG}.replicas": "4", "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    state.set_node(node("n0", labels=labels, allocatable={CPU: 96_000, PODS: 110, MIG: 8}))
    state.set_namespace("a", {})
    state.set_team_quota(quota("a", {"limit": {"gpuModels": {"a100": "180m"}}}))
    world = World(state)
    of = Shape(requests=((CPU, 100), (MIG, 1), (PODS, 1)))
    world.submit(*(pod(f"p{i}", of=of, namespace="a") for i in range(8)))
    world.settle()
    assert len(world.running("a")) == 5


@pytest.mark.parametrize("has_report", [False, True])
@pytest.mark.parametrize(
    ("labels", "resource", "offered", "milli"),
    [
        # k8s-device-plugin#732: fifty replicas under their own name, and the label says 1.
        ({REPLICAS: "1"}, SHARED, 100, 20),
        ({}, SHARED, 8, 250),
        ({"nvidia.com/gpu.product": "Tesla-T4-SHARED"}, WHOLE_GPU, 8, 250),
        ({"nvidia.com/gpu.sharing-strategy": "mps", REPLICAS: "1"}, WHOLE_GPU, 20, 100),
        ({"nvidia.com/gpu.sharing-strategy": "none", REPLICAS: "1"}, WHOLE_GPU, 2, 1_000),
    ],
)
def test_devices_that_are_said_to_be_shared_are_whatever_the_count_says(
    labels: dict[str, str], resource: str, offered: int, milli: int, has_report: bool
) -> None:
    state = ClusterState("stowplan")
    state.at(NOW_S)
    there = {CPU: 96_000, PODS: 500, resource: offered}
    product = {"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.count": "2", **labels}
    state.set_node(node("n0", labels=product, allocatable=there))
    state.set_namespace("a", {})
    state.set_team_quota(quota("a", {"limit": {"gpuModels": {"t4": f"{10 * milli}m"}}}))
    if has_report:
        state.set_inventory(inventory(2, 0))
    world = World(state, now_s=NOW_S)
    of = Shape(requests=((CPU, 100), (resource, 1), (PODS, 1)))
    world.submit(*(pod(f"p{i}", of=of, namespace="a") for i in range(offered + 1)))
    world.settle(cycles=3, step_s=0.0)
    assert len(world.running("a")) == min(10, offered)


def test_instances_that_only_the_agent_tells_of_count_for_their_parts() -> None:
    """Bottlerocket (pull request 4418) labels nothing: eight H100 in four, each of which four pods share."""
    state = ClusterState("stowplan")
    state.at(NOW_S)
    state.set_node(node("n0", allocatable={CPU: 192_000, PODS: 500, WHOLE_GPU: 0, SHARED: 128}))
    report = replace(inventory(32, 0, resource="nvidia.com/mig-1g.20gb"), model="NVIDIA H100 80GB HBM3")
    state.set_inventory(report)
    state.set_namespace("a", {})
    # An instance is the more of 1/7 of the compute and 1/4 of the memory; a pod has a quarter of that.
    state.set_team_quota(quota("a", {"limit": {"gpuModels": {"h100": "640m"}}}))
    world = World(state, now_s=NOW_S)
    of = Shape(requests=((CPU, 100), (SHARED, 1), (PODS, 1)))
    world.submit(*(pod(f"p{i}", of=of, namespace="a") for i in range(20)))
    world.settle(cycles=3, step_s=0.0)
    assert len(world.running("a")) == 10


@pytest.mark.parametrize(
    ("offers", "milli"),
    [
        # The plugin restarts; with other replicas; a device more is found; one is not told of any more.
        ([(2, 0, 8), (2, 0, 0)], 250),
        ([(2, 0, 8), (2, 0, 0), (2, 0, 4)], 500),
        ([(2, 0, 8), (2, 0, 0), (2, 0, 8)], 250),
        ([(1, 0, 8), (2, 0, 8)], 250),
        ([(2, 0, 8), (1, 0, 8)], 250),
        # The plugin is ahead of a report, in which one is ill then.
        ([(2, 0, 12), (2, 1, 12)], 250),
    ],
)
def test_how_many_share_a_device_stands_while_nothing_is_offered(
    offers: list[tuple[int, int, int]], milli: int
) -> None:
    """offers: devices that are well and sick, and what the plugin offers; no label says of how many."""
    state = ClusterState("stowplan")
    state.at(NOW_S)
    state.set_namespace("a", {})
    state.set_team_quota(quota("a", {"limit": {"gpuModels": {"t4": 8}}}))
    of = Shape(requests=((CPU, 100), (SHARED, 1), (PODS, 1)))
    state.set_pod(pod("p", of=of, namespace="a", node="n0", phase="Running"))
    for well, sick, offered in offers:
        there = {CPU: 96_000, PODS: 500} | ({SHARED: offered} if offered else {})
        state.set_node(node("n0", labels={"nvidia.com/gpu.product": "Tesla-T4"}, allocatable=there))
        state.set_inventory(replace(inventory(well, sick), model="Tesla T4"))
    teams = state.snapshot(NOW_S).teams
    assert teams is not None
    assert teams.usage["a"]["gpu/t4"] == milli
