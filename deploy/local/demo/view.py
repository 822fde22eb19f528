"""The demo's own view of the pods: a list and a watch, beside the scheduler's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from deploy.local.demo.story import NAMESPACE
from scheduler.kube.transport import Gone, Transport, Unreachable
from scheduler.kube.wire import Event, Metadata, Node, Pod, PodGroup, TeamQuota

#: Of all namespaces: that of the gangs and those of the teams. Names are unique in the story.
PODS = "/api/v1/pods"
TEAM_QUOTAS = "/apis/stowplan.dev/v1alpha1/teamquotas"
EVENTS = "/apis/events.k8s.io/v1/namespaces/{namespace}/events"
PODGROUPS = f"/apis/scheduling.k8s.io/v1beta1/namespaces/{NAMESPACE}/podgroups"
WATCH_S = 120
WATCHES_MAX = 100


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str


class _Pods(msgspec.Struct):
    metadata: _ListMeta
    items: list[Pod]


class _Nodes(msgspec.Struct):
    items: list[Node]


class _Groups(msgspec.Struct):
    items: list[PodGroup]


class _TeamQuotas(msgspec.Struct):
    items: list[TeamQuota]


class _Events(msgspec.Struct):
    items: list[Event]


class _Bookmark(msgspec.Struct):
    metadata: Metadata


class _Change(msgspec.Struct):
    type: str
    object: msgspec.Raw


class View:
    """Pods by name as the watch shows them; ``changed`` is called after every change."""

    def __init__(self, transport: Transport, changed: Callable[[], None]) -> None:
        self.pods: dict[str, Pod] = {}
        self._transport = transport
        self._changed = changed
        self._turned = asyncio.Condition()

    async def run(self) -> None:
        """Watch until cancelled. Raises: ClusterError when it cannot go on."""
        version = await self._list()
        for _ in range(WATCHES_MAX):
            try:
                version = await self._watch(version)
            except (Gone, Unreachable):
                version = await self._list()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something to be true of the pods."""
        async with self._turned:
            await self._turned.wait_for(holds)

    async def _list(self) -> str:
        found = await self._transport.get(PODS, _Pods)
        self.pods = {pod.metadata.name: pod for pod in found.items}
        await self._notify()
        return found.metadata.resource_version

    async def _watch(self, version: str) -> str:
        asked = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_S),
        }
        async for line in self._transport.stream(PODS, params=asked, read_timeout_s=WATCH_S + 10):
            event = msgspec.json.decode(line, type=_Change)
            if event.type == "ERROR":
                return await self._list()
            if event.type == "BOOKMARK":
                version = msgspec.json.decode(event.object, type=_Bookmark).metadata.resource_version
                continue
            pod = msgspec.json.decode(event.object, type=Pod)
            version = pod.metadata.resource_version
            if event.type == "DELETED":
                self.pods.pop(pod.metadata.name, None)
            else:
                self.pods[pod.metadata.name] = pod
            await self._notify()
        return version

    async def _notify(self) -> None:
        self._changed()
        async with self._turned:
            self._turned.notify_all()


async def read_pods(transport: Transport) -> list[Pod]:
    """As they are now: a quorum read, not the watch's view."""
    return (await transport.get(PODS, _Pods)).items


async def read_nodes(transport: Transport) -> list[Node]:
    return (await transport.get("/api/v1/nodes", _Nodes)).items


async def read_groups(transport: Transport) -> list[PodGroup]:
    return (await transport.get(PODGROUPS, _Groups)).items


async def read_team_quotas(transport: Transport) -> list[TeamQuota]:
    return (await transport.get(TEAM_QUOTAS, _TeamQuotas)).items


async def read_events(transport: Transport, namespace: str) -> list[Event]:
    return (await transport.get(EVENTS.format(namespace=namespace), _Events)).items
