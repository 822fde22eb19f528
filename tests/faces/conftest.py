"""A real API server for the faces, and namespaces of their own on it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Mapping

import msgspec
import pytest

from deploy.local.cluster import Cluster
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import Transport
from scheduler.live.claims import DIALECT

POD_SPEC: dict[str, object] = {
    "schedulerName": "stowplan",
    "containers": [{"name": "c", "image": "i", "resources": {"limits": {"nvidia.com/gpu": "1"}}}],
}


class Stand:
    """A namespace and what the tests put there, as an admin would."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def kubeconfig(self) -> str:
        return str(self.cluster.admin_kubeconfig)

    def run(self, work: Callable[[Transport], Coroutine[None, None, None]]) -> None:
        """Do something with an admin's transport."""

        async def doing() -> None:
            endpoint = Endpoint.from_kubeconfig(self.cluster.admin_kubeconfig)
            async with Transport(endpoint) as transport:
                await work(transport)

        asyncio.run(doing())

    def pod(self, name: str, *, annotations: dict[str, str] | None = None, **spec: object) -> None:
        metadata = {"name": name, "annotations": annotations or {}}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**POD_SPEC, **spec}}
        self.post(f"/api/v1/namespaces/{self.namespace}/pods", body)

    def gang(self, name: str, **status: object) -> None:
        metadata = {"name": name, "labels": {DIALECT: "own"}, "annotations": {DIALECT: name}}
        body = {"apiVersion": "stowplan.dev/v1alpha1", "kind": "Gang", "metadata": metadata}
        path = f"/apis/stowplan.dev/v1alpha1/namespaces/{self.namespace}/gangs"
        self.post(path, body)
        self.patch(f"{path}/{name}/status", {"status": status})

    def tell(self, pod: str, *, reason: str, message: str) -> None:
        """Write the condition that the announcer would write."""
        told = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/status"
        self.patch(path, {"status": {"conditions": [told]}}, "application/strategic-merge-patch+json")

    def post(self, path: str, body: Mapping[str, object]) -> None:
        async def posting(transport: Transport) -> None:
            await transport.request("POST", path, body=msgspec.json.encode(body))

        self.run(posting)

    def patch(
        self, path: str, body: Mapping[str, object], content_type: str = "application/merge-patch+json"
    ) -> None:
        async def patching(transport: Transport) -> None:
            await transport.request("PATCH", path, body=msgspec.json.encode(body), content_type=content_type)

        self.run(patching)


@pytest.fixture
def stand(cluster: Cluster) -> Stand:
    made = Stand(cluster, f"faces-{uuid.uuid4().hex[:12]}")
    made.post(
        "/api/v1/namespaces",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made.namespace}},
    )
    return made
