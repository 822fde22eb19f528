"""Replicas, MIG instances with attributes, passed-through GPUs: tied to devices, their health and quotas."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.devices import WHOLE_GPU, Inventory, Slot
from scheduler.model.gpu_resources import gpu_milli, is_gpu, mig_resource, stands_on
from scheduler.model.objects import CPU, PODS, Shape
from scheduler.state import ClusterState
from tests.builders import node, pod
from tests.teams.worlds import World, quota

NOW_S = 1_700_000_000.0
SHARED = "nvidia.com/gpu.shared"
REPLICAS = "nvidia.com/gpu.replicas"


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
