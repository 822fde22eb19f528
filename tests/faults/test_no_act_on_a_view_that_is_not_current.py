"""Watches that fall silent, end, expire or are refused: nothing is bound on what may no longer be so."""

from __future__ import annotations

import asyncio

import pytest

from scheduler.invariants import end_state
from tests.faults import proxy, watches
from tests.faults.calls import WatchAction
from tests.faults.scheduler import Terms
from tests.faults.stage import Stage, foreign, gang, pod

#: Lease renewals in which a silent view gets older than the 5 s that are allowed.
TOO_OLD_BEATS = 32


@pytest.fixture
def terms() -> Terms:
    return Terms(stale_s=5.0)


async def test_a_node_that_was_filled_behind_a_silent_watch_gets_nothing(stage: Stage) -> None:
    await stage.nodes(1, gpus=1, prefix="small")
    silent, gate = asyncio.Event(), asyncio.Event()
    pods = proxy.call(resource="pods")
    stage.proxy.add(pods, watch=watches.stall_when(silent, gate))
    await stage.start()
    await stage.create([pod("first"), pod("large", gpus=4)])
    await stage.until_settled()
    assert stage.bound() == {"first"}
    # From here on the scheduler can neither hear of a pod nor list them.
    silent.set()
    stage.proxy.add(proxy.call("GET", "pods", ""), proxy.hold(gate))
    await stage.beats(TOO_OLD_BEATS)
    (node,) = await stage.nodes(1, gpus=4, prefix="new")
    await stage.create([foreign("theirs", node=node, gpus=4)])
    await stage.beats(5)
    assert "large" not in stage.bound()
    gate.set()
    stage.proxy.clear()
    await stage.delete("theirs")
    await stage.until_bound("large")
    await stage.judge()


WAYS: dict[str, WatchAction] = {
    "ends after each event": watches.close_after(1),
    "ends after five events": watches.close_after(5),
    "expires after each event": watches.expire_after(1),
    "expires after five events": watches.expire_after(5),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("resource", ["pods", "nodes", "gangs"])
async def test_a_watch_that_keeps_breaking_only_costs_time(stage: Stage, resource: str, way: str) -> None:
    stage.proxy.add(proxy.call(resource=resource), watch=WAYS[way])
    await stage.nodes(2, gpus=4)
    await stage.start()
    await stage.create([*gang("work", 6), pod("lone", gpus=2), *gang("wide", 3, gpus=4)])
    await stage.until_bound("lone", *(f"work-{i}" for i in range(6)))
    await stage.until_settled()
    end = end_state(stage.auditor.history())
    assert (end.binds, end.evictions) == (7, 0)
    await stage.judge()


@pytest.mark.parametrize("status", [410, 429, 500, 503])
async def test_lists_and_watches_that_are_refused_at_first_are_asked_for_again(
    stage: Stage, status: int
) -> None:
    reads = proxy.call("GET", path=r"/(pods|nodes|gangs|podgroups)$")
    refused = proxy.refuse_with(status, reason="Expired" if status == 410 else "")
    stage.proxy.add(reads, refused, when=proxy.nth(1, 2), by_path=True)
    await stage.nodes(1, gpus=4)
    await stage.create(gang("work", 4))
    await stage.start()
    await stage.until_bound()
    await stage.judge()
