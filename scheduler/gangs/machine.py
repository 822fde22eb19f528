"""The gang machine: ``step(attempt, event) -> (attempt, instructions)``, without I/O or a clock.

Rule 1: everything that moves an attempt stands here or in ``member_rules``, and is declared in the
two tables; ``docs/state-machine.md`` is generated from them by ``python -m scheduler.gangs.diagram``.
Rule 2: this file does not know which shell runs it.

Theory of operation. Two machines: one for each placed pod (``member_rules.TABLE``) and one for the
whole attempt (``TABLE``). An event moves at most one member; then state-triggered transitions of the
attempt follow until nothing moves (``finish``): what can no longer stand unwinds, what has no open
member left is bound, what unwinds gives back every member it bound, late answers included. The order
of events so does not matter, only what is known. A single pod takes the same way without a claim. A
gang that stands and is taken back claims that first, so that the next leader evicts the rest of it.

What is never done: a bind before the claim is acknowledged; a second bind while the first one may
still land; an end of unwinding while an outcome is unknown; an announcement before the API's answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from scheduler.gangs.attempt import (
    LEAVING,
    OPEN,
    OVERDUE,
    Attempt,
    InvalidTransition,
    Limits,
    Member,
    Members,
    MemberState,
    Phase,
    Writing,
    counted,
)
from scheduler.gangs.events import (
    Announce,
    AttemptWoken,
    BindAcked,
    BindConflict,
    BindRefused,
    BindRetry,
    BindUnknown,
    ClaimAcked,
    ClaimRead,
    ClaimReadRetry,
    ClaimRefused,
    ClaimRetry,
    ClaimUnknown,
    DeadlinePassed,
    Event,
    EvictAcked,
    EvictGone,
    EvictRetry,
    EvictUnknown,
    Forget,
    Instruction,
    LeadershipLost,
    MemberEvent,
    MemberGone,
    MemberWoken,
    PodRead,
    ProvideVolumes,
    ReadClaim,
    ReadPod,
    ReadRetry,
    StandingGone,
    StatusAcked,
    StatusRefused,
    StatusRetry,
    VolumesFailed,
    VolumesReady,
    WakeAttempt,
    WriteClaim,
    WriteStatus,
)
from scheduler.gangs.faults import BrokenInvariant, require
from scheduler.gangs.member_rules import Outcome, binding, evict, step_member
from scheduler.model.gang import PendingGang
from scheduler.model.plan import Assignment

_CLAIMS: tuple[type[Event], ...] = (
    ClaimAcked,
    ClaimRefused,
    ClaimRetry,
    ClaimUnknown,
    ClaimRead,
    ClaimReadRetry,
)
_BINDS: tuple[type[Event], ...] = (
    BindAcked,
    BindRefused,
    BindConflict,
    BindRetry,
    BindUnknown,
    PodRead,
    ReadRetry,
    MemberWoken,
    MemberGone,
)
_EVICTIONS: tuple[type[Event], ...] = (EvictAcked, EvictGone, EvictRetry, EvictUnknown)
_STATUSES: tuple[type[Event], ...] = (StatusAcked, StatusRefused, StatusRetry)
_ALL: tuple[type[Event], ...] = (
    *_CLAIMS,
    *_BINDS,
    *_EVICTIONS,
    *_STATUSES,
    VolumesReady,
    VolumesFailed,
    StandingGone,
    AttemptWoken,
    DeadlinePassed,
    LeadershipLost,
)

_P = Phase
_STAY: Mapping[Phase, frozenset[Phase]] = {phase: frozenset({phase}) for phase in Phase}
_END = frozenset({_P.DONE})
_GIVEN_UP = frozenset({_P.UNWINDING, _P.UNWOUND})
_CLAIMED = frozenset({_P.PROVISIONING, _P.BINDING}) | _GIVEN_UP
#: A member's last answer came. A single pod has no status to write, so its attempt ends at once.
_SETTLED = frozenset({_P.BINDING, _P.BOUND, _P.DONE}) | _GIVEN_UP
#: Answers after which a member is still open.
_OPEN_ANSWERS: tuple[type[Event], ...] = (BindConflict, BindUnknown, ReadRetry, MemberWoken)
_LAST_ANSWERS: tuple[type[Event], ...] = (BindRefused, BindRetry, PodRead, MemberGone)
_UNWINDING_OPEN: tuple[type[Event], ...] = (BindAcked, EvictUnknown, *_OPEN_ANSWERS)
_UNWINDING_LAST: tuple[type[Event], ...] = (*_LAST_ANSWERS, EvictAcked, EvictGone, EvictRetry)

_GIVEN_BACK: tuple[type[Event], ...] = (PodRead, MemberGone, EvictAcked, EvictGone, EvictRetry)

#: (phase, event) -> phases it may lead to. What is not here raises ``InvalidTransition``.
TABLE: Mapping[tuple[Phase, type[Event]], frozenset[Phase]] = {
    (_P.CLAIMING, ClaimAcked): _CLAIMED,
    (_P.CLAIMING, ClaimRefused): frozenset({_P.CLAIMING, _P.UNWINDING, _P.DONE}),
    (_P.CLAIMING, ClaimRetry): _STAY[_P.CLAIMING],
    (_P.CLAIMING, ClaimUnknown): _STAY[_P.CLAIMING],
    (_P.CLAIMING, ClaimRead): _STAY[_P.CLAIMING] | _CLAIMED,
    (_P.CLAIMING, ClaimReadRetry): _STAY[_P.CLAIMING],
    (_P.CLAIMING, AttemptWoken): _STAY[_P.CLAIMING],
    (_P.CLAIMING, MemberGone): _STAY[_P.CLAIMING],
    (_P.CLAIMING, StandingGone): _STAY[_P.CLAIMING],
    (_P.CLAIMING, DeadlinePassed): _GIVEN_UP,
    (_P.PROVISIONING, VolumesReady): frozenset({_P.BINDING}),
    # Nothing is bound yet, so there is nothing to take back but what was asked of provisioners.
    **{
        (_P.PROVISIONING, event): frozenset({_P.PROVISIONING, _P.UNWOUND, _P.DONE})
        for event in (VolumesFailed, MemberGone)
    },
    (_P.PROVISIONING, StandingGone): frozenset({_P.PROVISIONING, _P.UNWOUND}),
    # Volumes have a deadline of their own, and the shell that provides them keeps it.
    **{(_P.PROVISIONING, event): _STAY[_P.PROVISIONING] for event in (AttemptWoken, DeadlinePassed)},
    (_P.BINDING, BindAcked): frozenset({_P.BINDING, _P.BOUND, _P.DONE}),
    **{(_P.BINDING, event): _STAY[_P.BINDING] for event in _OPEN_ANSWERS},
    **{(_P.BINDING, event): _SETTLED for event in _LAST_ANSWERS},
    (_P.BINDING, DeadlinePassed): _SETTLED,
    (_P.BINDING, StandingGone): _STAY[_P.BINDING] | _GIVEN_UP,
    **{(_P.UNWINDING, event): _STAY[_P.UNWINDING] for event in _UNWINDING_OPEN},
    **{(_P.UNWINDING, event): _GIVEN_UP for event in _UNWINDING_LAST},
    # A single pod that is given back has no status to write.
    **{(_P.UNWINDING, event): _GIVEN_UP | _END for event in _GIVEN_BACK},
    # The claim given up at the deadline may be answered while its members are taken back.
    **{(_P.UNWINDING, event): _STAY[_P.UNWINDING] for event in (*_CLAIMS, AttemptWoken)},
    (_P.UNWINDING, StandingGone): _STAY[_P.UNWINDING],
    (_P.UNWINDING, DeadlinePassed): _STAY[_P.UNWINDING],
    # Answers about members that the watch has meanwhile shown gone, and of a claim given up.
    **{(_P.BOUND, event): _STAY[_P.BOUND] for event in _BINDS},
    **{(_P.UNWOUND, event): _STAY[_P.UNWOUND] for event in (*_CLAIMS, *_BINDS, *_EVICTIONS)},
    **{
        (phase, event): to
        for phase in (_P.BOUND, _P.UNWOUND)
        for event, to in (
            (StatusAcked, _END),
            (StatusRefused, _END),
            (StatusRetry, _STAY[phase] | _END),
            (AttemptWoken, _STAY[phase]),
            (StandingGone, _STAY[phase]),
            (DeadlinePassed, _STAY[phase]),
        )
    },
    # Whoever lost the lease stops at once; the next leader finishes what the claim says.
    **{(phase, LeadershipLost): _END for phase in Phase},
    **{(_P.DONE, event): _END for event in _ALL},
}


def start(
    gang: PendingGang,
    assignments: tuple[Assignment, ...],
    *,
    epoch: int,
    at_s: float,
    limits: Limits | None = None,
    needs_volumes: bool = False,
) -> Outcome:
    """A new attempt and its first instruction: the claim, or for a single pod its volumes or its Binding.

    ``assignments`` hold at least ``gang.need`` pods and every role's minimum (the planner's promise).
    Raises: BrokenInvariant where they do not.
    """
    limits = limits or Limits()
    role_of = {pod.uid: role.name for role in gang.roles for pod in role.pods}
    is_sent = gang.key.is_single and not needs_volumes  # at once: there is nothing to claim
    state = MemberState.BINDING if is_sent else MemberState.PLANNED
    members = {
        a.pod.uid: Member(uid=a.pod.uid, node=a.node, role=role_of.get(a.pod.uid, ""), state=state)
        for a in assignments
    }
    if not assignments or len(assignments) != len(members) or members.keys() - role_of.keys():
        raise BrokenInvariant(f"the plan for {gang.key} places nothing, a pod twice, or one it does not hold")
    tally, viable = counted(members)
    needs: dict[str, int] = {}
    for role in gang.roles:
        needs[role.name] = needs.get(role.name, 0) + role.minimum
    attempt = Attempt(
        key=gang.key,
        epoch=epoch,
        generation=gang.generation,
        min_member=gang.stood if gang.is_broken else gang.min_member,
        standing=gang.standing,
        is_added=gang.stood > 0,
        is_healing=gang.is_broken,
        role_needs=()
        if gang.is_broken
        else tuple(sorted((name, count) for name, count in needs.items() if count)),
        members=Members(members),
        deadline_s=at_s + limits.deadline_s,
        limits=limits,
        needs_volumes=needs_volumes,
        tally=tally,
        viable=viable,
        phase=Phase.BINDING if is_sent else Phase.CLAIMING,
    )
    require(not attempt.is_lost, f"the plan for {gang.key} places less than its minimum")
    if is_sent:
        return attempt, tuple(map(binding, members.values()))
    if gang.key.is_single:
        return _provide(attempt)
    return replace(attempt, writing=Writing.SENT), (WriteClaim(),)


def step(attempt: Attempt, event: Event) -> Outcome:
    """What the attempt becomes when the event has happened, and what is to be done now.

    Raises: InvalidTransition, with the gang's story, for what the tables do not declare.
    """
    allowed = TABLE.get((attempt.phase, type(event)))
    if allowed is None:
        raise InvalidTransition(attempt, event, f"phase {attempt.phase.value}")
    after, todo = _handle(attempt.told(event), event)
    if _is_nearer(attempt, after):
        after = replace(after, deadline_s=max(after.deadline_s, event.at_s + after.limits.deadline_s))
    if after.phase not in allowed:
        raise InvalidTransition(attempt, event, f"a phase that became {after.phase.value}")
    return after, todo


def delayed(attempt: Attempt, for_s: float) -> Attempt:
    """The attempt after it waited for others' writes to be sent first: that time is not its own."""
    return replace(attempt, deadline_s=attempt.deadline_s + for_s)


