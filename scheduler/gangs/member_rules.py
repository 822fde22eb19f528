"""What an event means for one member: the lower of the two transition tables, and its code.

Nothing here decides about the gang. After each of these the machine looks at the whole attempt
(``machine.finish``) and moves it on; that is where members bound in vain are evicted.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from scheduler.gangs.attempt import Attempt, InvalidTransition, Member, Phase
from scheduler.gangs.attempt import MemberState as S
from scheduler.gangs.events import (
    Announce,
    BindAcked,
    BindConflict,
    BindPod,
    BindRefused,
    BindRetry,
    BindUnknown,
    Event,
    EvictAcked,
    EvictGone,
    EvictPod,
    EvictRetry,
    EvictUnknown,
    Forget,
    Instruction,
    MemberEvent,
    MemberGone,
    MemberWoken,
    PodRead,
    ReadPod,
    ReadRetry,
    VolumesFailed,
    WakeMember,
)
from scheduler.gangs.faults import BrokenInvariant

Outcome = tuple[Attempt, tuple[Instruction, ...]]

_ANSWERS: tuple[type[Event], ...] = (
    BindAcked,
    BindRefused,
    BindConflict,
    BindRetry,
    BindUnknown,
    PodRead,
    ReadRetry,
    EvictAcked,
    EvictGone,
    EvictRetry,
    EvictUnknown,
    VolumesFailed,
    MemberWoken,
    MemberGone,
)

#: (state, event) -> states it may lead to. What is not here raises ``InvalidTransition``.
TABLE: Mapping[tuple[S, type[Event]], frozenset[S]] = {
    (S.PLANNED, MemberGone): frozenset({S.GONE}),
    (S.PLANNED, VolumesFailed): frozenset({S.REFUSED}),
    (S.BINDING, BindAcked): frozenset({S.BOUND}),
    (S.BINDING, BindRefused): frozenset({S.REFUSED}),
    (S.BINDING, BindConflict): frozenset({S.READING}),
    (S.BINDING, BindRetry): frozenset({S.BACKOFF, S.REFUSED}),
    (S.BINDING, BindUnknown): frozenset({S.READING}),
    (S.BINDING, MemberGone): frozenset({S.GONE}),
    (S.BACKOFF, MemberWoken): frozenset({S.BINDING}),
    (S.BACKOFF, MemberGone): frozenset({S.GONE}),
    (S.READING, PodRead): frozenset({S.BOUND, S.REFUSED, S.GONE, S.UNKNOWN, S.BINDING}),
    (S.READING, ReadRetry): frozenset({S.UNKNOWN}),
    (S.READING, MemberGone): frozenset({S.GONE}),
    (S.UNKNOWN, MemberWoken): frozenset({S.READING}),
    (S.UNKNOWN, MemberGone): frozenset({S.GONE}),
    (S.BOUND, BindAcked): frozenset({S.BOUND}),
    (S.BOUND, MemberGone): frozenset({S.GONE}),
    (S.EVICTING, EvictAcked): frozenset({S.EVICTED}),
    (S.EVICTING, EvictGone): frozenset({S.GONE}),
    (S.EVICTING, EvictRetry): frozenset({S.EVICT_BACKOFF, S.STUCK}),
    (S.EVICTING, EvictUnknown): frozenset({S.EVICT_READING}),
    # The watch outran the answer, which says whether it was we who evicted it.
    (S.EVICTING, MemberGone): frozenset({S.EVICTING}),
    (S.EVICT_BACKOFF, MemberWoken): frozenset({S.EVICTING}),
    (S.EVICT_BACKOFF, MemberGone): frozenset({S.GONE}),
    (S.EVICT_READING, PodRead): frozenset({S.GONE, S.EVICTING, S.STUCK}),
    (S.EVICT_READING, ReadRetry): frozenset({S.EVICT_UNKNOWN}),
    (S.EVICT_READING, MemberGone): frozenset({S.GONE}),
    (S.EVICT_UNKNOWN, MemberWoken): frozenset({S.EVICT_READING}),
    (S.EVICT_UNKNOWN, MemberGone): frozenset({S.GONE}),
    (S.STUCK, MemberGone): frozenset({S.GONE}),
    # A member given up while it backed off is still woken once.
    (S.REFUSED, MemberWoken): frozenset({S.REFUSED}),
    (S.REFUSED, MemberGone): frozenset({S.REFUSED}),
    (S.EVICTED, MemberGone): frozenset({S.EVICTED}),
    # The watch may outrun any answer: whatever comes about a member that is gone changes nothing.
    **{(S.GONE, event): frozenset({S.GONE}) for event in _ANSWERS},
}


def step_member(attempt: Attempt, event: MemberEvent) -> Outcome:
    """One member's transition. Raises: InvalidTransition for an undeclared pair or a foreign uid."""
    member = attempt.members.get(event.uid)
    if member is None:
        raise InvalidTransition(attempt, event, "no member")
    allowed = TABLE.get((member.state, type(event)))
    if allowed is None:
        raise InvalidTransition(attempt, event, f"member state {member.state.value}")
    after, todo = _handle(attempt, member, event)
    state = after.members[event.uid].state
    if state not in allowed:
        raise BrokenInvariant(f"{member.state.value} became {state.value} on {type(event).__name__}")
    return after, todo


