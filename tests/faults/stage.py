"""One cluster, one namespace, one proxy, one auditor: what a fault test acts on."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from deploy.local.audit import Auditor, Overdue
from deploy.local.cluster import Cluster
from deploy.local.nodes.pools import Pool, specs
from deploy.local.nodes.register import register
from deploy.local.nodes.writer import Writer
from scheduler.invariants import PodVersion, World, unfinished
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import JSON, MERGE_PATCH, ApiError, NotFound, Transport
from tests.faults.proxy import Proxy, lease_renewal
from tests.faults.scheduler import Launcher, SchedulerProcess, Terms, launcher

GPU: Final = "nvidia.com/gpu"
GANG: Final = "stowplan.dev/gang"
MIN_MEMBER: Final = "stowplan.dev/gang-min-member"
AT_ONCE: Final = 16
SETTLE_S: Final = 40.0
SWEEP_S: Final = 50.0
LEASE: Final = "/apis/coordination.k8s.io/v1/namespaces/stowplan-system/leases/stowplan"

Json = dict[str, Any]


class _Identity(msgspec.Struct, frozen=True):
    uid: str


class _Made(msgspec.Struct, frozen=True):
    metadata: _Identity


class Stage:
    """``api`` is the administrator, past the proxy. Nodes have no kubelet: what is bound stays Pending."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        api: Transport,
        proxy: Proxy,
        auditor: Auditor,
        launch: Launcher,
    ) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.api = api
        self.proxy = proxy
        self.auditor = auditor
        self._launcher = launch
        self.pods_path = f"/api/v1/namespaces/{namespace}/pods"

    # -- objects ---------------------------------------------------------------------------------

    async def nodes(self, count: int, *, gpus: int = 8, prefix: str = "n") -> list[str]:
        """Register ready nodes; their names."""
        pool = Pool(name=f"{self.namespace}-{prefix}", count=count, gpus=gpus)
        nodes = specs([pool])
        await register(Writer(self.api), nodes, clock=time.time)
        return [node.name for node in nodes]

    async def create(self, pods: Sequence[Json]) -> None:
        """Create pods, in their order as far as one connection each allows, and wait until they are seen.

        What is asked of ``pods`` afterwards is asked of these too.
        """
        lanes = asyncio.Semaphore(AT_ONCE)

        async def one(body: Json) -> str:
            async with lanes:
                return await self._make(body)

        async with asyncio.TaskGroup() as group:
            made = [group.create_task(one(body)) for body in pods]
        await self._are_seen({task.result() for task in made})

    async def is_taken(self, body: Json) -> bool:
        """Create a pod, unless the API server finds it invalid."""
        try:
            await self._are_seen({await self._make(body)})
        except ApiError as refused:
            if refused.status not in (400, 422):
                raise
            return False
        return True

    async def _make(self, pod: Json) -> str:
        answer = await self.api.request("POST", self.pods_path, body=msgspec.json.encode(pod))
        return msgspec.json.decode(answer, type=_Made).metadata.uid

    async def _are_seen(self, uids: set[str]) -> None:
        await self.auditor.wait_until(lambda _: uids <= self.auditor.met, SETTLE_S, what="new pods are seen")

    async def beats(self, count: int) -> None:
        """Return when the leader has renewed its lease so many times more: time passes for it."""
        wanted = len(self.proxy.applied(lease_renewal)) + count
        while len(self.proxy.applied(lease_renewal)) < wanted:
            await self.proxy.next_answer()

    async def delete(self, name: str, *, grace_s: int = 0) -> None:
        await self.api.delete(f"{self.pods_path}/{name}", grace_s=grace_s)

    async def bind(self, name: str, node: str, *, epoch: int | None = None) -> None:
        """A Binding by somebody else."""
        words = {} if epoch is None else {"stowplan.dev/epoch": str(epoch)}
        body = {
            "metadata": {"name": name, "annotations": words},
            "target": {"kind": "Node", "name": node},
        }
        path = f"{self.pods_path}/{name}/binding"
        await self.api.request("POST", path, body=msgspec.json.encode(body))

    async def patch(self, path: str, body: Json | list[Json], *, content_type: str = MERGE_PATCH) -> None:
        await self.api.request("PATCH", path, body=msgspec.json.encode(body), content_type=content_type)

    async def post(self, path: str, body: Json) -> None:
        await self.api.request("POST", path, body=msgspec.json.encode(body), content_type=JSON)

    # -- processes -------------------------------------------------------------------------------

    async def start(self) -> SchedulerProcess:
        return await self._launcher.start()

    # -- waiting and judging ---------------------------------------------------------------------

    async def until(self, holds: Callable[[World], bool], what: str, *, timeout_s: float = SETTLE_S) -> None:
        """Wait for something to be true, as long as the scheduler started last lives. Raises: Overdue."""
        waiting = asyncio.create_task(self.auditor.wait_until(holds, timeout_s, what=what))
        dying = asyncio.create_task(self._launcher.died())
        await asyncio.wait({waiting, dying}, return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        waiting.cancel()
        try:
            await waiting
        except (Overdue, asyncio.CancelledError) as error:
            words = (str(error) or what, self._launcher.last_words(), self.proxy.last_refusals())
            raise Overdue("\n".join(words)) from error

    async def until_bound(self, *names: str, timeout_s: float = SETTLE_S) -> None:
        """Until these pods, or all there are, are bound."""

        def holds(_: World) -> bool:
            pods = self.pods()
            return bool(pods) and all(name in pods and pods[name].node for name in names or pods)

        await self.until(holds, f"{names or 'every pod'} bound", timeout_s=timeout_s)

    async def until_settled(self, *, timeout_s: float = SETTLE_S) -> None:
        """Until every pod is bound and staying, or waits and was told why, and no gang is half bound."""

        def holds(_: World) -> bool:
            pods = self.pods().values()
            is_told = all(pod.node or (pod.told is not None and pod.told[0] == "False") for pod in pods)
            return is_told and not unfinished(self.auditor.history())

        await self.until(holds, "settled", timeout_s=timeout_s)

    def pods(self) -> Mapping[str, PodVersion]:
        return self.auditor.pods(self.namespace)

    def bound(self) -> set[str]:
        return {name for name, pod in self.pods().items() if pod.node}

    async def judge(self, *, partial_s: float = 30.0) -> None:
        """Nothing the auditor saw breaks an invariant, and no scheduler logged a traceback."""
        # At any time the proxy may have kept a gang from being completed.
        found = list(
            map(str, await self.auditor.violations(partial_s=partial_s, troubles=((0.0, float("inf")),)))
        )
        found += self._launcher.complaints()
        assert not found, "\n".join(found)


def pod(name: str, *, gpus: int = 1, annotations: Mapping[str, str] | None = None, **spec: Any) -> Json:
    """A pod of ours as a manifest; it leaves at once when it is deleted."""
    return {
        "metadata": {"name": name, "annotations": dict(annotations or {})},
        "spec": {
            "schedulerName": "stowplan",
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": "none", "resources": {"limits": {GPU: str(gpus)}}}],
            **spec,
        },
    }


def gang(name: str, size: int, *, minimum: int | None = None, gpus: int = 1, **spec: Any) -> list[Json]:
    words = {GANG: name, MIN_MEMBER: str(minimum or size)}
    return [pod(f"{name}-{i}", gpus=gpus, annotations=words, **spec) for i in range(size)]


def foreign(name: str, *, node: str = "", gpus: int = 1) -> Json:
    """A pod of another scheduler, bound from the start where a node is given."""
    body = pod(name, gpus=gpus, schedulerName="another")
    if node:
        body["spec"]["nodeName"] = node
    return body


@asynccontextmanager
async def staged(
    cluster: Cluster, folder: Path, terms: Terms, way: Callable[[Endpoint], Proxy] = Proxy
) -> AsyncIterator[Stage]:
    """A stage of its own on a cluster that was used before; swept when left."""
    namespace = f"f{uuid.uuid4().hex[:8]}"
    endpoint = Endpoint.from_kubeconfig(cluster.admin_kubeconfig)
    async with Transport(endpoint, user_agent="faults", connections_max=32) as api:
        await sweep(api)
        await api.request(
            "POST", "/api/v1/namespaces", body=msgspec.json.encode({"metadata": {"name": namespace}})
        )
        async with AsyncExitStack() as stack:
            auditor = await stack.enter_async_context(Auditor(api))
            proxy = await stack.enter_async_context(way(endpoint))
            launch = await stack.enter_async_context(launcher(cluster, proxy, folder, terms))
            yield Stage(cluster, namespace, api, proxy, auditor, launch)
        await sweep(api)


async def sweep(api: Transport) -> None:
    """Remove what an earlier stage left: a killed scheduler's lease, nodes, pods, Gang objects and Events."""
    listed = await api.get("/api/v1/pods", _Names, timeout_s=SWEEP_S)
    for name in {item.metadata.namespace for item in listed.items}:
        # Thousands of pods take longer than one request may.
        await api.delete(f"/api/v1/namespaces/{name}/pods", grace_s=0, timeout_s=SWEEP_S)
        await api.delete(f"/apis/stowplan.dev/v1alpha1/namespaces/{name}/gangs")
        await api.delete(f"/apis/events.k8s.io/v1/namespaces/{name}/events")
    await api.delete("/api/v1/nodes")
    await api.delete("/apis/stowplan.dev/v1alpha1/gpunodes")
    try:
        await api.delete(LEASE)
    except NotFound:
        return


class _Name(msgspec.Struct):
    namespace: str


class _Named(msgspec.Struct):
    metadata: _Name


class _Names(msgspec.Struct):
    items: list[_Named]
