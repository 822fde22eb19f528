"""Every node's devices, reported through the agent's own code on the fake library: one process, no agents.

What the agent does with a process a node, this does with a few threads: probe, judge
(``scheduler.inventory``), write on change and with a heartbeat. A scenario that is
played shows with the next look, which it causes.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, cast

import msgspec
import pynvml

from deploy.local.nodes.devices import Given
from deploy.local.nodes.pod_resources import PodResourcesServer
from deploy.local.nodes.pools import NodeSpec
from deploy.local.nvml.library import FakeLibrary, FakeNode, shipped
from scheduler.inventory.events import EventPoll, Strike
from scheduler.inventory.nvml import Nvml
from scheduler.inventory.parse import found_record
from scheduler.inventory.pod_resources import Grant, PodResources
from scheduler.inventory.probe import probe
from scheduler.inventory.publish import written_node
from scheduler.inventory.record import Record, cleared_by, hung, observed, resumed, struck
from scheduler.inventory.report import DeviceReport
from scheduler.inventory.scenario import Device, Driver, Scenario
from scheduler.inventory.writer import GPUNodes, Pace, words_of
from scheduler.kube.transport import ClusterError, Transport
from scheduler.kube.wire.inventory import GPUNode, GPUNodeStatus

#: A real agent's pace, kept up to this many probes a second over all nodes.
PROBE_PERIOD_S: Final = 5.0
PROBES_MOST_PER_S: Final = 25.0
#: The scheduler trusts no probe older than 30 s.
PERIOD_MOST_S: Final = 20.0
DEADLINE_S: Final = 2.0
GAP_S: Final = 0.2
THREADS: Final = 8
#: Pools of more nodes than this in all report nothing unless told to: 5,000 nodes are 250 writes a second.
NODES_DEFAULT_MAX: Final = 500
_TEMPLATE: Final = "h100-nvswitch"
_LINKED: Final = ("A100", "H100", "H200", "B200", "B300")


def reports_by_default(nodes: Sequence[NodeSpec]) -> bool:
    """Whether so many nodes are few enough to report their devices without being asked to."""
    return sum(node.has_inventory for node in nodes) <= NODES_DEFAULT_MAX


def scenario_of(node: NodeSpec) -> Scenario:
    """What the node's driver says in the beginning: the pool's scenario, or equal devices of its model."""
    if node.scenario:
        return shipped(node.scenario)
    if not node.gpus:
        return Scenario(driver=Driver(loaded=False))
    base = shipped(_TEMPLATE)
    template = base.template or Device()
    name = node.model.replace("-", " ") if node.model else "NVIDIA GPU"
    is_linked = any(model in name for model in _LINKED)
    made = msgspec.structs.replace(template, name=name, memory_mib=node.gpu_memory_mib or 81_920, fabric=None)
    return msgspec.structs.replace(
        base, template=made, count=node.gpus, switch_links=18 if is_linked and node.gpus > 1 else 0
    )


class Inventories:
    """``nodes``: by name, each with ``play`` for what happens to its devices. Written by ``run``.

    folder: where the fake library reads each node's table. given: what a node's plugin gave to pods. serves:
    whether that goes over the kubelet's socket, ``sockets`` by node.
    """

    def __init__(
        self,
        transport: Transport,
        nodes: Sequence[NodeSpec],
        folder: Path,
        *,
        clock: Callable[[], float] = time.time,
        is_silent: Callable[[str], bool] = lambda _: False,
        period_s: float | None = None,
        given: Callable[[str], tuple[Given, ...]] = lambda _: (),
        serves: bool = False,
    ) -> None:
        self._library = FakeLibrary()
        self.nodes: Mapping[str, FakeNode] = {
            node.name: FakeNode(folder, node.name, scenario_of(node)) for node in nodes
        }
        paced_s = min(PERIOD_MOST_S, max(PROBE_PERIOD_S, len(nodes) / PROBES_MOST_PER_S))
        self._period_s = period_s or paced_s
        self._clock = clock
        self._is_silent = is_silent
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fake-nvml")
        self.sockets = {
            name: PodResourcesServer(folder / f"{name}.sock", partial(given, name))
            for name in (self.nodes if serves else ())
        }
        self._given = given
        self._reporters = {
            name: _Reporter(self, node, transport, paced_s=self._period_s)
            for name, node in self.nodes.items()
        }
        self.writes = 0

    def play(self, name: str, scenario: Scenario) -> None:
        """What the node's NVML says from now on; it is looked at right away."""
        self.nodes[name].play(scenario)
        self._reporters[name].alarm.set()

    def reboot(self, name: str, scenario: Scenario) -> None:
        """The node is booted, with these devices."""
        self._reporters[name].reboot()
        self.play(name, scenario)

    async def reported(self) -> None:
        """Return once every node's devices were written."""
        for reporter in self._reporters.values():
            await reporter.told.wait()

    def memory(self, name: str) -> Mapping[str, int] | None:
        """Bytes of each device of a node, by UUID, MIG instances too: the kubelet's own knowledge."""
        node = self.nodes.get(name)
        if node is None:
            return None
        found: dict[str, int] = {}
        for device in node.scenario.devices:
            found[device.uuid] = (device.memory_mib or 0) << 20
            for instance in device.mig.instances if device.mig else ():
                found[instance.uuid] = instance.memory_mib << 20
        return found

    async def run(self) -> None:
        """Report for ever. Raises what a reporter raises, which is a defect."""
        try:
            for server in self.sockets.values():
                await server.open()
            async with asyncio.TaskGroup() as group:
                for reporter in self._reporters.values():
                    group.create_task(reporter.run())
        finally:
            self.close()
            for server in self.sockets.values():
                await server.close()

    def close(self) -> None:
        """Let every call that hangs come back, and the threads end."""
        for node in self.nodes.values():
            if node.scenario.hang or any(device.hang for device in node.scenario.devices):
                node.play(Scenario(driver=Driver(loaded=False)))
        self._pool.shutdown(cancel_futures=True)

    def kubelet(self, name: str) -> Callable[[], Awaitable[tuple[Grant, ...] | None]]:
        """Asks a node's kubelet who was given what."""
        if name in self.sockets:
            return PodResources(self.sockets[name].socket, clock=self._clock).grants

        async def grants() -> tuple[Grant, ...]:
            return tuple(
                Grant(namespace=one.namespace, name=one.name, resource=one.resource, ids=one.devices)
                for one in self._given(name)
            )

        return grants

    def counted(self) -> None:
        self.writes += 1

    def look(self, node: FakeNode, poll: EventPoll) -> tuple[DeviceReport, list[Strike]]:
        """In a thread of the pool: one probe and the events since the last one."""
        self._library.use(node.table_file)
        nvml = cast(Nvml, pynvml)
        report = probe(nvml, before_open=poll.close)
        return report, poll.strikes() if report.state == "Ready" else []

    def submit(self, node: FakeNode, poll: EventPoll) -> asyncio.Future[tuple[DeviceReport, list[Strike]]]:
        return asyncio.get_running_loop().run_in_executor(self._pool, self.look, node, poll)

    def now_s(self) -> float:
        return self._clock()

    def is_silent(self, name: str) -> bool:
        return self._is_silent(name)

    @property
    def period_s(self) -> float:
        return self._period_s


