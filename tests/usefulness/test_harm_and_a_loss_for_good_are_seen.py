"""INV19 and INV20 are judged: two runs of the same, one with something in it that the other has not."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.invariants import History, no_lasting_harm, recovered
from tests.faults.chronicle import Chronicle

SEEDS = st.integers(0, 2**32)
few = settings(max_examples=20)


def _decided(seed: int, after_s: float, *, stranger: bool, is_told: bool = False) -> History:
    """A gang that is decided some time after it was made, beside a stranger's pods or none."""
    told = Chronicle(seed)
    told.node("n0", 8)
    if stranger:
        for number in range(3):
            uid = told.pod(f"evil-{number}")
            told.change(replace(told.pods[uid], namespace="evil"))
    ref, uids = told.gang("honest", 3)
    told.now_s += after_s
    if is_told:
        for uid in uids:
            told.tell(uid)
    else:
        told.place(ref, uids, "n0")
    return told.history(quiet_s=500.0)


@few
@given(SEEDS, st.booleans(), st.floats(0.0, 8.0))
def test_a_gang_decided_as_soon_as_without_the_stranger_is_no_harm(
    seed: int, is_told: bool, after_s: float
) -> None:
    without = _decided(seed, after_s, stranger=False)
    beside = _decided(seed, 2 * after_s, stranger=True, is_told=is_told)
    assert no_lasting_harm(beside, without, strangers={"evil"}) == []


@few
@given(SEEDS, st.booleans())
def test_a_gang_decided_much_later_is_harm(seed: int, is_told: bool) -> None:
    without = _decided(seed, 1.0, stranger=False)
    beside = _decided(seed, 30.0, stranger=True, is_told=is_told)
    (found,) = no_lasting_harm(beside, without, strangers={"evil"})
    assert str(found).startswith("INV19")
    assert "honest" in found.text


@few
@given(SEEDS)
def test_a_gang_never_decided_is_harm(seed: int) -> None:
    told = Chronicle(seed)
    told.gang("honest", 3)
    without = _decided(seed, 1.0, stranger=False)
    (found,) = no_lasting_harm(told.history(quiet_s=60.0), without, strangers={"evil"})
    assert "never decided" in found.text


@few
@given(
    seed=SEEDS,
    stays_s=st.lists(st.floats(0.0, 9.0) | st.floats(15.0, 60.0), min_size=1, max_size=3),
    comes_again=st.booleans(),
)
def test_a_gang_deleted_before_it_could_be_decided_waited_until_then(
    seed: int, stays_s: list[float], comes_again: bool
) -> None:
    told = Chronicle(seed)
    for number, stay_s in enumerate(stays_s):
        _, uids = told.gang("honest", 3)
        told.now_s += stay_s
        for uid in told.chance.sample(uids, len(uids)):
            told.remove(uid)
        told.now_s += 100.0 * number
    if comes_again:
        told.gang("honest", 3)
    without = _decided(seed, 1.0, stranger=False)
    found = no_lasting_harm(told.history(quiet_s=60.0), without, strangers={"evil"})
    assert bool(found) is (comes_again or max(stays_s) > 10.0)


def _stood(seed: int, standing: int) -> History:
    told = Chronicle(seed)
    told.node("n0", 8)
    ref, uids = told.gang("trains", 4)
    told.place(ref, uids, "n0")
    told.now_s = 200.0
    for uid in uids[standing:]:
        told.remove(uid)
    return told.history(quiet_s=1_000.0)


@few
@given(SEEDS, st.integers(0, 4), st.integers(0, 4))
def test_less_than_without_the_fault_is_a_loss(seed: int, now: int, then: int) -> None:
    found = recovered(_stood(seed, now), _stood(seed, then), fault_s=300.0)
    assert bool(found) == (now < then)
    assert all(str(one).startswith("INV20") for one in found)


