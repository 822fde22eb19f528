"""The real agent, the real ``pynvml`` on the fake library, a real API server."""

from __future__ import annotations

import msgspec
import pytest

from scheduler.inventory.nvml import LIBRARY_MISMATCH
from scheduler.inventory.parse import NodeInventory, parse
from scheduler.inventory.scenario import Process
from scheduler.inventory.writer import CLEAR_ANNOTATION, PATH
from scheduler.kube.transport import Invalid
from scheduler.kube.wire.inventory import GPUNode, GPUNodeStatus
from tests.inventory.scenes import alter, changed, strike
from tests.inventory.stage import Stage

#: How long a call may take where one hangs; elsewhere a busy machine is no hang.
HANGS_S = 0.1


def _out(status: GPUNodeStatus) -> set[int]:
    return {d.index for d in status.devices or () if d.state not in ("Healthy", "Noted")}


async def test_devices_are_told_whole(stage: Stage) -> None:
    async with stage.running(stage.agent()):
        status = await stage.until(lambda status: status.usable == 8)
    assert (status.model, status.gpus, status.healthy) == ("NVIDIA H100 80GB HBM3", 8, 8)
    node = await stage.api.get(f"{PATH}/{stage.name}", GPUNode)
    found = parse(node)
    assert isinstance(found, NodeInventory)
    assert found.probed_s is not None
    assert len(found.usable(found.probed_s)) == 8
    assert {device.island for device in found.devices} == {"0"}


@pytest.mark.parametrize(
    ("xid", "state"), [(79, "Fatal"), (48, "Fatal"), (63, "Noted"), (94, "Noted"), (777, "Quarantined")]
)
async def test_an_xid_is_told_without_waiting_for_a_probe(stage: Stage, xid: int, state: str) -> None:
    agent = stage.agent(period_s=600.0)
    async with stage.running(agent):
        await stage.until(lambda status: status.usable == 8)
        assert agent.is_listening(10.0)
        strike(stage.node, 4, xid)
        status = await stage.until(lambda status: any(d.state != "Healthy" for d in status.devices or ()))
    device = (status.devices or ())[4]
    assert (device.state, device.reason.partition(":")[0]) == (state, f"xid-{xid}")
    assert status.usable == (8 if state == "Noted" else 7)


async def test_a_call_that_hangs_is_a_state_and_passes(stage: Stage) -> None:
    async with stage.running(stage.agent(heartbeat_s=0.05, deadline_s=HANGS_S)):
        before = await stage.until(lambda status: status.usable == 8)
        alter(stage.node, 2, hang=("nvmlDeviceGetTemperatureV",))
        stuck = await stage.until(lambda status: status.state == "Hung")
        assert (stuck.usable, stuck.gpus) == (0, 8)
        beating = await stage.until(lambda status: status.last_heartbeat != stuck.last_heartbeat)
        assert beating.last_probe == stuck.last_probe
        assert before.last_probe is not None
        alter(stage.node, 2, hang=())
        after = await stage.until(lambda status: status.state == "Ready")
    assert after.usable == 8


async def test_what_a_hanging_probe_says_in_the_end_is_not_a_period_late(stage: Stage) -> None:
    alter(stage.node, 2, hang=("nvmlDeviceGetTemperatureV",))
    async with stage.running(stage.agent(period_s=600.0, deadline_s=HANGS_S)):
        await stage.until(lambda status: status.state == "Hung")
        alter(stage.node, 2, hang=())
        await stage.until(lambda status: status.usable == 8)


async def test_a_device_that_falls_off_is_out_and_the_others_are_not(stage: Stage) -> None:
    async with stage.running(stage.agent()):
        await stage.until(lambda status: status.usable == 8)
        alter(stage.node, 6, lost=True)
        status = await stage.until(lambda status: status.usable == 7)
    assert _out(status) == {6}


async def test_a_foreign_process_comes_and_goes(stage: Stage) -> None:
    async with stage.running(stage.agent()):
        await stage.until(lambda status: status.usable == 8)
        alter(stage.node, 0, processes=(Process(pid=77, mib=4_000), Process(pid=78, mib=1, pod="a-pod")))
        status = await stage.until(lambda status: status.usable == 7)
        assert [(d.foreign_processes, d.foreign_bytes) for d in (status.devices or ())[:2]] == [
            (1, 4_000 << 20),
            (0, 0),
        ]
        assert status.healthy == 8
        alter(stage.node, 0, processes=())
        await stage.until(lambda status: status.usable == 8)


