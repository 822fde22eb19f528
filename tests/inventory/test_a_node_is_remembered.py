"""From one probe to the next, and from one agent to the next."""

from __future__ import annotations

from dataclasses import replace

import pynvml
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.local.nvml.library import FakeNode, shipped
from scheduler.inventory.health import TABLE
from scheduler.inventory.nvml import GPU_IS_LOST, RESET_REQUIRED, UNKNOWN
from scheduler.inventory.parse import NodeInventory, Refused, found_record, parse
from scheduler.inventory.probe import probe
from scheduler.inventory.publish import gpu_node, meaning, written_node
from scheduler.inventory.record import Record, cleared, hung, observed, resumed, struck
from scheduler.inventory.report import Device, DeviceReport, Memory
from scheduler.inventory.scenario import Link, Remap
from scheduler.kube.wire.base import Metadata
from scheduler.kube.wire.inventory import GPUDevice, GPUInstance, GPUNode, GPUNodeStatus, GPUSign
from tests.inventory.scenes import alter, changed

T0 = 1_800_000_000.0


def _view(record: Record, now_s: float) -> NodeInventory:
    found = parse(written_node(record, "n", now_s))
    assert isinstance(found, NodeInventory)
    return found


def _usable(record: Record, now_s: float) -> list[int]:
    return [device.index for device in _view(record, now_s).usable(now_s)]


@pytest.fixture
def fresh(node: FakeNode) -> Record:
    return observed(Record(boot_id="b1"), probe(pynvml), T0)


@pytest.mark.parametrize("how", ["lost", "gone"])
def test_a_vanished_device_is_missed_until_a_boot(node: FakeNode, fresh: Record, how: str) -> None:
    whole = node.scenario
    if how == "lost":
        alter(node, 3, lost=True)
    else:
        node.play(changed(whole, devices=(*whole.devices[:3], *whole.devices[4:])))
    away = observed(fresh, probe(pynvml), T0 + 5)
    device = next(d for d in _view(away, T0 + 5).devices if d.uuid == "GPU-n-3")
    assert {d.island for d in _view(away, T0 + 5).usable(T0 + 5)} == {"0"}
    assert device.health == "Fatal"
    assert device.reason.startswith("lost" if how == "lost" else "missing")
    assert device.memory_bytes > 0
    assert len(_view(away, T0 + 5).usable(T0 + 5)) == 7
    node.play(whole)
    back = observed(away, probe(pynvml), T0 + 10)
    for later_s in (10.0, 1e6):
        assert "GPU-n-3" not in [d.uuid for d in _view(back, T0 + later_s).devices if d.is_usable]
    again = observed(
        resumed(found_record(written_node(back, "n", T0 + 20)), "b2", T0 + 60), probe(pynvml), T0 + 61
    )
    assert len(_usable(again, T0 + 61)) == 7
    assert len(_usable(observed(again, probe(pynvml), T0 + 700), T0 + 700)) == 8


def test_a_new_agent_goes_on_where_the_last_one_stopped(node: FakeNode, fresh: Record) -> None:
    sick = struck(fresh, ["GPU-n-1"], "xid-48", T0 + 1)
    written = written_node(sick, "n", T0 + 2)
    next_one = observed(resumed(found_record(written), "b1", T0 + 30), probe(pynvml), T0 + 31)
    assert _usable(next_one, T0 + 31) == [0, 2, 3, 4, 5, 6, 7]
    before, after = (written_node(r, "n", T0 + 31).status.devices or () for r in (sick, next_one))
    assert [d.fatal_since for d in before] == [d.fatal_since for d in after]


def test_a_driver_loaded_anew_counts_as_a_reset(node: FakeNode, fresh: Record) -> None:
    sick = struck(fresh, ["GPU-n-1"], "xid-95", T0 + 1)
    assert 1 not in _usable(observed(sick, probe(pynvml), T0 + 5_000), T0 + 5_000)
    driver = node.scenario.driver
    node.play(changed(node.scenario, driver=changed(driver, generation=2)))
    reset = observed(sick, probe(pynvml), T0 + 5_000)
    assert 1 not in _usable(reset, T0 + 5_000)
    assert 1 in _usable(observed(reset, probe(pynvml), T0 + 5_601), T0 + 5_601)


