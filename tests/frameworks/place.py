"""The real kube-controller-manager beside ``stowplan run``, nodes and the auditor, for a module of tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from deploy.local.audit import Auditor
from deploy.local.cluster import running_cluster_async
from deploy.local.components import Component
from deploy.local.demo.scheduler import running_scheduler
from deploy.local.frameworks.stage import make_namespace
from deploy.local.nodes.actor import NodeActor, Settings
from deploy.local.nodes.mischief import Mischief
from deploy.local.nodes.pools import Pool
from scheduler.invariants import PodVersion, World
from scheduler.kube.transport import MERGE_PATCH, Endpoint, Transport

Json = dict[str, Any]

PATIENCE_S: Final = 120.0
_PLURALS: Final = {
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
}


class _Condition(msgspec.Struct):
    type: str
    status: str


class _Status(msgspec.Struct):
    conditions: list[_Condition] | None = None


class _Owner(msgspec.Struct):
    status: _Status = msgspec.field(default_factory=_Status)


class _Event(msgspec.Struct):
    object: _Owner


class Place:
    """The namespace of one test, with the pool of nodes of the same name for its pods alone."""

    def __init__(self, admin: Transport, auditor: Auditor, actor: NodeActor, name: str) -> None:
        self.name = name
        self._admin = admin
        self._auditor = auditor
        self._actor = actor
        self._made: list[str] = []

    async def create(self, manifest: Json, **words: str) -> None:
        """A manifest with its pods on the nodes of this place; words: more annotations of its template."""
        template = manifest["spec"]["template"]
        spec = {
            **template["spec"],
            "nodeSelector": {"stowplan.dev/pool": self.name},
            "terminationGracePeriodSeconds": 0,
        }
        metadata = template.get("metadata", {})
        notes = {**metadata.get("annotations", {}), **{f"stowplan.dev/{k}": v for k, v in words.items()}}
        filled = {"metadata": {**metadata, "annotations": notes}, "spec": spec}
        body = {**manifest, "spec": {**manifest["spec"], "template": filled}}
        path = _PLURALS[manifest["kind"]].format(self.name)
        await self._admin.request("POST", path, body=msgspec.json.encode(body))
        self._made.append(f"{path}/{manifest['metadata']['name']}")

    async def post(self, path: str, body: Json) -> None:
        """Create any other object, at a path with ``{}`` for the namespace."""
        path = path.format(self.name)
        await self._admin.request("POST", path, body=msgspec.json.encode(body))
        self._made.append(f"{path}/{body['metadata']['name']}")

    async def patch(self, path: str, **spec: object) -> None:
        """Change any other object."""
        body = msgspec.json.encode({"spec": spec})
        await self._admin.request("PATCH", path.format(self.name), body=body, content_type=MERGE_PATCH)

    async def change(self, **spec: object) -> None:
        """Change the object that was created last."""
        body = msgspec.json.encode({"spec": spec})
        await self._admin.request("PATCH", self._made[-1], body=body, content_type=MERGE_PATCH)

    async def end(self, pod: PodVersion) -> None:
        """The pod's container has ended well."""
        body = msgspec.json.encode({"status": {"phase": "Succeeded"}})
        path = f"{self._pods}/{pod.name}/status"
        await self._admin.request("PATCH", path, body=body, content_type=MERGE_PATCH)

    async def fail(self, pod: PodVersion) -> None:
        """The pod's container has ended with an error."""
        body = msgspec.json.encode({"status": {"phase": "Failed"}})
        path = f"{self._pods}/{pod.name}/status"
        await self._admin.request("PATCH", path, body=body, content_type=MERGE_PATCH)

    async def lose(self, pod: PodVersion) -> None:
        """The pod goes at once and without a word."""
        await self._admin.delete(f"{self._pods}/{pod.name}", grace_s=0)

    async def lose_node(self, name: str) -> None:
        """The node is silent, then gone with its pods, as the controllers of nodes and garbage have it."""
        await self._actor.misbehave({name: Mischief(lost=True)})
        await self._admin.request("DELETE", f"/api/v1/nodes/{name}")
        for pod in self.pods():
            if pod.node == name:
                await self.lose(pod)

    def pods(self) -> list[PodVersion]:
        """The pods that have not ended, by name."""
        found = self._auditor.pods(self.name).values()
        return sorted((pod for pod in found if pod.is_live), key=lambda pod: pod.name)

    def running(self) -> list[PodVersion]:
        return [pod for pod in self.pods() if pod.phase == "Running" and not pod.is_deleting]

    def waiting(self) -> list[PodVersion]:
        """Pods that were told why they wait."""
        return [pod for pod in self.pods() if pod.waits and pod.told is not None and pod.told[0] == "False"]

    def evicted(self) -> set[str]:
        """UIDs of pods that were ever evicted."""
        versions = (entry.version for entry in self._auditor.history())
        return {
            version.uid
            for version in versions
            if isinstance(version, PodVersion) and version.namespace == self.name and version.is_evicted
        }

    def phases(self) -> list[str]:
        """What the Gang objects say."""
        gangs = self._auditor.world.gangs
        return [gang.phase for ref, gang in gangs.items() if ref.namespace == self.name]

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        def look(_: World) -> bool:
            return holds()

        await self._auditor.wait_until(look, PATIENCE_S, what=f"{self.name}: {what}")

    async def until_whole(self, count: int) -> None:
        """Until so many pods run and no others exist, and their gang is called bound: all answers are in."""
        await self.until(
            lambda: len(self.pods()) == len(self.running()) == count and self.phases() == ["Bound"],
            f"{count} run as a gang",
        )

    async def until_said(self, condition: str) -> None:
        """Until the controller says so of the object that was created last. Raises: TimeoutError."""
        collection, _, name = self._made[-1].rpartition("/")
        params = {"watch": "true", "fieldSelector": f"metadata.name={name}"}
        stream = self._admin.stream(collection, params=params, read_timeout_s=PATIENCE_S)
        async with asyncio.timeout(PATIENCE_S), aclosing(stream) as events:
            async for line in events:
                found = msgspec.json.decode(line, type=_Event).object.status.conditions or ()
                if any(c.type == condition and c.status == "True" for c in found):
                    return

    async def judge(self) -> None:
        """No invariant was broken by anything of this place."""
        found = [str(violation) for violation in await self._auditor.violations()]
        mine = [text for text in found if f"{self.name}/" in text]
        assert mine == [], "; ".join(mine)

    async def leave(self) -> None:
        for path in self._made:
            await self._admin.request("DELETE", path, params={"propagationPolicy": "Background"})
        await self._actor.misbehave({})

    @property
    def _pods(self) -> str:
        return f"/api/v1/namespaces/{self.name}/pods"


