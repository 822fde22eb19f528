"""The measure for the rest: with no fault the auditor finds nothing, and all that fits is bound."""

from __future__ import annotations

from scheduler.invariants import end_state
from tests.faults.proxy import binding
from tests.faults.stage import Stage, gang, pod


async def test_gangs_and_singles_are_bound_whole_and_each_pod_once(stage: Stage) -> None:
    await stage.nodes(4)
    await stage.create(
        [*gang("a", 5, gpus=4), *gang("b", 3, gpus=2), pod("lone", gpus=1), *gang("huge", 5, gpus=8)]
    )
    scheduler = await stage.start()
    await stage.until_settled()
    assert stage.bound() == {name for name in stage.pods() if not name.startswith("huge")}
    assert len(stage.proxy.applied(binding)) == 9
    assert await scheduler.stop() == 0
    await stage.judge()
    end = end_state(stage.auditor.history())
    assert (end.binds, end.evictions) == (9, 0)
    assert stage.auditor.gaps == 0
