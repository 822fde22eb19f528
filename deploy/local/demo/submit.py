"""Submits manifests as kubectl would: each object to the collection of its kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from deploy.local.demo.story import NAMESPACE
from scheduler.kube.transport import Transport

#: apiVersion and kind of what the examples hold, and its collection.
_COLLECTIONS = {
    ("v1", "Namespace"): "/api/v1/namespaces",
    ("v1", "Pod"): "/api/v1/namespaces/{namespace}/pods",
    ("batch/v1", "Job"): "/apis/batch/v1/namespaces/{namespace}/jobs",
    (
        "scheduling.k8s.io/v1beta1",
        "PodGroup",
    ): "/apis/scheduling.k8s.io/v1beta1/namespaces/{namespace}/podgroups",
    ("stowplan.dev/v1alpha1", "TeamQuota"): "/apis/stowplan.dev/v1alpha1/teamquotas",
}


class _Metadata(msgspec.Struct):
    namespace: str = NAMESPACE


class _Manifest(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    metadata: _Metadata


async def make_namespace(transport: Transport) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await transport.request("POST", "/api/v1/namespaces", body=msgspec.json.encode(body))


async def submit(transport: Transport, manifests: Iterable[Mapping[str, object]]) -> None:
    """Raises: KeyError for a kind that the demo does not know, ClusterError."""
    for manifest in manifests:
        known = msgspec.convert(manifest, _Manifest)
        path = _COLLECTIONS[known.api_version, known.kind].format(namespace=known.metadata.namespace)
        await transport.request("POST", path, body=msgspec.json.encode(manifest))