def _is_nearer(before: Attempt, after: Attempt) -> bool:
    """Whether the gang came nearer to standing: the deadline is for time without that."""
    if after.phase is not Phase.BINDING:
        return False
    return before.phase is Phase.CLAIMING or after.tally.get(MemberState.BOUND, 0) > before.tally.get(
        MemberState.BOUND, 0
    )


def _handle(attempt: Attempt, event: Event) -> Outcome:
    match event:
        case _ if attempt.phase is Phase.DONE:
            return attempt, ()
        case LeadershipLost():
            return replace(attempt, phase=Phase.DONE, is_abandoned=True), ()
        case MemberEvent():
            return _then_finish(step_member(attempt, event))
        case StandingGone() if attempt.is_added:
            return attempt, ()
        case StandingGone():
            left = replace(attempt, standing=max(0, attempt.standing - 1))
            if left.is_lost:
                left = left.failed("a standing member is gone", is_permanent=False)
            return _then_finish((left, ()))
        case VolumesReady():
            # Bindings have their own time, from here on.
            ready = replace(attempt, deadline_s=event.at_s + attempt.limits.deadline_s)
            return _then_finish(_bind_planned(ready))
        case DeadlinePassed() if attempt.phase is Phase.CLAIMING:
            return _give_up(attempt, "the claim was not acknowledged in time")
        case DeadlinePassed():
            return _deadline(attempt)
        case _ if attempt.phase is Phase.CLAIMING:
            return _claim(attempt, event)
        case _ if attempt.phase in (Phase.BOUND, Phase.UNWOUND):
            return _status(attempt, event)
        case _:
            return attempt, ()


