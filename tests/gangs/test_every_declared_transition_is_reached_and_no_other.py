"""All states of a small attempt, walked exhaustively: the tables say neither too much nor too little."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from scheduler.gangs import events as ev
from scheduler.gangs import machine, member_rules
from scheduler.gangs.attempt import (
    LEAVING,
    OPEN,
    Attempt,
    InvalidTransition,
    Limits,
    MemberState,
    Phase,
    verify,
)
from scheduler.gangs.machine import start, step
from scheduler.gangs.recovery import Claim, give_back, recover
from scheduler.model.gang import GangSpec
from scheduler.model.plan import Assignment
from tests.gangs.gang_cases import begin, gang_of, pod

LIMITS = Limits(deadline_s=10.0, write_timeout_s=5.0, bind_tries=2, evict_tries=2, write_tries=2)
NODE = "node-0"


def alphabet(at_s: float) -> list[ev.Event]:
    """Every event, about one member of the attempt where it is about one."""
    uid = "w-0"
    return [
        ev.ClaimAcked(at_s=at_s),
        ev.ClaimRefused(at_s=at_s, reason="lost"),
        ev.ClaimRetry(at_s=at_s, after_s=1.0),
        ev.ClaimUnknown(at_s=at_s),
        ev.ClaimRead(at_s=at_s, is_ours=True),
        ev.ClaimRead(at_s=at_s, is_ours=False),
        ev.ClaimReadRetry(at_s=at_s, after_s=1.0),
        ev.StandingGone(at_s=at_s),
        ev.VolumesReady(at_s=at_s),
        ev.VolumesFailed(at_s=at_s, uid=uid, reason="no"),
        ev.StatusAcked(at_s=at_s),
        ev.StatusRetry(at_s=at_s, after_s=1.0),
        ev.StatusRefused(at_s=at_s),
        ev.AttemptWoken(at_s=at_s),
        ev.DeadlinePassed(at_s=at_s),
        ev.LeadershipLost(at_s=at_s),
        ev.BindAcked(at_s=at_s, uid=uid),
        ev.BindRefused(at_s=at_s, uid=uid, reason="no", is_permanent=False),
        ev.BindConflict(at_s=at_s, uid=uid),
        ev.BindRetry(at_s=at_s, uid=uid, after_s=1.0),
        ev.BindUnknown(at_s=at_s, uid=uid),
        ev.PodRead(at_s=at_s, uid=uid, node=NODE),
        ev.PodRead(at_s=at_s, uid=uid, node="elsewhere"),
        ev.PodRead(at_s=at_s, uid=uid),
        ev.PodRead(at_s=at_s, uid=uid, is_gone=True),
        ev.PodRead(at_s=at_s, uid=uid, is_deleting=True),
        ev.ReadRetry(at_s=at_s, uid=uid, after_s=1.0),
        ev.EvictAcked(at_s=at_s, uid=uid),
        ev.EvictGone(at_s=at_s, uid=uid),
        ev.EvictRetry(at_s=at_s, uid=uid, after_s=1.0),
        ev.EvictUnknown(at_s=at_s, uid=uid),
        ev.MemberWoken(at_s=at_s, uid=uid),
        ev.MemberGone(at_s=at_s, uid=uid),
    ]


def events_for(attempt: Attempt) -> list[ev.Event]:
    """Each event early; where the time decides, also late."""
    found: list[ev.Event] = []
    late: list[ev.Event] = [e for e in alphabet(7.0) if isinstance(e, ev.PodRead | ev.MemberWoken)]
    late += [event for event in alphabet(100.0) if isinstance(event, ev.BindRetry)]
    for event in (*alphabet(1.0), *late):
        if isinstance(event, ev.MemberEvent):
            found.extend(replace(event, uid=uid) for uid in attempt.members)
        else:
            found.append(event)
    return found


def openings() -> list[Attempt]:
    """A gang of two of which both, or one, must start; one that grows; singles; recovered; taken back."""
    single = gang_of({"w": (1, 1)}, min_member=1, dialect="pod")
    alone = (Assignment(pod=single.pods[0], node=NODE),)
    starts = [
        begin(2, limits=LIMITS)[0],
        begin(2, min_member=1, limits=LIMITS, needs_volumes=True)[0],
        begin(1, min_member=2, standing=1, limits=LIMITS, needs_volumes=True)[0],
        start(single, alone, epoch=1, at_s=0.0, limits=LIMITS, needs_volumes=True)[0],
        begin(2, min_member=1, limits=LIMITS)[0],
        begin(1, min_member=2, standing=1, limits=LIMITS)[0],
        start(single, alone, epoch=1, at_s=0.0, limits=LIMITS)[0],
    ]
    left = [pod("w-0", uid="w-0", node=NODE)]
    starts.append(
        give_back(single.key, left, min_member=1, epoch=1, at_s=0.0, reason="ill", limits=LIMITS)[0]
    )
    spec = GangSpec(key=starts[0].key, min_member=2, generation=1)
    claim = Claim(key=spec.key, phase="Binding", epoch=1, placement={"w-0": NODE, "w-1": "node-1"})
    pods = [pod("w-0", uid="w-0", node=NODE), pod("w-1", uid="w-1")]
    for still_fits in (True, False):
        found = recover(claim, spec, pods, still_fits=still_fits, epoch=2, at_s=0.0, limits=LIMITS)
        assert found is not None
        starts.append(found[0])
    both = [pod(f"w-{i}", uid=f"w-{i}", node=f"node-{i}") for i in range(2)]
    for is_inherited in (False, True):
        found = give_back(
            spec.key,
            both,
            min_member=1,
            epoch=2,
            at_s=0.0,
            reason="its device failed",
            limits=LIMITS,
            is_inherited=is_inherited,
        )
        starts.append(found[0])
    return starts


@dataclass
class Walk:
    attempts: int = 0
    phases: set[tuple[Phase, type[ev.Event], Phase]] = field(default_factory=set)
    members: set[tuple[MemberState, type[ev.Event], MemberState]] = field(default_factory=set)
    refused: set[tuple[Phase, type[ev.Event]]] = field(default_factory=set)

    def run(self) -> Walk:
        todo = openings()
        seen = {signature(attempt) for attempt in todo}
        while todo:
            attempt = todo.pop()
            self.attempts += 1
            for event in events_for(attempt):
                after = self.one(attempt, event)
                if after is not None and signature(after) not in seen:
                    seen.add(signature(after))
                    todo.append(after)
        return self

    def one(self, attempt: Attempt, event: ev.Event) -> Attempt | None:
        try:
            after, _ = step(attempt, event)
        except InvalidTransition:
            self.refused.add((attempt.phase, type(event)))
            return None
        verify(after)
        self.phases.add((attempt.phase, type(event), after.phase))
        if isinstance(event, ev.MemberEvent) and attempt.phase is not Phase.DONE:
            own, _ = member_rules.step_member(attempt, event)
            before = attempt.members[event.uid].state
            self.members.add((before, type(event), own.members[event.uid].state))
        return after


def signature(attempt: Attempt) -> tuple[object, ...]:
    """What decides how an attempt goes on; the rest is only for its reader."""
    if attempt.phase is Phase.DONE:
        return (Phase.DONE,)
    counting = OPEN | LEAVING
    members = sorted(
        (
            m.state.value,
            m.tries * (m.state in counting),
            m.state is MemberState.READING and m.asked_at_s < m.quiet_at_s,
        )
        for m in attempt.members.values()
    )
    doubt = (attempt.writing, attempt.write_tries, attempt.is_claim_doubtful)
    back = (attempt.is_taking_back, attempt.is_inherited, attempt.needs_volumes)
    return (back, attempt.key.is_single, attempt.need, attempt.phase, doubt, *members)


@pytest.fixture(scope="module")
def walk() -> Walk:
    return Walk().run()


def test_every_declared_move_of_an_attempt_is_reached(walk: Walk) -> None:
    declared = {(p, e, to) for (p, e), targets in machine.TABLE.items() for to in targets}
    assert sorted(map(str, declared - walk.phases)) == []


def test_every_declared_move_of_a_member_is_reached(walk: Walk) -> None:
    declared = {(s, e, to) for (s, e), targets in member_rules.TABLE.items() for to in targets}
    assert sorted(map(str, declared - walk.members)) == []


def test_every_undeclared_pair_was_tried_and_refused(walk: Walk) -> None:
    every = {(phase, type(event)) for phase in Phase for event in alphabet(0.0)}
    undeclared = every - set(machine.TABLE)
    assert undeclared
    assert undeclared <= walk.refused


def test_an_undeclared_pair_raises_with_the_gangs_story() -> None:
    attempt, _ = begin(2)
    attempt, _ = step(attempt, ev.ClaimUnknown(at_s=1.25))
    with pytest.raises(InvalidTransition) as caught:
        step(attempt, ev.BindAcked(at_s=2.5, uid="w-0"))
    assert "red/bert" in str(caught.value)
    assert "1.250 Claiming: ClaimUnknown" in str(caught.value)
    assert "BindAcked(at_s=2.5, uid='w-0')" in str(caught.value)


def test_an_event_about_a_stranger_raises() -> None:
    attempt, _ = begin(2)
    with pytest.raises(InvalidTransition, match="no member"):
        step(attempt, ev.MemberGone(at_s=1.0, uid="somebody"))


def test_the_story_keeps_the_last_fifty_events() -> None:
    attempt, _ = begin(2)
    attempt, _ = step(attempt, ev.ClaimUnknown(at_s=0.0))
    for second in range(100):
        attempt, _ = step(attempt, ev.ClaimReadRetry(at_s=float(second), after_s=0.1))
        attempt, _ = step(attempt, ev.AttemptWoken(at_s=second + 0.5))
    assert len(attempt.story) == 50
    assert attempt.story[-1] == "99.500 Claiming: AttemptWoken"