@few
@given(SEEDS)
def test_what_is_made_good_within_the_bound_is_none(seed: int) -> None:
    told = Chronicle(seed)
    told.node("n0", 8)
    ref, uids = told.gang("trains", 4)
    told.place(ref, uids, "n0")
    told.now_s = 200.0
    told.fail(uids[0])
    told.now_s = 300.0
    told.bind(told.pod("made-anew", gang=ref, minimum=4), "n0")
    reference = _stood(seed, 4)
    assert recovered(told.history(), reference, fault_s=200.0, recovery_s=200.0) == []
    assert recovered(told.history(), reference, fault_s=200.0, recovery_s=50.0) != []


@few
@given(SEEDS, st.booleans(), st.booleans())
def test_who_ended_alone_may_lose_its_place_to_who_waited(
    seed: int, is_taken: bool, is_evicted: bool
) -> None:
    def lived(*, with_fault: bool) -> History:
        told = Chronicle(seed)
        told.node("n0", 8)
        alone, waits = told.pod("alone", gpus=8), told.pod("waits", gpus=8)
        told.bind(alone, "n0")
        if with_fault:
            told.evict(alone) if is_evicted else told.fail(alone)
            told.pod("alone-again", gpus=8)
            if is_taken:
                told.bind(waits, "n0")
        return told.history(quiet_s=1_000.0)

    found = recovered(lived(with_fault=True), lived(with_fault=False), fault_s=200.0)
    assert bool(found) == (is_evicted or not is_taken)


@few
@given(SEEDS, st.booleans(), st.booleans(), st.booleans())
def test_who_ended_beyond_the_minimum_may_lose_its_place_to_who_waited(
    seed: int, is_taken: bool, is_evicted: bool, is_needed: bool
) -> None:
    def lived(*, with_fault: bool) -> History:
        told = Chronicle(seed)
        told.node("n0", 3)
        ref, uids = told.gang("trains", 3, minimum=3 if is_needed else 2, gpus=1)
        told.place(ref, uids, "n0")
        waits = told.pod("waits", gpus=1)
        if with_fault:
            told.evict(uids[0]) if is_evicted else told.fail(uids[0])
            told.pod("made-anew", gang=ref, minimum=3 if is_needed else 2, gpus=1)
            if is_taken:
                told.bind(waits, "n0")
        return told.history(quiet_s=1_000.0)

    found = recovered(lived(with_fault=True), lived(with_fault=False), fault_s=200.0)
    assert bool(found) == (is_needed or is_evicted or not is_taken)


@few
@given(SEEDS)
def test_a_gang_that_lost_more_than_was_beyond_its_minimum_is_a_loss(seed: int) -> None:
    def lived(*, with_fault: bool) -> History:
        told = Chronicle(seed)
        told.node("n0", 3)
        ref, uids = told.gang("trains", 3, minimum=2, gpus=1)
        told.place(ref, uids, "n0")
        waits = [told.pod(f"waits-{number}", gpus=1) for number in range(2)]
        for lost, other in zip(uids, waits, strict=False) if with_fault else ():
            told.fail(lost)
            told.bind(other, "n0")
        return told.history(quiet_s=1_000.0)

    assert recovered(lived(with_fault=True), lived(with_fault=False), fault_s=200.0)


@few
@given(
    seed=SEEDS,
    stays_s=st.none() | st.floats(1.0, 175.0) | st.floats(185.0, 230.0),
    is_evicted=st.booleans(),
    lost=st.integers(1, 2),
)
def test_a_member_that_takes_its_time_to_go_is_no_loss_yet(
    seed: int, stays_s: float | None, is_evicted: bool, lost: int
) -> None:
    """One member leaves when the fault is over. It goes, or is on its node for longer than anybody looks."""
    told = Chronicle(seed)
    told.node("n0", 8)
    ref, uids = told.gang("trains", 4)
    told.place(ref, uids, "n0")
    for uid in uids[1:lost]:
        told.fail(uid)
    told.now_s = 300.0
    told.change(replace(told.pods[uids[0]], is_deleting=True, is_evicted=is_evicted))
    if stays_s is not None:
        told.now_s = 300.0 + stays_s
        told.remove(uids[0])
    found = recovered(told.history(quiet_s=1_000.0), _stood(seed, 4), fault_s=300.0, recovery_s=240.0)
    is_over = stays_s is not None and stays_s < 180.0
    assert bool(found) is (is_over or is_evicted or lost > 1)
