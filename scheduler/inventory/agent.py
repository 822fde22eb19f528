"""The node agent: probes, listens for XIDs, judges, writes. The only loop in this package."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from scheduler.inventory.binding import NvmlError
from scheduler.inventory.events import EventWatch, Strike
from scheduler.inventory.health import DEFAULT_POLICY, HealthPolicy, rule_of
from scheduler.inventory.metrics import AgentMetrics
from scheduler.inventory.nvml import Nvml
from scheduler.inventory.parse import found_record
from scheduler.inventory.pod_resources import Grant
from scheduler.inventory.probe import probe
from scheduler.inventory.prober import Prober
from scheduler.inventory.processes import Owner, unknown_owner
from scheduler.inventory.publish import written_node
from scheduler.inventory.record import Record, cleared_by, hung, observed, resumed, struck
from scheduler.inventory.report import DeviceReport, NodeState
from scheduler.inventory.surroundings import Surroundings
from scheduler.inventory.writer import GPUNodes, Pace, words_of
from scheduler.kube.transport import ClusterError, NotFound, Transport
from scheduler.kube.wire.inventory import GPUNodeStatus

STRIKES_MAX: Final = 1_024
RESUME_TRIES: Final = 5


async def _no_kubelet() -> None:
    """Nobody to ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Seconds.

    probe_period_s: between the starts of probes. deadline_s: a probe longer than this is Hung.
    heartbeat_s: between writes while nothing changes; must leave room below the planner's 30 s for a probe.
    gap_s: least time between two writes. wait_for_driver: stay where there is no driver or no device.
    """

    node_name: str
    boot_id: str = ""
    probe_period_s: float = 5.0
    deadline_s: float = 10.0
    heartbeat_s: float = 20.0
    gap_s: float = 1.0
    wait_for_driver: bool = False
    once: bool = False
    policy: HealthPolicy = field(default_factory=lambda: DEFAULT_POLICY)


class Agent:
    """``await Agent(...).run()`` until told to ``stop``, or nothing is left to do; the last node state.

    Ends by itself with NoDriver or NoDevices unless told to wait, and with DriverMismatch, which only a new
    process cures. What it knew is in the GPUNode, so the next agent goes on from there. grants: what the
    kubelet gave to whom, None where it cannot be asked.
    """

    def __init__(
        self,
        api: Nvml,
        transport: Transport,
        settings: AgentSettings,
        *,
        owner: Owner = unknown_owner,
        grants: Callable[[], Awaitable[tuple[Grant, ...] | None]] = _no_kubelet,
        clock: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        metrics: AgentMetrics | None = None,
    ) -> None:
        self.record = Record(boot_id=settings.boot_id)
        self.metrics = metrics or AgentMetrics()
        self._settings = settings
        self._owner = owner
        self._clock = clock
        self._objects = GPUNodes(transport, settings.node_name, counted=self.metrics.write_sent)
        rng = rng or random.Random()
        self._pace = Pace(heartbeat_s=settings.heartbeat_s, gap_s=settings.gap_s, rng=rng)
        self._look_now = asyncio.Event()
        self._around = Surroundings(transport, settings.node_name, self._look_now.set, rng)
        self._ask_kubelet = grants
        self._grants: tuple[Grant, ...] | None = None
        self._watch = EventWatch(api, self._strike_from_thread)
        self._prober = Prober(lambda: self._probe(api), clock=clock)
        self._strikes: asyncio.Queue[Strike] = asyncio.Queue(STRIKES_MAX)
        self._alarm = asyncio.Event()
        self.is_stopping = False
        self._has_looked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._log: FilteringBoundLogger = structlog.get_logger(component="agent", node=settings.node_name)

    async def run(self) -> NodeState:
        """Raises: ClusterError only with ``once``, where a write fails."""
        self._loop = asyncio.get_running_loop()
        self._log.info("agent started", heartbeat_s=self._settings.heartbeat_s)
        await self._resume()
        probing = asyncio.create_task(self._keep_probing())
        probing.add_done_callback(lambda _: self._alarm.set())
        following = asyncio.create_task(self._around.run())
        try:
            while not self.is_stopping:
                self._alarm.clear()
                if probing.done():
                    probing.result()
                if await self._told_all():
                    break
        finally:
            probing.cancel()
            following.cancel()
            self._watch.stop()
            self._prober.close()
        return self.record.state

    def stop(self) -> None:
        """From the loop's own thread: ``run`` returns within a write's timeout, also while NVML hangs."""
        self.is_stopping = True
        self._alarm.set()

    def is_listening(self, timeout_s: float) -> bool:
        """Whether events of devices are delivered, waiting for that up to ``timeout_s``."""
        return self._watch.listening(timeout_s)

    async def _resume(self) -> None:
        # Without the right to read nodes the rest is known all the same.
        with suppress(ClusterError):
            await self._around.look()
        for _ in range(1 if self._settings.once else RESUME_TRIES):
            try:
                found = await self._objects.found()
            except ClusterError as error:
                self._log.warning("what the last agent knew cannot be read yet", error=str(error))
                await self._pause(self._settings.gap_s)
                continue
            if found is not None:
                record = found_record(found)
                self.record = resumed(record, self._settings.boot_id, self._clock(), self._around.uid)
                await self._clear(words_of(found))
                return
            self.record = replace(self.record, node_uid=self._around.uid)
            return

    async def _keep_probing(self) -> None:
        """Apart from the writing, which goes on while NVML hangs."""
        loop = asyncio.get_running_loop()
        while True:
            begun_s = loop.time()
            is_answered = await self._look()
            self._has_looked = True
            self._alarm.set()
            # A probe that hangs is waited for at once: what it says in the end is not a period late.
            if is_answered:
                await self._rest(begun_s + self._settings.probe_period_s - loop.time())

    async def _rest(self, seconds: float) -> None:
        """Until the next look is due, or an event asks for one: what the driver wants done, it says now."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._look_now.wait()
        self._look_now.clear()

    async def _look(self) -> bool:
        """One probe, or the word that it hangs; whether NVML answered."""
        asking = asyncio.ensure_future(self._ask_kubelet())
        answer = await self._prober.ask(self._settings.deadline_s)
        self._grants = await asking
        before = self.record.state
        if answer is None:
            self.record = hung(self.record, self._prober.age_s)
        else:
            self.metrics.probed(answer.took_s)
            self.record = observed(self.record, answer.report, answer.started_s)
            if answer.report.state == "Ready":
                self._watch.start()
        if self.record.state != before:
            self._log.info("node state", state=self.record.state, message=self.record.message)
        return answer is not None

    def _probe(self, api: Nvml) -> DeviceReport:
        """In the prober's thread. Who wants the devices for himself gets them: NVML is let go of."""
        why = self._around.pause
        if not why:
            return probe(api, before_open=self._watch.stop)
        self._watch.stop()
        with suppress(NvmlError):
            api.nvmlShutdown()
        return DeviceReport(state="Paused", message=f"the agent steps aside: {why}")

    async def _told_all(self) -> bool:
        """Write what is due, or wait until something may be; whether there is nothing left to do."""
        self._take_strikes()
        if not self._has_looked:
            await self._pause(None)
            return False
        now_s = self._clock()
        status = self._status(now_s)
        due_s = self._pace.due_s(status, now_s)
        if due_s <= now_s:
            await self._write(status)
            return False
        if self._is_over():
            return True
        await self._pause(due_s - now_s)
        return False

    def _status(self, now_s: float) -> GPUNodeStatus:
        node = written_node(
            self.record,
            self._settings.node_name,
            now_s,
            self._owner,
            self._settings.policy,
            self._grants,
        )
        self.metrics.told(node.status)
        return node.status

    async def _write(self, status: GPUNodeStatus) -> None:
        try:
            wanted = await self._objects.write(status)
        except ClusterError as error:
            self.metrics.write_failed()
            self._pace.failed(self._clock())
            if self._settings.once:
                raise
            remedy = "; is the GPUNode CRD installed (deploy/crds)?" if isinstance(error, NotFound) else ""
            self._log.warning("the GPUNode was not written", error=f"{error}{remedy}")
            # An admin's word reaches the agent whatever is wrong with what it writes.
            with suppress(ClusterError):
                await self._clear(words_of(await self._objects.found()))
            return
        self._pace.written(status, self._clock())
        await self._clear(wanted)

    async def _clear(self, words: str) -> None:
        """What an admin says is well: forget its signs, then take the word off."""
        if not words:
            return
        self.record, uuids = cleared_by(self.record, words)
        self._log.info("cleared by annotation", devices=uuids)
        # The write that takes it off may fail; then it is read, and taken off, again.
        with suppress(ClusterError):
            await self._objects.take_off(words)

    def _is_over(self) -> bool:
        is_empty = self.record.state in ("NoDriver", "NoDevices")
        return (
            self._settings.once
            or self.record.state == "DriverMismatch"
            or (is_empty and not self._settings.wait_for_driver)
        )

    def _strike_from_thread(self, strike: Strike) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._strike, strike)

    def _strike(self, strike: Strike) -> None:
        # More than fit between two turns of the loop are all of a kind by then: the newest are dropped.
        if not self._strikes.full():
            self._strikes.put_nowait(strike)
        self._alarm.set()
        self._look_now.set()

    def _take_strikes(self) -> None:
        while not self._strikes.empty():
            strike = self._strikes.get_nowait()
            # One that no device can be named for is logged; the next probe tells which device is lost.
            uuids = [strike.uuid] if strike.uuid else []
            self.record = struck(self.record, uuids, strike.kind, self._clock())
            rule = rule_of(strike.kind, self._settings.policy)
            self.metrics.struck(rule.severity)
            self._log.warning("device event", device=strike.uuid, kind=strike.kind, meaning=rule.meaning)

    async def _pause(self, most_s: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self._alarm.wait()