class _Reporter:
    """One node: what is known of its devices, and when it was written."""

    def __init__(self, all_: Inventories, node: FakeNode, transport: Transport, *, paced_s: float) -> None:
        self.alarm = asyncio.Event()
        self.told = asyncio.Event()
        self._all = all_
        self._node = node
        self._poll = EventPoll(cast(Nvml, pynvml))
        self._objects = GPUNodes(transport, node.name, counted=all_.counted)
        self._ask_kubelet = all_.kubelet(node.name)
        self._grants: tuple[Grant, ...] | None = None
        rng = random.Random(node.name)
        # Looks this far apart are each written; closer ones only every so often.
        heartbeat_s = PERIOD_MOST_S if paced_s <= PROBE_PERIOD_S else 0.9 * paced_s
        self._pace = Pace(heartbeat_s=heartbeat_s, gap_s=GAP_S, rng=rng)
        self._offset_s = rng.random() * paced_s
        self._boots = 0
        self._record = Record(boot_id=self._boot_id)
        self._running: asyncio.Future[tuple[DeviceReport, list[Strike]]] | None = None
        self._began_s = 0.0

    @property
    def _boot_id(self) -> str:
        return f"boot-{self._boots}"

    def reboot(self) -> None:
        """What is known is read again by an agent of another boot."""
        self._boots += 1
        known = found_record(self._node_object(self._all.now_s()))
        self._record = resumed(known, self._boot_id, self._all.now_s())

    async def run(self) -> None:
        await self._resume()
        # The first looks at once, later ones spread over the period.
        most_s = self._offset_s
        while True:
            self.alarm.clear()
            wait_s, most_s = most_s, self._all.period_s
            if not self._all.is_silent(self._node.name):
                await self._look()
                wait_s = min(wait_s, await self._tell())
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self.alarm.wait()

    async def _resume(self) -> None:
        """A node that was here before goes on from what its GPUNode says."""
        with suppress(ClusterError):
            found = await self._objects.found()
            if found is not None:
                self._record = resumed(found_record(found), self._boot_id, self._all.now_s())

    async def _look(self) -> None:
        if self._running is None or self._running.cancelled():
            self._began_s = self._all.now_s()
            self._running = self._all.submit(self._node, self._poll)
        self._grants = await self._ask_kubelet()
        done, _ = await asyncio.wait([self._running], timeout=DEADLINE_S)
        if not done:
            self._record = hung(self._record, self._all.now_s() - self._began_s)
            return
        report, strikes = self._running.result()
        self._running = None
        self._record = observed(self._record, report, self._began_s)
        for strike in strikes:
            uuids = [strike.uuid] if strike.uuid else []
            self._record = struck(self._record, uuids, strike.kind, self._all.now_s())

    async def _tell(self) -> float:
        """Write what is due; seconds until something is due again."""
        now_s = self._all.now_s()
        status = self._node_object(now_s).status
        if self._pace.due_s(status, now_s) <= now_s:
            await self._write(status)
        due_s = self._pace.due_s(status, self._all.now_s())
        return max(GAP_S, due_s - self._all.now_s())

    def _node_object(self, now_s: float) -> GPUNode:
        owner = self._node.pod_of
        return written_node(self._record, self._node.name, now_s, owner, grants=self._grants)

    async def _write(self, status: GPUNodeStatus) -> None:
        try:
            words = await self._objects.write(status)
        except ClusterError:
            self._pace.failed(self._all.now_s())
            with suppress(ClusterError):
                await self._clear(words_of(await self._objects.found()))
            return
        self._pace.written(status, self._all.now_s())
        self.told.set()
        await self._clear(words)

    async def _clear(self, words: str) -> None:
        if not words:
            return
        self._record, _ = cleared_by(self._record, words)
        self.alarm.set()
        with suppress(ClusterError):
            await self._objects.take_off(words)
