"""Applies the project's own manifests to a local cluster and waits until they are in force."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import yaml

from deploy.local.errors import LocalError
from scheduler.kube.transport import (
    AlreadyExists,
    ApiError,
    ClusterError,
    Forbidden,
    NotFound,
    TooManyRequests,
    Transport,
)

DEPLOY: Final = Path(__file__).resolve().parents[1]
#: What every local cluster gets: all that an installation applies, and what only a local cluster needs.
MANIFESTS: Final = tuple(
    file
    for folder in ("rbac", "local/rbac", "crds", "local/crds", "admission")
    for file in sorted((DEPLOY / folder).glob("*.yaml"))
)
FIELD_MANAGER: Final = "stowplan-local"
#: The API server makes these shortly after it is ready.
NAMESPACES: Final = ("default", "kube-system", "kube-node-lease")
#: Custom resources that must be served before anybody is told the cluster is up.
SERVED: Final = (
    "/apis/stowplan.dev/v1alpha1/gangs",
    "/apis/stowplan.dev/v1alpha1/teamquotas",
    "/apis/stowplan.dev/v1alpha1/gpunodes",
    "/apis/scheduling.x-k8s.io/v1alpha1/podgroups",
)
IN_FORCE_TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.02
CANARY: Final = "/api/v1/namespaces/default/pods/stowplan-canary/binding"
LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/stowplan-system/leases"
FENCE: Final = "stowplan-epoch-fence"

_PLURALS: Final[Mapping[str, str]] = {
    "Namespace": "namespaces",
    "ServiceAccount": "serviceaccounts",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "CustomResourceDefinition": "customresourcedefinitions",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}


class _Metadata(msgspec.Struct):
    name: str
    namespace: str | None = None


class _Manifest(msgspec.Struct, rename="camel"):
    api_version: str
    kind: str
    metadata: _Metadata

    @property
    def path(self) -> str:
        root = "/api/v1" if self.api_version == "v1" else f"/apis/{self.api_version}"
        inside = f"/namespaces/{self.metadata.namespace}" if self.metadata.namespace else ""
        return f"{root}{inside}/{_PLURALS[self.kind]}/{self.metadata.name}"


async def apply(admin: Transport, files: Sequence[Path] = MANIFESTS) -> None:
    """Server-side apply of every document; again on a cluster that has them it changes nothing.

    Raises: ClusterError naming the object that was refused.
    """
    documents = [d for file in files for d in yaml.safe_load_all(file.read_text()) if d is not None]
    manifests = [(msgspec.convert(d, _Manifest), msgspec.json.encode(d)) for d in documents]
    first = [m for m in manifests if m[0].kind == "Namespace"]
    rest = [m for m in manifests if m[0].kind != "Namespace"]
    for together in (first, rest):
        await asyncio.gather(*(_apply_one(admin, manifest, body) for manifest, body in together))


async def until_served(admin: Transport, paths: Iterable[str]) -> None:
    """Return when each of these collections answers, however long its definition takes to come into force."""
    for path in paths:
        while not await _is_there(admin, path):
            await asyncio.sleep(POLL_S)


async def in_force(admin: Transport, scheduler: Transport) -> None:
    """Return when the namespaces exist, the custom resources are served, and a Binding without a term is
    refused by the fence: RBAC and admission follow their objects a moment later.

    Where no scheduler ever led, a Lease stands in meanwhile: the fence compares with nothing else.

    Raises: LocalError after ``IN_FORCE_TIMEOUT_S``.
    """
    missing = "nothing"
    try:
        async with asyncio.timeout(IN_FORCE_TIMEOUT_S):
            for path in (*(f"/api/v1/namespaces/{n}" for n in NAMESPACES), *SERVED):
                missing = path
                await until_served(admin, [path])
            missing = "the epoch fence"
            async with _lease(admin):
                while not await _is_fenced(scheduler):
                    await asyncio.sleep(POLL_S)
    except TimeoutError as error:
        raise LocalError(f"the API server did not get ready: waited for {missing}") from error


async def _apply_one(admin: Transport, manifest: _Manifest, body: bytes) -> None:
    params = {"fieldManager": FIELD_MANAGER, "force": "true"}
    content_type = "application/apply-patch+yaml"
    await admin.request("PATCH", manifest.path, body=body, params=params, content_type=content_type)


@asynccontextmanager
async def _lease(admin: Transport) -> AsyncIterator[None]:
    """The scheduler's Lease exists; one made for this is deleted again."""
    body = {"metadata": {"name": "stowplan"}, "spec": {"holderIdentity": "", "leaseTransitions": 0}}
    try:
        await admin.request("POST", LEASES, body=msgspec.json.encode(body))
    except AlreadyExists:
        yield
    else:
        yield
        await admin.request("DELETE", f"{LEASES}/stowplan")


async def _is_there(admin: Transport, path: str) -> bool:
    try:
        await admin.request("GET", path)
    except (NotFound, TooManyRequests):
        # A custom resource answers 429 while its storage is being set up.
        return False
    return True


async def _is_fenced(scheduler: Transport) -> bool:
    """A dry-run Binding for a pod that does not exist: authorization and admission come before NotFound."""
    body = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "stowplan-canary"},
        "target": {"kind": "Node", "name": "stowplan-canary"},
    }
    try:
        await scheduler.request("POST", CANARY, body=msgspec.json.encode(body), params={"dryRun": "All"})
    except Forbidden as error:
        return FENCE in error.message
    except ApiError:
        return False
    return False


async def ready(admin: Transport) -> bool:
    """Whether the API server says it is ready."""
    try:
        await admin.request("GET", "/readyz", timeout_s=2.0)
    except ClusterError:
        return False
    return True
