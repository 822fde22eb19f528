"""The scheduling loop: snapshot, plan, validate, act, tell. At its own pace, from state alone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from itertools import chain

from scheduler.cycles import Cycle, Cycles
from scheduler.gangs.attempt import Attempt
from scheduler.gangs.healing import Healing
from scheduler.live.actor import Actor
from scheduler.live.announcer import Announcer
from scheduler.live.claims import ClaimBook
from scheduler.live.devices import Outages
from scheduler.live.evictor import Evictor
from scheduler.live.logs import logger
from scheduler.live.metrics import Metrics
from scheduler.live.noticeboard import Noticeboard
from scheduler.live.provisioner import Provisioner
from scheduler.live.rotation import Rotation
from scheduler.live.takeover import Takeover
from scheduler.live.teamboard import Teamboard
from scheduler.live.volume_binder import VolumeBinder
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.plan import Budget, Plan, Policy, Verdict
from scheduler.state import ClusterState

log = logger("loop")

#: Between the first news and the cycle, so that a burst of events costs one cycle and is seen whole.
CYCLE_MIN_S = 0.01
#: Members of a gang arrive one by one: that some are missing is told only when no more come.
QUIET_S = 1.0
#: How often the evictions of a gang that is given back are asked for before it goes on as it is for a while.
TAKE_BACK_TRIES = 5
#: Gangs started before what they write is let go out.
STARTS_AT_ONCE = 64
#: Verdicts told before others get to run.
TOLD_AT_ONCE = 500
#: How often a plan under way counts as a sign of life, and for how long.
BEAT_S = 1.0
PLAN_S_MAX = 600.0


class Loop:
    """One leading term. ``may_act`` says whether the view is fresh and the lease is ours."""

    def __init__(
        self,
        *,
        state: ClusterState,
        actor: Callable[[Callable[[Attempt], None]], Actor],
        claims: ClaimBook,
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
        healing: Healing,
        teamboard: Teamboard,
        provisioner: Provisioner,
        volumes: VolumeBinder,
        cycle_max_s: Callable[[], float],
        recorder: Callable[[bytes], None] | None = None,
    ) -> None:
        self._state = state
        self._cycles = Cycles(
            state, policy=policy, budget=budget, healing=healing, looks_at_all=provisioner.is_on
        )
        self.actor = actor(self._ended)
        self._evictor = evictor
        self._announcer = announcer
        self._noticeboard = noticeboard
        self._metrics = metrics
        self._clock = clock
        self._wall = wall
        self._may_act = may_act
        self._beat = beat
        self._teamboard = teamboard
        self._provisioner = provisioner
        self._volumes = volumes
        self._cycle_max_s = cycle_max_s
        self._recorder = recorder
        self._refused = Rotation(TOLD_AT_ONCE)
        self._wake = asyncio.Event()
        self._is_paused = False
        self._incomplete: dict[GangKey, tuple[str, float]] = {}
        self._outages = Outages(state, self.actor, clock=clock)
        self._takeover = Takeover(state, self.actor, claims)

    def learn(self) -> None:
        """Take what earlier leaders wrote, once every view is complete and before this one leads."""
        self._takeover.learn()

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
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._cycle_max_s()):
                    await self._wake.wait()
            # After the first news, not before: what belongs together, such as a node and the pods that were
            # on it, comes by several watches, and half of it is no ground to evict anybody.
            await asyncio.sleep(CYCLE_MIN_S)

    async def _cycle(self, epoch: int) -> None:
        self._takeover.finish(epoch)
        started = self._clock()
        cycle = self._cycles.begin(started, self._wall())
        again = self._cycles.told_again()
        snapshot_s = self._clock() - started
        planned = await self._plan(cycle)
        plan_s = self._clock() - started - snapshot_s
        if planned.clearings and self._recorder is not None:
            self._recorder(await asyncio.to_thread(cycle.record, planned))
        told = self._volumes.told(self._provisioner.told(planned, cycle.snapshot))
        self._metrics.cycle(told, self._cycles.apart.reasons, snapshot_s=snapshot_s, plan_s=plan_s)
        if planned.places or planned.clearings:
            log.info(
                "planned",
                places=len(planned.places),
                clearings=len(planned.clearings),
                waiting=len(planned.verdicts) + len(self._cycles.apart),
                snapshot_s=round(snapshot_s, 4),
                plan_s=round(plan_s, 4),
            )
        if not self._may_act() or self._is_paused:
            return
        self._teamboard.offer(cycle.snapshot)
        await self._act(planned, epoch)
        self._clear(planned, epoch)
        self._cycles.remember(cycle, planned)
        if planned.left_open:
            self._wake.set()
        await self._tell(cycle, told, again, epoch)
        self._watch_partial(epoch)
        self._metrics.replaced(self._outages.react(epoch))

    async def _plan(self, cycle: Cycle) -> Plan:
        """In a thread, so that the lease is renewed and answers are read while a solver works.

        A plan's work is bounded, so a long one is no hang before ``PLAN_S_MAX``.
        """
        planning = asyncio.ensure_future(asyncio.to_thread(cycle.plan))
        until_s = self._clock() + PLAN_S_MAX
        while not (await asyncio.wait({planning}, timeout=BEAT_S))[0]:
            if self._clock() < until_s:
                self._beat()
        return planning.result()

    async def _act(self, planned: Plan, epoch: int) -> None:
        """Start an attempt for every place that still holds when its turn comes."""
        for first in range(0, len(planned.places), STARTS_AT_ONCE):
            if not self._may_act() or self._is_paused:
                return
            if self.actor.is_full:
                # The rest has its turn when these are bound; until then nothing is held for it.
                log.info("enough under way", left=len(planned.places) - first)
                return
            places = planned.places[first : first + STARTS_AT_ONCE]
            accepted, dropped = self._cycles.admit(places, self.actor.is_running)
            for gone in dropped:
                log.info("place dropped", gang=str(gone.key), reason=gone.reason)
                self._wake.set()
            for place in accepted:
                self.actor.start(place.gang, place.assignments, epoch=epoch)
            await asyncio.sleep(0)

    def _clear(self, planned: Plan, epoch: int) -> None:
        """Have victims evicted, as far as the plan still holds."""
        for clearing in planned.clearings:
            if any(self.actor.is_running(gang.key) for gang in clearing.beneficiaries):
                continue
            if not self._evictor.start(clearing, epoch=epoch):
                log.info("clearing dropped", gang=str(clearing.beneficiaries[0].key))
                self._wake.set()

    async def _tell(
        self, cycle: Cycle, planned: Plan, again: Sequence[tuple[PendingGang, Verdict]], epoch: int
    ) -> None:
        by_key = {gang.key: gang for gang in cycle.snapshot.gangs}
        incomplete: dict[GangKey, tuple[str, float]] = {}
        decided = ((by_key[verdict.key], verdict) for verdict in planned.verdicts)
        for number, (gang, verdict) in enumerate(chain(decided, again), 1):
            if number % TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)
            if self.actor.is_running(verdict.key):
                continue
            if verdict.reason == "Waiting":
                if gang.blocked is None and self._announcer.has_told(gang.pods[0].uid):
                    # Its turn to be looked at again will come; what was found the last time stands.
                    continue
                incomplete[verdict.key] = self._since(verdict)
                if self._clock() - incomplete[verdict.key][1] < QUIET_S:
                    continue
            self._announcer.say(verdict, gang.pods)
            self._noticeboard.pending(gang, verdict, epoch)
        self._incomplete = incomplete
        for gang, words in self.actor.providing():
            self._announcer.say(Verdict(key=gang.key, reason="WaitingForVolumes", message=words), gang.pods)
        for pod, rejected in self._refused.of(self._state.rejected()):
            key = GangKey(namespace=pod.namespace, dialect="pod", name=pod.uid)
            self._announcer.say(Verdict(key=key, reason="Rejected", message=rejected.reason), [pod])
        for pod, note in self._state.gangs.warnings():
            self._announcer.warn(pod, note)
        self._noticeboard.sweep(self._state, self.actor, epoch)

    def _since(self, verdict: Verdict) -> tuple[str, float]:
        """The message and since when it has been the same."""
        known = self._incomplete.get(verdict.key)
        if known is not None and known[0] == verdict.message:
            return known
        return (verdict.message, self._clock())

    def _ended(self, attempt: Attempt) -> None:
        if self._cycles.ended(attempt, self._clock()):
            self._wake.set()

    def _watch_partial(self, epoch: int) -> None:
        """A gang that stays partly bound is given back whole (INV2), whoever left it so."""
        for found in self._cycles.overdue(self._clock(), self.actor.is_running):
            log.warning("unwinding a partly bound gang", gang=str(found.gang.key), reason=found.reason)
            self.actor.unwind(
                found.gang, found.pods, epoch=epoch, reason=found.reason, evict_tries=TAKE_BACK_TRIES
            )
