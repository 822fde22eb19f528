"""deploy/crds/teamquotas.yaml: what the API server keeps, and what it refuses."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from deploy.local.cluster import Cluster
from deploy.local.manifests import apply
from scheduler.kube.errors import NotFound, TooManyRequests
from scheduler.kube.transport import Endpoint, Invalid, Transport

CRD = Path(__file__).parents[2] / "deploy" / "crds" / "teamquotas.yaml"
QUOTAS = "/apis/stowplan.dev/v1alpha1/teamquotas"
Spec = Mapping[str, object]

WHOLE: Spec = {
    "parent": "research",
    "namespaces": ["dev", "prod"],
    "namespaceSelector": {"matchLabels": {"team": "a"}},
    "weight": 5,
    "guaranteed": {"gpu": 16, "gpuModels": {"h100-80gb": "8"}, "cpu": "200", "memory": "2Ti"},
    "limit": {"gpu": "16.5", "gpuModels": {"h100-80gb": 8}, "cpu": "200000m", "memory": "2048Gi"},
    "borrowingLimit": {"gpu": 0},
    "lendingLimit": {"gpu": "500m"},
    "priorityCeiling": -5,
    "minRuntimeSeconds": 600,
    "historyHalfLifeSeconds": 86_400,
    "podDefaults": {"cpu": 2},
    "podMaximum": {"cpu": 2, "gpu": 8},
}
KEPT: Mapping[str, Spec] = {
    "every field": WHOLE,
    "nothing": {},
    "most models": {"guaranteed": {"gpuModels": {f"m{i}": i for i in range(32)}}},
}
REFUSED: Mapping[str, Spec] = {
    "its own parent": {"parent": "SELF"},
    "a negative number": {"guaranteed": {"gpu": -1}},
    "a negative text": {"guaranteed": {"gpu": "-1"}},
    "no quantity": {"limit": {"memory": "much"}},
    "one model too many": {"guaranteed": {"gpuModels": {f"m{i}": i for i in range(33)}}},
    "gpu above its limit": {"guaranteed": {"gpu": 9}, "limit": {"gpu": "8.5"}},
    "cpu above its limit": {"guaranteed": {"cpu": "1001m"}, "limit": {"cpu": 1}},
    "memory above its limit": {"guaranteed": {"memory": "1Ti"}, "limit": {"memory": "1023Gi"}},
    "a model above its limit": {
        "guaranteed": {"gpuModels": {"a100": 2}},
        "limit": {"gpuModels": {"a100": 1}},
    },
    "a default above the maximum": {"podDefaults": {"gpu": 2}, "podMaximum": {"gpu": 1}},
    "a negative weight": {"weight": -1},
    "a namespace twice": {"namespaces": ["a", "a"]},
    "an operator unknown": {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Gt"}]}},
}


@asynccontextmanager
async def _admin(cluster: Cluster) -> AsyncIterator[Transport]:
    """A transport to a cluster that serves TeamQuotas."""
    async with Transport(Endpoint.from_kubeconfig(cluster.admin_kubeconfig), connections_max=2) as admin:
        await apply(admin, [CRD])
        while not await _is_served(admin):
            pass
        yield admin


async def _is_served(admin: Transport) -> bool:
    try:
        await admin.request("GET", QUOTAS)
    except (NotFound, TooManyRequests):
        return False
    return True


async def _put(admin: Transport, spec: Spec) -> dict[str, object]:
    name = f"t-{uuid.uuid4().hex[:12]}"
    spec = {key: name if value == "SELF" else value for key, value in spec.items()}
    body = {"apiVersion": "stowplan.dev/v1alpha1", "kind": "TeamQuota", "metadata": {"name": name}}
    answer = await admin.request("POST", QUOTAS, body=msgspec.json.encode({**body, "spec": spec}))
    await admin.request("DELETE", f"{QUOTAS}/{name}")
    kept: dict[str, object] = msgspec.json.decode(answer)["spec"]
    return kept


@pytest.mark.parametrize("spec", KEPT.values(), ids=KEPT)
async def test_sound_quotas_are_kept_as_written(cluster: Cluster, spec: Spec) -> None:
    async with _admin(cluster) as admin:
        assert await _put(admin, spec) == {"weight": 1, **spec}


@pytest.mark.parametrize("spec", REFUSED.values(), ids=REFUSED)
async def test_quotas_that_cannot_be_meant_are_refused(cluster: Cluster, spec: Spec) -> None:
    async with _admin(cluster) as admin:
        with pytest.raises(Invalid):
            await _put(admin, spec)


async def test_a_status_is_kept_beside_the_spec(cluster: Cluster) -> None:
    amounts = {"gpu": "2500m", "gpuModels": {"a100": "1"}, "cpu": "4", "memory": "1024"}
    condition = {
        "type": "Accepted",
        "status": "False",
        "reason": "Orphan",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status = {
        **dict.fromkeys(("usage", "fairShareNow", "borrowed", "lent", "pending"), amounts),
        "share": "0.25",
        "history": {"asOf": "2026-01-01T00:00:00Z", "usage": amounts},
        "conditions": [condition],
    }
    async with _admin(cluster) as admin:
        body = {"apiVersion": "stowplan.dev/v1alpha1", "kind": "TeamQuota", "spec": {}}
        name = f"t-{uuid.uuid4().hex[:12]}"
        await admin.request("POST", QUOTAS, body=msgspec.json.encode({**body, "metadata": {"name": name}}))
        answer = await admin.request(
            "PATCH",
            f"{QUOTAS}/{name}/status",
            body=msgspec.json.encode({"status": status}),
            content_type="application/merge-patch+json",
        )
        await admin.request("DELETE", f"{QUOTAS}/{name}")
    assert msgspec.json.decode(answer)["status"] == status
