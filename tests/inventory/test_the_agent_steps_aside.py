"""Whoever has to change the driver or cut devices anew finds NVML closed, by the labels that they set."""

from __future__ import annotations

import msgspec
import pytest

from scheduler.inventory import nvml
from scheduler.inventory.surroundings import CLIENT, MIG_STATE, reason_to_pause
from scheduler.inventory.writer import CLEAR_ANNOTATION
from scheduler.kube.transport import MERGE_PATCH
from tests.inventory.scenes import strike
from tests.inventory.stage import Stage


@pytest.mark.parametrize(
    ("labels", "pauses"),
    [
        ({}, False),
        ({CLIENT: "true"}, False),
        ({CLIENT: "paused-for-driver-upgrade"}, True),
        ({CLIENT: "false"}, True),
        ({MIG_STATE: "pending"}, True),
        ({MIG_STATE: "rebooting"}, True),
        ({MIG_STATE: "success"}, False),
        ({MIG_STATE: "failed"}, False),
        ({"nvidia.com/gpu.deploy.device-plugin": "paused-for-mig-change"}, True),
        ({"nvidia.com/gpu.deploy.dcgm": "false"}, False),
        ({"nvidia.com/gpu.deploy.driver": "true", "nvidia.com/mig.config": "all-1g.10gb"}, False),
    ],
)
def test_each_manager_has_its_label(labels: dict[str, str], pauses: bool) -> None:
    assert bool(reason_to_pause(labels)) == pauses


async def _label(stage: Stage, value: str | None) -> None:
    body = msgspec.json.encode({"metadata": {"labels": {MIG_STATE: value}}})
    await stage.api.request("PATCH", f"/api/v1/nodes/{stage.name}", body=body, content_type=MERGE_PATCH)


async def _node(stage: Stage) -> str:
    body = msgspec.json.encode({"metadata": {"name": stage.name}})
    made = msgspec.json.decode(await stage.api.request("POST", "/api/v1/nodes", body=body))
    uid: str = made["metadata"]["uid"]
    return uid


async def test_it_lets_go_of_nvml_and_comes_back_knowing_what_it_knew(stage: Stage) -> None:
    uid = await _node(stage)
    async with stage.running(stage.agent()) as agent:
        first = await stage.until(lambda status: status.state == "Ready")
        assert first.node_uid == uid
        agent.is_listening(5.0)
        strike(stage.node, 3, 48)
        await stage.until(lambda status: status.healthy == 7)
        await _label(stage, "pending")
        aside = await stage.until(lambda status: status.state == "Paused")
        assert MIG_STATE in aside.message
        assert (aside.usable, aside.gpus) == (0, 8)
        # Nobody holds NVML open: whoever asks now would have to open it.
        assert stage.error_of("nvmlDeviceGetCount") == nvml.UNINITIALIZED
        await _label(stage, "success")
        back = await stage.until(lambda status: status.state == "Ready")
        # To open NVML again was no reset of what waits for one.
        assert [device.state for device in back.devices or ()][3] == "Fatal"


async def test_a_word_that_devices_are_well_is_read_whatever_becomes_of_writes(stage: Stage) -> None:
    await _node(stage)
    async with stage.running(stage.agent()) as agent:
        await stage.until(lambda status: status.healthy == 8)
        agent.is_listening(5.0)
        strike(stage.node, 3, 79)
        await stage.until(lambda status: status.healthy == 7)
    stage.refuses_status = True
    async with stage.running(stage.agent()) as agent:
        await stage.annotate(CLEAR_ANNOTATION, "all")
        await stage.until_cleared()
        assert not agent.record.history.signs
        stage.refuses_status = False
        await stage.until(lambda status: status.healthy == 8)
