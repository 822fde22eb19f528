"""What the machine instructs, move by move, where the reason for a move matters to its reader."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.gangs import events as ev
from scheduler.gangs.attempt import Limits, Phase, verify
from scheduler.gangs.faults import BrokenInvariant
from scheduler.gangs.machine import delayed, start
from tests.gangs.gang_cases import after, begin, gang_of, planned


def kinds(todo: list[ev.Instruction], kind: type[ev.Instruction]) -> list[ev.Instruction]:
    return [what for what in todo if isinstance(what, kind)]


def acked(*uids: str) -> list[ev.Event]:
    return [ev.ClaimAcked(at_s=0.1), *(ev.BindAcked(at_s=0.2, uid=uid) for uid in uids)]


def test_nothing_is_bound_before_the_claim_is_acknowledged() -> None:
    attempt, todo = begin(3)
    assert todo == (ev.WriteClaim(),)
    attempt, more = after(attempt, [ev.ClaimAcked(at_s=0.1)])
    assert more == [ev.BindPod(uid=f"w-{i}", node=f"node-{i}") for i in range(3)]


@given(st.integers(0, 2**32))
@settings(max_examples=5)
def test_a_large_gang_loses_no_answer_in_any_order(seed: int) -> None:
    attempt, _ = begin(260)
    uids = sorted(attempt.members)
    random.Random(seed).shuffle(uids)
    attempt, todo = after(attempt, [ev.ClaimAcked(at_s=0.1)])
    for uid in uids:
        assert attempt.phase is Phase.BINDING
        attempt, todo = after(attempt, [ev.BindAcked(at_s=0.2, uid=uid)])
    verify(attempt)
    assert kinds(todo, ev.Announce) == [
        ev.Announce(kind="Scheduled", uids=tuple(sorted(uids)), message="260 of 260 placed")
    ]


def test_a_lost_claim_gives_everything_back_and_binds_nothing() -> None:
    attempt, todo = after(begin(2)[0], [ev.ClaimRefused(at_s=0.1, reason="lost the race")])
    assert attempt.is_done
    assert kinds(todo, ev.Forget) == [ev.Forget(uid="w-0"), ev.Forget(uid="w-1")]
    assert not kinds(todo, ev.BindPod)


def test_a_claim_refused_after_one_without_answer_is_read_because_it_may_be_our_own() -> None:
    events = [
        ev.ClaimUnknown(at_s=0.1),
        ev.ClaimRead(at_s=0.2, is_ours=False),
        ev.AttemptWoken(at_s=0.3),
        ev.ClaimRefused(at_s=0.4, reason="conflict"),
    ]
    attempt, todo = after(begin(2)[0], events)
    assert todo[-1] == ev.ReadClaim()
    attempt, todo = after(attempt, [ev.ClaimRead(at_s=0.5, is_ours=True)])
    assert len(kinds(todo, ev.BindPod)) == 2


def test_one_member_refused_evicts_those_bound_and_those_that_are_bound_late() -> None:
    refused = ev.BindRefused(at_s=0.3, uid="w-1", reason="forbidden", is_permanent=True)
    attempt, todo = after(begin(3)[0], [*acked("w-0"), refused])
    assert attempt.phase is Phase.UNWINDING
    assert kinds(todo, ev.EvictPod) == [ev.EvictPod(uid="w-0", reason="forbidden")]
    assert kinds(todo, ev.Forget) == [ev.Forget(uid="w-1")]
    attempt, todo = after(attempt, [ev.BindAcked(at_s=0.4, uid="w-2")])
    assert todo == [ev.EvictPod(uid="w-2", reason="forbidden")]
    attempt, todo = after(attempt, [ev.EvictAcked(at_s=0.5, uid="w-0"), ev.EvictGone(at_s=0.6, uid="w-2")])
    assert kinds(todo, ev.WriteStatus) == [ev.WriteStatus(phase="Pending", bound=(), message="forbidden")]
    assert attempt.is_permanent
    assert after(attempt, [ev.StatusAcked(at_s=0.7)])[0].is_done


def test_members_above_the_minimum_may_fail() -> None:
    refused = ev.BindRefused(at_s=0.3, uid="w-2", reason="forbidden", is_permanent=True)
    attempt, todo = after(begin(3, min_member=2)[0], [*acked("w-0", "w-1"), refused])
    assert attempt.phase is Phase.BOUND
    assert kinds(todo, ev.Announce) == [
        ev.Announce(kind="Scheduled", uids=("w-0", "w-1"), message="2 of 3 placed")
    ]


def test_a_role_below_its_minimum_unwinds_a_gang_that_has_members_enough() -> None:
    gang = gang_of({"driver": (1, 1), "worker": (4, 2)}, min_member=3)
    attempt, _ = start(gang, planned(gang), epoch=1, at_s=0.0)
    workers = [f"worker-{i}" for i in range(4)]
    gone = ev.MemberGone(at_s=0.3, uid="driver-0")
    attempt, todo = after(attempt, [*acked(*workers), gone])
    assert attempt.phase is Phase.UNWINDING
    assert [what.uid for what in todo if isinstance(what, ev.EvictPod)] == workers


def test_a_bind_without_answer_is_read_and_not_sent_again_while_it_may_land() -> None:
    limits = Limits(write_timeout_s=5.0)
    attempt, _ = after(begin(1, limits=limits)[0], [ev.ClaimAcked(at_s=0.0)])
    attempt, todo = after(attempt, [ev.BindUnknown(at_s=1.0, uid="w-0")])
    assert todo == [ev.ReadPod(uid="w-0")]
    attempt, todo = after(attempt, [ev.PodRead(at_s=2.0, uid="w-0", resource_version="7")])
    assert todo == [ev.WakeMember(uid="w-0", after_s=4.0)]
    attempt, todo = after(attempt, [ev.MemberWoken(at_s=6.0, uid="w-0")])
    assert todo == [ev.ReadPod(uid="w-0")]
    attempt, todo = after(attempt, [ev.PodRead(at_s=6.1, uid="w-0", resource_version="7")])
    assert todo == [ev.BindPod(uid="w-0", node="node-0", resource_version="7")]


def test_a_read_asked_before_the_request_expired_decides_nothing() -> None:
    """The answer comes after the timeout, but it may show the moment before the Binding landed."""
    attempt, _ = after(begin(1)[0], [ev.ClaimAcked(at_s=0.0), ev.BindUnknown(at_s=1.0, uid="w-0")])
    _, todo = after(attempt, [ev.PodRead(at_s=9.0, uid="w-0")])
    assert todo == [ev.WakeMember(uid="w-0", after_s=0.0)]


@pytest.mark.parametrize(
    ("node", "phase"), [("node-0", Phase.BOUND), ("elsewhere", Phase.UNWOUND), ("", Phase.BINDING)]
)
def test_a_conflict_is_what_the_pod_says_it_is(node: str, phase: Phase) -> None:
    events = [ev.ClaimAcked(at_s=0.0), ev.BindConflict(at_s=1.0, uid="w-0")]
    attempt, _ = after(begin(1)[0], [*events, ev.PodRead(at_s=1.1, uid="w-0", node=node)])
    assert attempt.phase is phase


def test_a_bind_that_would_be_tried_after_the_deadline_is_given_up_now() -> None:
    limits = Limits(deadline_s=10.0)
    attempt, _ = after(begin(2, limits=limits)[0], acked("w-0"))
    attempt, todo = after(attempt, [ev.BindRetry(at_s=8.0, uid="w-1", after_s=5.0)])
    assert attempt.phase is Phase.UNWINDING
    assert kinds(todo, ev.Forget) == [ev.Forget(uid="w-1")]


def test_the_deadline_takes_a_partly_bound_gang_back_without_waiting_for_the_rest() -> None:
    attempt, _ = after(begin(2)[0], acked("w-0"))
    attempt, todo = after(attempt, [ev.DeadlinePassed(at_s=20.0)])
    assert [what.uid for what in todo if isinstance(what, ev.EvictPod)] == ["w-0"]
    assert not kinds(todo, ev.Forget), "the second Binding is under way and may still land"
    attempt, _ = after(attempt, [ev.EvictAcked(at_s=20.1, uid="w-0")])
    assert attempt.phase is Phase.UNWINDING


def test_each_binding_moves_the_deadline_and_so_does_time_behind_others() -> None:
    attempt, _ = after(begin(3)[0], [ev.ClaimAcked(at_s=15.0)])
    assert attempt.deadline_s == 35.0
    for i in (0, 1):
        attempt, _ = after(attempt, [ev.BindAcked(at_s=30.0 + 19.0 * i, uid=f"w-{i}")])
        assert attempt.deadline_s == 50.0 + 19.0 * i
    assert delayed(attempt, 5.0).deadline_s == 74.0


def test_of_those_who_come_in_the_place_of_lost_members_each_is_of_use_alone() -> None:
    gang = replace(gang_of({"w": (2, 2)}, min_member=4, standing=2), stood=4, is_broken=True)
    attempt, _ = start(gang, planned(gang), epoch=1, at_s=0.0)
    attempt, _ = after(attempt, [*acked("w-0"), ev.StandingGone(at_s=0.3)])
    attempt, todo = after(
        attempt, [ev.BindRefused(at_s=0.4, uid="w-1", reason="the node is full", is_permanent=False)]
    )
    assert attempt.phase is Phase.BOUND
    assert not kinds(todo, ev.EvictPod)
    assert not attempt.leaves_it_whole


def test_who_is_added_to_a_gang_that_stands_does_not_leave_with_another() -> None:
    gang = replace(gang_of({"w": (2, 2)}, min_member=6, standing=4), stood=4)
    attempt, _ = start(gang, planned(gang), epoch=1, at_s=0.0)
    attempt, todo = after(attempt, [*acked("w-0"), ev.StandingGone(at_s=0.3), *acked("w-1")[1:]])
    assert attempt.phase is Phase.BOUND
    assert not kinds(todo, ev.EvictPod)


def test_nothing_is_bound_again_while_the_gang_is_taken_back() -> None:
    late = [
        ev.BindRefused(at_s=0.3, uid="w-0", reason="no", is_permanent=False),
        ev.BindRetry(at_s=0.4, uid="w-1", after_s=0.1),
        ev.BindConflict(at_s=0.5, uid="w-2"),
        ev.PodRead(at_s=0.6, uid="w-2"),
    ]
    attempt, todo = after(begin(3)[0], [ev.ClaimAcked(at_s=0.1), *late])
    assert len(kinds(todo, ev.BindPod)) == 3
    assert len(kinds(todo, ev.Forget)) == 3
    assert attempt.phase is Phase.UNWOUND


def test_a_bound_pod_that_goes_keeps_its_capacity_until_the_watch_takes_it() -> None:
    attempt, _ = after(begin(2)[0], acked("w-0"))
    _, todo = after(attempt, [ev.MemberGone(at_s=0.3, uid="w-0")])
    assert not kinds(todo, ev.Forget)


def test_a_single_pod_bound_after_its_deadline_is_kept() -> None:
    gang = gang_of({"w": (1, 1)}, min_member=1, dialect="pod")
    attempt, first = start(gang, planned(gang), epoch=1, at_s=0.0)
    assert first == (ev.BindPod(uid="w-0", node="node-0"),)
    attempt, todo = after(attempt, [ev.DeadlinePassed(at_s=20.0), ev.BindAcked(at_s=20.5, uid="w-0")])
    assert attempt.is_done
    assert todo == [ev.Announce(kind="Scheduled", uids=("w-0",), message="1 of 1 placed")]


def test_a_standing_member_lost_meanwhile_is_missing() -> None:
    attempt, _ = after(begin(1, min_member=2, standing=1)[0], [ev.ClaimAcked(at_s=0.1)])
    attempt, _ = after(attempt, [ev.StandingGone(at_s=0.2), ev.BindAcked(at_s=0.3, uid="w-0")])
    assert attempt.phase is Phase.UNWINDING


def test_a_gang_that_fails_to_grow_still_stands() -> None:
    events = [ev.ClaimAcked(at_s=0.1), ev.BindRefused(at_s=0.2, uid="w-0", reason="no", is_permanent=False)]
    _, todo = after(begin(1, min_member=2, standing=2)[0], events)
    assert kinds(todo, ev.WriteStatus) == [ev.WriteStatus(phase="Bound", bound=(), message="no")]


def test_an_eviction_refused_for_ever_ends_and_says_so() -> None:
    limits = Limits(evict_tries=3)
    refused = ev.BindRefused(at_s=0.3, uid="w-1", reason="no", is_permanent=False)
    attempt, _ = after(begin(2, limits=limits)[0], [*acked("w-0"), refused])
    retry = ev.EvictRetry(at_s=1.0, uid="w-0", after_s=60.0)
    woken = ev.MemberWoken(at_s=2.0, uid="w-0")
    attempt, todo = after(attempt, [retry, woken, retry, woken, retry])
    assert kinds(todo, ev.WakeMember)[0] == ev.WakeMember(uid="w-0", after_s=limits.backoff_max_s)
    assert kinds(todo, ev.WriteStatus) == [ev.WriteStatus(phase="Stuck", bound=("w-0",), message="no")]


def test_a_lost_lease_stops_everything() -> None:
    attempt, _todo = after(begin(2)[0], [*acked("w-0"), ev.LeadershipLost(at_s=1.0)])
    assert attempt.is_abandoned
    assert after(attempt, [ev.BindAcked(at_s=1.1, uid="w-1")])[1] == []


def test_a_plan_below_the_minimum_is_our_bug() -> None:
    gang = gang_of({"w": (3, 0)}, min_member=3)
    with pytest.raises(BrokenInvariant, match="less than its minimum"):
        start(gang, planned(gang)[:2], epoch=1, at_s=0.0)
    with pytest.raises(BrokenInvariant, match="twice"):
        start(gang, (*planned(gang), planned(gang)[0]), epoch=1, at_s=0.0)
