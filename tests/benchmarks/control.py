"""The control plane that a benchmark measures on: its nodes, its pods, and how it is emptied."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import msgspec
from rich.console import Console

from deploy.local.cluster import Cluster, running_cluster
from deploy.local.nodes.pools import specs, uniform
from deploy.local.nodes.register import register
from deploy.local.nodes.writer import TRANSIENT, Writer
from deploy.local.progress import shown
from scheduler.kube.transport import MERGE_PATCH, AlreadyExists, Endpoint, NotFound, OutcomeUnknown, Transport

GPU: Final = "nvidia.com/gpu"
GPUS_A_NODE: Final = 8
POD_GROUPS: Final = "scheduling.k8s.io/v1beta1"
GANGS: Final = "stowplan.dev/v1alpha1"
CREATES_AT_ONCE: Final = 32
CREATE_TIMEOUT_S: Final = 60.0
CLEAR_TIMEOUT_S: Final = 120.0
CLEAR_TRIES_MAX: Final = 10

#: Of tables in a log.
LOG_WIDTH: Final = 110
#: Progress and tables; the figures themselves are a JSON file.
console: Final = Console(stderr=True, soft_wrap=True, width=None if sys.stderr.isatty() else LOG_WIDTH)


class BenchmarkFailed(Exception):
    """The benchmark has no result: a scheduler ended, was too slow, or placed pods wrongly."""


class Control:
    """One API server, as its administrator."""

    def __init__(self, cluster: Cluster, api: Transport) -> None:
        self.cluster = cluster
        self.api = api

    async def namespace(self, name: str) -> None:
        """Create a namespace unless it is there."""
        try:
            await self.api.request("POST", "/api/v1/namespaces", body=_encode({"metadata": {"name": name}}))
        except AlreadyExists:
            return

    async def collect(self) -> None:
        """Have the API server collect its garbage: no run pays for what was before it (as JMH's ``-gc``)."""
        await self.api.request("GET", "/debug/pprof/heap", params={"gc": "1"}, timeout_s=CLEAR_TIMEOUT_S)

    async def nodes(self, count: int) -> list[str]:
        """Register ready nodes of ``GPUS_A_NODE`` GPUs that no kubelet plays; their names."""
        nodes = specs(uniform(count, gpus=GPUS_A_NODE, racks=min(count, 32)))
        await register(Writer(self.api), nodes, clock=time.time)
        return [node.name for node in nodes]

    async def create(
        self, objects: Iterable[tuple[str, bytes]], *, done: Callable[[], object] = lambda: None
    ) -> None:
        """POST (path, body) pairs, in their order as far as ``CREATES_AT_ONCE`` lanes allow."""
        left = iter(objects)

        async def work() -> None:
            for path, body in left:
                try:
                    await self.api.request("POST", path, body=body, timeout_s=CREATE_TIMEOUT_S)
                except OutcomeUnknown:
                    await self._create_again(path, body)
                done()

        async with asyncio.TaskGroup() as group:
            for _ in range(CREATES_AT_ONCE):
                group.create_task(work())

    async def pod_group(self, namespace: str, name: str, *, min_count: int) -> None:
        """A native PodGroup under the gang policy."""
        body = {
            "apiVersion": POD_GROUPS,
            "kind": "PodGroup",
            "metadata": {"name": name},
            "spec": {"schedulingPolicy": {"gang": {"minCount": min_count}}},
        }
        path = f"/apis/{POD_GROUPS}/namespaces/{namespace}/podgroups"
        await self.api.request("POST", path, body=_encode(body))

    async def lift_tenant_rules(self) -> None:
        """Take the policies for tenants out of force: another scheduler should not pay for them."""
        policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
        for name in ("stowplan-binders", "stowplan-pods"):
            await self.api.delete(f"{policies}/{name}")

    async def drop_pod_group(self, namespace: str, name: str) -> None:
        """Delete a PodGroup and lift its finalizer, which no controller does here."""
        path = f"/apis/{POD_GROUPS}/namespaces/{namespace}/podgroups/{name}"
        try:
            await self._until_told("DELETE", path)
            lifted = _encode({"metadata": {"finalizers": None}})
            await self._until_told("PATCH", path, body=lifted, content_type=MERGE_PATCH)
        except NotFound:
            return

    async def clear_pods(self, namespace: str) -> None:
        """Ask for the end of all pods of a namespace, at once; a watch shows when they are gone."""
        path = f"/api/v1/namespaces/{namespace}/pods"
        await self._until_told("DELETE", path, params={"gracePeriodSeconds": "0"})

    async def clear_gangs(self, namespace: str) -> None:
        """Delete the Gang objects of pods that are gone: no garbage collector runs here."""
        await self._until_told("DELETE", f"/apis/{GANGS}/namespaces/{namespace}/gangs")

    async def _create_again(self, path: str, body: bytes) -> None:
        try:
            await Writer(self.api).send("POST", path, body)
        except AlreadyExists:
            return

    async def _until_told(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        params: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> None:
        """Repeat an idempotent write until it is answered. Raises ApiError for a refusal."""
        last: Exception | None = None
        for _ in range(CLEAR_TRIES_MAX):
            try:
                await self.api.request(
                    method,
                    path,
                    body=body,
                    params=params,
                    content_type=content_type,
                    timeout_s=CLEAR_TIMEOUT_S,
                )
            except TRANSIENT as error:
                last = error
            else:
                return
        raise BenchmarkFailed(f"{method} {path} was not answered: {last}")


@asynccontextmanager
async def control_plane() -> AsyncIterator[Control]:
    """A cluster of its own for one benchmark; nothing of it is left, however the benchmark ends."""
    async with AsyncExitStack() as stack:
        watcher = stack.enter_context(shown(console))
        # Entered here, not in a thread: a Ctrl-C during the boot then unwinds what was started.
        cluster = stack.enter_context(running_cluster(watcher=watcher))
        endpoint = Endpoint.from_kubeconfig(cluster.admin_kubeconfig)
        api = await stack.enter_async_context(
            Transport(endpoint, user_agent="bench", connections_max=2 * CREATES_AT_ONCE)
        )
        yield Control(cluster, api)


def pods_path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def _encode(value: object) -> bytes:
    return msgspec.json.encode(value)