# -- claiming ----------------------------------------------------------------------------------


def _claim(attempt: Attempt, event: Event) -> Outcome:
    match (attempt.writing, event):
        case (Writing.SENT, ClaimAcked()) | (Writing.READING, ClaimRead(is_ours=True)):
            return _claimed(attempt)
        case (Writing.SENT, ClaimUnknown()):
            return replace(attempt, writing=Writing.READING, is_claim_doubtful=True), (ReadClaim(),)
        case (Writing.SENT, ClaimRefused(reason=reason)):
            return _claim_refused(attempt, reason)
        case (Writing.SENT, ClaimRetry(after_s=after_s)):
            # It was not carried out, and is no try: a busy API server has until the deadline.
            return _attempt_waits(replace(attempt, writing=Writing.WRITE_BACKOFF), after_s)
        case (Writing.READING, ClaimRead()):
            return _claim_again(attempt)
        case (Writing.READING, ClaimReadRetry(after_s=after_s)):
            return _attempt_waits(replace(attempt, writing=Writing.READ_BACKOFF), after_s)
        case (Writing.READ_BACKOFF, AttemptWoken()):
            return replace(attempt, writing=Writing.READING), (ReadClaim(),)
        case (Writing.WRITE_BACKOFF, AttemptWoken()):
            return replace(attempt, writing=Writing.SENT), (WriteClaim(),)
        case _:
            raise InvalidTransition(attempt, event, f"claim {attempt.writing.value}")


