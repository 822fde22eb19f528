"""The node actor: watches the pods of its nodes and does what their kubelets want done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from deploy.local.nodes.devices import Given
from deploy.local.nodes.heartbeat import Heartbeats, default_interval_s
from deploy.local.nodes.instructions import Instruction, Reject, StartProcess, StopProcess
from deploy.local.nodes.inventory import Inventories, reports_by_default
from deploy.local.nodes.kubelet import Kubelets
from deploy.local.nodes.mischief import GOOD, Mischief
from deploy.local.nodes.pools import Pool, specs
from deploy.local.nodes.process import Processes
from deploy.local.nodes.register import register
from deploy.local.nodes.report import Rejection, Report
from deploy.local.nodes.watch import watch_pods
from deploy.local.nodes.wire import NodePod
from deploy.local.nodes.writer import Writer
from scheduler.inventory.scenario import Scenario
from scheduler.kube.transport import Transport

_LANE_LENGTH = 1_024
_REJECTIONS_KEPT = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``logs`` gets a folder per pod that runs a command; ``writes_at_once`` bounds the server's load.

    inventory: whether nodes report their devices; None says yes up to 500 of them. inventory_period_s:
    how often each is looked at; None says as often as an agent does, or less where they are many.
    pod_resources: whether each node that reports serves the kubelet's socket, and its report asks that.
    """

    logs: Path
    lease_interval_s: float | None = None
    writes_at_once: int = 32
    inventory: bool | None = None
    inventory_period_s: float | None = None
    pod_resources: bool = False


