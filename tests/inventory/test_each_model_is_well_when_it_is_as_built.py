"""Each recorded node, as its vendor built it: all devices well, named, and linked as they are."""

from __future__ import annotations

import msgspec
import pynvml
import pytest

from deploy.local.nvml.library import SCENARIOS, FakeNode, shipped
from scheduler.inventory.probe import probe
from scheduler.inventory.publish import gpu_node
from tests.inventory.schema import problems, status_schema

T0 = 1_800_000_000.0
NAMES = sorted(path.stem for path in SCENARIOS.glob("*.yaml"))
#: Islands: how many devices of the node reach each other over NVLink.
LINKED = {
    "a100-sxm": 8,
    "b200-nvswitch": 8,
    "gb200-tray": 4,
    "h100-nvl": 2,
    "h100-nvswitch": 8,
    "h200-nvswitch": 8,
    "v100-retired-pages": 2,
}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_held_against_a_model_for_what_it_is(node: FakeNode, name: str) -> None:
    node.play(shipped(name))
    report = probe(pynvml)
    written = gpu_node(report, "n", T0)
    devices = written.status.devices or ()
    assert devices
    assert {device.state for device in devices} == {"Healthy"}
    assert not report.odd
    assert all(device.model for device in devices)
    assert len({device.uuid for device in devices}) == len(devices)
    assert sum(bool(device.island) for device in devices) == LINKED.get(name, 0)
    status = msgspec.to_builtins(written)["status"]
    assert not list(problems(status, status_schema(), "status"))


def test_a_rack_of_nvlink_is_one_clique(node: FakeNode) -> None:
    node.play(shipped("gb200-tray"))
    devices = gpu_node(probe(pynvml), "n", T0).status.devices or ()
    assert {device.clique for device in devices} == {"8f2c1111-2222-3333-4444-5555666677aa.32766"}
    assert len({device.serial for device in devices}) == 1
