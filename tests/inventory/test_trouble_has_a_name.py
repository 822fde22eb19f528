"""Whatever a call answers, a probe comes back with a named state."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import get_args

import pynvml
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.local.nvml.build import ensure_library
from deploy.local.nvml.generate import SOURCE, header, played, prototypes
from deploy.local.nvml.library import FakeLibrary, FakeNode, shipped
from scheduler.inventory import nvml
from scheduler.inventory.health import TABLE
from scheduler.inventory.probe import probe
from scheduler.inventory.report import NodeState
from scheduler.inventory.scenario import Fabric, Remap, Repair, Retired
from tests.inventory.scenes import alter, changed

CALLS = sorted(name for name in played(SOURCE.read_text()) if "Event" not in name and "Error" not in name)
CODES = [*range(1, 31), 999]
IDENTITY = {"nvmlDeviceGetUUID", "nvmlDeviceGetHandleByIndex_v2"}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    failures=st.dictionaries(st.sampled_from(CALLS), st.sampled_from(CODES), max_size=4),
    ills=st.dictionaries(st.sampled_from(CALLS), st.sampled_from(CODES), max_size=3),
    base=st.sampled_from(["h100-nvswitch", "a100-mig", "v100-retired-pages"]),
)
def test_any_call_may_fail_in_any_way(
    node: FakeNode, failures: dict[str, int], ills: dict[str, int], base: str
) -> None:
    scenario = shipped(base).expanded("n")
    node.play(changed(scenario, fail=failures))
    alter(node, 0, fail=ills)
    report = probe(pynvml)
    assert report.state in get_args(NodeState)
    assert report.state == "Ready" or report.message
    kinds = {trouble for device in report.devices for trouble in device.troubles}
    assert kinds <= TABLE.keys()
    if report.state == "Ready":
        assert len(report.devices) + report.unidentified == len(scenario.devices)


@pytest.mark.parametrize("call", sorted(set(CALLS) - IDENTITY - {"nvmlInit_v2", "nvmlShutdown"}))
def test_an_older_library_costs_only_what_it_lacks(node: FakeNode, call: str) -> None:
    node.play(changed(node.scenario, fail={call: nvml.FUNCTION_NOT_FOUND}))
    report = probe(pynvml)
    if call == "nvmlDeviceGetCount_v2":
        assert report.state == "Failed"
    elif call != "nvmlInitWithFlags":
        assert report.state == "Ready"
        assert [device.uuid for device in report.devices] == [f"GPU-n-{index}" for index in range(8)]
        assert not report.odd


@pytest.fixture
def older(library: FakeLibrary, node: FakeNode) -> object:
    """The same node on a library from before row remapping and fabric information."""
    made = FakeLibrary(ensure_library(["nvmlDeviceGetRemappedRows", "nvmlDeviceGetGpuFabricInfoV"]))
    made.use(node.table_file)
    yield made
    pynvml.nvmlLib = library._library
    pynvml._nvmlGetFunctionPointer_cache.clear()


@pytest.mark.usefixtures("older")
def test_a_missing_symbol_is_named(node: FakeNode) -> None:
    report = probe(pynvml)
    assert report.state == "Ready"
    assert set(report.lacking) == {"nvmlDeviceGetRemappedRows", "nvmlDeviceGetGpuFabricInfoV"}
    assert all(device.remap is None and device.fabric is None for device in report.devices)


@given(index=st.integers(0, 7))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_lost_device_leaves_the_others(node: FakeNode, index: int) -> None:
    node.play(shipped("h100-nvswitch"))
    alter(node, index, lost=True)
    report = probe(pynvml)
    assert report.state == "Ready"
    assert report.unidentified == 1
    assert [device.index for device in report.devices] == [i for i in range(8) if i != index]
    assert all(device.levels[index] == -1 for device in report.devices)


@pytest.mark.parametrize(
    ("fields", "trouble"),
    [
        ({"remap": Remap(failure=True)}, "remap-failure"),
        ({"remap": Remap(pending=True)}, "remap-pending"),
        ({"retired": Retired(pending=True)}, "retired-pending"),
        ({"repair": Repair(channel=True)}, "repair-pending"),
        ({"repair": Repair(tpc=True)}, "repair-pending"),
        ({"fabric": Fabric(cluster="0" * 32, state=2)}, "fabric-unready"),
        ({"fabric": Fabric(cluster="0" * 32, health=2)}, "fabric-unhealthy"),
        ({"fail": {"nvmlDeviceGetName": nvml.RESET_REQUIRED}}, "reset-required"),
        ({"fail": {"nvmlDeviceGetName": nvml.GPU_IS_LOST}}, "lost"),
    ],
)
def test_what_a_device_tells_of_itself_is_named(
    node: FakeNode, fields: dict[str, object], trouble: str
) -> None:
    alter(node, 5, **fields)
    found = {device.index: device.troubles for device in probe(pynvml).devices}
    assert found == {index: (trouble,) if index == 5 else () for index in range(8)}


def test_links_that_are_down_are_told(node: FakeNode) -> None:
    links = node.scenario.devices[2].links
    alter(node, 2, links=(changed(links[0], active=False), *links[1:]))
    assert [device.index for device in probe(pynvml).devices if device.troubles == ("nvlink-down",)] == [2]


def test_a_driver_that_goes_and_comes_is_opened_again(node: FakeNode) -> None:
    before = probe(pynvml)
    driver = node.scenario.driver
    node.play(changed(node.scenario, driver=changed(driver, loaded=False)))
    away = probe(pynvml)
    assert (away.state, away.devices) == ("NoDriver", ())
    node.play(changed(node.scenario, driver=changed(driver, generation=2)))
    after = probe(pynvml)
    assert (after.state, after.opened) == ("Ready", True)
    assert after.devices == before.devices
    assert not probe(pynvml).opened


def test_a_replaced_driver_asks_for_a_new_process(node: FakeNode) -> None:
    node.play(changed(node.scenario, fail={"nvmlDeviceGetCount_v2": nvml.LIBRARY_MISMATCH}))
    report = probe(pynvml)
    assert report.state == "DriverMismatch"
    assert "start anew" in report.message


def test_no_library_at_all_is_no_driver(library: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: str) -> ctypes.CDLL:
        raise OSError("libnvidia-ml.so.1: cannot open shared object file")

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", absent)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    report = probe(pynvml)
    assert report.state == "NoDriver"
    assert "no NVIDIA driver" in report.message


def test_a_driver_without_devices_says_so(node: FakeNode) -> None:
    node.play(changed(node.scenario, devices=()))
    assert probe(pynvml).state == "NoDevices"


def test_whatever_is_not_played_is_not_supported(library: FakeLibrary) -> None:
    loaded = ctypes.CDLL(str(library.path))
    known = prototypes(header().read_text())
    own = played(SOURCE.read_text())
    assert len(known) > 400
    assert {getattr(loaded, name)(*[None] * 6) for name in known.keys() - own} == {nvml.NOT_SUPPORTED}


def test_a_second_build_is_the_first(library: FakeLibrary, tmp_path: Path) -> None:
    assert ensure_library() == library.path
