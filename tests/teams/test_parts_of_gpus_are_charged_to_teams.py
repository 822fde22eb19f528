"""Shares and MIG instances count against quotas for their part of a GPU, in units and by model."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotas.units import UnitTable
from scheduler.model.devices import DeviceAsk
from scheduler.model.gpu_names import memory_mib_of
from scheduler.model.gpu_resources import gpu_milli
from scheduler.model.objects import CPU, PODS, Shape
from scheduler.state import ClusterState
from scheduler.teams.measure import charge_of
from tests.builders import node, pod, shape
from tests.teams.worlds import H100, World, cluster, planned, quota

GIB = 2**30
#: Of the vendor's table (NVIDIA MIG User Guide): profile, the device's memory in GB, how many fit one.
PROFILES = [
    ("1g.5gb", 40, 7),
    ("1g.10gb", 40, 4),
    ("2g.10gb", 40, 3),
    ("3g.20gb", 40, 2),
    ("4g.20gb", 40, 1),
    ("7g.40gb", 40, 1),
    ("1g.10gb", 80, 7),
    ("1g.20gb", 80, 4),
    ("2g.20gb", 80, 3),
    ("3g.40gb", 80, 2),
    ("7g.80gb", 80, 1),
    ("1g.6gb", 24, 4),
    ("2g.12gb", 24, 2),
    ("4g.24gb", 24, 1),
]


def mig(profile: str) -> Shape:
    return Shape(requests=((CPU, 1000), (f"nvidia.com/mig-{profile}", 1), (PODS, 1)))


@pytest.mark.parametrize(("profile", "memory", "fit"), PROFILES)
def test_instances_that_fill_a_device_count_for_no_more_than_it(profile: str, memory: int, fit: int) -> None:
    # Devices have a little less than their name says.
    for memory_mib in (memory * 1024, memory * 1024 * 98 // 100):
        each = gpu_milli(f"nvidia.com/mig-{profile}", memory_mib)
        # Thousandths are rounded up, so that many small ones never cost less than one large one.
        assert each * fit < 1000 + fit
        assert each * (fit + 1) > 1000
    assert 0 < gpu_milli(f"nvidia.com/mig-{profile}", 0) <= 1000


@given(st.integers(1, 999), st.integers(1, 200), st.integers(1, 5_000))
@settings(max_examples=100, deadline=None)
def test_a_share_counts_for_its_part_in_units_and_by_model(milli: int, gib: int, unit: int) -> None:
    units = UnitTable(by_model={"h100-80gb": unit})

    def charged(ask: DeviceAsk, memory_mib: int) -> dict[str, int]:
        return charge_of(shape(cpu=0, memory=0, ask=ask), "h100-80gb", memory_mib, units)

    by_part = charged(DeviceAsk(milli=milli), 80 * 1024)
    assert by_part == {"gpu/h100-80gb": milli, "gpu": -(-milli * unit // 1000)}
    by_memory = charged(DeviceAsk(memory_bytes=gib * GIB), 80 * 1024)
    part = min(1000, -(-gib * 1000 // 80))
    assert by_memory == {"gpu/h100-80gb": part, "gpu": -(-part * unit // 1000)}
    # Of a device whose memory nobody tells, the share may be all.
    assert charged(DeviceAsk(memory_bytes=gib * GIB), 0)["gpu/h100-80gb"] == 1000


def test_memory_is_what_labels_tell_else_what_the_model_is_called() -> None:
    assert memory_mib_of({"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.memory": "15360"}) == 15_360
    assert memory_mib_of({"nvidia.com/gpu.product": H100}) == 80 * 1024
    assert memory_mib_of({"nvidia.com/gpu.product": "Tesla-T4"}) == 0
    assert memory_mib_of({}) == 0


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_what_runs_adds_up_whatever_the_order(seed: int) -> None:
    rng = Random(seed)
    state = cluster([8, 8], [quota("a"), quota("b")], models=[H100, "Tesla-T4"])
    asks = [DeviceAsk(milli=rng.randint(1, 999)) for _ in range(rng.randint(1, 8))]
    wholes = rng.randint(0, 3)
    pods = [
        pod(f"s{i}", of=shape(ask=ask), namespace=rng.choice("ab"), node=rng.choice(("n0", "n1")))
        for i, ask in enumerate(asks)
    ]
    pods += [pod(f"w{i}", gpu=1, namespace="a", node="n0") for i in range(wholes)]
    rng.shuffle(pods)
    for each in pods:
        state.set_pod(each)
    gone = rng.sample(pods, rng.randint(0, len(pods)))
    before = _used(state)
    for each in gone:
        state.remove_pod(each.uid)
    stays = [each for each in pods if each not in gone]
    for found, there in ((before, pods), (_used(state), stays)):
        asked = [(p.namespace, p.shape.ask.milli if p.shape.ask else 1000) for p in there]
        for team in "ab":
            assert found[team] == sum(milli for owner, milli in asked if owner == team)


def _used(state: ClusterState) -> dict[str, int]:
    teams = state.snapshot().teams
    assert teams is not None
    return {team: teams.usage.get(team, {}).get("gpu", 0) for team in "ab"}


def test_a_limit_holds_for_instances_and_their_nodes_count_in_the_cluster() -> None:
    state = cluster([], [quota("a", {"limit": {"gpu": "500m"}}), quota("b", {"guaranteed": {"gpu": 1}})])
    labels = {"nvidia.com/gpu.product": H100}
    there = {CPU: 96_000, PODS: 110, "nvidia.com/mig-1g.10gb": 14}
    state.set_node(node("m0", labels=labels, allocatable=there))
    world = World(state)
    world.submit(*(pod(f"a{i}", of=mig("1g.10gb"), namespace="a") for i in range(6)))
    world.settle()
    # A seventh each: three are 429 thousandths, four would be 572.
    assert len(world.running("a")) == 3
    assert world.last is not None
    told = {verdict.message for verdict in world.last.verdicts}
    assert told == {"team a is at its limit of 0.500 gpu: 0.572 would be in use"}
    world.submit(*(pod(f"b{i}", of=mig("1g.10gb"), namespace="b") for i in range(12)))
    world.settle()
    assert len(world.running("b")) == 11


def test_a_pod_may_not_ask_for_a_larger_part_than_its_team_allows_one_pod() -> None:
    state = cluster([8], [quota("a", {"podMaximum": {"gpu": "250m"}})], models=[H100])
    for name, ask in (
        ("part", DeviceAsk(milli=251)),
        ("memory", DeviceAsk(memory_bytes=21 * GIB)),
    ):
        state.set_pod(pod(name, of=shape(ask=ask), namespace="a"))
    _, done = planned(state)
    assert {verdict.reason for verdict in done.verdicts} == {"Rejected"}
    assert all("over the 250 thousandths" in verdict.message for verdict in done.verdicts)
