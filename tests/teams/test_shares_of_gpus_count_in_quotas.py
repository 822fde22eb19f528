"""A share of a GPU counts for that share in its team's quota: nobody gets past a limit in small pieces."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotas.units import UnitTable
from scheduler.model.devices import WHOLE_GPU, DeviceAsk, Inventory, Slot
from scheduler.model.objects import GPU, Shape
from scheduler.state import ClusterState
from scheduler.teams.measure import charge_of, gauged
from tests.builders import pod, shape
from tests.teams.worlds import H100, START_S, World, cluster, quota

GIB = 2**30
#: Of one H100.
MIB = 80 * 1024


def share(milli: int = 0, *, gib: int = 0) -> Shape:
    return replace(shape(cpu=1), ask=DeviceAsk(milli=milli, memory_bytes=gib * GIB))


def with_devices(state: ClusterState, *gpus: int) -> ClusterState:
    """Nodes n0, n1 ... report so many devices of 80 GiB."""
    state.at(START_S)
    for number, count in enumerate(gpus):
        slots = tuple(
            Slot(uuid=f"n{number}-{i}", resource=WHOLE_GPU, memory_bytes=80 * GIB, is_usable=True)
            for i in range(count)
        )
        state.set_inventory(Inventory(node=f"n{number}", is_ready=True, probed_s=START_S, slots=slots))
    return state


@pytest.mark.parametrize("asked", [share(500), share(gib=40)])
def test_a_limit_of_one_gpu_holds_two_halves(asked: Shape) -> None:
    state = with_devices(cluster([4], [quota("a", {"limit": {"gpu": 1}})], models=[H100]), 4)
    world = World(state)
    world.submit(*(pod(f"half{i}", of=asked, namespace="a") for i in range(3)))
    done = world.cycle()
    assert len(world.running("a")) == 2
    assert [verdict.reason for verdict in done.verdicts] == ["QuotaExceeded"]


def test_nobody_is_evicted_for_a_share_while_what_leaves_is_not_counted() -> None:
    """Else each cycle in which the first victim is still leaving would take another one."""
    state = with_devices(cluster([2], [quota("a")], models=[H100]), 2)
    world = World(state, grace_s=30.0)
    world.submit(*(pod(f"low{i}", of=share(500), namespace="a") for i in range(4)))
    world.settle()
    assert len(world.running("a")) == 4
    world.submit(pod("high", of=share(500), namespace="a", priority=5))
    for _ in range(4):
        assert not world.cycle().clearings
        world.now_s += 1.0
    assert len(world.running("a")) == 4


@given(milli=st.integers(1, 999), count=st.integers(1, 20))
def test_shares_of_a_model_add_up_exactly(milli: int, count: int) -> None:
    charges = [charge_of(share(milli), "h100-80gb", MIB, UnitTable()) for _ in range(count)]
    one = charge_of(shape(gpu=1, cpu=1), "h100-80gb", MIB, UnitTable())
    for name, value in one.items():
        if "gpu" in name.lower():
            assert sum(charge[name] for charge in charges) * 1000 == value * milli * count


def test_a_share_of_memory_counts_by_the_models_own_or_as_a_whole_gpu() -> None:
    assert gauged(share(gib=20), MIB)[GPU] == 250
    assert gauged(share(gib=1), MIB)[GPU] == 13
    assert gauged(share(gib=20))[GPU] == 1000
    assert gauged(share(gib=200), MIB)[GPU] == 1000
