"""Crash equivalence: killed before or after any write, the next leader ends where an undisturbed one would.

The scheduler gets SIGKILL in the very moment in which the proxy has one of its writes in hand (before:
the API server never hears of it) or has just seen it applied (after: nobody is told).
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from scheduler.invariants import EndState, GangRef, World, end_state, same_end
from tests.faults import proxy
from tests.faults.calls import Match
from tests.faults.proxy import nth
from tests.faults.scheduler import SchedulerProcess, Terms
from tests.faults.stage import Stage, gang

MEMBERS = 5
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A write of the scheduler, and for which of them it is killed."""

    name: str
    match: Match
    numbers: tuple[int, ...]


#: First, middle and last where a write is made for each member.
PLACING = (
    Site(name="lease", match=proxy.lease_create, numbers=(1,)),
    Site(name="renewal", match=proxy.lease_renewal, numbers=(2,)),
    Site(name="gang object", match=proxy.gang_create, numbers=(1,)),
    Site(name="claim", match=proxy.gang_status("Binding"), numbers=(1,)),
    Site(name="binding", match=proxy.binding, numbers=(1, 3, MEMBERS)),
    Site(name="bound", match=proxy.gang_status("Bound"), numbers=(1,)),
    Site(name="verdict", match=proxy.gang_status("Pending"), numbers=(1,)),
    Site(name="condition", match=proxy.pod_status, numbers=(1, 2, 3)),
    Site(name="event", match=proxy.event_create, numbers=(1, 3, MEMBERS + 1)),
)
UNWINDING = Site(name="eviction", match=proxy.eviction, numbers=(1, 2, MEMBERS - 1))
CASES = [(site, number) for site in PLACING for number in site.numbers]


@pytest.fixture
def terms() -> Terms:
    return Terms(lease_s=2, renew_deadline_s=1.5, write_timeout_s=0.5, partial_s=3.0)


def _name(value: object) -> str | None:
    return value.name if isinstance(value, Site) else None


@pytest.mark.parametrize("is_applied", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("site", "number"), CASES, ids=_name)
async def test_a_gang_ends_whole_whichever_write_was_the_last(
    stage: Stage, site: Site, number: int, is_applied: bool
) -> None:
    await stage.nodes(MEMBERS, gpus=1)
    await stage.create([*gang("work", MEMBERS), *gang("wide", 3, gpus=2)])
    await _kill_at(stage, site, number, is_applied=is_applied)
    await stage.until_bound(*(f"work-{i}" for i in range(MEMBERS)))
    await stage.until_settled()
    work, wide = (GangRef(stage.namespace, "own", name) for name in ("work", "wide"))
    await stage.until(lambda world: _phase(world, work) == "Bound", "the Gang object says so")
    await stage.until(lambda world: _phase(world, wide) == "Pending", "the other one says so")
    await stage.judge(partial_s=60.0)
    expected = EndState(gangs=((wide, 0, 3), (work, MEMBERS, 0)), singles=(), binds=MEMBERS, evictions=0)
    assert same_end(stage.auditor.history(), expected) == []


@pytest.mark.parametrize("is_applied", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", UNWINDING.numbers)
async def test_a_gang_that_is_taken_back_ends_with_no_member_bound_or_with_all(
    stage: Stage, number: int, is_applied: bool
) -> None:
    await stage.nodes(MEMBERS, gpus=1)
    await stage.create(gang("work", MEMBERS))
    last = proxy.call("POST", "pods", "binding", name=f"work-{MEMBERS - 1}")
    stage.proxy.add(last, proxy.refuse_with(422, reason="Invalid"))
    await _kill_at(stage, UNWINDING, number, is_applied=is_applied)
    await stage.until_settled()
    await stage.judge(partial_s=60.0)
    end = end_state(stage.auditor.history())
    if end.evictions == 0:
        # Nothing was taken back yet, and the next leader can bind the last member.
        assert (number, is_applied) == (1, False)
        assert end.binds == MEMBERS
        assert stage.bound() == {f"work-{i}" for i in range(MEMBERS)}
    else:
        # Evictions leave side by side, so others may have left before the first one was stopped.
        assert (end.binds, end.evictions) == (MEMBERS - 1, MEMBERS - 1)
        assert stage.bound() == set()


async def _kill_at(stage: Stage, site: Site, number: int, *, is_applied: bool) -> None:
    """Let a leader be killed at the site; return when the next one leads, on a network that is good again."""
    leader: list[SchedulerProcess] = []
    action = (proxy.after if is_applied else proxy.before)(lambda: leader[0].kill())
    stage.proxy.add(site.match, action, when=nth(number))
    leader.append(await stage.start())
    assert await leader[0].ended(PATIENCE_S) == -9
    stage.proxy.clear()
    await stage.start()
    epoch = 1 if site.name == "lease" and not is_applied else 2
    await stage.until(lambda world: world.lease is not None and world.lease.epoch == epoch, "a new term")


def _phase(world: World, ref: GangRef) -> str:
    return world.gangs[ref].phase if ref in world.gangs else ""
