"""On the control plane: device plugins that give one device to several pods, or instances as devices."""

from __future__ import annotations

from typing import Final

import pytest

from scheduler.inventory import nvml
from tests.devices.scene import Scene, manifest

WHOLE: Final = "nvidia.com/gpu"
PROFILE: Final = "nvidia.com/mig-1g.10gb"


@pytest.mark.parametrize(
    ("scenario", "resource", "labels", "count"),
    [
        ("t4-time-sliced", WHOLE, {f"{WHOLE}.replicas": "4"}, 8),
        ("t4-time-sliced", f"{WHOLE}.shared", {f"{WHOLE}.replicas": "4"}, 8),
        ("a100-mig-single", WHOLE, {"nvidia.com/mig.strategy": "single"}, 7),
        ("a100-mig-single", f"{PROFILE}.shared", {f"{PROFILE}.replicas": "2"}, 14),
        ("vgpu-guest", WHOLE, {}, 2),
    ],
)
async def test_all_that_the_plugin_offers_is_given_while_devices_are_well(
    scene: Scene, scenario: str, resource: str, labels: dict[str, str], count: int
) -> None:
    """And nothing of it once they fell off the bus, although there is room by the plugin's count."""
    pool = scene.pool(
        "n",
        gpus=0,
        model="",
        gpu_memory="",
        scenario=scenario,
        labels=labels,
        resources={resource: str(count)},
    )
    [node] = await scene.nodes(pool)
    names = [f"p{i}" for i in range(count)]
    await scene.stage.create([manifest(name, limits={resource: "1"}) for name in names])
    await scene.stage.until_bound(*names)
    is_one_pod_a_device = scenario == "vgpu-guest"
    assert {len(scene.named(name)) for name in names} == ({1} if is_one_pod_a_device else {0})
    await scene.judge()
    await scene.stage.delete(names[0])
    await scene.until(lambda pods: names[0] not in pods, "there is room for one")
    for index in range(len(scene.scenario(node).devices)):
        scene.alter(node, index, fail={"nvmlDeviceGetHandleByIndex_v2": nvml.GPU_IS_LOST})
    await scene.until_usable(node, 0)
    await scene.stage.create([manifest("late", limits={resource: "1"})])
    await scene.until_waits("late", resource)
