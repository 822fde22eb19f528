"""On the control plane: where the policy says so, repeated outages cordon a node; a hand lifts it."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from deploy.local.cluster import Cluster
from deploy.local.manifests import DEPLOY, apply
from scheduler.devices.cordon import CORDONED, FORGIVEN
from scheduler.kube.wire.node import Node
from tests.devices.scene import Scene, manifest, scene_on
from tests.faults import proxy
from tests.faults.scheduler import Terms

POLICY = {"cordon": {"enabled": True, "offences": 2, "nodesMaxPercent": 100}}
RIGHT = DEPLOY / "optional" / "cordon.yaml"
ROLES = "/apis/rbac.authorization.k8s.io/v1"
PATIENCE_S = 20.0
cordoning = proxy.call("PATCH", "nodes")


class _Event(msgspec.Struct, frozen=True):
    reason: str


class _Events(msgspec.Struct, frozen=True):
    items: list[_Event]


@pytest.fixture
async def strict(device_cluster: Cluster, tmp_path: Path) -> AsyncIterator[Scene]:
    """Where the policy cordons, and the scheduler has the right to."""
    async with scene_on(device_cluster, tmp_path, Terms(policy=POLICY)) as found:
        await apply(found.stage.api, [RIGHT])
        yield found
        for kind in ("clusterrolebindings", "clusterroles"):
            await found.stage.api.delete(f"{ROLES}/{kind}/stowplan-cordon")


async def _until(scene: Scene, name: str, holds: Callable[[Node], bool]) -> Node:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            node = await scene.stage.api.get(f"/api/v1/nodes/{name}", Node)
            if holds(node):
                return node
            await scene.stage.beats(1)


def _is_ours(node: Node) -> bool:
    return bool(node.spec.unschedulable) and CORDONED in (node.metadata.labels or {})


async def _reasons(scene: Scene) -> list[str]:
    path = "/apis/events.k8s.io/v1/namespaces/default/events"
    return [event.reason for event in (await scene.stage.api.get(path, _Events)).items]


async def test_the_second_outage_cordons_and_uncordoning_forgives(strict: Scene) -> None:
    scene = strict
    bad, good = await scene.nodes(scene.pool("n", 2, gpus=4))
    await scene.stage.create([manifest("runs", gpus=1, words={})])
    await scene.stage.until_bound("runs")
    if scene.pod("runs").node != bad:
        bad, good = good, bad
    used = scene.device(bad, scene.named("runs")[0])
    first, second, third = (index for index in range(4) if index != used)
    scene.strike(bad, first, 79)
    await scene.until_usable(bad, 3)
    await scene.stage.beats(15)
    node = await scene.stage.api.get(f"/api/v1/nodes/{bad}", Node)
    assert not node.spec.unschedulable, "one outage is no repetition"
    scene.strike(bad, second, 48)
    await _until(scene, bad, _is_ours)
    await scene.stage.create([manifest(f"later-{i}", gpus=1) for i in range(4)])
    await scene.stage.until_bound()
    assert {scene.pod(f"later-{i}").node for i in range(4)} == {good}
    assert scene.pod("runs").node == bad, "what runs stays"
    assert "NodeCordoned" in await _reasons(scene)
    metrics = await asyncio.to_thread(_read, f"{scene.health_url}/metrics")
    assert 'stowplan_node_cordons_total{move="cordon",outcome="done"} 1.0' in metrics
    # An admin knows better.
    await scene.stage.patch(f"/api/v1/nodes/{bad}", {"spec": {"unschedulable": None}})
    await _until(scene, bad, lambda node: FORGIVEN in (node.metadata.labels or {}))
    # What happened before does not count again, and neither does one more.
    scene.strike(bad, third, 79)
    await scene.until_usable(bad, 1)
    await scene.stage.beats(15)
    node = await scene.stage.api.get(f"/api/v1/nodes/{bad}", Node)
    assert not node.spec.unschedulable
    assert len(scene.stage.proxy.applied(cordoning)) == 2
    await scene.judge()


async def test_without_the_policy_no_node_is_ever_written(scene: Scene) -> None:
    [node] = await scene.nodes(scene.pool("n", 1, gpus=4))
    for index in range(3):
        scene.strike(node, index, 79)
    await scene.until_usable(node, 1)
    await scene.stage.beats(15)
    assert scene.stage.proxy.applied(cordoning) == []
    await scene.judge()


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return str(answer.read().decode())
