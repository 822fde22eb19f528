"""Without storage or API server for longer than a lease, or replaced under load: whole within a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from deploy.local.components import Component
from scheduler.invariants import World, end_state
from tests.faults import proxy
from tests.faults.scheduler import SchedulerProcess, Terms
from tests.faults.stage import Stage, gang, pod

RECOVERY_S = 60.0
LEASE_S = 15


@pytest.fixture
def terms() -> Terms:
    """As shipped."""
    return Terms(lease_s=LEASE_S, renew_deadline_s=10.0, retry_s=2.0, write_timeout_s=5.0)


async def lives_through(one: SchedulerProcess, seconds: float) -> None:
    with pytest.raises(TimeoutError):
        await one.ended(seconds)


@pytest.mark.parametrize(("component", "seconds"), [("etcd", 30.0), ("kube-apiserver", 120.0)])
async def test_an_outage_in_the_middle_of_a_gang_ends_with_every_gang_whole(
    stage: Stage, component: Component, seconds: float
) -> None:
    await stage.nodes(4, gpus=4)
    await stage.create(gang("before", 8))
    gate = asyncio.Event()
    held = stage.proxy.add(proxy.binding, proxy.hold(gate), when=lambda number: number > 3)
    leader = await stage.start()
    async with asyncio.timeout(30):
        await held.fired.wait()
    # Only now, so that it is the other that leads.
    standby = await stage.start()
    await asyncio.to_thread(stage.cluster.stop_component, component, is_killed_at_once=True)
    gate.set()
    stage.proxy.clear()
    await lives_through(standby, seconds)
    # Its lease ran out meanwhile: it may not act any more and leaves it to the other.
    assert await leader.ended() == 1
    stage.cluster.start_component(component)
    await asyncio.to_thread(stage.cluster.wait_ready)
    await stage.create(gang("after", 8))
    await stage.until_bound(timeout_s=RECOVERY_S)
    assert end_state(stage.auditor.history()).evictions == 0
    await stage.judge(partial_s=seconds + RECOVERY_S)


async def test_replacing_both_schedulers_one_by_one_under_2_000_pods_loses_none(stage: Stage) -> None:
    await stage.nodes(250, gpus=8)
    running = [await stage.start(), await stage.start()]
    pods = [*(one for i in range(150) for one in gang(f"g{i}", 8)), *(pod(f"s{i}") for i in range(800))]
    creating = asyncio.create_task(stage.create(pods))
    loop = asyncio.get_running_loop()
    for share in (0.1, 0.5):
        await stage.until(_bound(stage, int(share * len(pods))), f"{share:.0%} bound")
        await stage.start()
        leaving_s = loop.time()
        assert await running.pop(0).stop() == 0
        await stage.until(_bound(stage, min(len(stage.bound()) + 1, len(pods))), "the next one bound")
        assert loop.time() - leaving_s <= LEASE_S
    await creating
    await stage.until_bound(timeout_s=RECOVERY_S)
    assert len(stage.bound()) == len(pods)
    assert len({found.epoch for found in stage.pods().values()}) > 1
    assert end_state(stage.auditor.history()).evictions == 0
    await stage.judge()


def _bound(stage: Stage, count: int) -> Callable[[World], bool]:
    def holds(_: World) -> bool:
        return len(stage.bound()) >= count

    return holds
