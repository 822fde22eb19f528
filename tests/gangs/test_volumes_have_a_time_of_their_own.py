"""The phase between claim and Bindings: what it waits for, and that Bindings have their own time."""

from __future__ import annotations

from scheduler.gangs import events as ev
from scheduler.gangs.attempt import Limits, MemberState, Phase
from tests.gangs.gang_cases import after, begin

LIMITS = Limits(deadline_s=20.0)


def test_no_binding_is_sent_before_the_volumes_are_ready() -> None:
    attempt, _ = begin(2, limits=LIMITS, needs_volumes=True)
    attempt, todo = after(attempt, [ev.ClaimAcked(at_s=1.0)])
    assert todo == [ev.ProvideVolumes()]
    attempt, todo = after(attempt, [ev.DeadlinePassed(at_s=20.0)])
    assert (attempt.phase, todo) == (Phase.PROVISIONING, [])
    attempt, todo = after(attempt, [ev.VolumesReady(at_s=300.0)])
    assert [type(one) for one in todo] == [ev.BindPod, ev.BindPod]


def test_the_bindings_have_all_their_time_from_then_on() -> None:
    attempt, _ = begin(2, limits=LIMITS, needs_volumes=True)
    attempt, _ = after(attempt, [ev.ClaimAcked(at_s=1.0), ev.VolumesReady(at_s=300.0)])
    attempt, todo = after(attempt, [ev.BindRetry(at_s=310.0, uid="w-0", after_s=0.5)])
    assert todo == [ev.WakeMember(uid="w-0", after_s=0.5)]
    assert attempt.members["w-0"].state is MemberState.BACKOFF


def test_a_gang_that_stands_without_a_pod_goes_on_without_it() -> None:
    attempt, _ = begin(3, min_member=2, limits=LIMITS, needs_volumes=True)
    failed = ev.VolumesFailed(at_s=9.0, uid="w-1", reason="no room")
    attempt, todo = after(attempt, [ev.ClaimAcked(at_s=1.0), failed])
    assert (attempt.phase, todo[-1]) == (Phase.PROVISIONING, ev.Forget(uid="w-1"))
    attempt, todo = after(attempt, [ev.VolumesReady(at_s=10.0)])
    assert {one.uid for one in todo if isinstance(one, ev.BindPod)} == {"w-0", "w-2"}


def test_a_gang_that_does_not_is_unwound_with_nothing_bound() -> None:
    attempt, _ = begin(2, limits=LIMITS, needs_volumes=True)
    failed = ev.VolumesFailed(at_s=9.0, uid="w-1", reason="no room")
    attempt, todo = after(attempt, [ev.ClaimAcked(at_s=1.0), failed])
    assert attempt.phase is Phase.UNWOUND
    assert {one.uid for one in todo if isinstance(one, ev.Forget)} == {"w-0", "w-1"}
    assert not any(isinstance(one, ev.BindPod | ev.EvictPod) for one in todo)
    assert attempt.failure == "no room"
