"""A tenant with too wide a role tries to get past each policy; docs/admission.md quotes the answers.

It is a service account with all rights on everything that the policies guard: what stops it is them.
"""

from __future__ import annotations

import dataclasses
import uuid
from asyncio import timeout
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import pytest

from deploy.local.cluster import Cluster
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import JSON, MERGE_PATCH, ApiError, Forbidden, Transport
from tests.deploy.documents import Json

PAGE: Final = Path(__file__).parents[2] / "docs" / "admission.md"
GANGS: Final = "/apis/stowplan.dev/v1alpha1/namespaces/{ns}/gangs"
GPUNODES: Final = "/apis/stowplan.dev/v1alpha1/gpunodes"
NODE_NAME: Final = "stowplan: spec.nodeName is set"
RESERVED: Final = "stowplan: only the scheduler writes the annotation "
TEAM: Final = "stowplan: stowplan.dev/team is set"
BINDS: Final = "stowplan: only schedulers bind pods"
GANG: Final = "stowplan: only the scheduler writes Gang objects"
DEVICE: Final = "is written only by the agent on that node"
ALL: Final = {
    "apiGroups": ["*"],
    "resources": ["*"],
    "verbs": ["get", "list", "create", "update", "patch", "delete"],
}


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """``api`` is the tenant, ``admin`` the administrator."""

    namespace: str
    api: Transport
    admin: Transport

    def path(self, template: str) -> str:
        return template.format(ns=self.namespace)

    async def refused(self, method: str, path: str, body: Json | None = None, *, status: int = 403) -> str:
        """The message of the refusal; a policy takes effect a moment after it was made."""
        content_type = MERGE_PATCH if method == "PATCH" else JSON
        sent = None if body is None else msgspec.json.encode(body)
        async with timeout(20):
            while True:
                try:
                    await self.api.request(
                        method,
                        self.path(path),
                        body=sent,
                        content_type=content_type,
                        params={"dryRun": "All"},
                    )
                except Forbidden as error:
                    if "ValidatingAdmissionPolicy" in error.message:
                        return error.message
                except ApiError as error:
                    if error.status != 404:
                        raise

    async def accepted(self, method: str, path: str, body: Json) -> None:
        content_type = MERGE_PATCH if method == "PATCH" else JSON
        await self.api.request(
            method, self.path(path), body=msgspec.json.encode(body), content_type=content_type
        )


@asynccontextmanager
async def connected(cluster: Cluster, token: str | None = None) -> AsyncIterator[Transport]:
    endpoint = Endpoint.from_kubeconfig(cluster.admin_kubeconfig)
    if token is not None:
        endpoint = dataclasses.replace(endpoint, token=lambda: token)
    async with Transport(endpoint, user_agent="tests", connections_max=4) as transport:
        yield transport


async def token_of(admin: Transport, namespace: str, account: str) -> str:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    answer = await admin.request("POST", path, body=msgspec.json.encode({"spec": {"audiences": []}}))
    token: str = msgspec.json.decode(answer)["status"]["token"]
    return token


@pytest.fixture
async def tenant(installed: Cluster, api: Transport) -> AsyncIterator[Tenant]:
    namespace = f"tenant-{uuid.uuid4().hex[:8]}"
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    subject = {"kind": "ServiceAccount", "name": "mallory", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace}
    made: list[tuple[str, Json]] = [
        ("/api/v1/namespaces", {"metadata": {"name": namespace}}),
        (f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "mallory"}}),
        (f"{rbac}/clusterroles", {"metadata": {"name": namespace}, "rules": [ALL]}),
        (
            f"{rbac}/clusterrolebindings",
            {"metadata": {"name": namespace}, "roleRef": role, "subjects": [subject]},
        ),
    ]
    for path, body in made:
        await api.request("POST", path, body=msgspec.json.encode(body))
    token = await token_of(api, namespace, "mallory")
    async with connected(installed, token) as mine:
        yield Tenant(namespace=namespace, api=mine, admin=api)
    await api.delete(f"/api/v1/namespaces/{namespace}/pods", grace_s=0)
    await api.delete(f"{rbac}/clusterrolebindings/{namespace}")


def pod(name: str = "p", *, words: Json | None = None, labels: Json | None = None, **spec: object) -> Json:
    container = {"name": "c", "image": "i"}
    return {
        "metadata": {"name": name, "annotations": words or {}, "labels": labels or {}},
        "spec": {"schedulerName": "stowplan", "containers": [container], **spec},
    }


