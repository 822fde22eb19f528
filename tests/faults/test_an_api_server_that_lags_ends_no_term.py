"""Behind two API servers, of which one learns of a new term late, leaders lead on and no older one writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from deploy.local.cluster import Cluster
from scheduler.invariants import World
from scheduler.kube.endpoint import Endpoint
from tests.faults import proxy
from tests.faults.proxy import nth
from tests.faults.replicas import Balanced, second_server
from tests.faults.scheduler import Terms
from tests.faults.stage import Stage, gang, staged

LAGS_S = (0.1, 0.5, 2.0)


@pytest.fixture(params=LAGS_S)
def lag_s(request: pytest.FixtureRequest) -> float:
    return float(request.param)


@pytest.fixture
async def stage(fault_cluster: Cluster, tmp_path: Path, terms: Terms, lag_s: float) -> AsyncIterator[Stage]:
    async with second_server(fault_cluster, lag_s) as other:

        def way(endpoint: Endpoint) -> Balanced:
            return Balanced(endpoint, other)

        async with staged(fault_cluster, tmp_path, terms, way) as found:
            yield found


def _balanced(stage: Stage) -> Balanced:
    assert isinstance(stage.proxy, Balanced)
    return stage.proxy


async def test_leaders_follow_each_other_and_none_ends_itself(stage: Stage) -> None:
    """Each term's first Bindings go to the server that has not heard of the term."""
    await stage.nodes(12, gpus=1)
    way = _balanced(stage)
    for term in range(1, 4):
        way.bindings_at = way.other
        await stage.create(gang(f"work{term}", 4))
        leader = await stage.start()
        await stage.until(_led_in(term), f"term {term}")
        await stage.until_bound()
        assert leader.is_alive, leader.tail()
        way.bindings_at = None
        if term < 3:
            leader.kill() if term == 1 else await leader.stop()
            await leader.wait()
    assert {pod.epoch for name, pod in stage.pods().items() if name.startswith("work3")} == {3}
    await stage.judge(partial_s=60.0)


async def test_what_an_older_term_still_sends_lands_nowhere_once_the_next_acts(stage: Stage) -> None:
    """Its Bindings are let go in the moment the Lease changes hands, at the server that has not heard."""
    await stage.nodes(3, gpus=1)
    await stage.create(gang("work", 3))
    way, gate = _balanced(stage), asyncio.Event()
    way.bindings_at = way.other
    held = way.add(proxy.binding, proxy.hold(gate), when=nth(1, 2, 3))
    first = await stage.start()
    async with asyncio.timeout(30):
        while held.seen.total() < 3:
            await held.fired.wait()
            held.fired.clear()
    first.pause()
    await stage.start()
    await stage.until(_led_in(2), "the second leads")
    gate.set()
    await stage.until_bound()
    first.resume()
    assert await first.ended() != 0
    await stage.judge(partial_s=60.0)
    epochs = [pod.epoch for pod in stage.pods().values()]
    assert set(epochs) <= {1, 2}
    written = [one.status for one in way.answered(proxy.binding)]
    assert written.count(201) == 3, "each pod was bound once, whoever did it"


def _led_in(epoch: int) -> Callable[[World], bool]:
    return lambda world: world.lease is not None and bool(world.lease.holder) and world.lease.epoch == epoch