def test_a_start_of_the_agent_is_no_reset(node: FakeNode, fresh: Record) -> None:
    sick = struck(fresh, ["GPU-n-1"], "xid-95", T0 + 1)
    found = resumed(found_record(written_node(sick, "n", T0 + 2)), "b1", T0 + 3)
    started = observed(found, replace(probe(pynvml), opened=True), T0 + 9_000)
    assert 1 not in _usable(started, T0 + 9_000)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    level=st.sampled_from([{"recovery": 1}, {"recovery": 4}, {"remap": Remap(failure=True)}, {"lost": True}]),
    pauses_s=st.lists(st.sampled_from([5, 61, 700, 7_000, 100_000]), min_size=1, max_size=9),
    begun_anew=st.lists(st.booleans(), min_size=9, max_size=9),
)
def test_what_holds_at_each_look_is_one_outage_however_far_apart_they_are(
    node: FakeNode, level: dict[str, object], pauses_s: list[int], begun_anew: list[bool]
) -> None:
    """Looks are far apart where agents start anew, step aside or wait for a call."""
    node.play(shipped("h100-nvswitch").expanded("n"))
    record = observed(Record(boot_id="b1"), probe(pynvml), T0)
    alter(node, 3, **level)
    now_s = T0 + 5
    record = observed(record, probe(pynvml), now_s)
    first = (written_node(record, "n", now_s).status.devices or ())[3]
    for pause_s, is_new in zip(pauses_s, begun_anew, strict=False):
        if is_new:
            record = resumed(found_record(written_node(record, "n", now_s)), "b1", now_s)
        now_s += pause_s
        record = observed(record, probe(pynvml), now_s)
        told = (written_node(record, "n", now_s).status.devices or ())[3]
        assert (told.state, told.since, told.fatal_since) == (first.state, first.since, first.fatal_since)
    if "recovery" in level:
        alter(node, 3, recovery=0)
        record = observed(record, probe(pynvml), now_s + 601)
        assert 3 in _usable(record, now_s + 601)


@pytest.mark.parametrize("is_new", [False, True], ids=["one agent", "stopped for it"])
def test_who_asked_for_a_reset_and_answers_again_had_it(node: FakeNode, fresh: Record, is_new: bool) -> None:
    """An agent that holds NVML open has to be stopped for the reset of a single GPU."""
    alter(node, 3, fail={"nvmlDeviceGetName": RESET_REQUIRED})
    record = observed(struck(fresh, ["GPU-n-3"], "xid-95", T0 + 1), probe(pynvml), T0 + 5)
    if is_new:
        record = resumed(found_record(written_node(record, "n", T0 + 6)), "b1", T0 + 60)
    alter(node, 3, fail={})
    record = observed(record, probe(pynvml), T0 + 61)
    assert 3 not in _usable(record, T0 + 61)
    assert 3 in _usable(observed(record, probe(pynvml), T0 + 662), T0 + 662)


def test_what_a_boot_mended_is_not_held_against_a_device_that_cannot_tell(
    node: FakeNode, fresh: Record
) -> None:
    alter(node, 3, remap=Remap(failure=True))
    record = observed(fresh, probe(pynvml), T0 + 5)
    alter(node, 3, remap=Remap(), fail={"nvmlDeviceGetRemappedRows": UNKNOWN})
    record = resumed(found_record(written_node(record, "n", T0 + 6)), "b2", T0 + 60)
    record = observed(record, probe(pynvml), T0 + 61)
    alter(node, 3, fail={})
    record = observed(record, probe(pynvml), T0 + 661)
    assert 3 in _usable(record, T0 + 661)


def test_an_admins_word_returns_a_device_at_once(node: FakeNode, fresh: Record) -> None:
    sick = struck(fresh, ["GPU-n-1", "GPU-n-2"], "xid-79", T0 + 1)
    assert _usable(cleared(sick, ["GPU-n-1"]), T0 + 2) == [0, 1, 3, 4, 5, 6, 7]


def test_what_holds_returns_with_the_next_probe(node: FakeNode, fresh: Record) -> None:
    alter(node, 1, fail={"nvmlDeviceGetName": GPU_IS_LOST})
    sick = cleared(observed(fresh, probe(pynvml), T0 + 5), ["GPU-n-1"])
    assert 1 not in _usable(observed(sick, probe(pynvml), T0 + 10), T0 + 10)


def test_a_hanging_probe_stops_the_probes_time_not_the_heartbeat(fresh: Record) -> None:
    stuck = hung(fresh, 25.0)
    status = written_node(stuck, "n", T0 + 25).status
    assert (status.state, status.usable) == ("Hung", 0)
    assert status.last_probe != status.last_heartbeat
    assert _usable(stuck, T0 + 25) == []
    assert len(_view(stuck, T0 + 25).devices) == 8


@given(age_s=st.floats(-100, 100))
@settings(max_examples=50)
def test_only_a_fresh_probe_gives_devices(age_s: float) -> None:
    record = observed(Record(), DeviceReport(state="Ready", devices=(Device(index=0, uuid="G"),)), T0)
    assert bool(_usable(record, T0 + age_s)) == (abs(age_s) <= 30)


