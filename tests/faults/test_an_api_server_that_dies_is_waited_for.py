"""The API server is killed in the middle of binding a gang and comes back on its data."""

from __future__ import annotations

import asyncio

import pytest

from scheduler.invariants import end_state
from tests.faults import proxy
from tests.faults.scheduler import Terms
from tests.faults.stage import Stage, gang


@pytest.fixture
def terms() -> Terms:
    """A lease that outlives the few seconds without an API server."""
    return Terms(lease_s=30, renew_deadline_s=25.0, retry_s=0.5, write_timeout_s=2.0)


async def test_a_gang_half_bound_when_the_api_server_dies_is_whole_when_it_is_back(stage: Stage) -> None:
    await stage.nodes(2, gpus=4)
    await stage.create([*gang("work", 8), *gang("wide", 2, gpus=8)])
    gate = asyncio.Event()
    held = stage.proxy.add(proxy.binding, proxy.hold(gate), when=lambda number: number > 3)
    scheduler = await stage.start()
    async with asyncio.timeout(30):
        await held.fired.wait()
    await asyncio.to_thread(stage.cluster.kill_apiserver)
    gate.set()
    stage.proxy.clear()
    await asyncio.to_thread(stage.cluster.start_apiserver)
    await stage.until_bound(*(f"work-{i}" for i in range(8)))
    await stage.until_settled()
    assert scheduler.is_alive
    assert end_state(stage.auditor.history()).evictions == 0
    await stage.judge()