class Places:
    """Gives each test the place that it names."""

    def __init__(self, admin: Transport, auditor: Auditor, actor: NodeActor, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self._parts = (admin, auditor, actor)

    @asynccontextmanager
    async def at(self, name: str) -> AsyncIterator[Place]:
        await make_namespace(self._parts[0], name)
        place = Place(*self._parts, name)
        try:
            yield place
        finally:
            await place.leave()


@asynccontextmanager
async def places(
    folder: Path, pools: Sequence[Pool], *, beside: Sequence[Component] = ("kube-controller-manager",)
) -> AsyncIterator[Places]:
    """A cluster with the real controllers ``beside`` ``stowplan run``, and a pool of nodes for each place."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(running_cluster_async())
        for component in beside:
            await asyncio.to_thread(cluster.start_component, component)
        endpoint = Endpoint.from_kubeconfig(cluster.admin_kubeconfig)
        admin = await stack.enter_async_context(Transport(endpoint, user_agent="tests"))
        kubelets = Transport(Endpoint.from_kubeconfig(cluster.kubeconfig("node-actor")))
        await stack.enter_async_context(kubelets)
        settings = Settings(logs=folder / "pods", inventory=False)
        actor = await stack.enter_async_context(NodeActor(kubelets, pools, settings=settings))
        auditor = await stack.enter_async_context(Auditor(admin))
        await stack.enter_async_context(running_scheduler(cluster.kubeconfig("stowplan"), folder))
        yield Places(admin, auditor, actor, cluster.admin_kubeconfig)