def told_as_documented(message: str, wanted: str) -> None:
    """The refusal says it, and the page for administrators quotes it."""
    assert wanted in message
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert wanted in page


PODS: Final = "/api/v1/namespaces/{ns}/pods"


async def test_a_pod_cannot_place_itself(tenant: Tenant) -> None:
    told_as_documented(await tenant.refused("POST", PODS, pod(nodeName="anywhere")), NODE_NAME)


@pytest.mark.parametrize("key", ["epoch", "devices", "evicted-for"])
async def test_a_pod_cannot_come_with_the_schedulers_words(tenant: Tenant, key: str) -> None:
    words = {f"stowplan.dev/{key}": "7"}
    told_as_documented(await tenant.refused("POST", PODS, pod(words=words)), RESERVED)


@pytest.mark.parametrize("place", ["", "/status"])
@pytest.mark.parametrize("value", ["8", None])
async def test_a_bound_pods_words_cannot_be_changed_or_taken_off(
    tenant: Tenant, place: str, value: str | None
) -> None:
    await tenant.admin.request(
        "POST", tenant.path(PODS), body=msgspec.json.encode(pod(words={"stowplan.dev/devices": "7"}))
    )
    change = {"metadata": {"annotations": {"stowplan.dev/devices": value}}}
    told_as_documented(await tenant.refused("PATCH", f"{PODS}/p{place}", change), RESERVED)
    # What is the tenant's own may be said at any time, beside them.
    await tenant.accepted("PATCH", f"{PODS}/p", {"metadata": {"annotations": {"mine": "1"}}})


@pytest.mark.parametrize("where", ["words", "labels"])
async def test_a_pod_cannot_claim_a_team(tenant: Tenant, where: str) -> None:
    claim = {"stowplan.dev/team": "red"}
    body = pod(words=claim) if where == "words" else pod(labels=claim)
    told_as_documented(await tenant.refused("POST", PODS, body), TEAM)


@pytest.mark.parametrize("path", [f"{PODS}/p/binding", "/api/v1/namespaces/{ns}/bindings"])
async def test_only_schedulers_bind(tenant: Tenant, path: str) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p", "annotations": {"stowplan.dev/epoch": "1"}},
        "target": {"kind": "Node", "name": "anywhere"},
    }
    told_as_documented(await tenant.refused("POST", path, body), BINDS)


async def test_gang_objects_are_the_schedulers(tenant: Tenant) -> None:
    body: Json = {"apiVersion": "stowplan.dev/v1alpha1", "kind": "Gang", "metadata": {"name": "g"}}
    told_as_documented(await tenant.refused("POST", GANGS, body), GANG)
    await tenant.admin.request("POST", tenant.path(GANGS), body=msgspec.json.encode(body))
    label = {"metadata": {"labels": {"a": "b"}}}
    for method, path, sent in (
        ("PATCH", f"{GANGS}/g", label),
        ("PATCH", f"{GANGS}/g/status", {"status": {"phase": "Running"}}),
        ("DELETE", f"{GANGS}/g", None),
    ):
        told_as_documented(await tenant.refused(method, path, sent), GANG)


async def test_gpu_nodes_are_their_own_agents(tenant: Tenant, installed: Cluster) -> None:
    body: Json = {
        "apiVersion": "stowplan.dev/v1alpha1",
        "kind": "GPUNode",
        "metadata": {"name": tenant.namespace},
    }
    told_as_documented(await tenant.refused("POST", GPUNODES, body), DEVICE)
    await tenant.admin.request("POST", GPUNODES, body=msgspec.json.encode(body))
    change = {"status": {"state": "Ready"}}
    mine = f"{GPUNODES}/{tenant.namespace}"
    told_as_documented(await tenant.refused("PATCH", f"{mine}/status", change), DEVICE)
    told_as_documented(await tenant.refused("DELETE", mine), DEVICE)
    # The agent's account, but from no node: a token that was carried off, or made elsewhere.
    token = await token_of(tenant.admin, "stowplan-system", "stowplan-agent")
    async with connected(installed, token) as agent:
        astray = dataclasses.replace(tenant, api=agent)
        told_as_documented(await astray.refused("PATCH", f"{mine}/status", change), DEVICE)


async def test_an_ordinary_pod_is_taken(tenant: Tenant) -> None:
    words = {"stowplan.dev/gang": "g", "stowplan.dev/gang-min-member": "2"}
    await tenant.accepted("POST", PODS, pod("ours", words=words))
    await tenant.accepted("POST", PODS, pod("theirs", schedulerName="default-scheduler", nodeName="anywhere"))
