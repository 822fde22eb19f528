"""The judges are judged: an honest history is clean, and every single sin in it is found under its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.invariants import (
    GangRef,
    GPUNodeVersion,
    GroupVersion,
    History,
    NodeVersion,
    Violation,
    at_every_revision,
    end_state,
    same_end,
    settled,
)
from tests.faults.chronicle import GPU, Chronicle, honest

SEEDS = st.integers(0, 2**32)
#: A sin does not depend on the rest of the history, so a few histories each will do.
few = settings(max_examples=20)


def _judged(history: History) -> set[str]:
    found: list[Violation] = [*at_every_revision(history), *settled(history)]
    return {violation.invariant for violation in found}


@settings(max_examples=40)
@given(SEEDS)
def test_an_honest_history_is_clean(seed: int) -> None:
    history = honest(seed).history(quiet_s=100.0)
    assert [str(found) for found in [*at_every_revision(history), *settled(history)]] == []
    assert same_end(history, end_state(history)) == []


def _one_too_many(told: Chronicle) -> None:
    for number in range(9):
        told.bind(told.pod(f"extra-{number}"), "n3")


def _beside_a_foreign_pod(told: Chronicle) -> None:
    told.node("n9", 4)
    told.pod("early", gpus=3, scheduler="another", node="n9")
    told.now_s += 11.0
    told.bind(told.pod("late", gpus=2), "n9")


def _on_a_leaving_pod(told: Chronicle) -> None:
    told.node("n9", 1)
    uid = told.pod("leaving")
    told.bind(uid, "n9")
    told.change(replace(told.pods[uid], is_deleting=True))
    told.bind(told.pod("eager"), "n9")


def _on_a_node_that_shrank(told: Chronicle) -> None:
    told.node("n9", 4)
    told.node("n9", 1)
    told.now_s += 11.0
    told.bind(told.pod("late", gpus=2), "n9")


def _above_one(told: Chronicle) -> None:
    for number in range(4):
        uid = told.pod(f"third-{number}", gpus=0)
        told.change(replace(told.pods[uid], devices=("GPU-0",), share=Fraction(1, 3)))
        told.bind(uid, "n3")


def _above_its_memory(told: Chronicle) -> None:
    told.write("GPUNode", "n3", GPUNodeVersion(name="n3", memory={"GPU-0": 80}, usable=frozenset({"GPU-0"})))
    for number in range(3):
        uid = told.pod(f"bytes-{number}", gpus=0)
        told.change(replace(told.pods[uid], devices=("GPU-0",), share=27))
        told.bind(uid, "n3")


def _whole_beside_a_share(told: Chronicle) -> None:
    for number, share in enumerate((Fraction(1, 10), None)):
        uid = told.pod(f"mixed-{number}", gpus=0)
        told.change(replace(told.pods[uid], devices=("GPU-0",), share=share))
        told.bind(uid, "n3")


def _on_a_sick_device(told: Chronicle) -> None:
    told.write("GPUNode", "n3", GPUNodeVersion(name="n3", memory={"GPU-0": 80}, usable=frozenset()))
    told.now_s += 11.0
    uid = told.pod("unlucky", gpus=0)
    told.change(replace(told.pods[uid], devices=("GPU-0",), share=Fraction(1, 10)))
    told.bind(uid, "n3")


def _on_no_node(told: Chronicle) -> None:
    told.bind(told.pod("lost"), "nowhere")


def _half_a_gang(told: Chronicle) -> None:
    ref, uids = told.gang("half", 4)
    told.claim(ref, dict.fromkeys(uids, "n0"))
    told.node("n0", 64)
    told.bind(uids[0], "n0")
    told.now_s += 31.0
    for uid in uids[1:]:
        told.bind(uid, "n0")


def _half_a_gang_for_ever(told: Chronicle) -> None:
    ref, uids = told.gang("half", 4)
    told.node("n0", 64)
    told.claim(ref, dict.fromkeys(uids, "n0"))
    told.bind(uids[0], "n0")
    for uid in uids[1:]:
        told.tell(uid)
    told.now_s += 31.0


def _begun_too_early(told: Chronicle) -> None:
    ref, uids = told.gang("early", 2, minimum=3)
    told.node("n0", 64)
    told.claim(ref, dict.fromkeys(uids, "n0"))
    for uid in uids:
        told.bind(uid, "n0")
    for uid in uids:
        told.remove(uid)


def _bound_without_a_size(told: Chronicle) -> None:
    ref, uids = told.gang("sizeless", 1)
    told.node("n0", 64)
    for number, entry in enumerate(told.entries):
        if entry.key == uids[0]:
            told.entries[number] = replace(entry, version=replace(told.pods[uids[0]], minimum=0))
    told.entries = [entry for entry in told.entries if entry.key != "group-sizeless"]
    told.pods[uids[0]] = replace(told.pods[uids[0]], minimum=0)
    told.claim(ref, {uids[0]: "n0"})
    told.bind(uids[0], "n0")


def _moved(told: Chronicle) -> None:
    uid = told.pod("wanderer")
    told.node("n9", 8)
    told.bind(uid, "n9")
    told.bind(uid, "n8")


def _bound_before_the_claim(told: Chronicle) -> None:
    ref, uids = told.gang("rash", 2)
    told.node("n0", 64)
    for uid in uids:
        told.bind(uid, "n0")
    told.claim(ref, dict.fromkeys(uids, "n0"), "Bound")


def _bound_elsewhere_than_claimed(told: Chronicle) -> None:
    ref, uids = told.gang("astray", 2)
    told.node("n0", 64)
    told.claim(ref, dict.fromkeys(uids, "n1"))
    for uid in uids:
        told.bind(uid, "n0")


def _an_old_leader_binds(told: Chronicle) -> None:
    told.take_over()
    told.node("n9", 8)
    told.bind(told.pod("new"), "n9")
    told.epoch -= 1
    told.bind(told.pod("old"), "n9")


def _an_old_leader_claims(told: Chronicle) -> None:
    ref, uids = told.gang("contested", 2)
    told.take_over()
    told.claim(ref, dict.fromkeys(uids, "n0"), "Pending")
    told.epoch -= 1
    told.claim(ref, dict.fromkeys(uids, "n0"), "Pending")
    for uid in uids:
        told.tell(uid)


def _an_old_leader_says_it_again(told: Chronicle) -> None:
    """Nothing that is judged differs from before, but the message does."""
    ref, uids = told.gang("repeated", 2)
    told.claim(ref, {}, "Pending")
    told.take_over()
    told.node("n9", 8)
    told.bind(told.pod("new"), "n9")
    told.write("Gang", "gang-repeated", replace(told.claims[ref], status=b'{"message":"another"}'))
    for uid in uids:
        told.tell(uid)


def _without_a_term(told: Chronicle) -> None:
    told.node("n9", 8)
    uid = told.pod("termless")
    told.change(replace(told.pods[uid], node="n9"))


def _ahead_of_the_lease(told: Chronicle) -> None:
    told.node("n9", 8)
    told.epoch += 1
    told.bind(told.pod("hasty"), "n9")


def _an_event_too_early(told: Chronicle) -> None:
    uid = told.pod("praised")
    told.say_scheduled(uid)
    told.node("n9", 8)
    told.bind(uid, "n9")


def _told_to_wait_when_bound(told: Chronicle) -> None:
    uid = told.pod("slandered")
    told.node("n9", 8)
    told.bind(uid, "n9")
    told.tell(uid)


def _called_bound_too_early(told: Chronicle) -> None:
    ref, uids = told.gang("boasted", 2)
    told.claim(ref, dict.fromkeys(uids, "n0"), "Bound")
    for uid in uids:
        told.tell(uid)


def _silent(told: Chronicle) -> None:
    told.pod("ignored")


SINS: dict[Callable[[Chronicle], None], set[str]] = {
    _one_too_many: {"INV1"},
    _beside_a_foreign_pod: {"INV1"},
    _on_a_leaving_pod: {"INV1"},
    _on_a_node_that_shrank: {"INV1"},
    _on_no_node: {"INV1"},
    _above_one: {"INV1"},
    _above_its_memory: {"INV1"},
    _whole_beside_a_share: {"INV1"},
    _on_a_sick_device: {"INV8"},
    _half_a_gang: {"INV2"},
    _half_a_gang_for_ever: {"INV2", "INV12"},
    _begun_too_early: {"INV2"},
    _bound_without_a_size: {"INV2"},
    _moved: {"INV3"},
    _bound_before_the_claim: {"INV3"},
    _bound_elsewhere_than_claimed: {"INV3"},
    _an_old_leader_binds: {"INV5"},
    _an_old_leader_claims: {"INV5"},
    _an_old_leader_says_it_again: {"INV5"},
    _without_a_term: {"INV5"},
    _ahead_of_the_lease: {"INV5"},
    _an_event_too_early: {"INV14"},
    _told_to_wait_when_bound: {"INV14"},
    _called_bound_too_early: {"INV14"},
    _silent: {"INV12"},
}


@pytest.mark.parametrize("sin", SINS, ids=lambda sin: sin.__name__.strip("_"))
@few
@given(seed=SEEDS)
def test_a_sin_is_found_under_its_name_and_no_other(sin: Callable[[Chronicle], None], seed: int) -> None:
    told = honest(seed)
    sin(told)
    assert _judged(told.history()) == SINS[sin]


@few
@given(SEEDS, st.sampled_from(["lost", "unbound", "bound twice", "evicted"]))
def test_an_end_that_differs_from_the_undisturbed_one_is_seen(seed: int, how: str) -> None:
    told = honest(seed)
    reference = end_state(told.history())
    bound = [pod for pod in told.pods.values() if pod.node and pod.scheduler == "stowplan"]
    victim = told.chance.choice(bound)
    match how:
        case "lost":
            told.remove(victim.uid)
        case "unbound":
            told.change(replace(victim, node="", phase="Pending"))
        case "bound twice":
            told.change(replace(victim, node=""))
            told.change(victim)
        case _:
            told.change(replace(victim, is_evicted=True))
    assert {found.invariant for found in same_end(told.history(), reference)} == {"INV13"}


@few
@given(SEEDS)
def test_what_nobody_could_know_yet_is_held_against_nobody(seed: int) -> None:
    """A foreign pod and a shrinking node, each in the moment before our Binding landed."""
    told = honest(seed)
    told.node("n9", 4)
    told.pod("theirs-too", gpus=4, scheduler="another", node="n9")
    told.bind(told.pod("ours", gpus=2), "n9")
    told.node("n8", 4)
    told.write("Node", "n8", NodeVersion(name="n8", allocatable={GPU: 1000}))
    told.bind(told.pod("ours-too", gpus=2), "n8")
    assert _judged(told.history()) == set()


@few
@given(SEEDS)
def test_who_stores_an_object_anew_is_no_leader(seed: int) -> None:
    """As when a new version of the Gang API is to be stored: each object is written once more as it is."""
    told = honest(seed)
    for _ in range(2):
        told.take_over()
        ref, uids = told.gang(f"of-term-{told.epoch}", 2)
        told.claim(ref, {}, "Pending")
        for uid in uids:
            told.tell(uid)
    for ref in told.claims:
        told.store_anew(ref)
    assert _judged(told.history()) == set()


@few
@given(SEEDS)
def test_a_gang_that_stood_and_lost_a_member_is_not_half_bound(seed: int) -> None:
    told = honest(seed)
    ref, uids = told.gang("lame", 3)
    told.node("n0", 64)
    told.place(ref, uids, "n0")
    told.change(replace(told.pods[uids[0]], phase="Failed"))
    told.now_s += 1000.0
    assert _judged(told.history()) == set()


@few
@given(SEEDS)
def test_a_gang_of_which_more_is_bound_again_and_again_is_on_its_way(seed: int) -> None:
    told = honest(seed)
    ref, uids = told.gang("long", 4)
    told.node("n0", 64)
    told.claim(ref, dict.fromkeys(uids, "n0"))
    for uid in uids:
        told.now_s += 29.0
        told.bind(uid, "n0")
    assert _judged(told.history()) == set()


def _asked_by_a_group(told: Chronicle, size: int) -> tuple[GangRef, list[str]]:
    told.node("n0", 64)
    while True:
        ref, uids = told.gang(f"grown-{told.revision}", size)
        if ref.dialect != "own":
            return ref, uids


@few
@given(seed=SEEDS, size=st.integers(2, 4), more=st.integers(1, 3), data=st.data())
def test_a_gang_that_is_made_larger_while_it_is_bound_starts_by_what_was_asked_before(
    seed: int, size: int, more: int, data: st.DataObject
) -> None:
    """Who may be bound, and may be called Bound, is who was decided on; half of them is still half a gang."""
    told = honest(seed)
    ref, uids = _asked_by_a_group(told, size)
    raised, bound = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    later_s = data.draw(st.floats(0.0, 9.0) | st.floats(11.0, 20.0))
    told.claim(ref, dict.fromkeys(uids, "n0"))
    for number, uid in enumerate(uids):
        if number == raised:
            told.write("Group", f"group-{ref.name}", GroupVersion(ref=ref, minimum=size + more))
            told.now_s += later_s
        if number < bound:
            told.bind(uid, "n0")
    if bound == size:
        told.claim(ref, dict.fromkeys(uids, "n0"), "Bound")
    told.now_s += 1000.0
    is_late = raised == 0 and bound > 0 and later_s > 10.0
    expected = {"INV2"} if is_late or 0 < bound < size else set[str]()
    if is_late and bound == size:
        expected.add("INV14")
    assert _judged(told.history()) & {"INV2", "INV14"} == expected


@few
@given(seed=SEEDS, size=st.integers(2, 4), more=st.integers(1, 3))
def test_what_was_asked_of_another_run_of_that_name_counts_for_no_later_one(
    seed: int, size: int, more: int
) -> None:
    told = honest(seed)
    ref, uids = _asked_by_a_group(told, size)
    for uid in uids:
        told.remove(uid)
    told.write("Group", f"group-{ref.name}", GroupVersion(ref=ref, minimum=size + more))
    again = [told.pod(f"again-{number}", gang=ref) for number in range(size + more)]
    told.claim(ref, dict.fromkeys(again, "n0"))
    for uid in again[:size]:
        told.bind(uid, "n0")
    told.now_s += 1000.0
    assert "INV2" in _judged(told.history())


@few
@given(
    seed=SEEDS,
    size=st.integers(3, 5),
    after_s=st.floats(0.0, 0.7) | st.floats(1.5, 5.0),
    comes_s=st.floats(12.0, 20.0),
)
def test_a_binding_that_was_on_its_way_when_all_others_left_is_of_the_gang_that_stood(
    seed: int, size: int, after_s: float, comes_s: float
) -> None:
    """Its lost members come again one by one; who is bound later than that begins the gang anew."""
    told = honest(seed)
    told.node("n0", 64)
    ref, uids = told.gang("drained", size)
    told.claim(ref, dict.fromkeys(uids, "n0"))
    for uid in uids:
        told.bind(uid, "n0")
    told.claim(ref, dict.fromkeys(uids, "n0"), "Bound")
    told.now_s += 100.0
    more = told.pod("more", gang=ref, minimum=size)
    for uid in uids:
        told.remove(uid)
    told.now_s += after_s
    told.claim(ref, {more: "n0"})
    told.bind(more, "n0")
    told.now_s += comes_s
    for number in range(size - 1):
        again = told.pod(f"again-{number}", gang=ref, minimum=size)
        told.claim(ref, {again: "n0"})
        told.bind(again, "n0")
    told.now_s += 1000.0
    assert ("INV2" in _judged(told.history())) is (after_s > 1.0)
