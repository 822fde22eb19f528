"""Real ``pynvml`` on the fake library: whatever a scenario says, a probe says too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pynvml
import pytest
from hypothesis import HealthCheck, given, settings

from deploy.local.nvml.library import SCENARIOS, FakeLibrary, FakeNode, read_scenario, shipped
from scheduler.inventory import recorder
from scheduler.inventory.probe import probe
from scheduler.inventory.recorder import recorded
from scheduler.inventory.scenario import Device, Fabric, Scenario
from tests.inventory.scenes import changed, scenarios

MIB = 1 << 20
ONE_NODE = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@ONE_NODE
@given(scenario=scenarios())
def test_every_value_arrives(node: FakeNode, scenario: Scenario) -> None:
    node.play(scenario)
    report = probe(pynvml)
    assert report.state == "Ready"
    assert (report.driver, report.cuda) == (scenario.driver.version, "12.8")
    assert not report.odd
    assert not report.lacking
    for told, seen in zip(scenario.devices, report.devices, strict=True):
        assert (seen.uuid, seen.model, seen.serial) == (told.uuid, told.name, told.serial or "")
        assert (seen.minor, seen.pci, seen.numa) == (told.minor, told.pci, told.numa)
        assert (seen.power_mw, seen.temperature_c) == (told.power_usage_mw, told.temperature)
        assert (seen.memory and seen.memory.total_bytes) == (told.memory_mib and told.memory_mib * MIB)
        for ours, theirs in ((seen.ecc, told.ecc), (seen.remap, told.remap), (seen.retired, told.retired)):
            assert (ours is None) == (theirs is None)
            for field in getattr(theirs, "__struct_fields__", ()):
                assert getattr(ours, field) == getattr(theirs, field)
        assert [link.active for link in seen.links] == [link.active for link in told.links]
        assert [(link.peer, link.errors) for link in seen.links if link.active] == [
            (link.peer, link.errors) for link in told.links if link.active
        ]
        assert {process.pid: process.used_bytes for process in seen.processes} == {
            process.pid: process.mib * MIB for process in told.processes
        }
        expected = told.mig.instances if told.mig else ()
        assert [(i.uuid, i.gpu_instance, i.compute_slices) for i in seen.instances] == [
            (i.uuid, i.gpu_instance, i.compute_slices) for i in expected
        ]


@ONE_NODE
@given(scenario=scenarios())
def test_a_recorded_node_plays_as_the_node_itself(node: FakeNode, scenario: Scenario) -> None:
    without_serials = tuple(
        changed(
            device,
            serial=None,
            processes=tuple(
                changed(process, pid=number + 1) for number, process in enumerate(device.processes)
            ),
        )
        for device in scenario.devices
    )
    node.play(changed(scenario, devices=without_serials))
    seen = replace(probe(pynvml), opened=False)
    sent = msgspec.json.decode(msgspec.json.encode(recorded(seen, keep_uuids=True)), type=Scenario)
    node.play(sent)
    assert probe(pynvml) == seen


def test_the_recorder_gives_no_identity_away(
    node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fabrics = [Fabric(cluster=word * 16, clique=7) for word in ("d1", "d1", "00", "e2")]
    secret = [
        changed(device, serial="1650224100432", fabric=fabrics[min(index, 3)])
        for index, device in enumerate(node.scenario.devices)
    ]
    node.play(changed(node.scenario, devices=tuple(secret)))
    assert recorder.main([], pynvml) == 0
    text = capsys.readouterr().out
    assert "1650224100432" not in text
    assert all(device.uuid not in text for device in secret)
    assert "d1" * 16 not in text
    assert "e2" * 16 not in text
    file = tmp_path / "sent.json"
    file.write_text(text)
    sent = read_scenario(file).devices
    assert len(sent) == len(json.loads(text)["devices"]) == 8
    told = [device.fabric.cluster for device in sent if device.fabric is not None]
    # Who is in one fabric is still told, and who is in none.
    assert [told.index(cluster) for cluster in told] == [0, 0, 2, 3, 3, 3, 3, 3]
    assert [cluster for cluster in told if not cluster.strip("0")] == ["0" * 32]
    assert {device.fabric.clique for device in sent if device.fabric is not None} == {7}


def test_the_recorder_says_when_there_is_nothing(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.play(changed(node.scenario, driver=changed(node.scenario.driver, loaded=False)))
    assert recorder.main([], pynvml) == 3
    assert capsys.readouterr().err.startswith("NoDriver: the NVIDIA driver is not loaded")


@pytest.mark.parametrize("name", sorted(path.stem for path in SCENARIOS.glob("*.yaml")))
def test_every_shipped_scenario_plays(node: FakeNode, name: str) -> None:
    node.play(shipped(name))
    report = probe(pynvml)
    assert report.state == "Ready"
    assert not report.unidentified
    assert all(not device.troubles for device in report.devices)


def test_nvlink_peers_follow_links(node: FakeNode) -> None:
    report = probe(pynvml)
    for device in report.devices:
        assert device.nvlink_peers == tuple(other for other in range(8) if other != device.index)
        assert device.levels[device.index] == 0
    node.play(shipped("l4-pcie"))
    assert all(not device.nvlink_peers for device in probe(pynvml).devices)
    node.play(shipped("v100-retired-pages"))
    assert [device.nvlink_peers for device in probe(pynvml).devices] == [(1,), (0,)]


def test_two_nodes_of_one_process_stay_apart(library: FakeLibrary, tmp_path: Path) -> None:
    nodes = [FakeNode(tmp_path, f"n{i}", Scenario(template=Device(), count=i + 1)) for i in range(3)]
    for _ in range(2):
        for count, node in enumerate(nodes, 1):
            library.use(node.table_file)
            assert {device.uuid for device in probe(pynvml).devices} == {
                f"GPU-{node.name}-{index}" for index in range(count)
            }
