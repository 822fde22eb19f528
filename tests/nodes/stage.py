"""A stage on the real API server for one test: its own namespace and nodes, read directly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Protocol

import msgspec

from deploy.local.nodes.wire import NodePod
from scheduler.kube.transport import Transport
from tests.nodes.waiting import PATIENCE_S

Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None


class ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    restart_count: int = 0
    state: dict[str, dict[str, str | int]] = {}


class SeenStatus(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(name="podIP", default="")
    container_statuses: tuple[ContainerStatus, ...] = ()


class SeenMetadata(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    uid: str
    deletion_timestamp: str | None = None


class SeenPod(msgspec.Struct, frozen=True):
    metadata: SeenMetadata
    status: SeenStatus


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: SeenPod


class _ListMetadata(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str


class _PodList(msgspec.Struct, frozen=True):
    metadata: _ListMetadata
    items: tuple[SeenPod, ...]


class Cluster(Protocol):
    """What these tests use of the local cluster."""

    @property
    def admin_kubeconfig(self) -> object: ...


Pods = Mapping[str, SeenPod]


class Stage:
    """Creates pods already bound to a node, and waits for what becomes of them."""

    def __init__(self, api: Transport, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self._pods = f"/api/v1/namespaces/{namespace}/pods"

    async def bind(
        self,
        name: str,
        node: str,
        *,
        gpus: int = 0,
        annotations: Mapping[str, str] | None = None,
        command: Sequence[Json] = (),
        env: Sequence[Json] = (),
        restart_policy: str = "Never",
        grace_s: int = 1,
    ) -> NodePod:
        asked: Json = {"nvidia.com/gpu": str(gpus)} if gpus else {}
        container: dict[str, Json] = {"name": "main", "image": "none", "resources": {"limits": asked}}
        container |= {"command": command, "env": env}
        body: Json = {
            "metadata": {"name": name, "annotations": dict(annotations or {})},
            "spec": {
                "nodeName": node,
                "restartPolicy": restart_policy,
                "terminationGracePeriodSeconds": grace_s,
                "tolerations": [{"operator": "Exists"}],
                "containers": [container],
            },
        }
        answer = await self.api.request("POST", self._pods, body=msgspec.json.encode(body))
        return msgspec.json.decode(answer, type=NodePod)

    async def delete(self, name: str) -> None:
        await self.api.request("DELETE", f"{self._pods}/{name}")

    async def force_delete_all(self) -> None:
        await self.api.request("DELETE", self._pods, params={"gracePeriodSeconds": "0"})

    async def until(self, holds: Callable[[Pods], bool]) -> Pods:
        """The namespace's pods by name, as soon as the condition holds for them."""
        listed = msgspec.json.decode(await self.api.request("GET", self._pods), type=_PodList)
        pods = {pod.metadata.name: pod for pod in listed.items}
        if holds(pods):
            return pods
        params = {
            "watch": "true",
            "timeoutSeconds": "60",
            "resourceVersion": listed.metadata.resource_version,
        }
        stream = self.api.stream(self._pods, params=params, read_timeout_s=60.0)
        async with asyncio.timeout(PATIENCE_S), aclosing(stream):
            async for line in stream:
                event = msgspec.json.decode(line, type=_Event)
                if event.type == "DELETED":
                    pods.pop(event.object.metadata.name, None)
                else:
                    pods[event.object.metadata.name] = event.object
                if holds(pods):
                    return pods
        raise AssertionError(f"the watch ended with {pods}")


def phases(pods: Pods) -> dict[str, str]:
    return {name: pod.status.phase for name, pod in pods.items()}
