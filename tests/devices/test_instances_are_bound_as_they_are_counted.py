"""The live shell on nodes cut into MIG instances: what is bound, what is named, and that it stays up."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

from simulations.faults import server as api
from simulations.faults.store import wall
from simulations.faults.virtual_time import elapse
from tests.healing.life import NAMESPACE, Life, lived

INSTANCES: Final = 3
PROFILE: Final = "nvidia.com/mig-1g.10gb"
WHOLE: Final = "nvidia.com/gpu"
DEVICES: Final = "stowplan.dev/devices"
Json = dict[str, Any]


def report(now_s: float) -> Json:
    """One device, cut into instances of one profile, as an agent writes it."""
    now = wall(now_s)
    instances = [
        {"uuid": f"MIG-{i}", "profile": "1g.10gb", "gpuInstance": i, "memoryBytes": 10 << 30}
        for i in range(INSTANCES)
    ]
    device = {
        "uuid": "GPU-0",
        "memoryBytes": 80 << 30,
        "state": "Healthy",
        "mig": True,
        "instances": instances,
    }
    return {"state": "Ready", "lastProbe": now, "lastHeartbeat": now, "gpus": 1, "devices": [device]}


async def reporting(life: Life) -> None:
    clock = asyncio.get_running_loop().time
    life.store.create(api.GPU_NODES, {"metadata": {"name": "n0"}, "status": report(clock())})

    def beat(node: Json) -> None:
        node["status"] = report(clock())

    while True:
        await elapse(8)
        life.store.change(api.GPU_NODES, ("", "n0"), beat)


@pytest.mark.parametrize(
    ("resource", "labels", "bound", "named"),
    [
        (WHOLE, {"nvidia.com/mig.strategy": "single"}, 3, set()),
        (WHOLE, {"nvidia.com/mig.strategy": "single", f"{WHOLE}.replicas": "2"}, 6, set()),
        (PROFILE, {"nvidia.com/mig.strategy": "mixed"}, 3, {"MIG-0", "MIG-1", "MIG-2"}),
        (PROFILE, {"nvidia.com/mig.strategy": "mixed", f"{PROFILE}.replicas": "2"}, 6, set()),
        (f"{PROFILE}.shared", {"nvidia.com/mig.strategy": "mixed", f"{PROFILE}.replicas": "2"}, 6, set()),
    ],
)
def test_as_many_start_as_the_plugin_counts_and_only_what_we_choose_is_named(
    resource: str, labels: dict[str, str], bound: int, named: set[str]
) -> None:
    told: list[str | None] = []

    async def course(life: Life) -> None:
        life.nodes(1, gpus=0)

        def offer(node: Json) -> None:
            node["metadata"]["labels"] |= labels
            node["status"]["allocatable"][resource] = str(bound)

        life.store.change(api.NODES, ("", "n0"), offer)
        agent = asyncio.get_running_loop().create_task(reporting(life))
        await elapse(5)
        for i in range(bound + 1):
            container = {"name": "c", "resources": {"limits": {resource: "1"}}}
            body = {
                "metadata": {"name": f"p{i}", "namespace": NAMESPACE},
                "spec": {"schedulerName": "stowplan", "containers": [container]},
                "status": {"phase": "Pending"},
            }
            life.store.create(api.PODS, body)
        await elapse(30)
        for name in life.bound:
            words = life.store.at(api.PODS).objects[NAMESPACE, name].read()["metadata"].get("annotations", {})
            told.append(words.get(DEVICES))
        agent.cancel()
        assert (life.replica.faults, life.replica.lives) == ([], 1)

    life = lived(course)
    assert len(life.bound) == bound
    assert {one for one in told if one} == named
    assert len([one for one in told if one]) == len(named)
