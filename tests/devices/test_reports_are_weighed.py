"""State alone: old reports, lying labels, holders nobody named, and what a snapshot costs."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from binpacking.choice import Ask, Devices
from scheduler.devices.labels import corrected, disagreement
from scheduler.model.devices import PROBE_AGE_S_MAX, WHOLE_GPU, Inventory, Slot
from scheduler.model.gpu_names import family_of
from scheduler.model.objects import Node
from scheduler.model.plan import Assignment, Snapshot
from scheduler.state import ClusterState
from tests.builders import gang, pod

NOW_S = 1_000_000.0


def _node(name: str, gpus: int = 4, **labels: str) -> Node:
    return Node(
        name=name,
        uid=name,
        resource_version="1",
        labels=labels,
        taints=(),
        is_unschedulable=False,
        allocatable={"cpu": 96_000, "memory": 2**40, "pods": 110, WHOLE_GPU: gpus},
    )


def _inventory(name: str, gpus: int = 4, *, sick: int = 0, probed_s: float = NOW_S) -> Inventory:
    slots = tuple(
        Slot(uuid=f"{name}-{i}", resource=WHOLE_GPU, memory_bytes=2**36, is_usable=i >= sick)
        for i in range(gpus)
    )
    return Inventory(node=name, is_ready=True, probed_s=probed_s, slots=slots)


def _free(snapshot: Snapshot, name: str) -> int:
    row = [node.name for node in snapshot.nodes].index(name)
    return int(snapshot.free[row, snapshot.resources.index(WHOLE_GPU)])


@pytest.fixture
def state() -> ClusterState:
    made = ClusterState("stowplan")
    made.at(NOW_S)
    for name in ("a", "b", "c"):
        made.set_node(_node(name))
    return made


@given(age_s=st.floats(-100, 100), sick=st.integers(0, 4), allocatable=st.integers(0, 8))
def test_capacity_is_the_least_of_what_is_told(age_s: float, sick: int, allocatable: int) -> None:
    state = ClusterState("stowplan")
    state.set_node(_node("a", allocatable))
    state.set_inventory(_inventory("a", sick=sick, probed_s=NOW_S - age_s))
    state.at(NOW_S)
    healthy = 4 - sick if abs(age_s) <= PROBE_AGE_S_MAX else 0
    assert _free(state.snapshot(), "a") == min(allocatable, healthy)


def test_a_report_that_grows_old_gives_nothing_until_the_next(state: ClusterState) -> None:
    state.set_inventory(_inventory("a"))
    assert _free(state.snapshot(), "a") == 4
    assert not state.at(NOW_S + 30.0)
    assert state.at(NOW_S + 30.5)
    assert [_free(state.snapshot(), name) for name in "abc"] == [0, 4, 4]
    assert state.set_inventory(_inventory("a", probed_s=NOW_S + 30.5))
    assert _free(state.snapshot(), "a") == 4


def test_a_heartbeat_that_says_nothing_new_costs_no_row(state: ClusterState) -> None:
    state.set_inventory(_inventory("a"))
    state.set_inventory(_inventory("b"))
    state.snapshot()
    written = state.devices.rows_written
    for beat in range(1, 100):
        assert not state.set_inventory(_inventory("a", probed_s=NOW_S + beat / 10))
        state.snapshot()
    assert state.devices.rows_written == written
    state.set_inventory(_inventory("b", sick=1))
    state.snapshot()
    assert state.devices.rows_written == written + 1


def test_nodes_without_an_agent_go_by_allocatable_unless_reports_are_required(state: ClusterState) -> None:
    state.set_inventory(_inventory("a", sick=1))
    assert [_free(state.snapshot(), name) for name in "abc"] == [3, 4, 4]
    state.devices.needs_report = True
    assert [_free(state.snapshot(), name) for name in "abc"] == [3, 0, 0]
    state.remove_inventory("a")
    assert [_free(state.snapshot(), name) for name in "abc"] == [0, 0, 0]


def test_a_pod_whose_devices_nobody_named_counts_against_the_healthy_ones(state: ClusterState) -> None:
    state.set_pod(pod("theirs", gpu=2, node="a", scheduler="another"))
    state.set_inventory(_inventory("a", sick=1))
    snapshot = state.snapshot()
    assert _free(snapshot, "a") == 1
    assert snapshot.devices is not None
    assert not snapshot.devices.is_exact[[node.name for node in snapshot.nodes].index("a")]


def test_rows_follow_their_nodes_when_one_is_removed(state: ClusterState) -> None:
    for sick, name in enumerate("abc"):
        state.set_inventory(_inventory(name, sick=sick))
    assert [_free(state.snapshot(), name) for name in "abc"] == [4, 3, 2]
    state.remove_node("a")
    assert [_free(state.snapshot(), name) for name in "bc"] == [3, 2]


def test_a_gang_is_taken_back_whole_before_the_watch_has_shown_all_of_it(state: ClusterState) -> None:
    """Its Bindings were acknowledged, one was seen, and already a device under it turned fatal."""
    members = gang("train", 3, gpu=1)
    for i, member in enumerate(members):
        state.set_pod(member)
        state.assume(Assignment(pod=member, node="a", devices=(f"a-{i}",)))
    state.set_pod(replace(members[0], node_name="a"))
    sick = _inventory("a", sick=1)
    fatal = replace(sick.slots[0], fatal_s=NOW_S)
    state.set_inventory(replace(sick, slots=(fatal, *sick.slots[1:])))
    [(_, key, _)] = state.struck()
    assert {pod.uid for pod in state.remains(key)[1]} == {pod.uid for pod in members}


@pytest.mark.parametrize(
    "spelling", ["NVIDIA-H100-80GB-HBM3", "nvidia-h100-80gb", "H100_NVLINK_80GB", "h100", "NVIDIA H100 NVL"]
)
def test_clouds_spell_one_model_in_many_ways(spelling: str) -> None:
    assert family_of(spelling) == "h100"


@pytest.mark.parametrize(
    "key",
    ["nvidia.com/gpu.product", "cloud.google.com/gke-accelerator", "karpenter.k8s.aws/instance-gpu-name"],
)
def test_labels_that_say_something_else_are_noticed_and_corrected(key: str) -> None:
    inventory = replace(_inventory("a"), model="NVIDIA L4", memory_mib=23_034)
    labels = {key: "nvidia-h100-80gb", "nvidia.com/gpu.memory": "81559"}
    assert "NVIDIA L4" in disagreement(labels, inventory)
    told = corrected(labels, inventory)
    assert (told["nvidia.com/gpu.product"], told["nvidia.com/gpu.memory"]) == ("NVIDIA-L4", "23034")
    honest = {key: "NVIDIA-L4", "nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.memory": "23034"}
    assert disagreement(honest, inventory) == ""
    assert corrected(honest, inventory) == honest


@example(seed=151)  # devices of unequal size, and few of them may be opened
@given(seed=st.integers(0, 2**32))
def test_counting_agrees_with_choosing(seed: int) -> None:
    """As many pods as are counted can be given devices one after another, and not one more."""
    chance = Random(seed)
    nodes, width = 3, chance.randint(1, 8)
    size = np.array([[1000 * chance.choice([0, 7, 24, 80]) for _ in range(width)] for _ in range(nodes)])
    room = size.copy()
    for at in np.ndindex(room.shape):
        room[at] = chance.choice([room[at], room[at], 0, room[at] // 3])
    devices = Devices(
        room=room.astype(np.int64),
        size=size.astype(np.int64),
        island=np.array(
            [[chance.randint(-1, 1) for _ in range(width)] for _ in range(nodes)], dtype=np.int32
        ),
        most=np.array([chance.randint(0, width) for _ in range(nodes)], dtype=np.int64),
    )
    ask = chance.choice(
        [
            Ask(whole=chance.randint(1, 4)),
            Ask(whole=chance.randint(1, 4), linked=True),
            Ask(milli=chance.randint(1, 1000)),
            Ask(units=chance.randint(1, 80)),
        ]
    )
    counted = devices.slots(ask).tolist()
    mark = devices.mark()
    before = devices.room.copy()
    for node in range(nodes):
        given_out = 0
        while (chosen := devices.choose(node, ask)) is not None:
            devices.take(node, ask, chosen)
            given_out += 1
        assert given_out == counted[node]
    devices.rewind(mark)
    assert (devices.room == before).all()
