"""The judges of use read a simulated run as they read a real one: no eviction is useless, nobody idles."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from scheduler.invariants import no_idle_hole, no_useless_eviction
from scheduler.model.plan import Policy
from simulations.engine import Engine, Setting
from simulations.workload import Job, workload
from tests.simulations.drawn import NODES, ORDERS, jobs
from tests.simulations.histories import recorded

#: How the judge words a victim without whom there was room.
SPARED = "had them without"
orders = st.sampled_from(ORDERS)


def _alike(found: list[Job]) -> list[Job]:
    """All pods of a job ask the same and start together: which of them a stay was of is not told."""
    return [replace(job, last_gpus=None, min_pods=job.pods, duration_s=job.duration_s + 1.0) for job in found]


@settings(max_examples=40, deadline=None)
@given(found=jobs(), displaces=st.booleans(), order=orders)
def test_no_eviction_is_useless_and_nobody_waits_for_nothing(
    found: list[Job], displaces: bool, order: str
) -> None:
    policy = Policy(order=order, displaces=displaces)  # type: ignore[arg-type] # one of its names
    outcome = Engine(workload("drawn", _alike(found)), NODES, Setting(policy=policy)).run()
    history = recorded(outcome)
    # Who was promised which room an outcome does not tell, so that who was one victim too many is not seen.
    useless = [one for one in no_useless_eviction(history) if SPARED not in one.text]
    broken = [*useless, *no_idle_hole(history, preempts=not displaces)]
    assert not broken, "\n".join(map(str, broken))


@settings(max_examples=20, deadline=None)
@given(found=jobs(), late_s=st.floats(100.0, 400.0))
def test_a_simulator_that_is_late_is_found(found: list[Job], late_s: float) -> None:
    """The same run, all of whose starts are told later than they were."""
    alike = [replace(job, priority=0) for job in _alike(found)]
    outcome = Engine(workload("drawn", alike), NODES, Setting()).run()
    stays = [replace(stay, from_s=stay.from_s + late_s, to_s=stay.to_s + late_s) for stay in outcome.stays]
    stories = [
        structs.replace(story, ended_s=None if story.ended_s is None else story.ended_s + late_s)
        for story in outcome.stories
    ]
    late = replace(outcome, stays=stays, stories=stories, evictions=(), end_s=outcome.end_s + late_s)
    assert no_idle_hole(recorded(late))