@pytest.mark.parametrize("state", ["NoDriver", "NoDevices", "DriverMismatch", "Failed"])
def test_no_other_state_gives_devices(fresh: Record, state: str) -> None:
    report = DeviceReport(state=state, message="m")  # type: ignore[arg-type] # parametrized words
    told = observed(fresh, report, T0 + 5)
    assert _usable(told, T0 + 5) == []
    assert written_node(told, "n", T0 + 5).status.healthy == 0


@pytest.mark.parametrize(("kind", "parts"), [("xid-74", True), ("xid-48", False), ("nvlink-down", True)])
def test_link_trouble_takes_the_island_apart(fresh: Record, kind: str, parts: bool) -> None:
    sick = struck(fresh, ["GPU-n-6"], kind, T0)
    islands = {device.island for device in _view(sick, T0).devices}
    assert islands == ({""} if parts else {"0"})


def test_islands_are_what_links_connect(node: FakeNode) -> None:
    base = shipped("l4-pcie").expanded("n")
    pairs = [(0, 2), (1, 3)]
    devices = list(base.devices)
    for a, b in pairs:
        devices[a] = changed(devices[a], links=(Link(peer=devices[b].pci, type=0),))
        devices[b] = changed(devices[b], links=(Link(peer=devices[a].pci, type=0),))
    node.play(changed(base, devices=tuple(devices)))
    found = observed(Record(), probe(pynvml), T0)
    assert [device.island for device in _view(found, T0).devices] == ["0", "1", "0", "1"]


def test_only_what_decides_is_a_change(node: FakeNode, fresh: Record) -> None:
    before = meaning(written_node(fresh, "n", T0).status)
    for index in range(8):
        alter(node, index, used_mib=999, temperature=80, power_usage_mw=1, utilisation_gpu=97)
    warm = observed(fresh, probe(pynvml), T0 + 5)
    assert meaning(written_node(warm, "n", T0 + 5).status) == before
    assert meaning(written_node(struck(warm, ["GPU-n-0"], "xid-79", T0 + 6), "n", T0 + 6).status) != before


_TEXT = st.text(max_size=80)
_INT = st.integers(-(2**70), 2**70)
_WIRE = st.builds(
    GPUNode,
    metadata=st.builds(Metadata, name=_TEXT),
    status=st.builds(
        GPUNodeStatus,
        state=_TEXT | st.sampled_from(["Ready", "Hung"]),
        last_probe=st.none() | _TEXT | st.just("2027-01-15T08:00:00Z"),
        devices=st.none()
        | st.lists(
            st.builds(
                GPUDevice,
                index=_INT,
                uuid=_TEXT,
                state=_TEXT | st.sampled_from(["Healthy", "Fatal"]),
                foreign_processes=_INT,
                memory_bytes=_INT,
                fatal_since=st.none() | _TEXT,
                instances=st.none() | st.lists(st.builds(GPUInstance, uuid=_TEXT), max_size=20).map(tuple),
                signs=st.none()
                | st.lists(st.builds(GPUSign, kind=_TEXT, first=_TEXT, last=_TEXT, count=_INT)).map(tuple),
            ),
            max_size=70,
        ).map(tuple),
    ),
)


@given(wire=_WIRE)
@settings(max_examples=25)
def test_whatever_is_stored_can_be_read(wire: GPUNode) -> None:
    found_record(wire)
    found = parse(wire)
    if isinstance(found, Refused):
        assert found.reason.isprintable()
        return
    for device, told in zip(found.devices, wire.status.devices or (), strict=True):
        assert not device.is_usable or (told.state in ("Healthy", "Noted") and told.foreign_processes == 0)
        assert (device.uuid + device.model + device.reason).isprintable()
        assert 0 <= device.memory_bytes <= 2**50


@given(kinds=st.lists(st.sampled_from(sorted(TABLE)), max_size=30), now_s=st.integers(0, 10_000))
@settings(max_examples=50)
def test_what_is_written_is_read_back(kinds: list[str], now_s: int) -> None:
    devices = tuple(
        Device(index=i, uuid=f"G{i}", model="M", memory=Memory(total_bytes=1, used_bytes=0)) for i in range(3)
    )
    record = observed(Record(), DeviceReport(state="Ready", devices=devices), T0)
    for moment, kind in enumerate(kinds):
        record = struck(record, [f"G{moment % 3}"], kind, T0 + moment * 90)
    at_s = T0 + now_s
    written = written_node(record, "n", at_s)
    assert found_record(written).history == record.history
    again = written_node(replace(found_record(written), state="Ready"), "n", at_s).status.devices or ()
    assert [(d.state, d.reason) for d in again] == [(d.state, d.reason) for d in written.status.devices or ()]


def test_one_probe_makes_one_object(node: FakeNode) -> None:
    status = gpu_node(probe(pynvml), "n", T0).status
    assert (status.state, status.model, status.gpus, status.healthy) == (
        "Ready",
        "NVIDIA H100 80GB HBM3",
        8,
        8,
    )
