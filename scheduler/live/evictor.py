"""Carries out clearings: evicts victims side by side, and tells their owners for whom and by which rule.

It keeps nothing that must outlive it. A victim whose eviction is under way counts as leaving; one whose
eviction was refused or got no answer counts as staying again, and the next plan decides anew: a disruption
budget that says no so changes the plan.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scheduler.cycles import clear
from scheduler.gangs import events
from scheduler.live.announcements import VictimReason
from scheduler.live.announcer import Announcer
from scheduler.live.binder import Binder
from scheduler.live.logs import logger
from scheduler.live.metrics import Metrics
from scheduler.model.objects import Pod
from scheduler.model.plan import Clearing, Rule
from scheduler.state import ClusterState

log = logger("evictor")

WORKERS = 32
QUEUE_MAX = 20_000
#: What a victim's condition says of the rule.
REASONS: Mapping[Rule, VictimReason] = {"preempt": "Preempted", "reclaim": "Reclaimed"}


@dataclass(frozen=True, slots=True)
class _Task:
    pod: Pod
    clearing: Clearing
    epoch: int


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
        for pod in victims:
            self._queue.put_nowait(_Task(pod, clearing, epoch))
        return True

    async def run(self) -> None:
        """Evict until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            task = await self._queue.get()
            event = await self._binder.evict(task.pod, epoch=task.epoch, reason=task.clearing.why)
            self._take(task, event)
            if self._queue.empty():
                self._wake()

    def _take(self, task: _Task, event: events.Event) -> None:
        roll, pod = self._state.roll, task.pod
        match event:
            case events.EvictAcked():
                self._metrics.eviction("evicted")
                self._announcer.evicted([pod], task.clearing.why, REASONS[task.clearing.rule])
            case events.EvictGone():
                self._metrics.eviction("refused")
                roll.pardon(pod.uid)
            case events.EvictRetry():
                self._metrics.eviction("retried")
                roll.pardon(pod.uid)
                roll.spare(pod.uid, self._clock())
                log.info("eviction refused", pod=f"{pod.namespace}/{pod.name}", why=task.clearing.why)
            case events.EvictUnknown():
                # Should it have landed, the watch shows the pod leaving, and the plan counts on that.
                self._metrics.eviction("unknown")
                roll.pardon(pod.uid)
            case events.LeadershipLost():
                roll.pardon(pod.uid)
                self._lost()
            case _:
                roll.pardon(pod.uid)
