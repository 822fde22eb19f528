"""INV17 is judged: an eviction with a cause is let pass, and the same without it is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.invariants import GPUNodeVersion, GroupVersion, PodVersion, no_useless_eviction
from tests.faults.chronicle import Chronicle, honest

SEEDS = st.integers(0, 2**32)
few = settings(max_examples=15)
Story = Callable[[Chronicle], None]


def _found(story: Story, seed: int) -> list[str]:
    told = honest(seed)
    told.node("n8", 16)
    told.now_s += 100.0
    story(told)
    return [str(found) for found in no_useless_eviction(told.history(quiet_s=1_000.0))]


def _running(
    told: Chronicle, name: str, size: int, *, minimum: int | None = None, gpus: int = 1
) -> list[str]:
    ref, uids = told.gang(name, size, minimum=minimum, gpus=gpus)
    told.place(ref, uids, "n8")
    return uids


def _made_anew(told: Chronicle, uid: str, name: str, *, node: str = "") -> str:
    """A pod of the same gang in the place of one that is gone."""
    versions = (entry.version for entry in told.entries if entry.key == uid)
    gone = next(version for version in versions if isinstance(version, PodVersion))
    fresh = replace(gone, uid=f"uid-{name}", name=name, node="", phase="Pending", is_evicted=False)
    told.change(fresh)
    if node:
        told.change(replace(fresh, node=node))
    return fresh.uid


# -- without a cause -----------------------------------------------------------------------------------


def a_gang_that_stands(told: Chronicle) -> None:
    for uid in _running(told, "whole", 3):
        told.evict(uid)


def a_pod_that_runs(told: Chronicle) -> None:
    uid = told.pod("lonely")
    told.bind(uid, "n8")
    told.evict(uid)


def a_gang_that_got_its_member_back(told: Chronicle) -> None:
    uids = _running(told, "healed", 3)
    told.fail(uids[0])
    _made_anew(told, uids[0], "healed-again", node="n8")
    told.now_s += 25.0
    for uid in uids[1:]:
        told.evict(uid)


def a_gang_whose_minimum_was_raised(told: Chronicle) -> None:
    ref, uids = told.gang("grown", 3, gpus=1)
    told.place(ref, uids, "n8")
    for uid in uids:
        told.change(replace(told.pods[uid], minimum=4))
    told.now_s += 25.0
    for uid in uids:
        told.evict(uid)


def a_gang_whose_member_ended_well(told: Chronicle) -> None:
    uids = _running(told, "ending", 3)
    told.change(replace(told.pods[uids[0]], phase="Succeeded"))
    told.remove(uids[0])
    told.now_s += 25.0
    for uid in uids[1:]:
        told.evict(uid)


def a_gang_whose_member_is_leaving(told: Chronicle) -> None:
    uids = _running(told, "leaving", 3)
    told.change(replace(told.pods[uids[0]], is_deleting=True))
    told.now_s += 25.0
    for uid in uids[1:]:
        told.evict(uid)


def a_gang_whose_room_was_given_away(told: Chronicle) -> None:
    uids = _running(told, "robbed", 2, gpus=8)
    told.fail(uids[0])
    thief = told.pod("thief", gpus=8)
    told.bind(thief, "n8")
    _made_anew(told, uids[0], "robbed-again")
    told.now_s += 25.0
    told.evict(uids[1])


def a_gang_that_was_getting_on(told: Chronicle) -> None:
    ref, uids = told.gang("slow", 4)
    told.claim(ref, dict.fromkeys(uids, "n8"))
    told.now_s += 70.0
    for uid in uids[:3]:
        told.now_s += 6.0
        told.bind(uid, "n8")
    for uid in uids[:3]:
        told.evict(uid)


def more_gangs_than_were_needed(told: Chronicle) -> None:
    one, other = _running(told, "one", 2, gpus=4), _running(told, "other", 2, gpus=4)
    urgent = told.pod("urgent", gpus=8)
    for uid in (*one, *other):
        told.evict(uid, "preempted for pod team/urgent of the same team")
    told.bind(urgent, "n8")


def for_somebody_who_never_starts(told: Chronicle) -> None:
    told.pod("urgent", gpus=64)
    for uid in _running(told, "in-vain", 2):
        told.evict(uid, "preempted for pod team/urgent of the same team")


def for_somebody_who_was_gone(told: Chronicle) -> None:
    uids = _running(told, "too-late", 4)
    urgent = told.pod("urgent", gpus=4)
    told.evict(uids[0], "preempted for pod team/urgent of the same team")
    told.remove(urgent)
    told.now_s += 20.0
    for uid in uids[1:]:
        told.evict(uid, "preempted for pod team/urgent of the same team")


def a_gang_that_stands_though_somebody_then_starts(told: Chronicle) -> None:
    """Nobody is named: it was given back, and it had no reason to be."""
    uids = _running(told, "whole", 2, gpus=8)
    waiting = told.pod("waiting", gpus=16)
    for uid in uids:
        told.evict(uid, "only 1 of 2 members were bound for 60 s")
    told.bind(waiting, "n8")


def a_short_gang_for_nobody(told: Chronicle) -> None:
    uids = _running(told, "lame", 3)
    told.fail(uids[0])
    told.now_s += 65.0
    for uid in uids[1:]:
        told.evict(uid, "only 2 of 3 members were bound for 65 s")


def half_a_gang(told: Chronicle) -> None:
    uids = _running(told, "lame", 3, gpus=4)
    waiting = told.pod("waiting", gpus=8)
    told.fail(uids[0])
    told.now_s += 65.0
    told.evict(uids[1], "only 2 of 3 members were bound for 65 s")
    told.bind(waiting, "n8")


def for_somebody_of_the_same_priority(told: Chronicle) -> None:
    uids = _running(told, "equal", 1, gpus=16)
    waiting = told.pod("waiting", gpus=16)
    told.evict(uids[0], "preempted for pod team/waiting, which has priority 0")
    told.bind(waiting, "n8")


def more_than_those_who_are_planned_together_needed(told: Chronicle) -> None:
    two_for_two(told, spare=1)


def for_somebody_who_finds_room_that_is_promised_to_nobody(told: Chronicle) -> None:
    beside_a_promise(told, nominated="")


USELESS = (
    a_gang_that_stands_though_somebody_then_starts,
    a_short_gang_for_nobody,
    half_a_gang,
    for_somebody_of_the_same_priority,
    more_than_those_who_are_planned_together_needed,
    for_somebody_who_finds_room_that_is_promised_to_nobody,
    a_gang_that_stands,
    a_pod_that_runs,
    a_gang_that_got_its_member_back,
    a_gang_whose_minimum_was_raised,
    a_gang_whose_member_ended_well,
    a_gang_whose_member_is_leaving,
    a_gang_whose_room_was_given_away,
    a_gang_that_was_getting_on,
    more_gangs_than_were_needed,
    for_somebody_who_never_starts,
    for_somebody_who_was_gone,
)


# -- with one ------------------------------------------------------------------------------------------


def a_gang_that_nobody_completes(told: Chronicle) -> None:
    uids = _running(told, "lame", 3, gpus=4)
    waiting = told.pod("waiting", gpus=16)
    told.fail(uids[0])
    told.now_s += 65.0
    for uid in uids[1:]:
        told.evict(uid, "only 2 of 3 members were bound for 65 s")
    told.bind(waiting, "n8")


def a_gang_one_of_which_takes_too_long_to_go(told: Chronicle) -> None:
    uids = _running(told, "slow", 2, gpus=8)
    waiting = told.pod("waiting", gpus=8)
    told.change(replace(told.pods[uids[0]], is_deleting=True))
    told.now_s += 305.0
    told.evict(uids[1], "only 1 of 2 members were bound for 305 s")
    told.bind(waiting, "n8")


def a_gang_that_restarts_whole(told: Chronicle) -> None:
    uids = _running(told, "together", 3)
    for uid in uids:
        told.change(replace(told.pods[uid], on_loss="restart"))
    told.fail(uids[0])
    told.now_s += 2.0
    for uid in uids[1:]:
        told.evict(uid)


def a_gang_that_cannot_be_completed(told: Chronicle) -> None:
    ref, uids = told.gang("half", 4)
    told.claim(ref, dict.fromkeys(uids, "n8"))
    told.bind(uids[0], "n8")
    told.remove(uids[1])
    told.evict(uids[0])


def a_node_that_is_gone(told: Chronicle) -> None:
    uids = _running(told, "homeless", 3)
    told.write("Node", "n8", None)
    for uid in uids:
        told.evict(uid)


def a_device_that_is_out(told: Chronicle) -> None:
    uids = _running(told, "sick", 3)
    told.change(replace(told.pods[uids[0]], devices=("GPU-0",)))
    told.write("GPUNode", "n8", GPUNodeVersion(name="n8", memory={"GPU-0": 80}, usable=frozenset()))
    for uid in uids:
        told.evict(uid)


def for_somebody_who_starts(told: Chronicle) -> None:
    uids = _running(told, "victim", 2, gpus=8)
    urgent = told.pod("urgent", gpus=16)
    for uid in uids:
        told.evict(uid, "preempted for pod team/urgent of the same team")
    told.bind(urgent, "n8")


def for_somebody_who_waits_for_a_slow_victim(told: Chronicle) -> None:
    slow, quick = _running(told, "slow", 1, gpus=8), _running(told, "quick", 1, gpus=8)
    urgent = told.pod("urgent", gpus=16)
    told.evict(slow[0], "preempted for pod team/urgent of the same team", leaves=False)
    told.evict(quick[0], "preempted for pod team/urgent of the same team")
    told.change(replace(told.pods[slow[0]], is_deleting=True))
    told.now_s += 600.0
    told.remove(slow[0])
    told.bind(urgent, "n8")


def for_the_one_beside_whom_another_starts(told: Chronicle) -> None:
    uids = _running(told, "victim", 2, gpus=8)
    small, urgent = told.pod("small"), told.pod("urgent", gpus=15)
    for uid in uids:
        told.evict(uid, "displaced for pod team/urgent, which goes first by the policy's order")
    told.bind(small, "n8")
    told.bind(urgent, "n8")


def for_somebody_who_was_cancelled_meanwhile(told: Chronicle) -> None:
    uids = _running(told, "victim", 2, gpus=8)
    urgent = told.pod("urgent", gpus=16)
    for uid in uids:
        told.evict(uid, "preempted for pod team/urgent of the same team")
    told.remove(urgent)


def two_for_two(told: Chronicle, *, spare: int = 0) -> None:
    """Two single pods are planned together; the eviction names one of them."""
    for number in range(9, 10 + spare):
        told.node(f"n{number}", 16)
    victims = [told.pod(f"victim-{i}", gpus=16) for i in range(2)]
    for uid, node in zip(victims, ("n8", "n9"), strict=True):
        told.bind(uid, node)
    urgent = [told.pod(f"urgent-{i}", gpus=16) for i in range(2)]
    for uid in victims:
        told.evict(
            uid, "preempted for pod team/urgent-0 and 1 more of the same team a, which has priority 10"
        )
    for uid, node in zip(urgent, ("n8", "n9"), strict=True):
        told.bind(uid, node)


def for_two_who_are_planned_together(told: Chronicle) -> None:
    two_for_two(told)


def beside_a_promise(told: Chronicle, *, nominated: str) -> None:
    """There is room for the beneficiary on a node, which somebody else may have been nominated to."""
    told.node("n9", 16)
    victim, other, urgent = (told.pod(name, gpus=16) for name in ("victim", "other", "urgent"))
    told.bind(victim, "n8")
    told.change(replace(told.pods[other], nominated=nominated))
    told.evict(victim, "preempted for pod team/urgent of the same team")
    told.bind(urgent, "n8")


def for_somebody_beside_whom_room_is_promised(told: Chronicle) -> None:
    beside_a_promise(told, nominated="n9")


def for_somebody_who_finds_room_elsewhere_first(told: Chronicle) -> None:
    told.node("n9", 16)
    victim, ends = told.pod("victim", gpus=16), told.pod("ends", gpus=16)
    told.bind(victim, "n8")
    told.bind(ends, "n9")
    urgent = told.pod("urgent", gpus=16)
    told.evict(victim, "displaced for pod team/urgent, which goes first by the policy's order", leaves=False)
    told.change(replace(told.pods[ends], phase="Succeeded"))
    told.bind(urgent, "n9")
    told.now_s += 200.0
    told.remove(victim)


def for_a_gang_that_is_cancelled_while_it_starts(told: Chronicle) -> None:
    told.node("n9", 16)
    victim = told.pod("victim", gpus=16)
    told.bind(victim, "n8")
    _, uids = told.gang("urgent", 2, gpus=16)
    told.evict(victim, "preempted for gang team/urgent of the same team a, which has priority 100")
    told.bind(uids[0], "n9")
    told.remove(uids[1])


def for_somebody_who_waits_for_others_beside(told: Chronicle) -> None:
    told.node("n9", 16)
    slow, victim = told.pod("slow", gpus=16), told.pod("victim", gpus=16)
    told.bind(slow, "n8")
    told.bind(victim, "n9")
    told.change(replace(told.pods[slow], is_deleting=True))
    ref, uids = told.gang("urgent", 2, gpus=16)
    for uid, node in zip(uids, ("n8", "n9"), strict=True):
        told.change(replace(told.pods[uid], nominated=node))
    told.evict(victim, "preempted for gang team/urgent of the same team a, which has priority 100")
    told.now_s += 600.0
    told.remove(slow)
    told.place(ref, uids[:1], "n8")
    told.bind(uids[1], "n9")


def for_somebody_who_was_gone_and_the_rest_restarts(told: Chronicle) -> None:
    uids = _running(told, "victim", 2, gpus=8)
    for uid in uids:
        told.change(replace(told.pods[uid], on_loss="restart"))
    told.now_s += 100.0
    urgent = told.pod("urgent", gpus=16)
    told.evict(uids[0], "preempted for pod team/urgent of the same team")
    told.remove(urgent)
    told.now_s += 10.0
    told.evict(uids[1])


def a_gang_that_grew_and_lost_a_member(told: Chronicle) -> None:
    ref, uids = told.gang("grown", 3, gpus=1)
    told.place(ref, uids, "n8")
    if ref.dialect == "own":
        told.bind(told.pod("grown-3", gang=ref, minimum=4, gpus=1), "n8")
    else:
        told.write("Group", "group-grown", GroupVersion(ref=ref, minimum=4))
        told.bind(told.pod("grown-3", gang=ref, gpus=1), "n8")
    waiting = told.pod("waiting", gpus=14)
    told.now_s += 25.0
    told.fail(uids[0])
    told.now_s += 65.0
    grown = [uid for uid, pod in told.pods.items() if pod.gang == ref and uid != uids[0]]
    for uid in grown:
        told.evict(uid, "only 3 of 4 members were bound for 65 s")
    told.bind(waiting, "n8")


def for_a_gang_that_comes_again_under_its_name(told: Chronicle) -> None:
    victims = _running(told, "victim", 2, gpus=8)
    _, (urgent,) = told.gang("urgent", 1, gpus=16)
    told.evict(victims[0], "preempted for gang team/urgent, which has priority 1")
    told.remove(urgent)
    told.now_s += 10.0
    again = _made_anew(told, urgent, "urgent-again")
    told.evict(victims[1], "preempted for gang team/urgent, which has priority 1")
    told.remove(again)


def _three_of_sixteen(told: Chronicle) -> list[str]:
    """A gang of two on a node that only they and one other fill."""
    told.node("n9", 48)
    told.pod("stranger-8", gpus=16, scheduler="another", node="n8")
    ref, uids = told.gang("short", 2, gpus=16)
    told.place(ref, uids, "n9")
    return uids


def a_gang_for_whom_nobody_came_while_its_room_was_kept(told: Chronicle) -> None:
    uids = _three_of_sixteen(told)
    told.bind(told.pod("beside", gpus=16), "n9")
    told.fail(uids[0])
    told.now_s += 70.0
    told.bind(told.pod("other", gpus=16), "n9")
    told.now_s += 70.0
    _made_anew(told, uids[0], "short-again")
    third = told.pod("third", gpus=16)
    told.now_s += 25.0
    told.evict(uids[1], "only 1 of 2 members were bound for 70 s")
    told.bind(third, "n9")


def a_gang_beside_whom_others_left_for_somebody(told: Chronicle) -> None:
    uids, lent = _three_of_sixteen(told), told.pod("lent", gpus=16)
    told.bind(lent, "n9")
    told.fail(uids[0])
    told.pod("stranger-9", gpus=16, scheduler="another", node="n9")
    _made_anew(told, uids[0], "short-again")
    needs = told.pod("needs", gpus=16)
    told.evict(lent, "reclaimed for pod team/needs of team b, which is within its guarantee")
    told.bind(needs, "n9")
    third = told.pod("third", gpus=16)
    told.now_s += 70.0
    told.evict(uids[1], "only 1 of 2 members were bound for 70 s")
    told.bind(third, "n9")


def a_gang_of_which_one_is_gone_before_the_next_is_evicted(told: Chronicle) -> None:
    uids = _running(told, "short", 3, gpus=4)
    told.fail(uids[0])
    told.now_s += 70.0
    for uid in uids[1:]:
        told.evict(uid, "only 2 of 3 members were bound for 70 s", leaves=uid != uids[2])
    told.change(replace(told.pods[uids[2]], is_deleting=True))


CAUSED = (
    a_gang_of_which_one_is_gone_before_the_next_is_evicted,
    for_a_gang_that_comes_again_under_its_name,
    a_gang_for_whom_nobody_came_while_its_room_was_kept,
    a_gang_beside_whom_others_left_for_somebody,
    for_two_who_are_planned_together,
    for_somebody_beside_whom_room_is_promised,
    for_somebody_who_finds_room_elsewhere_first,
    a_gang_that_grew_and_lost_a_member,
    for_a_gang_that_is_cancelled_while_it_starts,
    for_somebody_who_waits_for_others_beside,
    for_somebody_who_was_gone_and_the_rest_restarts,
    a_gang_one_of_which_takes_too_long_to_go,
    a_gang_that_nobody_completes,
    a_gang_that_restarts_whole,
    a_gang_that_cannot_be_completed,
    a_node_that_is_gone,
    a_device_that_is_out,
    for_somebody_who_starts,
    for_somebody_who_waits_for_a_slow_victim,
    for_the_one_beside_whom_another_starts,
    for_somebody_who_was_cancelled_meanwhile,
)


@few
@given(SEEDS)
def test_where_nobody_was_evicted_nothing_is_found(seed: int) -> None:
    assert _found(lambda told: None, seed) == []


@pytest.mark.parametrize("story", USELESS, ids=lambda story: str(story.__name__))
@few
@given(seed=SEEDS)
def test_a_useless_eviction_is_found(story: Story, seed: int) -> None:
    found = _found(story, seed)
    assert found
    assert all(text.startswith("INV17") for text in found)


@pytest.mark.parametrize("story", CAUSED, ids=lambda story: str(story.__name__))
@few
@given(seed=SEEDS)
def test_an_eviction_with_a_cause_is_let_pass(story: Story, seed: int) -> None:
    assert _found(story, seed) == []
