"""AMD's and Intel's GPUs, of which no agent tells: placed by topology, counted by model, without a health."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.objects import CPU, PODS, Shape
from scheduler.state import ClusterState
from tests.builders import gang, node, pod
from tests.teams.worlds import World, quota

RACK = "topology.kubernetes.io/rack"
EACH = 4
#: The resource, labels as the vendor's labeller writes them, and the model as a quota names it.
VENDORS = [
    ("amd.com/gpu", {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"}, "mi300x"),
    ("amd.com/gpu", {"beta.amd.com/gpu.device-id": "74b5", "beta.amd.com/gpu.vram": "191G"}, "mi300x"),
    ("gpu.intel.com/xe", {"gpu.intel.com/product": "Max_1550"}, "max-1550"),
    ("gpu.intel.com/i915", {"gpu.intel.com/product": "Flex_170"}, "flex-170"),
]


def _world(resource: str, labels: dict[str, str], racks: tuple[str, ...]) -> World:
    state = ClusterState("stowplan")
    for i, rack in enumerate(racks):
        there = {CPU: 96_000, PODS: 110, resource: EACH}
        state.set_node(node(f"n{i}", labels={**labels, RACK: rack}, allocatable=there))
    return World(state)


def _asks(resource: str, count: int) -> Shape:
    return Shape(requests=((CPU, 100), (PODS, 1), (resource, count)))


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(VENDORS), st.lists(st.integers(0, EACH), min_size=4, max_size=4))
def test_a_gang_stands_in_one_rack_or_waits(
    vendor: tuple[str, dict[str, str], str], taken: list[int]
) -> None:
    """Two nodes in each of two racks; of each some GPUs are in use."""
    resource, labels, _ = vendor
    world = _world(resource, labels, ("a", "a", "b", "b"))
    for i, count in enumerate(taken):
        if count:
            world.submit(pod(f"there-{i}", of=_asks(resource, count), node=f"n{i}", phase="Running"))
    members = gang("train", 2, of=_asks(resource, EACH))
    wish = ("stowplan.dev/topology-required", RACK)
    world.submit(*(replace(one, annotations=tuple(sorted((*one.annotations, wish)))) for one in members))
    world.settle()
    placed = [one.node_name for one in world.pods.values() if one.name.startswith("train") and one.node_name]
    fits = [rack for rack in (("n0", "n1"), ("n2", "n3")) if not any(taken[int(name[1])] for name in rack)]
    assert sorted(placed) in ([list(rack) for rack in fits] or [[]])


@pytest.mark.parametrize(("resource", "labels", "model"), VENDORS)
def test_a_limit_on_the_model_holds(resource: str, labels: dict[str, str], model: str) -> None:
    world = _world(resource, labels, ("a", "a"))
    world.state.set_namespace("a", {})
    world.state.set_team_quota(quota("a", {"limit": {"gpuModels": {model: "3"}}}))
    world.submit(*(pod(f"p{i}", of=_asks(resource, 1), namespace="a") for i in range(2 * EACH)))
    world.settle()
    assert len(world.running("a")) == 3