def _handle(attempt: Attempt, member: Member, event: MemberEvent) -> Outcome:
    match (member.state, event):
        case (S.GONE | S.REFUSED | S.EVICTED, _):
            return attempt, ()
        case (_, MemberGone()):
            return _gone(attempt, member)
        case (_, BindAcked()):
            return attempt.put(replace(member, state=S.BOUND)), ()
        case (_, VolumesFailed(reason=reason)):
            return refuse(attempt, member, reason, is_permanent=False)
        case (_, BindRefused(reason=reason, is_permanent=is_permanent)):
            return refuse(attempt, member, reason, is_permanent=is_permanent)
        case (_, BindConflict()):
            return _ask(attempt, member, event.at_s, quiet_at_s=event.at_s)
        case (_, BindUnknown()):
            return _ask(attempt, member, event.at_s, quiet_at_s=event.at_s + attempt.limits.write_timeout_s)
        case (_, BindRetry(after_s=after_s)):
            return _bind_later(attempt, member, event.at_s, after_s)
        case (S.READING, PodRead()):
            return _decide(attempt, member, event)
        case (_, EvictAcked()):
            return _evicted(attempt, member)
        case (_, EvictGone()):
            return attempt.put(replace(member, state=S.GONE)), ()
        case (_, EvictUnknown()):
            return attempt.put(replace(member, state=S.EVICT_READING)), (ReadPod(uid=member.uid),)
        case (_, EvictRetry(after_s=after_s)):
            return _evict_later(attempt, member, after_s)
        case (S.EVICT_READING, PodRead()):
            if event.is_gone or event.is_deleting or event.has_succeeded:
                return attempt.put(replace(member, state=S.GONE)), ()
            return _evict_again(attempt, member)
        case (_, ReadRetry(after_s=after_s)):
            state = S.UNKNOWN if member.state is S.READING else S.EVICT_UNKNOWN
            return _wait(attempt, replace(member, state=state), after_s)
        case (_, MemberWoken()):
            return _woken(attempt, member, event.at_s)
        case _:
            raise InvalidTransition(attempt, event, f"member state {member.state.value}")


def bind(attempt: Attempt, member: Member, *, resource_version: str = "") -> Outcome:
    """Send the Binding."""
    sent = binding(member, resource_version=resource_version)
    return attempt.put(replace(member, state=S.BINDING)), (sent,)


def binding(member: Member, *, resource_version: str = "") -> BindPod:
    return BindPod(uid=member.uid, node=member.node, resource_version=resource_version)


def refuse(attempt: Attempt, member: Member, reason: str, *, is_permanent: bool) -> Outcome:
    """Give the member up: it is certainly not bound by us, so its capacity comes back."""
    after = attempt.put(replace(member, state=S.REFUSED)).failed(reason, is_permanent=is_permanent)
    return after, (Forget(uid=member.uid),)


def evict(attempt: Attempt, member: Member) -> Outcome:
    """Take a bound member back. Its capacity comes back when the pod is gone, not before."""
    after = attempt.put(replace(member, state=S.EVICTING))
    return after, (EvictPod(uid=member.uid, reason=attempt.failure or "the gang cannot stand"),)


