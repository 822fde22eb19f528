"""A node's GPU model is the same whoever tells it first, and quotas by model hold what they name."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotas.units import UnitTable
from scheduler.inventory.times import written
from scheduler.kube import wire
from scheduler.kube.wire.inventory import GPUDevice, GPUNode, GPUNodeStatus
from scheduler.live.config import Teams as TeamsSection
from scheduler.model.devices import WHOLE_GPU, Inventory, Slot
from scheduler.model.gpu_models import FAMILIES
from scheduler.model.gpu_names import (
    canonical,
    counted_as,
    key_of,
    memory_mib_of,
    model_of,
    part_milli,
    wider,
)
from scheduler.model.objects import Node, Rejected
from scheduler.parse.devices import parse_inventory
from scheduler.parse.teamquota import parse_team_quota
from scheduler.state import ClusterState
from tests.builders import node, pod
from tests.devices.test_each_platform_is_known_by_its_labels import RECORDED, Recorded
from tests.teams.worlds import World, quota

REPORTED = [one for one in RECORDED if "nvml" in one]
NOW_S = 1_700_000_000.0
#: How the same device is called by NVML, by labellers and by clouds, with the memory that is told beside it.
ALIKE = [
    (
        "h100-80gb",
        [("NVIDIA H100 80GB HBM3", 0), ("H100_NVLINK_80GB", 0), ("h100", 0), ("nvidia-h100-80gb", 0)],
    ),
    ("h100-80gb", [("NVIDIA-H100-PCIe", 81_559), ("h100", 81_920), ("nvidia-h100-mega-80gb", 0)]),
    ("h100-94gb", [("NVIDIA H100 NVL", 95_830), ("NVIDIA-H100-NVL", 0), ("h100", 95_830)]),
    ("h200", [("NVIDIA H200", 143_771), ("nvidia-h200-141gb", 0), ("h200", 0), ("NVIDIA-H200-NVL", 0)]),
    ("a100-40gb", [("NVIDIA A100-SXM4-40GB", 0), ("a100", 40_960), ("A100-PCIE-40GB", 40_536)]),
    ("a100-80gb", [("NVIDIA A100-SXM4-80GB", 0), ("a100", 81_920), ("A100_PCIE_80GB", 0)]),
    ("v100-16gb", [("Tesla V100-SXM2-16GB", 16_160), ("v100", 16_384)]),
    ("rtx-pro-6000", [("NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", 0), ("rtx-pro-server-6000", 98_304)]),
    ("rtx-6000-ada", [("NVIDIA-RTX-6000-Ada-Generation", 49_140), ("rtx6000-ada", 0)]),
    ("rtx-a6000", [("NVIDIA RTX A6000", 49_140), ("A6000", 0), ("RTXA6000", 0)]),
    ("gh200", [("NVIDIA-GH200-480GB", 97_871), ("gh200", 0), ("NVIDIA GH200 480GB", 0)]),
    ("gh200-144gb", [("NVIDIA GH200 144G HBM3e", 147_456)]),
    ("mi300x", [("AMD_Instinct_MI300X_OAM", 196_608), ("AMD-MI300X-192G", 0), ("mi300x", 0)]),
    ("l4-vgpu-3gb", [("NVIDIA L4-3Q", 0), ("l4", 2_861)]),
    ("a10", [("NVIDIA A10-24Q", 24_576), ("nvidia-a10", 0)]),
    ("t4-vgpu-4gb", [("GRID T4-4Q", 4_096), ("GRID-T4-4C", 0)]),
    (
        "a100-40gb-mig-3g-20gb",
        [("NVIDIA-A100-SXM4-40GB-MIG-3g.20gb", 20_096), ("A100-SXM4-40GB MIG 3g.20gb", 0)],
    ),
    ("x999", [("NVIDIA X999 200GB HBM4", 204_800), ("nvidia-x999", 0), ("x999", 0)]),
    ("", [("NVIDIA Graphics Device", 81_559), ("true", 0), ("nvidia", 0), ("", 0)]),
]


def report(recorded: Recorded, name: str) -> Inventory:
    product, mib = recorded["nvml"]
    slot = Slot(uuid="GPU-0", resource=WHOLE_GPU, memory_bytes=mib << 20, is_usable=True)
    return Inventory(
        node=name, is_ready=True, probed_s=NOW_S, slots=(slot,), model=product, memory_mib=mib, clique=""
    )


def labelled(recorded: Recorded, name: str = "n0") -> Node:
    return node(name, gpu=8, labels=recorded["labels"])


def counted(state: ClusterState) -> str:
    (seen,) = state.snapshot().nodes
    return counted_as(seen.labels)


@pytest.mark.parametrize("recorded", REPORTED, ids=lambda one: str(one["source"])[:60])
def test_the_agents_first_report_changes_no_model(recorded: Recorded) -> None:
    said = counted_as(recorded["labels"])
    for first in ("labels", "agent"):
        state = ClusterState("stowplan")
        state.at(NOW_S)
        steps: list[Any] = [
            lambda s: s.set_node(labelled(recorded)),
            lambda s: s.set_inventory(report(recorded, "n0")),
        ]
        for step in steps if first == "labels" else reversed(steps):
            step(state)
        assert counted(state) == said, first
        assert state.labels.disagreements == {}


@pytest.mark.parametrize("recorded", REPORTED, ids=lambda one: str(one["source"])[:60])
def test_a_node_that_only_the_agent_describes_is_of_the_same_model(recorded: Recorded) -> None:
    whole = {
        key: v
        for key, v in recorded["labels"].items()
        if "partition" in key or "replicas" in key or "shared" in key
    }
    if "mig" in recorded["model"] and not whole:
        whole = {"nvidia.com/gpu.product": recorded["labels"]["nvidia.com/gpu.product"]}
    state = ClusterState("stowplan")
    state.at(NOW_S)
    state.set_node(node("n0", gpu=8, labels=whole))
    state.set_inventory(report(recorded, "n0"))
    assert counted(state) == counted_as(recorded["labels"])


#: Of decision 9: labels as published that say less than a device does, or more, and what NVML calls it.
SPARSE = [
    ({"doks.digitalocean.com/gpu-model": "h100"}, "NVIDIA H100 80GB HBM3", 81_559, "h100-80gb", 81_920),
    ({"crusoe.ai/instance.class": "l40s-48gb.8x"}, "NVIDIA L40S", 46_068, "l40s", 49_152),
    ({"node.kubernetes.io/instance-type": "g5.xlarge"}, "NVIDIA A10G", 23_028, "a10g", 0),
]


@pytest.mark.parametrize(
    ("labels", "product", "mib", "model", "told_mib"), SPARSE, ids=lambda one: str(one)[:30]
)
def test_sparse_labels_say_what_the_agent_will(
    labels: dict[str, str], product: str, mib: int, model: str, told_mib: int
) -> None:
    assert model_of(labels) == canonical(product, mib) == model
    assert memory_mib_of(labels) == told_mib
    family = (*wider(model), model)[0]
    assert {key_of(family), key_of(product)} <= {model, *wider(model)}
    state = ClusterState("stowplan")
    state.at(NOW_S)
    state.set_namespace("a", {})
    state.set_team_quota(quota("a", {"limit": {"gpuModels": {family: 64}}}))
    state.set_node(node("n0", gpu=8, labels=labels))
    state.set_pod(pod("p", gpu=1, namespace="a", node="n0", phase="Running"))
    slot = Slot(uuid="GPU-0", resource=WHOLE_GPU, memory_bytes=mib << 20, is_usable=True)
    blank = Inventory(node="n0", is_ready=True, probed_s=NOW_S, slots=(slot,))
    steps: list[Any] = [
        lambda: None,
        lambda: state.set_inventory(replace(blank, model=product, memory_mib=mib)),
        lambda: state.remove_inventory("n0"),
        # Its labels go as well, and come again.
        lambda: state.set_node(node("n0", gpu=8)),
        lambda: state.set_inventory(blank),
        lambda: state.set_node(node("n0", gpu=8, labels=labels)),
    ]
    for step in steps:
        step()
        teams = state.snapshot(NOW_S).teams
        assert teams is not None
        assert counted(state) == model
        assert teams.usage["a"][f"gpu/{family}"] == 1_000


def test_a_device_that_has_not_told_its_name_hides_no_others() -> None:
    """An agent that is new, and a call that fails on one device."""
    named = GPUDevice(
        index=0, uuid="GPU-0", model="NVIDIA H100 NVL", memory_bytes=95_830 << 20, state="Healthy"
    )
    silent = GPUDevice(index=1, uuid="GPU-1", state="Unknown")
    status = GPUNodeStatus(state="Ready", last_probe=written(NOW_S), devices=(named, silent))
    told = parse_inventory(GPUNode(metadata=wire.Metadata(name="n0"), status=status))
    assert isinstance(told, Inventory)
    state = ClusterState("stowplan")
    state.at(NOW_S)
    state.set_node(node("n0", gpu=2))
    state.set_inventory(told)
    assert counted(state) == "h100-94gb"


def test_another_node_of_that_name_is_what_it_says() -> None:
    state = ClusterState("stowplan")
    state.at(NOW_S)
    state.set_node(node("n0", gpu=8))
    slot = Slot(uuid="GPU-0", resource=WHOLE_GPU, memory_bytes=80 << 30, is_usable=True)
    told = Inventory(node="n0", is_ready=True, probed_s=NOW_S, slots=(slot,), model="NVIDIA L4")
    state.set_inventory(told)
    state.remove_inventory("n0")
    assert counted(state) == "l4"
    state.set_node(node("n0", gpu=8, uid="another"))
    assert counted(state) == ""


@pytest.mark.parametrize(("model", "spellings"), ALIKE, ids=[model or "none" for model, _ in ALIKE])
def test_every_spelling_is_one_model(model: str, spellings: list[tuple[str, int]]) -> None:
    assert {canonical(name, mib) for name, mib in spellings} == {model}
    # A name is its own canonical name.
    assert canonical(model) == model
    assert key_of(model) == model


@given(
    st.sampled_from(FAMILIES),
    st.sampled_from(["", "NVIDIA ", "nvidia-", "Tesla ", "AMD Instinct "]),
    st.sampled_from(["", " PCIe", "-SXM5", " OAM"]),
    st.randoms(),
)
def test_who_builds_it_and_how_does_not_matter(family: Any, vendor: str, form: str, chance: Random) -> None:
    size = chance.choice(family.sizes)
    # What a driver keeps to itself is less than would make it the next smaller board (H100 of 94 and 96 GB).
    below = max((each for each in family.sizes if each < size), default=0)
    kept_mib = chance.randint(0, min(size * 20, (size - below) * 512 - 1))
    told = canonical(f"{vendor}{family.name}{form}", size * 1_024 - kept_mib)
    assert told == canonical(f"{family.name}-{size}gb") == canonical(family.name, size * 1_024)
    assert told.partition(f"-{size}gb")[0] == family.name
    assert told == family.name or wider(told) == (family.name,)


@given(st.text(max_size=300), st.integers(0, 10**9))
def test_no_name_is_too_odd(text: str, mib: int) -> None:
    name = canonical(text, mib)
    assert len(name) <= 127
    assert 0 < part_milli(name) <= 1_000
    assert key_of(name) is not None
    assert all(name.startswith(f"{short}-") for short in wider(name))


@pytest.mark.parametrize(
    ("key", "held"),
    [
        ("h100", {"h100-80gb", "h100-94gb"}),
        ("h100-80gb", {"h100-80gb"}),
        ("NVIDIA-H100-80GB-HBM3", {"h100-80gb"}),
        ("a100", {"a100-40gb", "a100-80gb", "a100-40gb-mig-1g-5gb"}),
        ("a100-40gb", {"a100-40gb", "a100-40gb-mig-1g-5gb"}),
        ("l40", set()),
        ("quadro-rtx-6000", set()),
        ("l4", {"l4-shared-4"}),
    ],
)
def test_a_key_holds_every_model_that_begins_with_it(key: str, held: set[str]) -> None:
    there = [
        "h100-80gb", "h100-94gb", "h200", "a100-40gb", "a100-80gb", "a100-40gb-mig-1g-5gb", "l40s",
        "rtx-6000-ada", "l4-shared-4",
    ]  # fmt: skip
    name = key_of(key)
    assert {model for model in there if name in (model, *wider(model))} == held


def cluster(limit: dict[str, int], *products: str) -> World:
    state = ClusterState("stowplan")
    for i, product in enumerate(products):
        state.set_node(node(f"n{i}", gpu=4, labels={"nvidia.com/gpu.product": product}))
    state.set_namespace("a", {})
    state.set_team_quota(quota("a", {"limit": {"gpuModels": limit}}))
    return World(state)


@pytest.mark.parametrize("key", ["h100", "H100".lower(), "nvidia-h100"])
def test_a_limit_on_a_family_holds_over_all_its_sizes(key: str) -> None:
    world = cluster({key: 3}, "NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-NVL")
    world.submit(*(pod(f"p{i}", gpu=1, namespace="a") for i in range(8)))
    world.settle()
    assert len(world.running("a")) == 3
    assert world.last is not None
    assert {v.message for v in world.last.verdicts} == {"team a is at its limit of 3 h100: 4 would be in use"}


def test_a_limit_on_one_size_leaves_the_others_free() -> None:
    world = cluster({"h100-80gb": 1}, "NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-NVL")
    world.submit(*(pod(f"p{i}", gpu=1, namespace="a") for i in range(8)))
    world.settle()
    assert len(world.running("a")) == 5


def test_a_report_that_comes_late_leaves_a_limit_in_force() -> None:
    state = ClusterState("stowplan")
    state.at(NOW_S)
    state.set_node(node("n0", gpu=8, labels={"karpenter.k8s.aws/instance-gpu-name": "h100"}))
    state.set_namespace("a", {})
    state.set_team_quota(quota("a", {"limit": {"gpuModels": {"h100": 2}}}))
    world = World(state, now_s=NOW_S)
    world.submit(*(pod(f"p{i}", gpu=1, namespace="a") for i in range(3)))
    world.settle()
    slots = tuple(
        Slot(uuid=f"GPU-{i}", resource=WHOLE_GPU, memory_bytes=81_559 << 20, is_usable=True) for i in range(8)
    )
    state.at(world.now_s)
    state.set_inventory(
        Inventory(
            node="n0",
            is_ready=True,
            probed_s=world.now_s,
            slots=slots,
            model="NVIDIA H100 80GB HBM3",
            memory_mib=81_559,
        )
    )
    world.submit(pod("late", gpu=1, namespace="a"))
    world.settle()
    assert len(world.running("a")) == 2


def test_two_keys_of_one_model_are_refused_by_name() -> None:
    spec = {"limit": {"gpuModels": {"l40s": 4, "nvidia-l40s-48gb": 2}}}
    body = {"metadata": {"name": "a", "uid": "u"}, "spec": spec}
    refused = parse_team_quota(msgspec.convert(body, wire.TeamQuota))
    assert isinstance(refused, Rejected)
    assert "l40s" in refused.reason
    assert "keep one of them" in refused.reason


def test_units_of_a_family_count_for_its_sizes() -> None:
    units = TeamsSection(gpu_units={"nvidia-h100": 2, "h100-94gb": 3}).units()
    table = UnitTable(
        by_model=units.by_model, wider={"h100-80gb": ("h100",), "h100-94gb": ("h100",), "l4": ()}
    )
    assert table.amounts({"h100-80gb": 1_000}) == {"gpu": 2_000, "gpu/h100": 1_000, "gpu/h100-80gb": 1_000}
    assert table.amounts({"h100-94gb": 1_000, "l4": 500})["gpu"] == 3_500
    assert table.amounts({"h100-80gb": 1_000, "h100-94gb": 1_000})["gpu/h100"] == 2_000
