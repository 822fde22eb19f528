"""The auditor on the real API server: somebody with every right does each forbidden thing, and is named."""

from __future__ import annotations

import uuid

from scheduler.invariants import at_every_revision
from tests.faults.stage import LEASE, Json, Stage, gang, pod

GANGS = "/apis/stowplan.dev/v1alpha1/namespaces/{}/gangs"


async def test_each_forbidden_act_is_seen_through_the_watch_and_nothing_else(stage: Stage) -> None:
    (node,) = await stage.nodes(1, gpus=4)
    await _lead(stage, epoch=2)
    assert await _found(stage) == set()
    await stage.create([pod("fine"), *gang("unclaimed", 1)])
    await stage.bind("fine", node, epoch=2)
    assert await _found(stage) == set()
    await stage.bind("unclaimed-0", node, epoch=2)
    assert await _found(stage) == {"INV3"}
    await stage.create([pod("stale")])
    await stage.bind("stale", node, epoch=1)
    assert await _found(stage) == {"INV3", "INV5"}
    await stage.create([pod("praised")])
    await _say_scheduled(stage, "praised")
    assert await _found(stage) == {"INV3", "INV5", "INV14"}
    await stage.create([pod("greedy", gpus=2)])
    await stage.bind("greedy", node, epoch=2)
    assert await _found(stage) == {"INV1", "INV3", "INV5", "INV14"}
    await stage.create(gang("half", 3, gpus=0))
    await _claim(stage, "half", {f"half-{i}": node for i in range(3)}, epoch=2)
    await stage.bind("half-0", node, epoch=2)
    await stage.auditor.catch_up()
    assert {"INV2"} == {
        violation.invariant
        for violation in at_every_revision(stage.auditor.history(), partial_s=0.0)
        if "half" in violation.text
    }


async def _found(stage: Stage) -> set[str]:
    violations = await stage.auditor.violations(is_quiet=False)
    return {violation.invariant for violation in violations}


async def _lead(stage: Stage, *, epoch: int) -> None:
    spec = {"holderIdentity": "somebody", "leaseTransitions": epoch}
    await stage.post(LEASE.removesuffix("/stowplan"), {"metadata": {"name": "stowplan"}, "spec": spec})


async def _say_scheduled(stage: Stage, name: str) -> None:
    await stage.auditor.catch_up()
    regarding = {"kind": "Pod", "name": name, "namespace": stage.namespace, "uid": stage.pods()[name].uid}
    body: Json = {
        "metadata": {"name": f"{name}-{uuid.uuid4().hex[:8]}"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "example.com/bad",
        "reportingInstance": "bad",
        "action": "Binding",
        "reason": "Scheduled",
        "type": "Normal",
        "note": "so it is said",
        "regarding": regarding,
    }
    await stage.post(f"/apis/events.k8s.io/v1/namespaces/{stage.namespace}/events", body)


async def _claim(stage: Stage, name: str, placement: dict[str, str], *, epoch: int) -> None:
    await stage.auditor.catch_up()
    path = GANGS.format(stage.namespace)
    words = {"stowplan.dev/dialect": name}
    metadata = {"name": name, "labels": {"stowplan.dev/dialect": "own"}, "annotations": words}
    await stage.post(path, {"apiVersion": "stowplan.dev/v1alpha1", "kind": "Gang", "metadata": metadata})
    uids = {pod: stage.pods()[pod].uid for pod in placement}
    places = [{"pod": pod, "uid": uids[pod], "node": node} for pod, node in placement.items()]
    await stage.patch(
        f"{path}/{name}/status", {"status": {"phase": "Binding", "epoch": epoch, "placement": places}}
    )
