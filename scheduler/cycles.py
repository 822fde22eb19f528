"""What carries over from one scheduling cycle to the next: the same for every shell.

Gangs that back off, verdicts that still hold, gangs that stay partly bound, and the check of a plan
against the state as it is now. No clock: the shell says what time it is, and asks when to come back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from scheduler.gangs.attempt import Attempt, MemberState
from scheduler.gangs.healing import EVICTED, Healing
from scheduler.losses import Losses, Overdue
from scheduler.model.gang import GangKey, PendingGang, Waiting
from scheduler.model.objects import Pod
from scheduler.model.plan import Assignment, Budget, Clearing, Place, Plan, Policy, Snapshot, Verdict
from scheduler.planner import plan
from scheduler.planning.equals import is_shared
from scheduler.queue import SchedulingQueue, Unschedulable
from scheduler.record import record
from scheduler.settled import Memory
from scheduler.state import ClusterState

HOLD_FIRST_S = 0.5
HOLD_FIRST_PERMANENT_S = 5.0
HOLD_MAX_S = 300.0
HELD_MAX = 10_000
#: A gang whose place was dropped so many times in a row backs off.
DROPS_MAX = 5
#: Of those that wait apart so many are told again in each cycle: what was said may not have been heard.
TOLD_AGAIN = 200
#: So many newcomers are taken up in one cycle; nobody holds the shell for longer.
NEWS_MAX = 5_000
#: So often a cycle looks for others in the place of those that are known not to fit.
LOOKS_MAX = 4
#: What gangs are told that lack room.
LACKING = ("Unschedulable", "Unproven")
#: Who waits for others to leave for longer than this has use of what a broken gang holds. The usual grace is
#: shorter.
LATE_S = 40.0


@dataclass(slots=True)
class Held:
    """A gang whose last attempt failed, backing off (INV12)."""

    failures: int
    until_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """One cycle under way: what is planned on.

    unseen: gangs that have a turn to come and none in this cycle.
    """

    snapshot: Snapshot
    settled: dict[GangKey, Verdict]
    policy: Policy
    budget: Budget
    unseen: int

    def plan(self) -> Plan:
        """Pure, so that a shell may run it in a thread while the state goes on."""
        planned = plan(self.snapshot, self.policy, self.budget, self.settled)
        return replace(planned, left_open=planned.left_open + self.unseen) if self.unseen else planned

    def record(self, planned: Plan) -> bytes:
        """What was planned, with all that it was planned on, for ``stowplan replay``."""
        bare = replace(planned, left_open=planned.left_open - self.unseen)
        return record(self.snapshot, self.policy, self.budget, self.settled, bare)


class _Lacking:
    """Who lacks room: of those of the last plan, and of those that wait apart. late: who waits for others to
    leave, and has for too long.
    """

    def __init__(self, planned: Plan, apart: Unschedulable, late: Iterable[GangKey]) -> None:
        self._planned = {verdict.key for verdict in planned.verdicts if verdict.reason in LACKING}
        self._planned.update(late)
        self._apart = apart

    def __contains__(self, key: object) -> bool:
        if key in self._planned:
            return True
        told = self._apart.get(key) if isinstance(key, GangKey) else None
        return told is not None and told.reason in LACKING


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A place that no longer holds against the state as it is now."""

    key: GangKey
    reason: str


def clear(state: ClusterState, clearing: Clearing) -> tuple[Pod, ...]:
    """The pods to evict, held as leaving and the room held for whom it is made; none where the plan does not
    hold any more: a victim or a beneficiary is no longer what it was taken for.
    """
    victims = tuple(pod for victim in clearing.victims for pod in victim.pods)
    if any(not _is_there(state, pod) for pod in victims):
        return ()
    if any(state.view(gang.key) is None for gang in clearing.beneficiaries):
        return ()
    state.roll.condemn(pod.uid for pod in victims)
    for victim in clearing.victims:
        if victim.is_whole:
            state.gangs.vacancies.give_up(victim.gang.key)
    for gang in clearing.beneficiaries:
        nodes = {pod.uid: clearing.nominated[pod.uid] for pod in gang.pods if pod.uid in clearing.nominated}
        state.roll.nominate(gang.key, nodes, [victim.gang.key for victim in clearing.victims])
    return victims


