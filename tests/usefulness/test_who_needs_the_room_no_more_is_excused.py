"""INV17: nobody starts on the room, since whoever needed it got larger, or found other room by chance."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.invariants import no_useless_eviction
from scheduler.invariants.history import GangRef, GroupVersion
from tests.faults.chronicle import NAMESPACE, Chronicle, honest

SEEDS = st.integers(0, 2**32)
few = settings(max_examples=20)


def _found(told: Chronicle) -> list[str]:
    return [str(found) for found in no_useless_eviction(told.history(quiet_s=1_000.0))]


def _begun(seed: int) -> Chronicle:
    told = honest(seed)
    for name in ("n8", "n9"):
        told.node(name, 16)
    return told


@few
@given(
    seed=SEEDS,
    before=st.integers(1, 4),
    after=st.integers(1, 4),
    whose=st.sampled_from(["wants", "other"]),
    after_s=st.floats(0.0, 100.0) | st.floats(125.0, 500.0),
)
def test_a_gang_that_is_made_larger_while_it_waits(
    seed: int, before: int, after: int, whose: str, after_s: float
) -> None:
    told = _begun(seed)
    victim = told.pod("victim", gpus=16)
    told.bind(victim, "n8")
    told.now_s += 100.0
    for name in ("wants", "other"):
        ref = GangRef(NAMESPACE, "podgroup", name)
        told.write("Group", f"group-{name}", GroupVersion(ref=ref, minimum=before))
        for number in range(before):
            told.pod(f"{name}-{number}", gang=ref, gpus=4)
    told.evict(victim, f"displaced for gang {NAMESPACE}/wants, which goes first by the policy's order")
    told.now_s += after_s
    grown = GroupVersion(ref=GangRef(NAMESPACE, "podgroup", whose), minimum=after)
    told.write("Group", f"group-{whose}", grown)
    is_excused = whose == "wants" and after > before and after_s < 120.0
    assert (_found(told) == []) is is_excused


@few
@given(
    seed=SEEDS,
    asks=st.sampled_from([15, 16, 32]),
    is_early=st.booleans(),
    was_there=st.booleans(),
    taken_s=st.floats(1.0, 60.0),
)
def test_who_finds_other_room_before_a_broken_gang_is_gone(
    seed: int, asks: int, is_early: bool, was_there: bool, taken_s: float
) -> None:
    """A gang that lost a member is given back for somebody whose place another pod then leaves, by chance."""
    told = _begun(seed)
    ref, (stays, lost) = told.gang("victim", 2, gpus=16)
    told.place(ref, [stays], "n8")
    told.place(ref, [lost], "n9")
    told.now_s += 100.0
    told.fail(lost)
    beside = told.pod("beside", gpus=1)
    told.bind(beside, "n9")
    wants = "" if not was_there else told.pod("wants", gpus=asks)
    told.now_s += 70.0
    told.evict(stays, "only 1 of 2 members were bound for 70 s", leaves=False)
    told.change(replace(told.pods[stays], is_deleting=True))
    told.now_s += taken_s
    wants = wants or told.pod("wants", gpus=asks)
    told.node("n10", asks)
    told.remove(beside)
    if is_early:
        told.bind(wants, "n10")
        told.remove(stays)
    else:
        told.remove(stays)
        told.bind(wants, "n10")
    assert (_found(told) == []) is (is_early and was_there and asks == 16)


@few
@given(seed=SEEDS, takes_s=st.floats(0.0, 300.0), is_evicted=st.booleans())
def test_a_gang_that_is_evicted_in_its_turn_while_it_starts(
    seed: int, takes_s: float, is_evicted: bool
) -> None:
    """Its victim takes its time to go, and a higher priority comes before the gang has all its places."""
    told = _begun(seed)
    victim = told.pod("victim", gpus=16)
    told.bind(victim, "n8")
    _, uids = told.gang("urgent", 2, gpus=16)
    told.evict(
        victim, "preempted for gang team/urgent of the same team a, which has priority 100", leaves=False
    )
    told.now_s += takes_s
    told.remove(victim)
    told.bind(uids[0], "n9")
    if is_evicted:
        other, more = told.pod("other", gpus=16), told.pod("more", gpus=16)
        told.bind(other, "n8")
        told.evict(uids[0], "preempted for pod team/more of the same team a, which has priority 200")
        told.bind(more, "n9")
    assert (_found(told) == []) is is_evicted