def _claimed(attempt: Attempt) -> Outcome:
    claimed = replace(attempt, writing=Writing.IDLE)
    if claimed.is_lost or claimed.is_taking_back:
        return unwind(claimed)
    return _then_finish(_provide(claimed))


def _provide(attempt: Attempt) -> Outcome:
    """First the volumes of all members, where any is still to be had, then their Bindings."""
    if not attempt.needs_volumes:
        return _bind_planned(attempt)
    return replace(attempt, phase=Phase.PROVISIONING), (ProvideVolumes(),)


def _bind_planned(attempt: Attempt) -> Outcome:
    """Send every Binding of the attempt at once, in the order of uids. One pass over the members."""
    sent = {
        uid: replace(attempt.members[uid], state=MemberState.BINDING)
        for uid in attempt.uids(MemberState.PLANNED)
    }
    after = attempt.put_all({**attempt.members, **sent})
    return replace(after, phase=Phase.BINDING), tuple(map(binding, sent.values()))


def _claim_refused(attempt: Attempt, reason: str) -> Outcome:
    """Somebody else's write came first, unless it was our own that had no answer."""
    if attempt.is_claim_doubtful:
        tried = replace(attempt, writing=Writing.READING, write_tries=attempt.write_tries + 1)
        return tried, (ReadClaim(),)
    if attempt.tally.get(MemberState.BOUND, 0):
        return _give_up(attempt, reason)
    lost, todo = _drop_unsent(attempt.failed(reason, is_permanent=False))
    told = Announce(kind="NotPlaced", uids=(), message=lost.failure)
    return replace(lost, phase=Phase.DONE, writing=Writing.IDLE), (*todo, told)


