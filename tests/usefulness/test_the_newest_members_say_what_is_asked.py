"""INV17, INV18: a gang whose pods say its size stands by what the newest say, not by who failed before."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.invariants import GangRef, no_idle_hole, no_useless_eviction
from tests.faults.chronicle import NAMESPACE, Chronicle, honest

SEEDS = st.integers(0, 2**32)
few = settings(max_examples=15)
REF = GangRef(NAMESPACE, "own", "elastic")


def _made_smaller(seed: int, size: int, said: int) -> tuple[Chronicle, list[str]]:
    """A gang grew by one that failed, and is there still; then another is made anew, and says this size.

    Beside it somebody waits who needs all of the gang's room. Gives the members that stand, too.
    """
    told = honest(seed)
    gpus = 4 * (size + 1)
    told.node("n8", gpus)
    uids = [told.pod(f"elastic-{i}", gpus=4, gang=REF, minimum=size) for i in range(size)]
    told.place(REF, uids, "n8")
    told.now_s += 100.0
    added = told.pod("elastic-added", gpus=4, gang=REF, minimum=size + 1)
    told.bind(added, "n8")
    told.now_s += 20.0
    told.change(replace(told.pods[added], phase="Failed"))
    told.change(replace(told.pods[uids[0]], phase="Failed"))
    again = told.pod("elastic-0-again", gpus=4, gang=REF, minimum=said)
    told.bind(again, "n8")
    told.pod("behind", gpus=gpus)
    told.now_s += 100.0
    return told, [*uids[1:], again]


@few
@given(seed=SEEDS, size=st.integers(2, 5), is_smaller=st.booleans())
def test_nobody_waits_for_the_room_of_a_gang_that_stands(seed: int, size: int, is_smaller: bool) -> None:
    told, _ = _made_smaller(seed, size, size if is_smaller else size + 1)
    told.node("n9", 1)
    found = no_idle_hole(told.history(quiet_s=300.0))
    assert (found == []) is is_smaller


@few
@given(seed=SEEDS, size=st.integers(2, 5), is_smaller=st.booleans())
def test_nor_may_it_be_given_back_for_others(seed: int, size: int, is_smaller: bool) -> None:
    told, members = _made_smaller(seed, size, size if is_smaller else size + 1)
    for uid in members:
        told.evict(uid, f"only {size} of {size + 1} members were bound for 100 s")
    told.bind("uid-behind", "n8")
    found = [str(each) for each in no_useless_eviction(told.history(quiet_s=1_000.0))]
    assert (found != []) is is_smaller
    assert all("the gang stood" in text for text in found)


@few
@given(seed=SEEDS, size=st.integers(3, 6), has_one_owner=st.booleans())
def test_the_newest_of_one_controller_speak_for_all_of_its_pods(
    seed: int, size: int, has_one_owner: bool
) -> None:
    """Its size was lowered while all ran; two fail, of which one is made anew, and says the new size."""
    told = honest(seed)
    told.node("n8", 4 * size)
    uids = [told.pod(f"elastic-{i}", gpus=4, gang=REF, minimum=size) for i in range(size)]
    for uid in uids:
        told.change(replace(told.pods[uid], owner="set" if has_one_owner else uid))
    told.place(REF, uids, "n8")
    told.now_s += 100.0
    for uid in uids[:2]:
        told.fail(uid)
    again = told.pod("elastic-0-again", gpus=4, gang=REF, minimum=size - 1)
    told.change(replace(told.pods[again], owner="set" if has_one_owner else again, created="1"))
    told.bind(again, "n8")
    told.pod("behind", gpus=4 * size)
    told.now_s += 100.0
    told.node("n9", 1)
    found = no_idle_hole(told.history(quiet_s=300.0))
    assert (found == []) is has_one_owner
