"""The scheduling loop: snapshot, plan, validate, act, tell. At its own pace, from state alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from binpacking.answer import Infeasible, Unknown
from scheduler.gangs.attempt import Attempt
from scheduler.live.actor import Actor
from scheduler.live.announcer import Announcer
from scheduler.live.evictor import Evictor
from scheduler.live.logs import logger
from scheduler.live.metrics import Metrics
from scheduler.live.noticeboard import Noticeboard
from scheduler.model.gang import GangKey, PendingGang, Waiting
from scheduler.model.plan import Budget, Plan, Policy, Snapshot, Verdict
from scheduler.planner import plan
from scheduler.state import ClusterState

log = logger("loop")

#: A cycle may start at most this often, so that a burst of events costs one cycle.
CYCLE_MIN_S = 0.01
#: Without any event a cycle still runs this often, for what time alone changes.
CYCLE_MAX_S = 1.0
#: Members of a gang arrive one by one: that some are missing is told only when no more come.
QUIET_S = 1.0
HOLD_FIRST_S = 0.5
HOLD_FIRST_PERMANENT_S = 5.0
HOLD_MAX_S = 300.0
HELD_MAX = 10_000


@dataclass(slots=True)
class Held:
    """A gang whose last attempt failed, backing off (INV12)."""

    failures: int
    until_s: float


@dataclass(frozen=True, slots=True)
class Settled:
    """A verdict that stays true until capacity is released or the gang changes."""

    gang: PendingGang
    releases: int
    verdict: Verdict


class Loop:
    """One leading term. ``may_act`` says whether the view is fresh and the lease is ours."""

    def __init__(
        self,
        *,
        state: ClusterState,
        actor: Callable[[Callable[[Attempt], None]], Actor],
        evictor: Evictor,
        announcer: Announcer,
        noticeboard: Noticeboard,
        metrics: Metrics,
        policy: Policy,
        budget: Budget,
        clock: Callable[[], float],
        wall: Callable[[], float],
        may_act: Callable[[], bool],
        beat: Callable[[], None],
        partial_s: float,
    ) -> None:
        self._state = state
        self.actor = actor(self._ended)
        self._evictor = evictor
        self._announcer = announcer
        self._noticeboard = noticeboard
        self._metrics = metrics
        self._policy = policy
        self._budget = budget
        self._clock = clock
        self._wall = wall
        self._may_act = may_act
        self._beat = beat
        self._partial_s = partial_s
        self._wake = asyncio.Event()
        self._is_paused = False
        self._held: dict[GangKey, Held] = {}
        self._settled: dict[GangKey, Settled] = {}
        self._partial_since: dict[GangKey, float] = {}
        self._incomplete: dict[GangKey, tuple[str, float]] = {}

    def pause(self) -> None:
        """Start nothing new; attempts under way go on."""
        self._is_paused = True

    def wake(self) -> None:
        """Something changed that a plan may depend on."""
        self._wake.set()

    async def run(self, epoch: int) -> None:
        """Schedule until cancelled."""
        while True:
            self._beat()
            if self._may_act() and not self._is_paused:
                self._wake.clear()
                await self._cycle(epoch)
            await asyncio.sleep(CYCLE_MIN_S)
            try:
                async with asyncio.timeout(CYCLE_MAX_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _cycle(self, epoch: int) -> None:
        started = self._clock()
        self._release_held(started)
        snapshot, releases = self._state.snapshot(self._wall()), self._state.releases
        settled = self._still_settled(snapshot)
        snapshot_s = self._clock() - started
        # In a thread, so that the lease is renewed and answers are read while a solver works.
        planned = await asyncio.to_thread(plan, snapshot, self._policy, self._budget, settled)
        plan_s = self._clock() - started - snapshot_s
        self._metrics.cycle(planned, snapshot_s=snapshot_s, plan_s=plan_s)
        if planned.places or planned.clearings:
            log.info(
                "planned",
                places=len(planned.places),
                clearings=len(planned.clearings),
                waiting=len(planned.verdicts),
                snapshot_s=round(snapshot_s, 4),
                plan_s=round(plan_s, 4),
            )
        if not self._may_act() or self._is_paused:
            return
        self._act(planned, epoch)
        self._clear(planned, epoch)
        self._settle(snapshot, planned, releases)
        self._tell(snapshot, planned, epoch)
        self._watch_partial(epoch)

    def _act(self, planned: Plan, epoch: int) -> None:
        """Start an attempt for every place that still holds against the state as it is now."""
        for place in planned.places:
            key = place.gang.key
            if self.actor.is_running(key):
                continue
            objection = self._state.objection(place)
            if objection is not None:
                log.info("place dropped", gang=str(key), reason=objection)
                self._wake.set()
                continue
            for assignment in place.assignments:
                self._state.assume(assignment)
            self.actor.start(place.gang, place.assignments, epoch=epoch)

    def _clear(self, planned: Plan, epoch: int) -> None:
        """Have victims evicted, as far as the plan still holds."""
        for clearing in planned.clearings:
            if any(self.actor.is_running(gang.key) for gang in clearing.beneficiaries):
                continue
            if not self._evictor.start(clearing, epoch=epoch):
                log.info("clearing dropped", gang=str(clearing.beneficiaries[0].key))
                self._wake.set()

    def _tell(self, snapshot: Snapshot, planned: Plan, epoch: int) -> None:
        by_key = {gang.key: gang for gang in snapshot.gangs}
        incomplete: dict[GangKey, tuple[str, float]] = {}
        for verdict in planned.verdicts:
            gang = by_key[verdict.key]
            if self.actor.is_running(verdict.key):
                continue
            if verdict.reason == "Waiting":
                incomplete[verdict.key] = self._since(verdict)
                if self._clock() - incomplete[verdict.key][1] < QUIET_S:
                    continue
            self._announcer.say(verdict, gang.pods)
            self._noticeboard.pending(gang, verdict, epoch)
        self._incomplete = incomplete
        for pod, rejected in self._state.rejected():
            key = GangKey(namespace=pod.namespace, dialect="pod", name=pod.uid)
            self._announcer.say(Verdict(key=key, reason="Rejected", message=rejected.reason), [pod])
        self._noticeboard.sweep(self._state, self.actor, epoch)

    def _since(self, verdict: Verdict) -> tuple[str, float]:
        """The message and since when it has been the same."""
        known = self._incomplete.get(verdict.key)
        if known is not None and known[0] == verdict.message:
            return known
        return (verdict.message, self._clock())

    # -- backing off -------------------------------------------------------------------------

    def _ended(self, attempt: Attempt) -> None:
        """An attempt is over: forget its failures, or hold the gang back for longer each time."""
        if not attempt.failure or attempt.is_abandoned:
            # What it placed was charged when it was planned, so there is nothing new to plan.
            self._held.pop(attempt.key, None)
            return
        self._wake.set()
        before = self._held.pop(attempt.key, None)
        failures = 1 if before is None else before.failures + 1
        first = HOLD_FIRST_PERMANENT_S if attempt.is_permanent else HOLD_FIRST_S
        wait_s = min(HOLD_MAX_S, first * 2.0 ** min(failures - 1, 10))
        if len(self._held) >= HELD_MAX:
            self._held.pop(next(iter(self._held)))
        self._held[attempt.key] = Held(failures, self._clock() + wait_s)
        self._state.hold(attempt.key, Waiting(reason=f"backing off: {attempt.failure}"))

    def _release_held(self, now_s: float) -> None:
        for key, held in self._held.items():
            if held.until_s <= now_s:
                self._state.unhold(key)
        gone = [k for k, held in self._held.items() if held.until_s + HOLD_MAX_S < now_s]
        for key in gone:
            del self._held[key]

    # -- what need not be planned again --------------------------------------------------------

    def _still_settled(self, snapshot: Snapshot) -> dict[GangKey, Verdict]:
        """Verdicts that nothing since then can have changed, so no solver runs for them again."""
        by_key = {gang.key: gang for gang in snapshot.gangs}
        self._settled = {
            key: settled
            for key, settled in self._settled.items()
            if settled.releases == self._state.releases and by_key.get(key) is settled.gang
        }
        return {key: settled.verdict for key, settled in self._settled.items()}

    def _settle(self, snapshot: Snapshot, planned: Plan, releases: int) -> None:
        by_key = {gang.key: gang for gang in snapshot.gangs}
        for verdict in planned.verdicts:
            match verdict.certificate:
                case Infeasible() | Unknown(budget=self._budget.per_gang):
                    settled = Settled(by_key[verdict.key], releases, verdict)
                    self._settled.setdefault(verdict.key, settled)
                case _:
                    pass

    # -- partly bound gangs ----------------------------------------------------------------------

    def _watch_partial(self, epoch: int) -> None:
        """A gang that stays partly bound is given back whole (INV2), whoever left it so."""
        now_s = self._clock()
        partial = self._state.partial()
        self._partial_since = {key: self._partial_since.get(key, now_s) for key in partial}
        for key, since_s in list(self._partial_since.items()):
            if now_s - since_s < self._partial_s or self.actor.is_running(key):
                continue
            del self._partial_since[key]
            gang, pods = self._state.remains(key)
            bound, minimum = partial[key]
            reason = f"only {bound} of {minimum} members were bound for {self._partial_s:.0f} s"
            log.warning("unwinding a partly bound gang", gang=str(key), reason=reason)
            self.actor.unwind(gang, pods, epoch=epoch, reason=reason)
