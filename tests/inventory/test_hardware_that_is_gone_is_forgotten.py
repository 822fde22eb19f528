"""Identity is more than a UUID: bus address, serial number, boot and Node. Every memory of it is bounded."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.devices.cordon import cordon_steps
from scheduler.inventory.health import TABLE
from scheduler.inventory.parse import NodeInventory, found_record, parse
from scheduler.inventory.publish import written_node
from scheduler.inventory.record import Record, observed, resumed, struck
from scheduler.inventory.report import Device, DeviceReport, Ecc, Instance, Memory, Nameless, Process
from scheduler.kube.wire.inventory import GPUNode
from scheduler.model.devices import CordonPolicy, Inventory
from scheduler.model.objects import Node
from scheduler.parse.devices import parse_inventory
from tests.inventory.schema import problems, status_schema

T0 = 1_800_000_000.0
DAY_S = 86_400.0


def gpus(host: str, count: int = 8) -> tuple[Device, ...]:
    return tuple(
        Device(
            index=i,
            uuid=f"GPU-{host}-{i}",
            model="NVIDIA H100 80GB HBM3",
            pci=f"00000000:{0x10 + i:02X}:00.0",
            serial=f"{host}{i}",
            memory=Memory(total_bytes=81_559 << 20, used_bytes=0),
        )
        for i in range(count)
    )


def report(*devices: Device, nameless: tuple[Nameless, ...] = ()) -> DeviceReport:
    return DeviceReport(state="Ready", devices=devices, nameless=nameless, driver="580.95.05", opened=True)


def _again(record: Record, boot: str, now_s: float, node_uid: str = "u") -> Record:
    return resumed(found_record(_copied(written_node(record, "n", now_s))), boot, now_s, node_uid)


def _copied(node: GPUNode) -> GPUNode:
    return msgspec.json.decode(msgspec.json.encode(node), type=GPUNode)


def _states(record: Record, now_s: float) -> dict[str, str]:
    return {d.uuid: d.state for d in written_node(record, "n", now_s).status.devices or ()}


@pytest.mark.parametrize("how", ["boot", "node"])
def test_another_host_under_the_same_name_leaves_no_ghosts(how: str) -> None:
    policy = CordonPolicy(offences=3, window_s=DAY_S, lift_s=0, nodes_max_percent=10)
    node = Node(
        name="n",
        uid="u",
        resource_version="1",
        labels={},
        taints=(),
        is_unschedulable=False,
        allocatable={"nvidia.com/gpu": 8},
    )
    record = observed(Record(boot_id="b0", node_uid="u0"), report(*gpus("h0")), T0)
    for host in range(1, 12):
        now_s = T0 + host * 30 * DAY_S
        boot, uid = (f"b{host}", "u0") if how == "boot" else ("b0", f"u{host}")
        record = observed(_again(record, boot, now_s - 60, uid), report(*gpus(f"h{host}")), now_s)
        assert _states(record, now_s) == {f"GPU-h{host}-{i}": "Healthy" for i in range(8)}
        told = parse_inventory(written_node(record, "n", now_s))
        assert isinstance(told, Inventory)
        assert not cordon_steps([node], {"n": told}, policy, now_s)


def test_the_driver_may_come_later_than_the_agent_after_a_boot() -> None:
    record = observed(Record(boot_id="b0"), report(*gpus("h0")), T0)
    booted = observed(_again(record, "b1", T0 + 60), DeviceReport(state="NoDriver", message="m"), T0 + 61)
    restarted = _again(booted, "b1", T0 + 90)
    assert set(_states(observed(restarted, report(*gpus("h1")), T0 + 95), T0 + 95)) == {
        f"GPU-h1-{i}" for i in range(8)
    }


def test_what_is_seen_again_after_a_boot_keeps_its_history() -> None:
    record = struck(observed(Record(boot_id="b0"), report(*gpus("h")), T0), ["GPU-h-3"], "xid-48", T0 + 1)
    booted = observed(_again(record, "b1", T0 + 60), report(*gpus("h")), T0 + 61)
    assert _states(booted, T0 + 61)["GPU-h-3"] == "Fatal"
    assert _states(booted, T0 + 61 + 601)["GPU-h-3"] == "Healthy"


def test_one_that_is_silent_after_a_boot_is_not_forgotten_yet() -> None:
    *others, last = gpus("h")
    record = struck(observed(Record(boot_id="b0"), report(*gpus("h")), T0), [last.uuid], "xid-13", T0 + 1)
    silent = Nameless(index=7, trouble="unreadable", unanswered=("nvmlDeviceGetHandleByIndex_v2: 999",))
    booted = observed(_again(record, "b1", T0 + 60), report(*others, nameless=(silent,)), T0 + 61)
    assert _states(booted, T0 + 61)[last.uuid] == "Unknown"
    assert _states(observed(booted, report(*others), T0 + 70), T0 + 70).keys() == {d.uuid for d in others}


def test_one_that_vanishes_within_a_boot_is_missed_for_a_day() -> None:
    *others, last = gpus("h")
    record = observed(Record(boot_id="b0"), report(*gpus("h")), T0)
    for later_s in (5.0, 10.0, 3_600.0, DAY_S):
        record = observed(record, report(*others), T0 + later_s)
        assert _states(record, T0 + later_s)[last.uuid] == "Fatal"
    # An agent that is started anew goes on counting from the same moment.
    record = observed(_again(record, "b0", T0 + DAY_S + 4), report(*others), T0 + DAY_S + 6)
    assert last.uuid not in _states(record, T0 + DAY_S + 6)


def test_another_device_at_its_bus_address_has_replaced_it() -> None:
    devices = gpus("h")
    record = observed(Record(boot_id="b0"), report(*devices), T0)
    swapped = replace(devices[3], uuid="GPU-new", serial="other")
    now = observed(record, report(*devices[:3], swapped, *devices[4:]), T0 + 5)
    assert set(_states(now, T0 + 5).values()) == {"Healthy"}
    assert len(_states(now, T0 + 5)) == 8


def test_the_same_board_under_another_uuid_keeps_its_history() -> None:
    devices = gpus("h")
    record = struck(observed(Record(boot_id="b0"), report(*devices), T0), ["GPU-h-3"], "xid-48", T0 + 1)
    renamed = replace(devices[3], uuid="GPU-renamed")
    now = observed(record, report(*devices[:3], renamed, *devices[4:]), T0 + 5)
    assert _states(now, T0 + 5)["GPU-renamed"] == "Fatal"
    assert "GPU-h-3" not in _states(now, T0 + 5)


def test_a_silent_device_is_known_by_its_bus_address() -> None:
    """Its place among the others moved, because one before it is gone."""
    devices = gpus("h")
    record = observed(Record(boot_id="b0"), report(*devices), T0)
    moved = [replace(device, index=device.index - 1) for device in devices[3:7]]
    silent = Nameless(index=6, trouble="unreadable", pci=devices[7].pci)
    now = observed(record, report(*devices[:2], *moved, nameless=(silent,)), T0 + 5)
    assert _states(now, T0 + 5)["GPU-h-7"] == "Unknown"
    assert _states(now, T0 + 5)["GPU-h-2"] == "Fatal"


_ODD = st.integers(-(2**63), 2**64)


@st.composite
def _devices(draw: st.DrawFn) -> tuple[Device, ...]:
    host = draw(st.integers(0, 40))
    count = draw(st.integers(0, 64))
    odd = Device(
        index=0,
        uuid=f"GPU-odd-{host}",
        model="M" * draw(st.integers(0, 96)),
        minor=draw(st.none() | _ODD),
        utilisation_gpu=draw(st.none() | _ODD),
        power_mw=draw(st.none() | _ODD),
        temperature_c=draw(st.none() | _ODD),
        memory=Memory(total_bytes=draw(_ODD), used_bytes=draw(_ODD)),
        ecc=Ecc(enabled=True, volatile_corrected=draw(_ODD), aggregate_uncorrected=draw(_ODD)),
        levels=tuple(draw(st.lists(_ODD, max_size=4))),
        mig_enabled=True,
        instances=tuple(
            Instance(uuid=f"MIG-{i}", profile="p" * 80, gpu_instance=draw(_ODD), compute_instance=i)
            for i in range(draw(st.integers(0, 20)))
        ),
        processes=tuple(Process(pid=i, used_bytes=draw(_ODD)) for i in range(draw(st.integers(0, 3)))),
        troubles=tuple(draw(st.lists(st.sampled_from(sorted(TABLE)), max_size=3))),
    )
    return (odd, *(replace(device, index=device.index + 1) for device in gpus(str(host), count)))[:64]


@settings(max_examples=60, deadline=None)
@given(hosts=st.lists(_devices(), min_size=1, max_size=6), seed=st.integers(0, 1_000))
def test_the_object_always_fits(hosts: list[tuple[Device, ...]], seed: int) -> None:
    rng = Random(seed)
    record, now_s = Record(boot_id="b" * 64, node_uid="u"), T0
    for devices in hosts:
        now_s += rng.choice([5.0, 61.0, 4_000.0])
        for device in devices[:3]:
            record = struck(record, [device.uuid], rng.choice(["xid-79", f"xid-{2**64 - 1}"]), now_s)
        record = observed(record, report(*devices), now_s)
        written = msgspec.to_builtins(written_node(record, "n" * 63, now_s))
        assert not list(problems(written["status"], status_schema(), "status"))
        assert len(record.devices) <= 64
        assert set(record.history.signs) <= set(record.devices)
        assert isinstance(parse(written_node(record, "n", now_s)), NodeInventory)
