"""Members that arrive late, leave half way, come back under their old name, or meet a full node."""

from __future__ import annotations

import asyncio

from scheduler.invariants import end_state
from tests.faults import proxy
from tests.faults.proxy import nth
from tests.faults.stage import Stage, foreign, gang, pod


async def test_nothing_is_bound_before_the_last_member_is_there(stage: Stage) -> None:
    await stage.nodes(1, gpus=8)
    members = gang("late", 5)
    await stage.start()
    await stage.create(members[:4])
    await stage.until(
        lambda _: all(p.told is not None and p.told[0] == "False" for p in stage.pods().values()), "told"
    )
    assert stage.bound() == set()
    await stage.create(members[4:])
    await stage.until_bound()
    await stage.judge()


async def test_a_member_deleted_while_its_gang_is_bound_leaves_no_part_of_it(stage: Stage) -> None:
    await stage.nodes(1, gpus=8)
    await stage.create(gang("work", 5))
    gate = asyncio.Event()
    held = stage.proxy.add(proxy.binding, proxy.hold(gate), when=nth(3))
    await stage.start()
    async with asyncio.timeout(30):
        await held.fired.wait()
    await stage.delete("work-4")
    gate.set()
    await stage.until_settled()
    await stage.judge()


async def test_a_whole_gang_deleted_half_way_leaves_nothing_assumed(stage: Stage) -> None:
    await stage.nodes(1, gpus=4)
    await stage.create(gang("first", 4))
    gate = asyncio.Event()
    held = stage.proxy.add(proxy.gang_status("Binding"), proxy.hold(gate), when=nth(1))
    await stage.start()
    async with asyncio.timeout(30):
        await held.fired.wait()
    for i in range(4):
        await stage.delete(f"first-{i}")
    gate.set()
    await stage.create(gang("second", 4))
    await stage.until_bound(*(f"second-{i}" for i in range(4)))
    await stage.judge()


async def test_a_pod_made_anew_under_its_old_name_is_planned_anew(stage: Stage) -> None:
    await stage.nodes(1, gpus=4)
    await stage.create([pod("lone", gpus=2)])
    gate = asyncio.Event()
    held = stage.proxy.add(proxy.binding, proxy.hold(gate), when=nth(1))
    await stage.start()
    async with asyncio.timeout(30):
        await held.fired.wait()
    await stage.delete("lone")
    await stage.create([pod("lone", gpus=1)])
    gate.set()
    await stage.until_bound("lone")
    assert end_state(stage.auditor.history()).binds == 1
    await stage.judge()


async def test_a_member_replaced_after_failure_joins_its_gang(stage: Stage) -> None:
    await stage.nodes(1, gpus=8)
    await stage.create(gang("work", 4))
    await stage.start()
    await stage.until_bound()
    # Until its Gang says so too the last answer may be under way, and a loss then takes the gang back whole.
    await stage.until(lambda world: [g.phase for g in world.gangs.values()] == ["Bound"], "called bound")
    await stage.delete("work-2")
    await stage.create(gang("work", 4)[2:3])
    await stage.until_bound(*(f"work-{i}" for i in range(4)))
    await stage.until_settled()
    assert end_state(stage.auditor.history()).evictions == 0
    await stage.judge()


async def test_a_node_filled_by_another_scheduler_is_seen_before_the_next_plan(stage: Stage) -> None:
    nodes = await stage.nodes(2, gpus=4)
    await stage.create([foreign("theirs", node=nodes[0], gpus=4)])
    await stage.create(gang("work", 5))
    await stage.start()
    await stage.until_settled()
    assert not stage.bound() & {f"work-{i}" for i in range(5)}
    await stage.delete("theirs")
    await stage.until_bound(*(f"work-{i}" for i in range(5)))
    await stage.judge()


async def test_a_gang_whose_binds_are_refused_holds_nobody_up(stage: Stage) -> None:
    await stage.nodes(1, gpus=4)
    await stage.create(gang("poison", 2))
    refuse = proxy.refuse_with(422, reason="Invalid")
    stage.proxy.add(proxy.call("POST", "pods", "binding", name="poison-0"), refuse)
    stage.proxy.add(proxy.call("POST", "pods", "binding", name="poison-1"), refuse)
    await stage.start()
    await stage.create(gang("honest", 4))
    await stage.until_bound(*(f"honest-{i}" for i in range(4)))
    assert not stage.bound() & {"poison-0", "poison-1"}
    await stage.until_settled()
    await stage.judge()