def _claim_again(attempt: Attempt) -> Outcome:
    tried = replace(attempt, writing=Writing.WRITE_BACKOFF, write_tries=attempt.write_tries + 1)
    if tried.write_tries >= attempt.limits.write_tries:
        return _give_up(tried, "the claim could not be written")
    return _attempt_waits(tried, 0.0)


def _attempt_waits(attempt: Attempt, after_s: float) -> Outcome:
    return attempt, (WakeAttempt(after_s=min(max(after_s, 0.0), attempt.limits.backoff_max_s)),)


# -- the whole attempt -------------------------------------------------------------------------


def _deadline(attempt: Attempt) -> Outcome:
    """Nothing is tried again from here on. A gang that does not stand by now is taken back at once;
    otherwise, and for a single pod, the requests under way are waited for."""
    if attempt.phase is not Phase.BINDING:
        return attempt, ()
    dropped, forgotten = _drop_unsent(attempt.failed(OVERDUE, is_permanent=False))
    if not attempt.key.is_single and dropped.tally.get(MemberState.BOUND, 0) < dropped.need:
        return _join(forgotten, unwind(dropped))
    return _join(forgotten, finish(dropped))


def _give_up(attempt: Attempt, reason: str) -> Outcome:
    return unwind(attempt.failed(reason, is_permanent=False))


def unwind(attempt: Attempt) -> Outcome:
    """Take back what this attempt bound; what is under way is taken back as its answers come."""
    reason = attempt.failure or "the gang cannot stand"
    unwinding = replace(attempt, phase=Phase.UNWINDING).failed(reason, is_permanent=False)
    dropped, forgotten = _drop_unsent(unwinding)
    members = dict(dropped.members)
    todo: list[Instruction] = []
    for uid in dropped.uids(MemberState.BOUND):
        if attempt.is_inherited:
            members[uid] = replace(members[uid], state=MemberState.EVICT_READING, tries=0)
            todo.append(ReadPod(uid=uid))
            continue
        members[uid] = replace(members[uid], state=MemberState.EVICTING, tries=0)
        todo.extend(evict(dropped, members[uid])[1])
    return _join((*forgotten, *todo), finish(dropped.put_all(members)))


def _drop_unsent(attempt: Attempt) -> Outcome:
    """Members with no Binding under way are given up. One pass over the members."""
    unsent = attempt.uids(MemberState.PLANNED, MemberState.BACKOFF)
    refused = {uid: replace(attempt.members[uid], state=MemberState.REFUSED) for uid in unsent}
    after = attempt.put_all({**attempt.members, **refused})
    return after, tuple(Forget(uid=uid) for uid in unsent)


def _join(first: tuple[Instruction, ...], rest: Outcome) -> Outcome:
    return rest[0], (*first, *rest[1])


