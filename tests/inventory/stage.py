"""An agent on the fake library and a real API server, and waiting for what it writes."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import msgspec
import pynvml

from deploy.local.cluster import Cluster
from deploy.local.nvml.library import FakeLibrary, FakeNode, shipped
from scheduler.inventory.agent import Agent, AgentSettings
from scheduler.inventory.binding import NvmlError, code_of
from scheduler.inventory.nvml import Nvml
from scheduler.inventory.writer import CLEAR_ANNOTATION, PATH
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import Invalid, NotFound, Transport
from scheduler.kube.wire.inventory import GPUNode, GPUNodeStatus

PATIENCE_S = 20.0


class Stage:
    """One node with its own name; ``agent`` may be started again and again."""

    def __init__(self, library: FakeLibrary, folder: Path, api: Transport) -> None:
        self.name = f"gpu-{uuid.uuid4().hex[:10]}"
        self.node = FakeNode(folder, self.name, shipped("h100-nvswitch"))
        self.api = api
        #: The API server refuses what agents of this stage write about their devices.
        self.refuses_status = False
        self._nvml = cast(Nvml, _OnNode(library, self.node))

    def agent(
        self,
        *,
        heartbeat_s: float = 60.0,
        period_s: float = 0.02,
        deadline_s: float = 10.0,
        once: bool = False,
        wait_for_driver: bool = False,
        boot_id: str = "boot",
    ) -> Agent:
        settings = AgentSettings(
            node_name=self.name,
            boot_id=boot_id,
            probe_period_s=period_s,
            deadline_s=deadline_s,
            heartbeat_s=heartbeat_s,
            gap_s=0.0,
            once=once,
            wait_for_driver=wait_for_driver,
        )
        api = cast(Transport, _Refusing(self))
        return Agent(self._nvml, api, settings, owner=self.node.pod_of, rng=random.Random(1))

    def error_of(self, call: str) -> int:
        """NVML's answer to a call of this process that opens nothing."""
        try:
            getattr(self._nvml, call)()
        except NvmlError as error:
            return code_of(error)
        return 0

    async def until_cleared(self) -> None:
        """Until no admin's word is on the object any more."""
        async with asyncio.timeout(PATIENCE_S):
            while CLEAR_ANNOTATION in ((await self._object()).metadata.annotations or {}):
                await asyncio.sleep(0)

    async def _object(self) -> GPUNode:
        return await self.api.get(f"{PATH}/{self.name}", GPUNode)

    @asynccontextmanager
    async def running(self, agent: Agent) -> AsyncIterator[Agent]:
        task = asyncio.create_task(agent.run())
        try:
            yield agent
        finally:
            agent.stop()
            await task

    async def status(self) -> GPUNodeStatus | None:
        with suppress(NotFound):
            return (await self.api.get(f"{PATH}/{self.name}", GPUNode)).status
        return None

    async def until(self, holds: Callable[[GPUNodeStatus], bool]) -> GPUNodeStatus:
        """The first status seen for which it holds."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                status = await self.status()
                if status is not None and status.state and holds(status):
                    return status

    async def annotate(self, key: str, value: str) -> None:
        body = msgspec.json.encode({"metadata": {"annotations": {key: value}}})
        await self.api.request(
            "PATCH", f"{PATH}/{self.name}", body=body, content_type="application/merge-patch+json"
        )


class _Refusing:
    """The API, which may have another idea of what a GPUNode is than the agent."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __getattr__(self, name: str) -> object:
        return getattr(self._stage.api, name)

    async def patch(self, path: str, *more: object, **words: object) -> object:
        if path.endswith("/status") and self._stage.refuses_status:
            raise Invalid(422, "Invalid", "not as the definition says")
        patch = cast(Callable[..., Awaitable[object]], self._stage.api.patch)
        return await patch(path, *more, **words)


class _OnNode:
    """``pynvml``, about this node in whatever thread calls it."""

    def __init__(self, library: FakeLibrary, node: FakeNode) -> None:
        self._library = library
        self._node = node

    def __getattr__(self, name: str) -> object:
        self._library.use(self._node.table_file)
        return getattr(pynvml, name)


@asynccontextmanager
async def admin(cluster: Cluster) -> AsyncIterator[Transport]:
    async with Transport(Endpoint.from_kubeconfig(cluster.admin_kubeconfig), connections_max=4) as api:
        yield api
