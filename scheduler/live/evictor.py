"""Carries out clearings: evicts victims side by side, and tells their owners for whom and by which rule.

It keeps nothing that must outlive it. A victim whose eviction is under way counts as leaving; one whose
eviction was refused counts as staying again, and the next plan decides anew: a disruption budget that says no
so changes the plan.

Of each victim gang one pod is asked to go first, and the others once all of those were let go, twice as many
each time: what refuses an eviction mostly refuses the first, and then nobody has lost anything. Whatever was
not sent when something is refused, or when nobody waits for the room any more, is not sent at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from scheduler.cycles import clear
from scheduler.gangs import events
from scheduler.live.announcements import VictimReason
from scheduler.live.announcer import Announcer
from scheduler.live.binder import Binder
from scheduler.live.logs import logger
from scheduler.live.metrics import Metrics
from scheduler.model.gang import GangKey
from scheduler.model.objects import Pod
from scheduler.model.plan import Clearing, Rule
from scheduler.state import ClusterState

log = logger("evictor")

WORKERS = 32
QUEUE_MAX = 20_000
#: What a victim's condition says of the rule.
REASONS: Mapping[Rule, VictimReason] = {"preempt": "Preempted", "reclaim": "Reclaimed"}


#: A request that the API server could not carry out, or may have, is tried this often.
TRIES_MAX = 5
PAUSE_S = 0.5
PAUSE_S_MAX = 5.0


@dataclass(slots=True)
class _Job:
    """A clearing under way."""

    clearing: Clearing
    epoch: int
    #: Pods that were asked and have not answered, and how many were asked together.
    asked: set[str]
    count: int
    #: Pods that are asked when all of those were let go.
    later: list[Pod]
    #: Victims of which something was evicted.
    hit: set[GangKey] = field(default_factory=set)
    #: Nothing more is sent.
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class _Task:
    pod: Pod
    job: _Job


class Evictor:
    """``clock`` is the wall clock; ``wake``: the next plan may differ; ``lost``: as the actor's."""

    def __init__(
        self,
        *,
        state: ClusterState,
        binder: Binder,
        announcer: Announcer,
        metrics: Metrics,
        clock: Callable[[], float],
        wake: Callable[[], None],
        lost: Callable[[], None],
    ) -> None:
        self._state = state
        self._binder = binder
        self._announcer = announcer
        self._metrics = metrics
        self._clock = clock
        self._wake = wake
        self._lost = lost
        self._queue: asyncio.Queue[_Task] = asyncio.Queue()

    def start(self, clearing: Clearing, *, epoch: int) -> bool:
        """Begin to evict, unless a victim or a beneficiary is no longer what the plan took it for."""
        pods = sum(len(victim.pods) for victim in clearing.victims)
        if self._queue.qsize() + pods > QUEUE_MAX:
            return False
        victims = clear(self._state, clearing)
        if not victims:
            return False
        log.info(
            "making room",
            rule=clearing.rule,
            team=clearing.team,
            gang=str(clearing.beneficiaries[0].key),
            gangs=len(clearing.victims),
            pods=len(victims),
        )
        first = [victim.pods[0] for victim in clearing.victims]
        asked = {pod.uid for pod in first}
        later = [pod for pod in victims if pod.uid not in asked]
        self._send(_Job(clearing, epoch, asked=asked, count=len(first), later=later), first)
        return True

    async def run(self) -> None:
        """Evict until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            task = await self._queue.get()
            if not task.job.is_over and not self._is_wanted(task.job.clearing):
                gang = str(task.job.clearing.beneficiaries[0].key)
                log.info("nobody waits for the room any more", gang=gang)
                self._end(task.job)
            if task.job.is_over:
                self._state.roll.pardon(task.pod.uid)
            else:
                self._take(task, await self._evict(task))
            if self._queue.empty():
                self._wake()

    def _send(self, job: _Job, pods: Iterable[Pod]) -> None:
        for pod in pods:
            self._queue.put_nowait(_Task(pod, job))

    def _is_wanted(self, clearing: Clearing) -> bool:
        """Whether some pod waits still of those for which the room is made."""
        for gang in clearing.beneficiaries:
            now = self._state.view(gang.key)
            if now is not None and not {pod.uid for pod in now.pods}.isdisjoint(clearing.nominated):
                return True
        return False

    async def _evict(self, task: _Task) -> events.Event:
        """The outcome of one eviction, asked for until it is known: what was sent may have landed unheard."""
        pause_s = PAUSE_S
        for _ in range(TRIES_MAX):
            event = await self._binder.evict(task.pod, epoch=task.job.epoch, reason=task.job.clearing.why)
            match event:
                case events.EvictUnknown():
                    self._metrics.eviction("unknown")
                    if await self._is_leaving(task.pod):
                        return events.EvictAcked(at_s=event.at_s, uid=event.uid)
                case events.EvictRetry(is_refused=False):
                    self._metrics.eviction("retried")
                case _:
                    return event
            await asyncio.sleep(pause_s)
            pause_s = min(PAUSE_S_MAX, 2 * pause_s)
            if task.job.is_over:
                break
        return event

    async def _is_leaving(self, pod: Pod) -> bool:
        """Whether the pod is on its way out or gone, by a read or by the watch, whichever tells first."""
        while True:
            now = self._state.pod(pod.uid)
            if now is None or now.is_deleting:
                return True
            match await self._binder.read(pod):
                case events.PodRead(is_gone=is_gone, is_deleting=is_deleting):
                    return is_gone or is_deleting
                case events.ReadRetry(after_s=after_s):
                    await asyncio.sleep(min(max(after_s, PAUSE_S), PAUSE_S_MAX))
                case _:
                    return False

    def _take(self, task: _Task, event: events.Event) -> None:
        roll, pod, job = self._state.roll, task.pod, task.job
        match event:
            case events.EvictAcked():
                self._metrics.eviction("evicted")
                self._announcer.evicted([pod], job.clearing.why, REASONS[job.clearing.rule])
                log.info("evicted", pod=f"{pod.namespace}/{pod.name}", why=job.clearing.why)
                job.hit.add(_gang_of(task))
                self._answered(task)
            case events.EvictGone():
                self._metrics.eviction("refused")
                roll.pardon(pod.uid)
                self._answered(task)
            case events.EvictRetry() | events.EvictUnknown():
                self._metrics.eviction("retried")
                roll.pardon(pod.uid)
                roll.spare(pod.uid, self._clock(), is_broken=_gang_of(task) in job.hit)
                log.info("eviction refused", pod=f"{pod.namespace}/{pod.name}", why=job.clearing.why)
                self._end(job)
            case events.LeadershipLost():
                roll.pardon(pod.uid)
                self._end(job)
                self._lost()
            case _:
                roll.pardon(pod.uid)

    def _answered(self, task: _Task) -> None:
        """One went: once all that were asked did, others are asked."""
        job = task.job
        job.asked.discard(task.pod.uid)
        if not job.asked and not job.is_over:
            job.count *= 2
            some, job.later = job.later[: job.count], job.later[job.count :]
            job.asked = {pod.uid for pod in some}
            self._send(job, some)

    def _end(self, job: _Job) -> None:
        """What was not sent is not sent any more."""
        job.is_over = True
        for pod in job.later:
            self._state.roll.pardon(pod.uid)
        job.later = []


def _gang_of(task: _Task) -> GangKey:
    uid = task.pod.uid
    return next(v.gang.key for v in task.job.clearing.victims if any(pod.uid == uid for pod in v.pods))
