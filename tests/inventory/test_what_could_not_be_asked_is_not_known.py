"""A call that fails for a reason that says nothing of the device proves nothing: neither dead nor well."""

from __future__ import annotations

import pynvml
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.local.nvml.generate import SOURCE, played
from deploy.local.nvml.library import FakeNode, shipped
from scheduler.inventory import nvml
from scheduler.inventory.parse import NodeInventory, found_record, parse
from scheduler.inventory.probe import probe
from scheduler.inventory.publish import written_node
from scheduler.inventory.record import Record, observed, resumed, struck
from scheduler.inventory.scenario import Mig, Process, Remap
from scheduler.kube.wire.inventory import GPUDevice
from tests.inventory.scenes import alter, changed

T0 = 1_800_000_000.0
NOBODY_KNOWS = [nvml.UNKNOWN, nvml.TIMEOUT, 17, nvml.NO_PERMISSION, 7, 11, 20, 23, 27, 28]
CALLS = sorted(name for name in played(SOURCE.read_text()) if name.startswith("nvmlDeviceGet"))
VITAL = ["nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetUUID", "nvmlDeviceGetName", "nvmlDeviceGetMigMode"]


def _told(record: Record, now_s: float) -> list[GPUDevice]:
    return list(written_node(record, "n", now_s).status.devices or ())


def _usable(record: Record, now_s: float) -> list[int]:
    found = parse(written_node(record, "n", now_s))
    assert isinstance(found, NodeInventory)
    return [device.index for device in found.usable(now_s)]


@pytest.fixture
def fresh(node: FakeNode) -> Record:
    return observed(Record(boot_id="b1"), probe(pynvml), T0)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.dictionaries(st.sampled_from(CALLS), st.sampled_from(NOBODY_KNOWS), min_size=1, max_size=3),
    index=st.integers(0, 3),
    base=st.sampled_from(["h100-nvswitch", "a100-mig", "v100-retired-pages", "l4-pcie"]),
    probes=st.integers(1, 4),
)
def test_no_eviction_follows_and_all_is_as_before_once_it_answers(
    node: FakeNode, calls: dict[str, int], index: int, base: str, probes: int
) -> None:
    scenario = shipped(base).expanded("n")
    node.play(scenario)
    record = observed(Record(boot_id="b1"), probe(pynvml), T0)
    before = _told(record, T0)
    alter(node, index % len(scenario.devices), fail=calls)
    for number in range(1, probes + 1):
        record = observed(record, probe(pynvml), T0 + 5 * number)
        told = _told(record, T0 + 5 * number)
        assert not any(device.fatal_since for device in told)
        assert {device.state for device in told} <= {"Healthy", "Unknown"}
        assert [(d.uuid, d.model, d.mig) for d in told] == [(d.uuid, d.model, d.mig) for d in before]
    node.play(scenario)
    later_s = T0 + 5 * (probes + 1)
    assert _told(observed(record, probe(pynvml), later_s), later_s) == before


@pytest.mark.parametrize("call", VITAL)
@pytest.mark.parametrize("code", NOBODY_KNOWS)
def test_what_decides_is_unknown_and_takes_no_pods(
    node: FakeNode, fresh: Record, call: str, code: int
) -> None:
    alter(node, 3, fail={call: code})
    record = observed(fresh, probe(pynvml), T0 + 5)
    told = _told(record, T0 + 5)[3]
    assert told.state == "Unknown"
    assert call in told.reason
    assert str(code) in told.reason
    assert told.since is not None
    assert _usable(record, T0 + 5) == [0, 1, 2, 4, 5, 6, 7]
    after = observed(record, probe(pynvml), T0 + 900)
    assert _told(after, T0 + 900)[3].since == told.since


def test_what_is_known_against_it_stays(node: FakeNode, fresh: Record) -> None:
    sick = struck(fresh, ["GPU-n-3"], "xid-79", T0 + 1)
    alter(node, 3, fail={"nvmlDeviceGetUUID": nvml.UNKNOWN})
    told = _told(observed(sick, probe(pynvml), T0 + 5), T0 + 5)[3]
    assert (told.state, told.reason.split(":")[0]) == ("Fatal", "xid-79")


@pytest.mark.parametrize("call", ["nvmlDeviceGetRemappedRows", "nvmlDeviceGetUUID"])
def test_a_level_that_held_still_holds_while_nobody_can_ask(node: FakeNode, fresh: Record, call: str) -> None:
    alter(node, 3, remap=Remap(pending=True))
    record = observed(fresh, probe(pynvml), T0 + 5)
    alter(node, 3, fail={call: nvml.TIMEOUT})
    for later_s in range(10, 2_000, 30):
        record = observed(record, probe(pynvml), T0 + later_s)
    assert _told(record, T0 + 1_990)[3].state == "Quarantined"


