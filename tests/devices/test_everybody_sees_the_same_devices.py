"""`stowplan gpus`, Events and metrics tell what the API server holds."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from pathlib import Path

import msgspec
import yaml

from scheduler.cli.gpus import NodeRow, read
from scheduler.kube.wire.base import Metadata
from tests.devices.scene import FRACTION, L4, Scene, manifest

PATIENCE_S = 20.0


class _Regarding(msgspec.Struct, frozen=True):
    kind: str
    name: str


class _Event(msgspec.Struct, frozen=True):
    reason: str
    note: str
    regarding: _Regarding
    metadata: Metadata


class _Events(msgspec.Struct, frozen=True):
    items: list[_Event]


async def _row(scene: Scene, node: str) -> NodeRow:
    return next(row for row in await read(scene.stage.api, time.time()) if row.node == node)


def _scraped(scene: Scene) -> str:
    with urllib.request.urlopen(f"{scene.health_url}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


async def test_the_picture_shows_each_use_and_who_holds_what(scene: Scene) -> None:
    [node] = await scene.nodes(scene.pool("n", gpus=5))
    scene.intruder(node, 3)
    scene.strike(node, 4, 79)
    await scene.until_usable(node, 3)
    await scene.stage.create([manifest("whole", gpus=1), manifest("share", words={FRACTION: "0.25"})])
    await scene.stage.until_bound("whole", "share")
    row = await _row(scene, node)
    assert sorted(row.picture) == sorted("#o.!x")
    assert (row.picture[3], row.picture[4]) == ("!", "x")
    by_uuid = {device.uuid: device for device in row.devices}
    for name, share in (("whole", ""), ("share", "0.25")):
        [uuid] = scene.named(name)
        [holder] = by_uuid[uuid].holders
        assert (holder.pod, holder.share) == (f"{scene.stage.namespace}/{name}", share)
    sick = row.devices[4]
    assert sick.health == "Fatal"
    assert "XID" in sick.reason.upper()
    assert sick.clear


async def test_labels_that_lie_are_told_once_on_the_node(scene: Scene) -> None:
    lying = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    [node] = await scene.nodes(scene.pool("n", gpus=1, model=L4, gpu_memory="24Gi", labels=lying))
    path = "/apis/events.k8s.io/v1/namespaces/default/events"

    async def told() -> list[_Event]:
        events = (await scene.stage.api.get(path, _Events)).items
        return [event for event in events if event.regarding.name == node]

    async with asyncio.timeout(PATIENCE_S):
        while not await told():
            await scene.stage.beats(1)
    await scene.stage.beats(3)
    [event] = await told()
    assert event.reason == "InventoryDisagrees"
    assert "NVIDIA L4" in event.note
    assert event.regarding.kind == "Node"
    assert "stowplan_inventory_disagreements 1.0" in await asyncio.to_thread(_scraped, scene)
    # Whoever wrote the label takes it back: there is nothing to count any more, and nothing to say.
    labels = {"nvidia.com/gpu.product": L4}
    await scene.stage.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": labels}})
    async with asyncio.timeout(PATIENCE_S):
        while "stowplan_inventory_disagreements 0.0" not in await asyncio.to_thread(_scraped, scene):
            await scene.stage.beats(1)
    assert await told() == [event]


async def test_metrics_count_devices_by_use(scene: Scene) -> None:
    [node] = await scene.nodes(scene.pool("n", gpus=4))
    scene.intruder(node, 0)
    await scene.until_usable(node, 3)
    await scene.stage.create([manifest("whole", gpus=2)])
    await scene.stage.until_bound("whole")
    async with asyncio.timeout(PATIENCE_S):
        while 'stowplan_devices{use="held"} 2.0' not in await asyncio.to_thread(_scraped, scene):
            await scene.stage.beats(1)
    text = await asyncio.to_thread(_scraped, scene)
    assert 'stowplan_devices{use="out"} 1.0' in text
    assert 'stowplan_devices{use="free"} 1.0' in text


def test_the_example_reads_its_device_from_the_annotation() -> None:
    file = Path(__file__).parents[2] / "docs" / "examples" / "08-half-a-gpu.yaml"
    for body in yaml.safe_load_all(file.read_text()):
        [env] = body["spec"]["containers"][0]["env"]
        assert env["name"] == "NVIDIA_VISIBLE_DEVICES"
        field = env["valueFrom"]["fieldRef"]["fieldPath"]
        assert field == "metadata.annotations['stowplan.dev/devices']"
        assert "resources" not in body["spec"]["containers"][0]
