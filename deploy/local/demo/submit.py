"""Submits manifests as kubectl would: each object to the collection of its kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from deploy.local.demo.story import NAMESPACE
from scheduler.kube.transport import Transport

#: apiVersion and kind of what the examples hold, and its collection.
_COLLECTIONS = {
    ("v1", "Pod"): f"/api/v1/namespaces/{NAMESPACE}/pods",
    ("batch/v1", "Job"): f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs",
    (
        "scheduling.k8s.io/v1beta1",
        "PodGroup",
    ): f"/apis/scheduling.k8s.io/v1beta1/namespaces/{NAMESPACE}/podgroups",
}


async def make_namespace(transport: Transport) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await transport.request("POST", "/api/v1/namespaces", body=msgspec.json.encode(body))


async def submit(transport: Transport, manifests: Iterable[Mapping[str, object]]) -> None:
    """Raises: KeyError for a kind that the demo does not know, ClusterError."""
    for manifest in manifests:
        path = _COLLECTIONS[str(manifest["apiVersion"]), str(manifest["kind"])]
        await transport.request("POST", path, body=msgspec.json.encode(manifest))