class NodeActor:
    """``async with NodeActor(transport, pools, settings=...)``: on entry nodes are ready, pods are watched.

    Instructions for one pod keep their order because a pod always takes the same lane; lanes run
    side by side. A failure inside ends ``wait``, which raises it, as does leaving the block.
    """

    def __init__(
        self,
        transport: Transport,
        pools: Sequence[Pool],
        *,
        settings: Settings,
        mischief: Mapping[str, Mischief] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.nodes = specs(pools)
        self._transport = transport
        self._clock = clock
        self._settings = settings
        self._pools_mischief = {f"pool/{pool.name}": pool.mischief for pool in pools if pool.mischief != GOOD}
        self._folder = TemporaryDirectory(prefix="stowplan-nvml-")
        self.inventories = self._inventories()
        self._kubelets = Kubelets(self.nodes, self._pools_mischief | dict(mischief or {}), self._memory)
        self._writer = Writer(transport)
        self._processes = Processes(settings.logs, self._exited)
        self.heartbeats = Heartbeats(
            transport,
            [node.name for node in self.nodes],
            interval_s=settings.lease_interval_s or default_interval_s(len(self.nodes)),
            clock=clock,
            is_silent=self._is_silent,
        )
        self._lanes = [asyncio.Queue[Instruction](_LANE_LENGTH) for _ in range(settings.writes_at_once)]
        self._turn = asyncio.Lock()
        self._alarm = asyncio.Event()
        self._synced = asyncio.Event()
        self._rejections: list[Rejection] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await register(self._writer, self.nodes, clock=self._clock, at_once=self._settings.writes_at_once)
        watching = watch_pods(self._transport, self._writer, self)
        work = [watching, self._keep_time(), self.heartbeats.run(), *map(self._drive, self._lanes)]
        if self.inventories is not None:
            work.append(self.inventories.run())
        self._tasks = [asyncio.get_running_loop().create_task(task) for task in work]
        ready = asyncio.create_task(self._ready())
        await asyncio.wait([ready, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            await self.__aexit__(None, None, None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._processes.close()
        self._folder.cleanup()
        failures = [end for end in ended if isinstance(end, Exception)]
        if failures and error is None:
            raise failures[0]

    async def wait(self) -> None:
        """Until a failure inside, which is raised."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def misbehave(self, mischief: Mapping[str, Mischief]) -> None:
        """Replace all mischief: of nodes, ``pool/NAME`` and ``*``; the node file's own stays beneath."""
        async with self._turn:
            wanted = self._kubelets.misbehave({**self._pools_mischief, **mischief}, self._clock())
            await self._dispatch(wanted)

    def used(self, node: str) -> Mapping[str, int]:
        """What the node holds by the actor's own count: milli-CPU, bytes, whole devices, pods."""
        return self._kubelets.used(node)

    def given(self, node: str) -> tuple[Given, ...]:
        """Whole devices that the node's plugin gave to pods that are there."""
        return self._kubelets.devices.given(node)

    def reboot(self, node: str, scenario: Scenario) -> None:
        """The node is booted, with these devices. Raises: LookupError for a node that reports none."""
        if self.inventories is None:
            raise LookupError(f"the nodes report no devices, so nothing is booted on {node}")
        self.inventories.reboot(node, scenario)

    def play(self, node: str, scenario: Scenario) -> None:
        """Something happens to a node's devices. Raises: LookupError for a node that reports none."""
        if self.inventories is None:
            raise LookupError(f"the nodes report no devices, so nothing happens to those of {node}")
        self.inventories.play(node, scenario)

    def report(self) -> Report:
        """The account so far."""
        audit = self._kubelets.audit
        return Report(
            nodes=len(self.nodes),
            admitted=audit.admitted,
            restored=audit.restored,
            rejected=dict(audit.rejected),
            finished=audit.finished,
            removed=audit.removed,
            heartbeats=self.heartbeats.renewed,
            heartbeats_missed=self.heartbeats.missed,
            refused=dict(self._writer.refused),
            rejections=tuple(self._rejections),
        )

    async def listed(self, pods: list[NodePod]) -> None:
        """All bound pods there are (called by the watch)."""
        async with self._turn:
            await self._dispatch(self._kubelets.replaced(pods, self._clock()))
        self._synced.set()

    async def changed(self, pod: NodePod) -> None:
        """One pod as it is now (called by the watch)."""
        async with self._turn:
            await self._dispatch(self._kubelets.seen(pod, self._clock()))

    async def deleted(self, pod: NodePod) -> None:
        """One pod is gone (called by the watch)."""
        async with self._turn:
            await self._dispatch(self._kubelets.gone(pod.uid))

    async def _ready(self) -> None:
        await self._synced.wait()
        if self.inventories is not None:
            await self.inventories.reported()

    def _inventories(self) -> Inventories | None:
        nodes = [node for node in self.nodes if node.has_inventory]
        wanted = self._settings.inventory
        if not nodes or wanted is False or (wanted is None and not reports_by_default(nodes)):
            return None
        return Inventories(
            self._transport,
            nodes,
            Path(self._folder.name),
            clock=self._clock,
            is_silent=self._is_lost,
            period_s=self._settings.inventory_period_s,
            given=lambda node: self._kubelets.devices.given(node),
            serves=self._settings.pod_resources,
        )

    def _memory(self, node: str) -> Mapping[str, int] | None:
        return None if self.inventories is None else self.inventories.memory(node)

    async def _dispatch(self, wanted: Iterable[Instruction]) -> None:
        """Into the pods' lanes; a full lane holds up everything, and so the watch."""
        for instruction in wanted:
            if isinstance(instruction, Reject) and len(self._rejections) < _REJECTIONS_KEPT:
                self._rejections.append(_rejection(instruction))
            uid = instruction.uid if isinstance(instruction, StopProcess) else instruction.pod.uid
            await self._lanes[hash(uid) % len(self._lanes)].put(instruction)
        self._alarm.set()

    async def _drive(self, lane: asyncio.Queue[Instruction]) -> None:
        while True:
            instruction = await lane.get()
            match instruction:
                case StartProcess():
                    await self._processes.start(instruction.pod, instruction.ip)
                case StopProcess():
                    self._processes.stop(instruction.uid, instruction.grace_s)
                case _:
                    await self._writer.perform(instruction)

    async def _keep_time(self) -> None:
        """Let the kubelets act when something falls due."""
        while True:
            self._alarm.clear()
            due_s = self._kubelets.next_due_s
            try:
                async with asyncio.timeout(None if due_s is None else max(0.0, due_s - self._clock())):
                    await self._alarm.wait()
            except TimeoutError:
                async with self._turn:
                    await self._dispatch(self._kubelets.due(self._clock()))

    def _exited(self, uid: str, code: int) -> None:
        self._kubelets.exited(uid, code, self._clock())
        self._alarm.set()

    def _is_lost(self, node: str) -> bool:
        return self._kubelets.mischief_of(node).lost

    def _is_silent(self, node: str) -> bool:
        mischief = self._kubelets.mischief_of(node)
        return mischief.stop_heartbeats or mischief.lost


def _rejection(reject: Reject) -> Rejection:
    metadata = reject.pod.metadata
    return Rejection(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        node=reject.pod.spec.node_name,
        reason=reject.reason,
        message=reject.message,
    )