async def test_a_driver_that_reloads_is_two_states(stage: Stage) -> None:
    driver = stage.node.scenario.driver
    async with stage.running(stage.agent(wait_for_driver=True)):
        await stage.until(lambda status: status.usable == 8)
        stage.node.play(changed(stage.node.scenario, driver=changed(driver, loaded=False)))
        away = await stage.until(lambda status: status.state == "NoDriver")
        assert away.usable == 0
        stage.node.play(changed(stage.node.scenario, driver=changed(driver, generation=2)))
        await stage.until(lambda status: status.usable == 8)


async def test_a_node_without_a_driver_is_told_and_left(stage: Stage) -> None:
    stage.node.play(changed(stage.node.scenario, driver=changed(stage.node.scenario.driver, loaded=False)))
    assert await stage.agent().run() == "NoDriver"
    status = await stage.status()
    assert status is not None
    assert (status.state, status.gpus, status.devices) == ("NoDriver", 0, ())
    assert "not loaded" in status.message


async def test_a_replaced_driver_ends_the_agent(stage: Stage) -> None:
    stage.node.play(changed(stage.node.scenario, fail={"nvmlSystemGetDriverVersion": LIBRARY_MISMATCH}))
    assert await stage.agent(wait_for_driver=True).run() == "DriverMismatch"


async def test_the_next_agent_knows_what_the_last_one_did(stage: Stage) -> None:
    agent = stage.agent()
    async with stage.running(agent):
        await stage.until(lambda status: status.usable == 8)
        assert agent.is_listening(10.0)
        strike(stage.node, 1, 48)
        first = await stage.until(lambda status: _out(status) == {1})
    await stage.agent(once=True).run()
    again = await stage.status()
    assert again is not None
    assert _out(again) == {1}
    assert (again.devices or ())[1].fatal_since == (first.devices or ())[1].fatal_since


async def test_an_admin_clears_by_annotation(stage: Stage) -> None:
    agent = stage.agent(heartbeat_s=0.05)
    async with stage.running(agent):
        await stage.until(lambda status: status.usable == 8)
        assert agent.is_listening(10.0)
        strike(stage.node, 1, 79)
        await stage.until(lambda status: _out(status) == {1})
        await stage.annotate(CLEAR_ANNOTATION, f"GPU-{stage.name}-1")
        await stage.until(lambda status: not _out(status))
    node = await stage.api.get(f"{PATH}/{stage.name}", GPUNode)
    assert CLEAR_ANNOTATION not in (node.metadata.annotations or {})


async def test_at_rest_only_heartbeats_are_written(stage: Stage) -> None:
    agent = stage.agent(heartbeat_s=3_600.0, period_s=0.0)
    async with stage.running(agent):
        await stage.until(lambda status: status.usable == 8)
        written = agent.metrics.registry.get_sample_value("stowplan_agent_writes_total")
        for _ in range(20):
            alter(stage.node, 3, temperature=40, used_mib=7)
            await stage.status()
        assert agent.metrics.registry.get_sample_value("stowplan_agent_writes_total") == written


@pytest.mark.parametrize(
    "status",
    [
        {"state": "Splendid"},
        {"gpus": -1},
        {"devices": [{"uuid": f"G{number}"} for number in range(65)]},
        {"devices": [{"uuid": "G", "state": "Fine"}]},
        {"devices": [{"uuid": "G"}, {"uuid": "G"}]},
        {"devices": [{"index": 0}]},
        {"lastProbe": "soon"},
        {"message": "x" * 513},
    ],
)
async def test_what_no_agent_writes_is_refused(stage: Stage, status: dict[str, object]) -> None:
    await stage.agent(once=True).run()
    body = msgspec.json.encode({"status": status})
    with pytest.raises(Invalid):
        await stage.api.request(
            "PATCH",
            f"{PATH}/{stage.name}/status",
            body=body,
            content_type="application/merge-patch+json",
        )