def _gone(attempt: Attempt, member: Member) -> Outcome:
    if member.state is S.EVICTING:
        return attempt, ()
    after = attempt.put(replace(member, state=S.GONE))
    if member.state in (S.STUCK, S.EVICT_BACKOFF, S.EVICT_READING, S.EVICT_UNKNOWN):
        return after, ()
    after = after.failed(f"pod {member.uid} is gone", is_permanent=False)
    # A bound pod that is going still holds its node: the watch takes its capacity back.
    return after, () if member.state is S.BOUND else (Forget(uid=member.uid),)


def _ask(attempt: Attempt, member: Member, at_s: float, *, quiet_at_s: float) -> Outcome:
    asked = replace(
        member,
        state=S.READING,
        tries=member.tries + 1,
        quiet_at_s=max(member.quiet_at_s, quiet_at_s),
        asked_at_s=at_s,
    )
    return attempt.put(asked), (ReadPod(uid=member.uid),)


def _decide(attempt: Attempt, member: Member, event: PodRead) -> Outcome:
    """The outcome of a Binding from a read of its pod. Never a second blind bind, never a guess."""
    if event.is_gone:
        return _gone(attempt, member)
    if event.node == member.node:
        after = attempt.put(replace(member, state=S.BOUND))
        return _gone(after, after.members[member.uid]) if event.is_deleting else (after, ())
    if event.node:
        return refuse(attempt, member, f"bound to node {event.node} by another scheduler", is_permanent=False)
    if event.is_deleting:
        return _gone(attempt, member)
    if member.asked_at_s < member.quiet_at_s:
        # Not bound yet, but what we sent may still land: look again when it no longer can.
        waiting = replace(member, state=S.UNKNOWN)
        return _wait(attempt, waiting, max(member.quiet_at_s - event.at_s, 0.0))
    if _may_try(attempt, member, event.at_s):
        return bind(attempt, member, resource_version=event.resource_version)
    return refuse(attempt, member, "the Binding did not land in time", is_permanent=False)


def _may_try(attempt: Attempt, member: Member, at_s: float) -> bool:
    return (
        attempt.phase is Phase.BINDING
        and member.tries < attempt.limits.bind_tries
        and at_s < attempt.deadline_s
    )


def _bind_later(attempt: Attempt, member: Member, at_s: float, after_s: float) -> Outcome:
    # It was not carried out, and is no try: a busy API server has until the deadline.
    waits = replace(member, state=S.BACKOFF)
    if attempt.phase is Phase.BINDING and at_s + _capped(attempt, after_s) < attempt.deadline_s:
        return _wait(attempt, waits, after_s)
    return refuse(attempt, waits, "the API server did not accept the Binding in time", is_permanent=False)


def _evict_later(attempt: Attempt, member: Member, after_s: float) -> Outcome:
    tried = replace(member, state=S.EVICT_BACKOFF, tries=member.tries + 1)
    return _stuck(attempt, tried) or _wait(attempt, tried, after_s)


def _evict_again(attempt: Attempt, member: Member) -> Outcome:
    tried = replace(member, tries=member.tries + 1)
    return _stuck(attempt, tried) or evict(attempt, tried)


def _stuck(attempt: Attempt, member: Member) -> Outcome | None:
    if member.tries < attempt.limits.evict_tries:
        return None
    told = Announce(kind="Stuck", uids=(member.uid,), message="the pod's eviction is refused again and again")
    return attempt.put(replace(member, state=S.STUCK)), (told,)


def _evicted(attempt: Attempt, member: Member) -> Outcome:
    told = Announce(kind="Evicted", uids=(member.uid,), message=attempt.failure)
    return attempt.put(replace(member, state=S.EVICTED)), (told,)


def _woken(attempt: Attempt, member: Member, at_s: float) -> Outcome:
    match member.state:
        case S.BACKOFF:
            return bind(attempt, member)
        case S.EVICT_BACKOFF:
            return evict(attempt, member)
        case S.UNKNOWN:
            asked = replace(member, state=S.READING, asked_at_s=at_s)
            return attempt.put(asked), (ReadPod(uid=member.uid),)
        case _:
            return attempt.put(replace(member, state=S.EVICT_READING)), (ReadPod(uid=member.uid),)


def _capped(attempt: Attempt, after_s: float) -> float:
    return min(max(after_s, 0.0), attempt.limits.backoff_max_s)


def _wait(attempt: Attempt, member: Member, after_s: float) -> Outcome:
    return attempt.put(member), (WakeMember(uid=member.uid, after_s=_capped(attempt, after_s)),)
