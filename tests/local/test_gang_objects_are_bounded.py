"""deploy/crds/gangs.yaml: what the API server keeps, and what it refuses, written as the scheduler."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from deploy.local.cluster import Cluster
from scheduler.kube.transport import Endpoint, Invalid, Transport
from scheduler.state.ended import FINISHED_MAX

Status = Mapping[str, object]
MERGE = "application/merge-patch+json"


def _members(count: int, devices: int = 0) -> list[dict[str, object]]:
    chosen: dict[str, object] = {"devices": [f"GPU-{d:032d}" for d in range(devices)]} if devices else {}
    return [{"pod": f"w-{i}", "uid": f"{i:036d}", "node": f"node-{i % 500}", **chosen} for i in range(count)]


def _condition(**changed: str) -> dict[str, str]:
    told = {
        "type": "Scheduled",
        "status": "False",
        "reason": "NoFit",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    return told | changed


def _finished(count: int) -> list[dict[str, object]]:
    """Of names and UIDs as long as they come."""
    times = {"created": "2026-01-01T00:00:00.000000Z", "ended": "2026-01-01T00:00:00.000000Z"}
    return [{"pod": f"{i:0>63}", "uid": f"{i:0>36}", "owner": f"{i:0>36}", **times} for i in range(count)]


WHOLE: Status = {
    "phase": "Binding",
    "reason": "Claimed",
    "message": "binding 2 pods",
    "epoch": 2**40,
    "minMember": 2,
    "members": 3,
    "bound": 1,
    "expectedStart": "2026-01-01T00:00:00Z",
    "placement": _members(2, devices=8),
    "succeeded": _finished(2),
    "conditions": [_condition()],
}
KEPT: Mapping[str, Status] = {
    "every field": WHOLE,
    "the largest gang": {"placement": _members(10_000)},
    "all that is written of who did their work": {"succeeded": _finished(FINISHED_MAX)},
    "the longest message": {"message": "x" * 1024},
    "no placement any more": {"placement": []},
}
REFUSED: Mapping[str, Status] = {
    "one member too many": {"placement": _members(10_001)},
    "one device too many": {"placement": _members(1, devices=65)},
    "a member without a UID": {"placement": [{"pod": "w-0", "node": "n"}]},
    "a message too long": {"message": "x" * 1025},
    "one more that did its work than are written": {"succeeded": _finished(FINISHED_MAX + 1)},
    "a phase that is no word": {"phase": "not a phase"},
    "a negative count": {"bound": -1},
    "a negative epoch": {"epoch": -1},
    "an epoch that is text": {"epoch": "7"},
    "a start that is no time": {"expectedStart": "soon"},
    "a condition neither true nor false": {"conditions": [_condition(status="Perhaps")]},
    "a condition twice": {"conditions": [_condition(), _condition()]},
}


async def _put(api: Transport, namespace: str, status: Status) -> dict[str, object]:
    """A new Gang, then its status, as the scheduler does it; the status that was kept."""
    gangs = f"/apis/stowplan.dev/v1alpha1/namespaces/{namespace}/gangs"
    gang = {"apiVersion": "stowplan.dev/v1alpha1", "kind": "Gang", "metadata": {"name": "g"}}
    await api.request("POST", gangs, body=msgspec.json.encode(gang))
    try:
        body = msgspec.json.encode({"status": status})
        answer = await api.request("PATCH", f"{gangs}/g/status", body=body, content_type=MERGE)
    finally:
        await api.request("DELETE", f"{gangs}/g")
    kept: dict[str, object] = msgspec.json.decode(answer)["status"]
    return kept


def _scheduler(cluster: Cluster) -> Transport:
    return Transport(Endpoint.from_kubeconfig(cluster.kubeconfig("stowplan")), connections_max=2)


@pytest.mark.parametrize("status", KEPT.values(), ids=KEPT.keys())
async def test_what_the_scheduler_writes_is_kept(
    cluster: Cluster, clean_namespace: str, status: Status
) -> None:
    async with _scheduler(cluster) as api:
        assert await _put(api, clean_namespace, status) == status


@pytest.mark.parametrize("status", REFUSED.values(), ids=REFUSED.keys())
async def test_what_is_out_of_bounds_is_refused(
    cluster: Cluster, clean_namespace: str, status: Status
) -> None:
    async with _scheduler(cluster) as api:
        with pytest.raises(Invalid):
            await _put(api, clean_namespace, status)