def test_who_uses_it_is_remembered(node: FakeNode, fresh: Record) -> None:
    alter(node, 3, processes=(Process(pid=7, mib=100),))
    record = observed(fresh, probe(pynvml), T0 + 5)
    alter(node, 3, fail={"nvmlDeviceGetComputeRunningProcesses_v3": nvml.UNKNOWN})
    again = written_node(observed(record, probe(pynvml), T0 + 10), "n", T0 + 10, node.pod_of)
    assert [device.foreign_processes for device in again.status.devices or ()][3] == 1


def test_one_that_is_gone_and_one_that_is_silent_are_not_told_apart(node: FakeNode, fresh: Record) -> None:
    """The seventh of seven does not tell its UUID: either of the two that are absent may be it."""
    devices = node.scenario.devices
    silent = changed(devices[7], fail={"nvmlDeviceGetHandleByIndex_v2": nvml.UNKNOWN})
    node.play(changed(node.scenario, devices=(*devices[:2], *devices[3:7], silent)))
    told = {device.uuid: device.state for device in _told(observed(fresh, probe(pynvml), T0 + 5), T0 + 5)}
    assert told["GPU-n-2"] == told["GPU-n-7"] == "Unknown"
    answering = observed(fresh, probe(pynvml), T0 + 5)
    node.play(changed(node.scenario, devices=(*devices[:2], *devices[3:])))
    now = {d.uuid: d.state for d in _told(observed(answering, probe(pynvml), T0 + 10), T0 + 10)}
    assert (now["GPU-n-2"], now["GPU-n-7"]) == ("Fatal", "Healthy")


def test_an_agent_that_starts_meanwhile_knows_no_more(node: FakeNode, fresh: Record) -> None:
    alter(node, 3, fail={"nvmlDeviceGetHandleByIndex_v2": nvml.UNKNOWN})
    written = written_node(observed(fresh, probe(pynvml), T0 + 5), "n", T0 + 5)
    record = observed(resumed(found_record(written), "b1", T0 + 9), probe(pynvml), T0 + 10)
    told = _told(record, T0 + 10)
    assert [device.state for device in told][3] == "Unknown"
    assert told[3].since == (written.status.devices or ())[3].since


@pytest.mark.parametrize("code", [nvml.GPU_IS_LOST, nvml.RESET_REQUIRED])
@pytest.mark.parametrize("call", ["nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetName"])
def test_named_evidence_is_fatal(node: FakeNode, fresh: Record, call: str, code: int) -> None:
    alter(node, 3, fail={call: code})
    states = [device.state for device in _told(observed(fresh, probe(pynvml), T0 + 5), T0 + 5)]
    assert states == ["Healthy"] * 3 + ["Fatal"] + ["Healthy"] * 4


@pytest.mark.parametrize("call", ["nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetUUID"])
def test_a_reset_that_nobody_can_ask_about_is_a_reset(node: FakeNode, fresh: Record, call: str) -> None:
    """The row that had failed is gone with the driver that was loaded anew while the device was silent."""
    alter(node, 3, remap=Remap(failure=True))
    record = observed(fresh, probe(pynvml), T0 + 5)
    fatal_since = _told(record, T0 + 5)[3].fatal_since
    alter(node, 3, remap=Remap(), fail={call: nvml.TIMEOUT, "nvmlDeviceGetRemappedRows": nvml.TIMEOUT})
    for later_s in range(10, 2_000, 30):
        record = observed(record, probe(pynvml), T0 + later_s)
        assert _told(record, T0 + later_s)[3].fatal_since == fatal_since
    driver = node.scenario.driver
    node.play(changed(node.scenario, driver=changed(driver, generation=driver.generation + 1)))
    record = observed(record, probe(pynvml), T0 + 2_000)
    alter(node, 3, fail={})
    record = observed(record, probe(pynvml), T0 + 2_010)
    assert 3 not in _usable(record, T0 + 2_010)
    assert 3 in _usable(observed(record, probe(pynvml), T0 + 2_601), T0 + 2_601)


@pytest.mark.parametrize(
    "call", ["nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetMPSComputeRunningProcesses_v3"]
)
@pytest.mark.parametrize("of", ["one", "all", "one cut into instances"])
def test_who_may_look_at_no_process_knows_all_devices(node: FakeNode, call: str, of: str) -> None:
    """By design that is so on a whole node, or of a device in MIG mode, and not of one among others."""
    forbidden = range(8) if of == "all" else (3,)
    for index in forbidden:
        alter(node, index, fail={call: nvml.NO_PERMISSION})
    if of == "one cut into instances":
        alter(node, 3, mig=Mig(enabled=True))
    states = [device.state for device in _told(observed(Record(), probe(pynvml), T0), T0)]
    assert states.count("Unknown") == (1 if of == "one" else 0)
