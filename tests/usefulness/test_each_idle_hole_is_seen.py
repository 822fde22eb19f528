"""INV18 is judged: who could have started and waits is found, and who waits for a reason is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.invariants import GroupVersion, NodeVersion, QuotaVersion, no_idle_hole
from tests.faults.chronicle import GPU, NAMESPACE, Chronicle

SEEDS = st.integers(0, 2**32)
few = settings(max_examples=15)
Story = Callable[[Chronicle], None]


def _found(story: Story, seed: int, troubles: Sequence[tuple[float, float]] = ()) -> list[str]:
    told = Chronicle(seed)
    told.node("n0", 8)
    told.node("n1", 8)
    story(told)
    return [str(found) for found in no_idle_hole(told.history(quiet_s=100.0), troubles=troubles)]


# -- idle ----------------------------------------------------------------------------------------------


def a_pod_that_fits(told: Chronicle) -> None:
    told.tell(told.pod("small", gpus=4))


def a_gang_that_fits_over_two_nodes(told: Chronicle) -> None:
    told.gang("wide", 4, gpus=4)


def a_gang_of_which_half_is_bound(told: Chronicle) -> None:
    ref, uids = told.gang("half", 4, gpus=2)
    told.claim(ref, dict.fromkeys(uids, "n0"))
    for uid in uids[:2]:
        told.bind(uid, "n0")


def a_later_run_under_the_same_name(told: Chronicle) -> None:
    ref, uids = told.gang("nightly", 2, gpus=4)
    told.place(ref, uids, "n0")
    for uid in uids:
        told.change(replace(told.pods[uid], phase="Succeeded", owner="first"))
    for number in range(2):
        uid = told.pod(f"again-{number}", gang=ref, minimum=2, gpus=4)
        told.change(replace(told.pods[uid], owner="second"))


def a_replacement_whose_room_is_free(told: Chronicle) -> None:
    ref, uids = told.gang("lame", 2, gpus=8)
    told.claim(ref, {uids[0]: "n0", uids[1]: "n1"})
    told.bind(uids[0], "n0")
    told.bind(uids[1], "n1")
    told.fail(uids[0])
    told.pod("made-anew", gang=ref, minimum=2, gpus=8)


def somebody_whose_own_promise_is_all_that_stands_there(told: Chronicle) -> None:
    uid = told.pod("promised", gpus=8)
    told.change(replace(told.pods[uid], nominated="n0"))


def a_part_of_an_addition_that_fits(told: Chronicle) -> None:
    told.bind(told.pod("there", gpus=8), "n1")
    ref, uids = told.gang("grows", 2, gpus=3)
    told.place(ref, uids, "n0")
    for uid in uids:
        told.change(replace(told.pods[uid], minimum=4))
    told.write("Group", "group-grows", GroupVersion(ref=ref, minimum=4))
    for number in range(2):
        told.pod(f"more-{number}", gang=ref, minimum=4, gpus=2)


def a_team_within_its_guarantee(told: Chronicle) -> None:
    quota = QuotaVersion(name="t", namespaces=(NAMESPACE,), guaranteed={GPU: 8000})
    told.write("Quota", "t", quota)
    told.pod("due", gpus=8)


def what_is_left_of_a_gang_that_lost_a_member(told: Chronicle) -> None:
    told.bind(told.pod("there", gpus=8), "n1")
    ref, uids = told.gang("lame", 2, gpus=4)
    told.place(ref, uids, "n0")
    told.fail(uids[0])
    told.pod("behind", gpus=8)
    later(told, 200.0)


def room_of_a_member_that_is_lost_for_long(told: Chronicle) -> None:
    room_that_is_held_for_a_lost_member(told)
    later(told, 70.0)


def a_higher_priority_than_all_that_run(told: Chronicle) -> None:
    for name in ("n0", "n1"):
        told.bind(told.pod(f"low-{name}", gpus=8), name)
    told.change(replace(told.pods[told.pod("high", gpus=8)], priority=10))
    later(told, 5.0)


def the_first_of_two_that_come_again(told: Chronicle) -> None:
    ref, uids = told.gang("lame", 4, gpus=4)
    told.place(ref, uids, "n0")
    for uid in uids[:2]:
        told.fail(uid)
    told.pod("made-anew", gang=ref, minimum=4, gpus=4)
    later(told, 40.0)


def a_retry_of_a_gang_whose_others_are_done(told: Chronicle) -> None:
    """Bare pods: one did its work and is gone, then another process leads, which can read that."""
    ref, uids = told.gang("bare", 2, gpus=2)
    told.place(ref, uids, "n0")
    told.change(replace(told.pods[uids[0]], phase="Succeeded"))
    told.remove(uids[0])
    told.renew()
    told.take_over()
    told.change(replace(told.pods[uids[1]], phase="Failed"))
    told.pod("bare-again", gang=ref, minimum=2, gpus=2)


def later(told: Chronicle, after_s: float) -> None:
    """Something is written then, of which time alone would tell nobody."""
    told.now_s += after_s
    told.tell(told.pod("huge", gpus=64))


IDLE = (
    a_retry_of_a_gang_whose_others_are_done,
    what_is_left_of_a_gang_that_lost_a_member,
    room_of_a_member_that_is_lost_for_long,
    a_higher_priority_than_all_that_run,
    the_first_of_two_that_come_again,
    a_pod_that_fits,
    a_gang_that_fits_over_two_nodes,
    a_gang_of_which_half_is_bound,
    a_later_run_under_the_same_name,
    a_replacement_whose_room_is_free,
    somebody_whose_own_promise_is_all_that_stands_there,
    a_team_within_its_guarantee,
    a_part_of_an_addition_that_fits,
)


# -- with a reason -------------------------------------------------------------------------------------


def a_gang_that_does_not_fit(told: Chronicle) -> None:
    told.bind(told.pod("there", gpus=4), "n0")
    told.gang("wide", 2, gpus=8)


def a_gang_that_only_fits_in_sum(told: Chronicle) -> None:
    told.bind(told.pod("there", gpus=4), "n0")
    told.bind(told.pod("too", gpus=4), "n1")
    told.pod("large", gpus=8)


def a_gang_that_is_not_complete(told: Chronicle) -> None:
    told.gang("few", 2, minimum=3)


def a_pod_that_is_gated(told: Chronicle) -> None:
    uid = told.pod("gated")
    told.change(replace(told.pods[uid], is_gated=True))


def a_pod_that_is_tied_to_places(told: Chronicle) -> None:
    uid = told.pod("tied")
    told.change(replace(told.pods[uid], is_plain=False))


def room_on_cordoned_nodes_only(told: Chronicle) -> None:
    for name in ("n0", "n1"):
        told.write(
            "Node", name, NodeVersion(name=name, allocatable={GPU: 8000, "pods": 110_000}, is_open=False)
        )
    told.pod("nowhere")


def room_that_is_promised_to_another(told: Chronicle) -> None:
    for name in ("n0", "n1"):
        uid = told.pod(f"for-{name}", gpus=8)
        told.change(replace(told.pods[uid], nominated=name, is_plain=False))
    told.pod("behind", gpus=8)


def room_that_is_held_for_a_lost_member(told: Chronicle) -> None:
    told.bind(told.pod("there", gpus=8), "n1")
    ref, uids = told.gang("lame", 2, gpus=4)
    told.place(ref, uids, "n0")
    told.fail(uids[0])
    told.pod("behind", gpus=4)


def room_that_is_not_free_yet(told: Chronicle) -> None:
    for name in ("n0", "n1"):
        uid = told.pod(f"leaves-{name}", gpus=8)
        told.bind(uid, name)
        told.change(replace(told.pods[uid], is_deleting=True))
    told.pod("soon", gpus=8)


def a_team_above_its_guarantee(told: Chronicle) -> None:
    told.write("Quota", "t", QuotaVersion(name="t", namespaces=(NAMESPACE,), guaranteed={GPU: 4000}))
    told.pod("not-due", gpus=8)


def room_that_is_held_for_a_member_that_took_its_time_to_go(told: Chronicle) -> None:
    ref, uids = told.gang("slow", 2, gpus=16)
    told.node("n8", 32)
    told.place(ref, uids, "n8")
    told.change(replace(told.pods[uids[0]], is_deleting=True))
    told.now_s += 50.0
    told.remove(uids[0])
    told.pod("other", gpus=16)


def a_gang_all_of_whose_members_leave(told: Chronicle) -> None:
    """It starts whole again, with what is made anew, and not one by one."""
    ref, uids = told.gang("again", 2, gpus=1)
    told.node("n8", 16)
    told.place(ref, uids, "n8")
    told.change(replace(told.pods[uids[0]], is_deleting=True))
    told.pod("again-0", gang=ref, minimum=2, gpus=1)
    told.change(replace(told.pods[uids[1]], is_deleting=True))


def a_higher_priority_beside_another_of_its_own(told: Chronicle) -> None:
    """Which of them goes first is not for this judge."""
    for name in ("n0", "n1"):
        told.bind(told.pod(f"low-{name}", gpus=8), name)
    for name in ("high", "higher"):
        told.change(replace(told.pods[told.pod(name, gpus=8)], priority=10))
    later(told, 5.0)


def a_priority_that_preempts_nobody(told: Chronicle) -> None:
    for name in ("n0", "n1"):
        told.bind(told.pod(f"low-{name}", gpus=8), name)
    told.change(replace(told.pods[told.pod("kind", gpus=8)], priority=10, can_preempt=False))


def room_of_a_lost_member_while_another_still_leaves(told: Chronicle) -> None:
    """It stands until that one is gone, and will miss both."""
    told.bind(told.pod("there", gpus=8), "n1")
    told.bind(told.pod("beside", gpus=2), "n0")
    ref, uids = told.gang("lame", 3, minimum=2, gpus=2)
    told.place(ref, uids, "n0")
    told.change(replace(told.pods[uids[0]], is_deleting=True))
    told.fail(uids[1])
    told.pod("behind", gpus=2)


def a_later_run_of_which_a_new_leader_finds_room_for_some(told: Chronicle) -> None:
    """Pods of the run before are still there, and count for neither."""
    a_later_run_under_the_same_name(told)
    told.bind(told.pod("there", gpus=8), "n1")
    told.bind(told.pod("beside", gpus=4), "n0")
    told.take_over()
    told.pod("last", gpus=8)


def a_retry_of_a_gang_of_which_one_was_done_and_gone_while_nobody_led(told: Chronicle) -> None:
    ref, uids = told.gang("bare", 2, gpus=2)
    told.place(ref, uids, "n0")
    told.renew()
    told.change(replace(told.pods[uids[0]], phase="Succeeded"))
    told.remove(uids[0])
    told.take_over()
    told.change(replace(told.pods[uids[1]], phase="Failed"))
    told.pod("bare-again", gang=ref, minimum=2, gpus=2)


def a_higher_priority_whose_gang_did_its_work_without_it(told: Chronicle) -> None:
    """As many as the gang needs have succeeded: nobody is evicted for one beyond them."""
    ref, uids = told.gang("done", 2, gpus=8)
    told.claim(ref, {uids[0]: "n0", uids[1]: "n1"})
    for uid, node in zip(uids, ("n0", "n1"), strict=True):
        told.bind(uid, node)
    for uid in uids:
        told.change(replace(told.pods[uid], phase="Succeeded"))
    for name in ("n0", "n1"):
        told.bind(told.pod(f"low-{name}", gpus=8), name)
    told.change(replace(told.pods[told.pod("more", gang=ref, minimum=2, gpus=8)], priority=10))
    told.node("n2", 0)


REASONS = (
    a_higher_priority_whose_gang_did_its_work_without_it,
    a_retry_of_a_gang_of_which_one_was_done_and_gone_while_nobody_led,
    room_of_a_lost_member_while_another_still_leaves,
    a_later_run_of_which_a_new_leader_finds_room_for_some,
    a_higher_priority_beside_another_of_its_own,
    a_priority_that_preempts_nobody,
    room_that_is_held_for_a_member_that_took_its_time_to_go,
    a_gang_all_of_whose_members_leave,
    a_gang_that_does_not_fit,
    a_gang_that_only_fits_in_sum,
    a_gang_that_is_not_complete,
    a_pod_that_is_gated,
    a_pod_that_is_tied_to_places,
    room_on_cordoned_nodes_only,
    room_that_is_promised_to_another,
    room_that_is_held_for_a_lost_member,
    room_that_is_not_free_yet,
    a_team_above_its_guarantee,
)


@pytest.mark.parametrize("story", IDLE, ids=lambda story: str(story.__name__))
@few
@given(seed=SEEDS)
def test_who_could_have_started_is_found(story: Story, seed: int) -> None:
    found = _found(story, seed)
    assert found
    assert all(text.startswith("INV18") for text in found)


@pytest.mark.parametrize("story", REASONS, ids=lambda story: str(story.__name__))
@few
@given(seed=SEEDS)
def test_who_waits_for_a_reason_is_not(story: Story, seed: int) -> None:
    assert _found(story, seed) == []


@few
@given(SEEDS)
def test_a_time_of_trouble_does_not_count(seed: int) -> None:
    assert _found(a_pod_that_fits, seed, troubles=[(130.0, 160.0)]) == []
    assert _found(a_pod_that_fits, seed, troubles=[(110.0, 120.0)]) != []


@few
@given(SEEDS)
def test_who_starts_within_the_bound_is_not_found(seed: int) -> None:
    def starts(told: Chronicle) -> None:
        uid = told.pod("soon")
        told.now_s += 50.0
        told.bind(uid, "n0")

    assert _found(starts, seed) == []
