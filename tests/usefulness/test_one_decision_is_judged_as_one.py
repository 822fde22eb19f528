"""INV17 is judged decision by decision: Bindings on their way part none, and a new start parts two."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.invariants import PodVersion, no_useless_eviction
from tests.faults.chronicle import Chronicle, honest

SEEDS = st.integers(0, 2**32)
few = settings(max_examples=15)
FOR_URGENT = "preempted for pod team/urgent of the same team"


def _judged(told: Chronicle) -> list[str]:
    return [str(found) for found in no_useless_eviction(told.history(quiet_s=1_000.0))]


def _begun(seed: int) -> Chronicle:
    told = honest(seed)
    told.node("n8", 16)
    told.now_s += 100.0
    return told


@few
@given(SEEDS, st.integers(1, 3), st.data())
def test_bindings_that_land_while_a_gang_is_taken_back_part_nothing(
    seed: int, bound: int, data: st.DataObject
) -> None:
    """The gang gives back what it bound since a member was evicted for somebody: all of it goes, so that none
    stays wherever the Bindings that were on their way land between.
    """
    told = _begun(seed)
    ref, uids = told.gang("victim", 6, gpus=2)
    told.claim(ref, dict.fromkeys(uids, "n8"))
    urgent = told.pod("urgent", gpus=16)
    for uid in uids[:bound]:
        told.bind(uid, "n8")
    told.evict(uids[0], FOR_URGENT)
    left, late = list(uids[1:bound]), list(uids[bound:])
    while left or late:
        told.now_s += 0.5
        if late and (not left or data.draw(st.booleans())):
            told.bind(late[0], "n8")
            left.append(late.pop(0))
        else:
            told.evict(left.pop(0), f"pod {uids[0]} is gone")
    told.bind(urgent, "n8")
    assert _judged(told) == []


@few
@given(SEEDS)
def test_a_gang_that_started_again_is_evicted_for_a_cause_of_its_own(seed: int) -> None:
    told = _begun(seed)
    ref, uids = told.gang("victim", 2, gpus=8)
    told.place(ref, uids, "n8")
    urgent = told.pod("urgent", gpus=16)
    made = [told.pods[uid] for uid in uids]
    for uid in uids:
        told.evict(uid, FOR_URGENT)
    told.bind(urgent, "n8")
    told.node("n9", 16)
    again: list[PodVersion] = []
    for number, pod in enumerate(made):
        again.append(
            replace(pod, uid=f"uid-again-{number}", name=f"again-{number}", node="", phase="Pending")
        )
        told.change(again[-1])
    for pod in again:
        told.change(replace(pod, node="n9"))
    for pod in again:
        told.evict(pod.uid, "only 1 of 2 members were bound for 60 s")
    found = _judged(told)
    assert found
    assert all("again-0" in text and "the gang stood" in text for text in found)


@few
@given(SEEDS, st.booleans())
def test_who_found_room_beside_is_none_of_those_who_are_planned_together(seed: int, is_needed: bool) -> None:
    """Of three alike one has the room that is free; of the two for whom others leave one is named."""
    told = _begun(seed)
    victims = [told.pod(f"victim-{number}", gpus=16) for number in range(2)]
    told.node("n9", 16)
    told.node("n10", 16 if is_needed else 32)
    for uid, node in zip(victims, ("n8", "n9"), strict=True):
        told.bind(uid, node)
    beside, *urgent = [told.pod(f"urgent-{number}", gpus=16) for number in range(3)]
    told.evict(victims[0], "preempted for pod team/urgent-1 and 1 more of the same team")
    told.bind(beside, "n10")
    told.evict(victims[1], "preempted for pod team/urgent-1 and 1 more of the same team")
    for uid, node in zip(urgent, ("n8", "n9"), strict=True):
        told.change(replace(told.pods[uid], nominated=node))
    for uid, node in zip(urgent, ("n8", "n9"), strict=True):
        told.bind(uid, node)
    assert bool(_judged(told)) != is_needed


@few
@given(SEEDS, st.integers(0, 3))
def test_what_is_given_back_of_a_gang_that_makes_room_names_whom_that_is_for(seed: int, named: int) -> None:
    """Of four that leave one says for whom, and the others that it is gone, in whatever order."""
    told = _begun(seed)
    ref, uids = told.gang("victim", 4, gpus=4)
    told.place(ref, uids, "n8")
    urgent = told.pod("urgent", gpus=16)
    for number, uid in enumerate(uids):
        told.evict(uid, FOR_URGENT if number == named else f"pod {uids[named]} is gone")
    told.bind(urgent, "n8")
    assert _judged(told) == []
