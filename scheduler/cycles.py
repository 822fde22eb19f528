"""What carries over from one scheduling cycle to the next: the same for every shell.

Gangs that back off, verdicts that still hold, gangs that stay partly bound, and the check of a plan
against the state as it is now. No clock: the shell says what time it is, and asks when to come back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scheduler.gangs.attempt import Attempt
from scheduler.gangs.healing import RESTARTING, Healing
from scheduler.model.gang import GangKey, PendingGang, Waiting
from scheduler.model.moment import Moment
from scheduler.model.objects import Pod
from scheduler.model.plan import Assignment, Budget, Clearing, Place, Plan, Policy, Snapshot, Verdict
from scheduler.planner import plan
from scheduler.record import record
from scheduler.settled import Memory
from scheduler.state import ClusterState

HOLD_FIRST_S = 0.5
HOLD_FIRST_PERMANENT_S = 5.0
HOLD_MAX_S = 300.0
HELD_MAX = 10_000
#: A gang whose place was dropped so many times in a row backs off.
DROPS_MAX = 5


@dataclass(slots=True)
class Held:
    """A gang whose last attempt failed, backing off (INV12)."""

    failures: int
    until_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """One cycle under way: what is planned on."""

    snapshot: Snapshot
    settled: dict[GangKey, Verdict]
    moment: Moment
    policy: Policy
    budget: Budget

    def plan(self) -> Plan:
        """Pure, so that a shell may run it in a thread while the state goes on."""
        return plan(self.snapshot, self.policy, self.budget, self.settled)

    def record(self, planned: Plan) -> bytes:
        """What was planned, with all that it was planned on, for ``stowplan replay``."""
        return record(self.snapshot, self.policy, self.budget, self.settled, planned)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A place that no longer holds against the state as it is now."""

    key: GangKey
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A gang that stayed partly bound for too long, to be given back whole (INV2)."""

    gang: PendingGang
    pods: tuple[Pod, ...]
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
    return state.devices.unwell(placed.node, placed.devices)


def _is_there(state: ClusterState, pod: Pod) -> bool:
    now = state.pod(pod.uid)
    return now is not None and now.holds_capacity and not now.is_deleting


class Cycles:
    """healing: what becomes of a gang that does not stand any more, and when."""

    def __init__(self, state: ClusterState, *, policy: Policy, budget: Budget, healing: Healing) -> None:
        self._state = state
        state.follows = policy.displaces
        self._policy = policy
        self._budget = budget
        self._healing = healing
        self._held: dict[GangKey, Held] = {}
        #: Places dropped in a row, by gang.
        self._drops: dict[GangKey, int] = {}
        self._now_s = 0.0
        self._memory = Memory(policy, budget.per_gang)
        #: Gangs that had the turn of those left open, until all had one.
        self._served: frozenset[GangKey] = frozenset()
        self._partial_since: dict[GangKey, float] = {}
        #: What the last plan held for gangs that wait for others to leave: pods' UIDs and nodes.
        self._promised: frozenset[tuple[str, str]] = frozenset()
        self._has_lapsed = False
        #: Gangs that nobody joins before they have restarted whole.
        self._restarting: set[GangKey] = set()

    def begin(self, now_s: float, wall_s: float) -> Cycle:
        """Release who has backed off long enough, and take the snapshot to plan on.

        now_s is monotonic; wall_s is on the clock that pods were created by.
        """
        self._now_s = now_s
        self._release_held(now_s)
        self._hold_restarting(now_s)
        snapshot, moment = self._state.snapshot(wall_s, self._served), self._state.moment
        return Cycle(
            snapshot=snapshot,
            settled=self._memory.still(snapshot, moment),
            moment=moment,
            policy=self._policy,
            budget=self._budget,
        )

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
        self._memory.note(cycle.snapshot, planned, cycle.moment)
        self._served = self._served.union(planned.served) if planned.left_open else frozenset()

    def _note_lapses(self, planned: Plan) -> None:
        """A promise of room that is kept no longer, and was not taken up, is room released."""
        promised = frozenset(pair for verdict in planned.verdicts for pair in verdict.nominated.items())
        taken = {(a.pod.uid, a.node) for place in planned.places for a in place.assignments}
        self._has_lapsed = bool(self._promised - promised - taken)
        if self._has_lapsed:
            self._state.free_up()
        self._promised = promised

    def ended(self, attempt: Attempt, now_s: float) -> bool:
        """An attempt is over: forget its failures, or hold the gang back for longer each time.

        Whether there may be something new to plan: what a success placed was charged when planned.
        """
        if not attempt.failure or attempt.is_abandoned:
            self._held.pop(attempt.key, None)
            return False
        first = HOLD_FIRST_PERMANENT_S if attempt.is_permanent else HOLD_FIRST_S
        self._hold_back(attempt.key, attempt.failure, first, now_s)
        return True

    def _dropped(self, key: GangKey, objection: str) -> None:
        """A place that is refused again and again is not planned at once any more: no plan sees why."""
        self._drops[key] = self._drops.get(key, 0) + 1
        if self._drops[key] >= DROPS_MAX:
            del self._drops[key]
            self._hold_back(key, objection, HOLD_FIRST_S, self._now_s)
        elif len(self._drops) > HELD_MAX:
            del self._drops[next(iter(self._drops))]

    def _hold_back(self, key: GangKey, why: str, first_s: float, now_s: float) -> None:
        before = self._held.pop(key, None)
        failures = 1 if before is None else before.failures + 1
        wait_s = min(HOLD_MAX_S, first_s * 2.0 ** min(failures - 1, 10))
        if len(self._held) >= HELD_MAX:
            oldest = next(iter(self._held))
            del self._held[oldest]
            self._state.unhold(oldest)
        self._held[key] = Held(failures, now_s + wait_s)
        self._state.hold(key, Waiting(reason=f"backing off: {why}"))

    def overdue(self, now_s: float, is_running: Callable[[GangKey], bool]) -> list[Overdue]:
        """Gangs that stayed partly bound for too long, whoever left them so; each told once."""
        partial = self._state.partial()
        self._partial_since = {key: self._partial_since.get(key, now_s) for key in partial}
        found: list[Overdue] = []
        for key, since_s in list(self._partial_since.items()):
            limit_s = self._limit_s(key)
            if now_s - since_s < limit_s or is_running(key):
                continue
            del self._partial_since[key]
            gang, pods = self._state.remains(key)
            bound, minimum = partial[key]
            reason = f"only {bound} of {minimum} members were bound for {limit_s:.0f} s"
            found.append(Overdue(gang=gang, pods=pods, reason=reason))
        return found

    def due_s(self, now_s: float) -> float | None:
        """When time alone next changes something, or None: a shell that skips idle time asks this."""
        ends = [held.until_s for held in self._held.values() if held.until_s > now_s]
        ends += [now_s] if self._has_lapsed else []
        ends += [since_s + self._limit_s(key) for key, since_s in self._partial_since.items()]
        return min(ends, default=None)

    def _limit_s(self, key: GangKey) -> float:
        return self._healing.limit_s(key, self._state.members(key))

    def _hold_restarting(self, now_s: float) -> None:
        """A pod made anew does not join those that cannot take it in: it starts with them when all start."""
        partial = self._state.partial()
        due = {key for key in partial if self._healing.restarts_whole(key, self._state.members(key))}
        for key in due:
            self._state.hold(key, Waiting(reason=RESTARTING))
        for key in self._restarting - due:
            held = self._held.get(key)
            if held is None or held.until_s <= now_s:
                self._state.unhold(key)
        self._restarting = due

    def _release_held(self, now_s: float) -> None:
        for key, held in self._held.items():
            if held.until_s <= now_s:
                self._state.unhold(key)
        gone = [k for k, held in self._held.items() if held.until_s + HOLD_MAX_S < now_s]
        for key in gone:
            del self._held[key]
