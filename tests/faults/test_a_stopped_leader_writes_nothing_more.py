"""Split brain: a leader that was stopped, or cut off, beyond its lease changes nothing when it comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from scheduler.invariants import World
from tests.faults import proxy
from tests.faults.proxy import nth
from tests.faults.stage import LEASE, Stage, gang


async def test_a_binding_that_was_under_way_is_refused_by_the_next_term(stage: Stage) -> None:
    await stage.nodes(3, gpus=1)
    await stage.create(gang("work", 3))
    gate = asyncio.Event()
    held = stage.proxy.add(proxy.binding, proxy.hold(gate), when=nth(1, 2, 3))
    first = await stage.start()
    async with asyncio.timeout(30):
        while held.seen.total() < 3:
            await held.fired.wait()
            held.fired.clear()
    first.pause()
    await stage.start()
    await stage.until_bound()
    gate.set()
    async with asyncio.timeout(10):
        while len(stage.proxy.answered(proxy.binding)) < 6:
            await stage.proxy.next_answer()
    first.resume()
    assert await first.ended() != 0
    # Three of the new term; the three of the old one were answered by the fence.
    statuses = sorted(answer.status for answer in stage.proxy.answered(proxy.binding))
    assert statuses == [201] * 3 + [403] * 3
    terms = {pod.epoch for pod in stage.pods().values()}
    assert terms == {2}
    await stage.judge(partial_s=60.0)


async def test_a_leader_cut_off_from_its_lease_gives_up_before_another_leads(stage: Stage) -> None:
    await stage.nodes(4, gpus=1)
    first = await stage.start()
    await stage.until(_led_in(1), "the first leads")
    stage.proxy.add(lambda one: one.resource == "leases" and one.method == "PUT", proxy.reset())
    assert await first.ended() == 1
    stage.proxy.clear()
    await stage.create(gang("work", 4))
    await stage.start()
    await stage.until_bound()
    assert {pod.epoch for pod in stage.pods().values()} == {2}
    await stage.judge(partial_s=60.0)


async def test_an_administrator_who_deletes_the_lease_ends_the_term(stage: Stage) -> None:
    await stage.nodes(4, gpus=1)
    first = await stage.start()
    await stage.until(_led_in(1), "the first leads")
    await stage.api.delete(LEASE)
    assert await first.ended() == 1
    await stage.create(gang("work", 4))
    await stage.start()
    await stage.until_bound()
    await stage.judge(partial_s=60.0)


def _led_in(epoch: int) -> Callable[[World], bool]:
    return lambda world: world.lease is not None and bool(world.lease.holder) and world.lease.epoch == epoch
