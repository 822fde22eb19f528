"""On the control plane: what could not be asked, another host, another device than named, links by design.

The agent's own code on the fake library, gangs on the nodes of a real API server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial

from scheduler.cli.gpus import NodeRow, read
from scheduler.invariants import PodVersion
from scheduler.inventory import nvml
from scheduler.inventory.scenario import Device, Link, Scenario
from tests.devices.scene import NVLINK, Scene, gang, manifest
from tests.inventory.scenes import changed

PATIENCE_S = 30.0
BY_DESIGN = {4, 5, 10, 11, 16, 17}


async def _row(scene: Scene, node: str, holds: Callable[[NodeRow], bool]) -> NodeRow:
    """What ``stowplan gpus`` shows of the node, as soon as something is true of it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            rows = {row.node: row for row in await read(scene.stage.api, time.time())}
            if node in rows and holds(rows[node]):
                return rows[node]


def _begins_with(uuid: str, row: NodeRow) -> bool:
    return row.devices[0].uuid == uuid


def _has_devices(name: str, pods: Mapping[str, PodVersion]) -> bool:
    return bool(pods[name].devices)


async def test_a_gang_stays_on_a_device_that_could_not_be_asked(scene: Scene) -> None:
    [node] = await scene.nodes(scene.pool("n", gpus=2))
    await scene.stage.create(gang("train", 1, gpus=1))
    await scene.until(lambda pods: bool(pods["train-0"].devices), "the gang has its device")
    before = scene.pod("train-0")
    index = scene.device(node, before.devices[0])
    scene.alter(node, index, fail={"nvmlDeviceGetHandleByIndex_v2": nvml.UNKNOWN})
    shown = await _row(scene, node, lambda row: row.devices[index].use == "unknown")
    assert "999" in shown.devices[index].reason
    await scene.stage.create([manifest("late-0", gpus=1), manifest("late-1", gpus=1)])
    await scene.until(lambda pods: sum(bool(pods[f"late-{i}"].node) for i in range(2)) == 1, "one is free")
    await scene.stage.beats(3)
    scene.alter(node, index, fail={})
    await scene.until_usable(node, 2)
    assert scene.pod("train-0").uid == before.uid
    assert not scene.pod("train-0").is_deleting
    await scene.judge()


async def test_another_host_under_the_same_name_takes_pods_at_once(scene: Scene) -> None:
    [node] = await scene.nodes(scene.pool("n", gpus=8))
    first = scene.scenario(node)
    for host in range(1, 10):
        devices = tuple(changed(d, uuid=f"GPU-host-{host}-{i}") for i, d in enumerate(first.devices))
        scene.actor.reboot(node, changed(first, devices=devices))
        shown = await _row(scene, node, partial(_begins_with, f"GPU-host-{host}-0"))
        assert [device.health for device in shown.devices] == ["Healthy"] * 8
    await scene.stage.create(gang("train", 1, gpus=8))
    await scene.until(lambda pods: len(pods["train-0"].devices) == 8, "all eight are given")
    assert all(uuid.startswith("GPU-host-9-") for uuid in scene.named("train-0"))
    await scene.judge()


async def test_the_gang_that_holds_the_sick_device_goes_whatever_its_annotation_says(scene: Scene) -> None:
    """NVIDIA's plugin chooses devices for itself; over the kubelet's socket the agent sees which."""
    [node] = await scene.nodes(scene.pool("n", gpus=3), serves=True, other_devices=True)
    for name in ("a", "b"):
        await scene.stage.create(gang(name, 1, gpus=1))
        await scene.until(partial(_has_devices, f"{name}-0"), f"{name} is bound")
    shown = await _row(
        scene, node, lambda row: sum(h.by == "kubelet" for d in row.devices for h in d.holders) == 2
    )
    given = {one.name: one.devices[0] for one in scene.actor.given(node)}
    named = {name: scene.named(name)[0] for name in given}
    assert given != named
    told = {h.pod.split("/")[1]: d.uuid for d in shown.devices for h in d.holders}
    assert told == given
    told_apart = {h.pod.split("/")[1] for d in shown.devices for h in d.holders if h.difference}
    assert told_apart == {name for name in given if given[name] != named[name]}
    before = {name: scene.pod(name).uid for name in given}
    scene.strike(node, scene.device(node, given["a-0"]), 79)
    await scene.until(
        lambda pods: "a-0" not in pods or pods["a-0"].uid != before["a-0"], "who holds it is taken back"
    )
    await scene.stage.beats(3)
    assert scene.pod("b-0").uid == before["b-0"]
    assert not scene.pod("b-0").is_deleting


async def test_a_pair_whose_links_are_unconnected_by_design_is_a_pair(scene: Scene) -> None:
    [node] = await scene.nodes(scene.pool("n", gpus=2))

    def links(peer: str) -> tuple[Link, ...]:
        up = Link(peer=peer, type=0)
        return tuple(Link(active=False, type=None) if i in BY_DESIGN else up for i in range(18))

    a, b = "00000001:00:00.0", "00000002:00:00.0"
    pair = Scenario(
        devices=tuple(
            Device(uuid=uuid, name="NVIDIA H100 NVL", pci=own, numa=0, memory_mib=95_830, links=links(peer))
            for uuid, own, peer in (("GPU-a", a, b), ("GPU-b", b, a))
        )
    )
    scene.actor.reboot(node, pair)
    shown = await _row(scene, node, lambda row: row.devices[0].uuid == "GPU-a")
    assert [(device.health, device.island) for device in shown.devices] == [("Healthy", "0")] * 2
    await scene.stage.create(gang("pair", 1, gpus=2, words={NVLINK: "required"}))
    await scene.until(lambda pods: set(pods["pair-0"].devices) == {"GPU-a", "GPU-b"}, "the pair is given")
    await scene.judge()
