"""Nodes whose agents report, a scheduler that reads it, and the auditor that judges both."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from deploy.local.cluster import Cluster
from deploy.local.nodes.actor import NodeActor, Settings
from deploy.local.nodes.mischief import EVERYWHERE, Mischief
from deploy.local.nodes.pools import Pool
from scheduler.invariants import PodVersion, World
from scheduler.inventory.scenario import Event, Process, Scenario
from tests.faults.proxy import eviction
from tests.faults.scheduler import SchedulerProcess, Terms
from tests.faults.stage import GANG, MIN_MEMBER, Stage, staged

DEVICES: Final = "stowplan.dev/devices"
FRACTION: Final = "stowplan.dev/gpu-fraction"
MEMORY: Final = "stowplan.dev/gpu-memory"
NVLINK: Final = "stowplan.dev/nvlink"
H100: Final = "NVIDIA-H100-80GB-HBM3"
L4: Final = "NVIDIA-L4"
Json = dict[str, Any]


class Scene:
    """``stage`` is the API server and its auditor; ``actor`` the nodes once ``nodes`` made them."""

    def __init__(self, stage: Stage, stack: AsyncExitStack, folder: Path) -> None:
        self.stage = stage
        self._stack = stack
        self._folder = folder
        self.actor: NodeActor
        #: The scheduler that ``nodes`` started.
        self.process: SchedulerProcess
        self.health_url = ""

    async def nodes(
        self, *pools: Pool, period_s: float = 0.5, serves: bool = False, other_devices: bool = False
    ) -> list[str]:
        """Ready nodes that have reported their devices, and then a scheduler; their names.

        serves: agents ask kubelets over their sockets. other_devices: plugins choose devices for themselves.
        """
        self.actor = await self._stack.enter_async_context(
            NodeActor(
                self.stage.api,
                pools,
                settings=Settings(
                    logs=self._folder,
                    inventory=True,
                    inventory_period_s=period_s,
                    pod_resources=serves,
                ),
                mischief={EVERYWHERE: Mischief(other_devices=other_devices)},
            )
        )
        self.process = await self.stage.start()
        self.health_url = self.process.health_url
        return [node.name for node in self.actor.nodes]

    def pool(self, name: str, count: int = 1, **more: Any) -> Pool:
        """Of this test alone: nodes of one cluster are shared."""
        wanted = {"gpus": 8, "model": H100, "gpu_memory": "80Gi", **more}
        return Pool(name=f"{self.stage.namespace}-{name}", count=count, **wanted)

    # -- what happens to devices -----------------------------------------------------------------

    def scenario(self, node: str) -> Scenario:
        assert self.actor.inventories is not None
        return self.actor.inventories.nodes[node].scenario

    def alter(self, node: str, index: int, **fields: Any) -> None:
        """Something happens to one device."""
        scenario = self.scenario(node)
        devices = list(scenario.devices)
        devices[index] = msgspec.structs.replace(devices[index], **fields)
        self.play(node, devices=tuple(devices))

    def play(self, node: str, **fields: Any) -> None:
        self.actor.play(node, msgspec.structs.replace(self.scenario(node), **fields))

    def strike(self, node: str, index: int, xid: int) -> None:
        events = self.scenario(node).events
        self.play(node, events=(*events, Event(device=index, data=xid)))

    def device(self, node: str, uuid: str) -> int:
        return next(i for i, device in enumerate(self.scenario(node).devices) if device.uuid == uuid)

    def intruder(self, node: str, index: int, mib: int = 20_000) -> None:
        """A process of nobody's pod takes memory."""
        self.alter(node, index, processes=(Process(pid=4711, mib=mib),), used_mib=mib)

    # -- what becomes of pods ------------------------------------------------------------------

    def pod(self, name: str) -> PodVersion:
        return self.stage.pods()[name]

    def named(self, name: str) -> tuple[str, ...]:
        return self.pod(name).devices

    def logs(self, pod: PodVersion) -> str:
        """What its container wrote."""
        return (self._folder / f"{pod.namespace}_{pod.name}_{pod.uid}" / "main.log").read_text()

    async def until(self, holds: Callable[[Mapping[str, PodVersion]], bool], what: str) -> None:
        def look(_: World) -> bool:
            return holds(self.stage.pods())

        await self.stage.until(look, what)

    async def until_usable(self, node: str, count: int) -> None:
        """Until the API server was told that so many of the node's devices may be given."""

        def holds(world: World) -> bool:
            told = world.gpu_nodes.get(node)
            return told is not None and len(told.usable) == count

        await self.stage.until(holds, f"{count} usable devices on {node}")

    async def until_waits(self, name: str, *words: str) -> None:
        """Until the pod was told why it waits, in these words among others."""

        def holds(pods: Mapping[str, PodVersion]) -> bool:
            told = pods[name].told if name in pods else None
            return told is not None and told[0] == "False" and all(word in told[2] for word in words)

        await self.until(holds, f"{name} waits: {words}")

    def asked_to_leave(self) -> set[str]:
        """UIDs for which an eviction was ever asked; none of them was granted one twice."""
        answered = self.stage.proxy.answered(eviction)
        uids = [one.call.json()["deleteOptions"]["preconditions"]["uid"] for one in answered]
        granted = Counter(uid for uid, one in zip(uids, answered, strict=True) if one.status < 300)
        assert max(granted.values(), default=0) <= 1, granted
        return set(uids)

    async def judge(self) -> None:
        """No invariant is broken, by the auditor's count, and no pod was rejected, by the nodes' own."""
        await self.stage.judge()
        assert self.actor.report().rejected == {}, self.actor.report().rejections


def manifest(
    name: str,
    *,
    gpus: int = 0,
    words: Mapping[str, str] | None = None,
    limits: Mapping[str, str] | None = None,
) -> Json:
    """A pod of ours. limits: more resources, such as MIG instances."""
    asked = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    asked |= dict(limits or {})
    return {
        "metadata": {"name": name, "annotations": dict(words or {})},
        "spec": {
            "schedulerName": "stowplan",
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": "none", "resources": {"limits": asked}}],
        },
    }


def gang(name: str, size: int, *, gpus: int = 0, words: Mapping[str, str] | None = None) -> list[Json]:
    keys = {GANG: name, MIN_MEMBER: str(size), **(words or {})}
    return [manifest(f"{name}-{i}", gpus=gpus, words=keys) for i in range(size)]


@asynccontextmanager
async def scene_on(cluster: Cluster, folder: Path, terms: Terms | None = None) -> AsyncIterator[Scene]:
    async with staged(cluster, folder, terms or Terms()) as stage, AsyncExitStack() as stack:
        yield Scene(stage, stack, folder)
