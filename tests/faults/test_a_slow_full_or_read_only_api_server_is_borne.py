"""An API server that is slow, full, or takes no writes: nothing wrong is done, and it ends when that does."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from itertools import count, pairwise

import pytest

from scheduler.invariants import end_state
from tests.faults import proxy
from tests.faults.calls import Action, Answer, Call, Forward
from tests.faults.scheduler import Terms
from tests.faults.stage import Stage, gang, pod

RETRY_AFTER_S = 1
#: Across a leader's end (INV2).
PARTIAL_S = 60.0
STORAGE_FULL = "etcdserver: mvcc: database space exceeded"
#: Where the lease is to be lost: soon, and yet not by a busy machine alone.
SHORT = Terms(lease_s=9, renew_deadline_s=6.0, retry_s=0.5, write_timeout_s=1.5)
#: Longer than any write may take.
TOO_LATE_S = 3.0


@pytest.fixture
def terms() -> Terms:
    """A lease that no load and no throttling costs."""
    return Terms(lease_s=30, renew_deadline_s=25.0, retry_s=0.5, write_timeout_s=5.0)


def is_write(one: Call) -> bool:
    return one.is_write


def is_no_watch(one: Call) -> bool:
    return not one.is_watch


def is_throttled(one: Call) -> bool:
    """Leases have a priority level of their own, so that a flood of other requests costs no leader."""
    return not one.is_watch and one.resource != "leases" and "dryRun=All" not in one.query


class Throttle:
    """429 to everything, with the time after which it may be asked again; notes who asked when."""

    def __init__(self) -> None:
        self.asked_s: dict[str, list[float]] = defaultdict(list)

    def action(self) -> Action:
        refuse = proxy.refuse_with(429, reason="TooManyRequests", retry_after_s=RETRY_AFTER_S)

        async def act(one: Call, forward: Forward) -> Answer:
            name = ((one.json() or {}).get("metadata") or {}).get("name", "") if one.is_write else ""
            slot = f"{one.method} {one.path} {name if one.method == 'POST' else ''}"
            self.asked_s[slot].append(asyncio.get_running_loop().time())
            return await refuse(one, forward)

        return act

    def too_soon(self) -> dict[str, float]:
        """By request: the shortest time between two of it, where that is less than was asked for."""
        gaps = {
            slot: min(after - before for before, after in pairwise(times))
            for slot, times in self.asked_s.items()
            if len(times) > 1
        }
        return {slot: gap_s for slot, gap_s in gaps.items() if gap_s < 0.95 * RETRY_AFTER_S}


async def test_a_full_server_is_asked_again_no_sooner_than_it_says(stage: Stage) -> None:
    await stage.nodes(3, gpus=4)
    leader = await stage.start()
    await stage.create([pod("before")])
    await stage.until_bound("before")
    throttle = Throttle()
    stage.proxy.add(is_throttled, throttle.action())
    await stage.create([*gang("work", 8), *gang("wide", 4, gpus=4), pod("alone")])
    async with asyncio.timeout(60):
        for number in count():
            # Every event wakes the loop; what it would say of the gang that cannot fit is still not written.
            await stage.create([pod(f"more-{number}", gpus=5)])
            await stage.beats(1)
            if any(len(times) > 2 for times in throttle.asked_s.values()):
                break
    assert stage.bound() == {"before"}
    assert throttle.too_soon() == {}
    stage.proxy.clear()
    await stage.until_bound("alone", *(f"work-{i}" for i in range(8)))
    await stage.until_settled()
    assert leader.is_alive
    assert end_state(stage.auditor.history()).evictions == 0
    await stage.judge()


async def test_every_answer_late_costs_time_and_nothing_else(stage: Stage) -> None:
    await stage.nodes(2, gpus=4)
    stage.proxy.add(is_no_watch, proxy.delay(2.0))
    leader = await stage.start()
    await stage.create(gang("work", 8))
    await stage.until_bound(timeout_s=90.0)
    assert leader.is_alive
    assert {found.epoch for found in stage.pods().values()} == {1}
    assert end_state(stage.auditor.history()).evictions == 0
    await stage.judge()


@pytest.mark.parametrize("terms", [SHORT], ids=["short"])
async def test_slower_than_every_timeout_ends_the_leader_and_the_next_one_reads_first(
    stage: Stage, terms: Terms
) -> None:
    await stage.nodes(2, gpus=4)
    await stage.create(gang("work", 8))
    started = stage.proxy.add(proxy.binding, proxy.delay(TOO_LATE_S), when=lambda number: number > 3)
    leader, standby = await stage.start(), await stage.start()
    async with asyncio.timeout(30):
        await started.fired.wait()
    stage.proxy.add(is_no_watch, proxy.delay(TOO_LATE_S))
    assert await leader.ended(60.0) == 1
    assert standby.is_alive
    stage.proxy.clear()
    await stage.until_bound(timeout_s=PARTIAL_S)
    assert end_state(stage.auditor.history()).evictions == 0
    await stage.judge(partial_s=PARTIAL_S)


@pytest.mark.parametrize("terms", [SHORT], ids=["short"])
async def test_a_server_that_takes_no_writes_costs_the_lease_and_no_gang(stage: Stage, terms: Terms) -> None:
    """As when its storage is full: reads and watches are as ever, every write fails."""
    await stage.nodes(2, gpus=4)
    await stage.create(gang("work", 8))
    fails = proxy.refuse_with(500, reason="InternalError", message=STORAGE_FULL)
    first = stage.proxy.add(proxy.binding, fails, when=lambda number: number > 3)
    leader, standby = await stage.start(), await stage.start()
    async with asyncio.timeout(30):
        await first.fired.wait()
    stage.proxy.add(is_write, fails)
    assert await leader.ended(60.0) == 1
    held = stage.bound()
    assert len(held) <= 3
    with pytest.raises(TimeoutError):
        await standby.ended(terms.lease_s)
    assert stage.bound() == held
    stage.proxy.clear()
    await stage.until_bound(timeout_s=PARTIAL_S)
    assert end_state(stage.auditor.history()).evictions == 0
    await stage.judge(partial_s=PARTIAL_S)
