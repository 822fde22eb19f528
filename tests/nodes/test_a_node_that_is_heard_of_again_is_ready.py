"""The real node-lifecycle controller takes a silent node for lost, and back when its kubelet is back."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import msgspec

from deploy.local.cluster import Cluster
from deploy.local.nodes.actor import NodeActor, Settings
from deploy.local.nodes.mischief import Mischief
from deploy.local.nodes.pools import Pool
from tests.nodes.stage import Stage

UNREACHABLE = "node.kubernetes.io/unreachable"
SOON_LOST = (
    "--controllers=node-lifecycle-controller",
    "--node-monitor-grace-period=2s",
    "--node-monitor-period=500ms",
)


async def _until(stage: Stage, node: str, *, lost: bool) -> None:
    """Until the node is lost, or until it is ready and nothing keeps pods away from it."""
    params = {"watch": "true", "timeoutSeconds": "60", "fieldSelector": f"metadata.name={node}"}
    async with (
        asyncio.timeout(60.0),
        aclosing(stage.api.stream("/api/v1/nodes", params=params, read_timeout_s=60.0)) as stream,
    ):
        async for line in stream:
            now = msgspec.json.decode(line)["object"]
            (ready,) = [one["status"] for one in now["status"]["conditions"] if one["type"] == "Ready"]
            is_tainted = any(taint["key"] == UNREACHABLE for taint in now["spec"].get("taints", ()))
            if (ready, is_tainted) == (("Unknown", True) if lost else ("True", False)):
                return


async def test_a_node_that_is_heard_of_again_is_ready(
    cluster: Cluster, stage: Stage, pool: str, tmp_path: Path
) -> None:
    settings = Settings(logs=tmp_path, lease_interval_s=0.2)
    cluster.start_component("kube-controller-manager", SOON_LOST)
    try:
        async with NodeActor(stage.api, [Pool(name=pool)], settings=settings) as actor:
            await _until(stage, f"{pool}-0", lost=False)
            await actor.misbehave({f"{pool}-0": Mischief(lost=True)})
            await _until(stage, f"{pool}-0", lost=True)
            await actor.misbehave({})
            await _until(stage, f"{pool}-0", lost=False)
    finally:
        cluster.stop_component("kube-controller-manager")