def unfit(state: ClusterState, placed: Assignment) -> str | None:
    """Why a pod that is charged to a node should not be bound there as things are now, or None (INV1)."""
    row = state.columns.row.get(placed.node)
    if row is None:
        return f"node {placed.node} is gone"
    if not state.mask(placed.pod.shape)[row]:
        return f"node {placed.node} no longer allows pod {placed.pod.name}"
    if state.columns.is_overfull(row, state.volumes.attaching(placed.pod.shape)):
        return f"node {placed.node} was filled meanwhile"
    return state.broken_rule(placed) or state.devices.unwell(placed.node, placed.devices)


def _is_there(state: ClusterState, pod: Pod) -> bool:
    now = state.pod(pod.uid)
    return now is not None and now.holds_capacity and not now.is_deleting


class Cycles:
    """healing: what becomes of a gang that does not stand any more (``scheduler.losses``). looks_at_all: a
    shell has to see each gang in each cycle, so none waits apart.
    """

    def __init__(
        self,
        state: ClusterState,
        *,
        policy: Policy,
        budget: Budget,
        healing: Healing,
        looks_at_all: bool = False,
    ) -> None:
        self._state = state
        state.follows = policy.displaces
        self._policy = policy
        self._budget = budget
        self._losses = Losses(state, policy=policy, healing=healing)
        self._held: dict[GangKey, Held] = {}
        #: Places dropped in a row, by gang.
        self._drops: dict[GangKey, int] = {}
        self._now_s = 0.0
        self._memory = Memory(state, budget.per_gang)
        self._queue = SchedulingQueue(policy.gangs_max)
        self.apart = Unschedulable()
        self._may_rest = policy.backfill and not policy.displaces and not looks_at_all
        #: Up to which priority gangs could wait apart in the last cycle; None for no gang.
        self._floor: int | None = None
        #: Gangs that had the turn of those left open, until all had one.
        self._served: frozenset[GangKey] = frozenset()
        #: What the last plan held for gangs that wait for others to leave: nodes by pod UID.
        self._promised: dict[str, str] = {}
        #: Since when each of those gangs waits for that.
        self._waits: dict[GangKey, float] = {}
        self._has_lapsed = False
        #: Gangs that are being evicted whole.
        self._clearing_out: dict[GangKey, None] = {}
        #: Gangs that lacked room in the last cycle; None before there was one.
        self._lacking: _Lacking | None = None

    def begin(self, now_s: float, wall_s: float) -> Cycle:
        """Release who has backed off long enough, and take the snapshot to plan on.

        now_s is monotonic; wall_s is on the clock that pods were created by.
        """
        self._now_s = now_s
        self._release_held(now_s)
        self._losses.begin(now_s, wall_s)
        self._keep_out()
        self._state.refresh()
        self._open_again()
        looked_at = self._first()
        levels = tuple(sorted(self.apart.levels))
        snapshot = self._state.snapshot(wall_s, self._served, looked_at, levels)
        return Cycle(
            snapshot=snapshot,
            settled=self._memory.verdicts(snapshot.gangs),
            policy=self._policy,
            budget=self._budget,
            unseen=self._queue.unseen(gang.key for gang in looked_at) + self._state.gangs.news_left,
        )

    def told_again(self) -> list[tuple[PendingGang, Verdict]]:
        """Some of those that wait apart, and what is true of them; all of them in the course of cycles."""
        return self.apart.next(TOLD_AGAIN)

    def _open_again(self) -> None:
        """Take up whoever is new or another, and those for whom something changed."""
        for key, gang in self._state.gangs.take_news(NEWS_MAX):
            self._memory.forget(key)
            self.apart.drop(key)
            if gang is None:
                self._queue.drop(key)
            else:
                self._queue.put(gang)
        floor = self._state.roll.lowest if self._may_rest and not self._state.roll.is_on else None
        opened = self._memory.end(is_by_age=floor is not None and self._policy.order == "oldest")
        if floor is None or self._floor is None or floor < self._floor:
            opened += self.apart.above(floor)
        self._floor = floor
        for key in opened:
            gang = self.apart.drop(key)
            if gang is not None:
                self._queue.put(gang)

    def _first(self) -> list[PendingGang]:
        """Whom this cycle looks at. Who asks for what is known not to be there waits apart from the first."""
        looked_at = self._queue.first()
        asked: set[GangKey] = set()
        for _ in range(LOOKS_MAX):
            known = [gang for gang in looked_at if gang.key not in asked and self._rests(gang)]
            if not known:
                break
            asked.update(gang.key for gang in looked_at)
            looked_at = self._queue.first()
        return looked_at

    def _rests(self, gang: PendingGang) -> bool:
        """Let a gang that is known not to fit wait apart, where it may; whether it does."""
        if self._floor is None or gang.priority > self._floor or gang.standing or gang.avoided:
            return False
        if self._state.roll.is_nominated(gang):
            # Its room is held for as long as it is looked at.
            return False
        settled = self._memory.get(gang.key)
        if settled is not None and settled.gang.avoided:
            # Time alone ends that.
            return False
        verdict = self._memory.recall(gang) if settled is None else settled.verdict
        view = self._queue.get(gang.key)
        if verdict is None or view is None:
            return False
        self._queue.drop(gang.key)
        self.apart.put(view, verdict)
        return True

    def admit(
        self, places: Sequence[Place], is_running: Callable[[GangKey], bool]
    ) -> tuple[list[Place], list[Dropped]]:
        """The places that still hold against the state as it is now, each charged to it; and the rest.

        A gang of which an attempt is under way is passed over.
        """
        accepted: list[Place] = []
        dropped: list[Dropped] = []
        for place in places:
            if is_running(place.gang.key):
                continue
            objection = self._state.objection(place)
            if objection is not None:
                # Others may have been found not to fit beside what now goes nowhere.
                self._state.free_up()
                self._state.dropped(place)
                dropped.append(Dropped(key=place.gang.key, reason=objection))
                self._dropped(place.gang.key, objection)
                continue
            self._drops.pop(place.gang.key, None)
            for assignment in place.assignments:
                self._state.assume(assignment)
            accepted.append(place)
        return accepted, dropped

    def remember(self, cycle: Cycle, planned: Plan) -> None:
        """Keep the verdicts that stay true until capacity is released."""
        self._note_lapses(planned)
        self._lacking = _Lacking(planned, self.apart, self._late(planned))
        is_alike = is_shared(cycle.snapshot, self._policy, planned)
        self._memory.note(cycle.snapshot, planned, is_alike=is_alike)
        for gang in cycle.snapshot.gangs:
            self._rests(gang)
        left = {v.key for v in planned.verdicts if v.reason == "Waiting"}
        had = [gang.key for gang in cycle.snapshot.gangs if gang.blocked or gang.key not in left]
        self._queue.had(had)
        # Who may not wait apart is to be seen in every cycle.
        is_narrow = self._floor is not None and planned.left_open > cycle.unseen
        self._queue.pace(len(had) if is_narrow else None)
        self._served = self._served.union(planned.served) if planned.left_open else frozenset()

    def _late(self, planned: Plan) -> list[GangKey]:
        """Who waits for others to leave, and has for too long. Whoever has had somebody evicted waits for
        that one however long it takes: nobody else is evicted in its place.
        """
        waiting = [verdict for verdict in planned.verdicts if verdict.reason == "WaitingForVictims"]
        served = {gang.key for clearing in planned.clearings for gang in clearing.beneficiaries}
        if self._lacking is None:
            served.update(verdict.key for verdict in waiting if self._is_inherited(verdict))
        waits = {verdict.key: self._waits.get(verdict.key, self._now_s) for verdict in waiting}
        self._waits = {key: math.inf if key in served else since_s for key, since_s in waits.items()}
        return [key for key, since_s in self._waits.items() if self._now_s - since_s > LATE_S]

    def _is_inherited(self, verdict: Verdict) -> bool:
        """Whether an earlier leader had somebody evicted where this one's room is held."""
        nodes = dict.fromkeys(verdict.nominated.values())
        leaving = (self._state.pod(uid) for node in nodes for uid in self._state.roll.going.get(node, ()))
        return any(pod is not None and pod.is_evicted for pod in leaving)

    def _note_lapses(self, planned: Plan) -> None:
        """A promise of room that is kept no longer, and was not taken up, is room released; so is a lost
        member's room that a plan keeps no longer.
        """
        promised = {uid: node for verdict in planned.verdicts for uid, node in verdict.nominated.items()}
        taken = {(a.pod.uid, a.node) for place in planned.places for a in place.assignments}
        self._has_lapsed = planned.has_released or bool(self._promised.items() - promised.items() - taken)
        if self._has_lapsed:
            self._state.free_up()
        self._promised = promised

    def ended(self, attempt: Attempt, now_s: float) -> bool:
        """An attempt is over: forget its failures, or hold the gang back for longer each time.

        Whether there may be something new to plan: what a success placed was charged when planned.
        """
        if attempt.failure:
            self._pardon(attempt)
        if attempt.is_taking_back and attempt.tally.get(MemberState.STUCK):
            self._losses.spare(attempt.key, now_s)
            return True
        if attempt.leaves_it_whole:
            self._state.gangs.remember(attempt.key, attempt.min_member)
        if not attempt.failure or attempt.is_abandoned:
            if self._held.pop(attempt.key, None) is not None:
                self._state.gangs.unhold(attempt.key, "back-off")
            return False
        first = HOLD_FIRST_PERMANENT_S if attempt.is_permanent else HOLD_FIRST_S
        # Who had no answer has waited since it asked: its room is not to be another's meanwhile.
        since_s = attempt.deadline_s - attempt.limits.deadline_s if attempt.is_unanswered else now_s
        self._hold_back(attempt.key, attempt.failure, first, now_s, since_s)
        return True

    def _pardon(self, attempt: Attempt) -> None:
        """Whom it was to evict and did not: their room is not coming."""
        for uid, member in attempt.members.items():
            is_gone = member.state in (MemberState.EVICTED, MemberState.GONE)
            if not is_gone and self._state.roll.is_condemned(uid):
                self._state.roll.pardon(uid)

    def _dropped(self, key: GangKey, objection: str) -> None:
        """A place that is refused again and again is not planned at once any more: no plan sees why."""
        self._drops[key] = self._drops.get(key, 0) + 1
        if self._drops[key] >= DROPS_MAX:
            del self._drops[key]
            self._hold_back(key, objection, HOLD_FIRST_S, self._now_s, self._now_s)
        elif len(self._drops) > HELD_MAX:
            del self._drops[next(iter(self._drops))]

    def _hold_back(self, key: GangKey, why: str, first_s: float, now_s: float, since_s: float) -> None:
        before = self._held.pop(key, None)
        failures = 1 if before is None else before.failures + 1
        wait_s = min(HOLD_MAX_S, first_s * 2.0 ** min(failures - 1, 10))
        if len(self._held) >= HELD_MAX:
            oldest = next(iter(self._held))
            del self._held[oldest]
            self._state.gangs.unhold(oldest, "back-off")
        self._held[key] = Held(failures, max(now_s, since_s + wait_s))
        self._state.gangs.hold(key, "back-off", Waiting(reason=f"backing off: {why}"))

    def overdue(self, now_s: float, is_running: Callable[[GangKey], bool]) -> list[Overdue]:
        """Gangs that are to be given back, whoever left them partly bound; each told once."""
        found = self._losses.overdue(now_s, is_running, self._lacking, self._promised)
        for key in dict.fromkeys(key for gone in found for key in gone.starts):
            self._waits[key] = math.inf
            # Its room is held for as long as it is looked at.
            if (gang := self.apart.drop(key)) is not None:
                self._queue.put(gang)
        return found

    def due_s(self, now_s: float) -> float | None:
        """When time alone next changes something, or None: a shell that skips idle time asks this."""
        ends = [held.until_s for held in self._held.values() if held.until_s > now_s]
        ends += [now_s] if self._has_lapsed or self._memory.has_room_left else []
        due_s = self._losses.due_s()
        return min(ends if due_s is None else [*ends, due_s], default=None)

    def _keep_out(self) -> None:
        """Nobody comes in the place of one member while the others are to leave: the room is another's."""
        now = dict.fromkeys(self._state.roll.clearing_out())
        for key in self._clearing_out:
            if key not in now:
                self._state.gangs.unhold(key, "eviction")
        for key in now:
            self._state.gangs.hold(key, "eviction", Waiting(reason=EVICTED))
        self._clearing_out = now

    def _release_held(self, now_s: float) -> None:
        for key, held in self._held.items():
            if held.until_s <= now_s:
                self._state.gangs.unhold(key, "back-off")
        gone = [k for k, held in self._held.items() if held.until_s + HOLD_MAX_S < now_s]
        for key in gone:
            del self._held[key]