def _then_finish(outcome: Outcome) -> Outcome:
    return _join(outcome[1], finish(outcome[0]))


def finish(attempt: Attempt) -> Outcome:
    """State-triggered transitions, until none is left. Each moves the attempt forward, so it ends."""
    match attempt.phase:
        case Phase.PROVISIONING if attempt.is_lost:
            return unwind(attempt)
        case Phase.BINDING if attempt.is_lost:
            return unwind(attempt)
        case Phase.BINDING if attempt.count(OPEN) == 0:
            return _bound(attempt)
        case Phase.UNWINDING if attempt.tally.get(MemberState.BOUND, 0):
            return _evict_late(attempt)
        case Phase.UNWINDING if attempt.count(OPEN | LEAVING) == 0:
            return _unwound(attempt)
        case _:
            return attempt, ()


def _evict_late(attempt: Attempt) -> Outcome:
    """A Binding answered while unwinding: the gang will not stand, so neither does this pod."""
    todo: list[Instruction] = []
    for uid in attempt.uids(MemberState.BOUND):
        attempt, evictions = evict(attempt, replace(attempt.members[uid], tries=0))
        todo.extend(evictions)
    return attempt, tuple(todo)


def _bound(attempt: Attempt) -> Outcome:
    if attempt.is_lost:
        raise BrokenInvariant(f"{attempt.key} would be called bound below its minimum")
    uids = attempt.uids(MemberState.BOUND)
    told = Announce(kind="Scheduled", uids=uids, message=f"{len(uids)} of {len(attempt.members)} placed")
    if attempt.key.is_single:
        return replace(attempt, phase=Phase.DONE), (told,)
    after = replace(attempt, phase=Phase.BOUND, writing=Writing.SENT, write_tries=0)
    return after, (told, _outcome(after))


def _unwound(attempt: Attempt) -> Outcome:
    require(attempt.tally.get(MemberState.BOUND, 0) == 0, f"{attempt.key} would end with bound members")
    uids = attempt.uids(MemberState.REFUSED, MemberState.EVICTED)
    told = Announce(kind="NotPlaced", uids=uids, message=attempt.failure)
    if attempt.key.is_single:
        return replace(attempt, phase=Phase.DONE), (told,)
    after = replace(attempt, phase=Phase.UNWOUND, writing=Writing.SENT, write_tries=0)
    return after, (told, _outcome(after))


def _outcome(attempt: Attempt) -> WriteStatus:
    """The end of the attempt as the gang's status; a gang that failed to grow stands as before."""
    if attempt.phase is Phase.BOUND:
        return WriteStatus(phase="Bound", bound=attempt.uids(MemberState.BOUND), message="")
    stuck = attempt.uids(MemberState.STUCK)
    if stuck:
        return WriteStatus(phase="Stuck", bound=stuck, message=attempt.failure)
    stands = attempt.standing >= attempt.min_member
    return WriteStatus(phase="Bound" if stands else "Pending", bound=(), message=attempt.failure)


def _status(attempt: Attempt, event: Event) -> Outcome:
    match event:
        case StatusAcked() | StatusRefused():
            return replace(attempt, phase=Phase.DONE, writing=Writing.IDLE), ()
        case StatusRetry(after_s=after_s):
            tried = replace(attempt, writing=Writing.WRITE_BACKOFF, write_tries=attempt.write_tries + 1)
            if tried.write_tries >= attempt.limits.write_tries:
                # The placement stands in the claim and the pods speak for themselves.
                return replace(tried, phase=Phase.DONE, writing=Writing.IDLE), ()
            return _attempt_waits(tried, after_s)
        case AttemptWoken() if attempt.writing is Writing.WRITE_BACKOFF:
            return replace(attempt, writing=Writing.SENT), (_outcome(attempt),)
        case _:
            # A claim given up at the deadline, or its timer, answers late.
            return attempt, ()
