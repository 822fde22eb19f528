"""Scenarios nobody picked by hand, and small changes to one."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from hypothesis import strategies as st

from deploy.local.nvml.library import FakeNode
from scheduler.inventory.scenario import (
    Device,
    Driver,
    Ecc,
    Event,
    Fabric,
    Instance,
    Link,
    Mig,
    Process,
    Remap,
    Repair,
    Retired,
    Scenario,
)

S = TypeVar("S", bound=msgspec.Struct)

_SMALL = st.integers(0, 1_000)
_COUNT = st.integers(0, 2**62)
_WORD = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -", min_size=1, max_size=40).map(str.strip).filter(bool)


def changed(struct: S, **fields: object) -> S:
    return msgspec.structs.replace(struct, **fields)


def alter(node: FakeNode, index: int, **fields: object) -> None:
    """Something happens to one device."""
    devices = list(node.scenario.devices)
    devices[index] = changed(devices[index], **fields)
    node.play(changed(node.scenario, devices=tuple(devices)))


def strike(node: FakeNode, index: int, number: int, kind: int = 8) -> None:
    """An XID, or another event, on one device."""
    event = Event(device=index, data=number, type=kind)
    node.play(changed(node.scenario, events=(*node.scenario.events, event)))


def _instance(number: int) -> st.SearchStrategy[Instance]:
    return st.builds(
        Instance,
        uuid=st.just(f"MIG-{number}"),
        name=st.just(f"NVIDIA A100 MIG {number + 1}g.10gb"),
        gpu_instance=st.just(number),
        compute_instance=st.integers(0, 7),
        gpu_slices=st.integers(1, 7),
        compute_slices=st.integers(1, 7),
        memory_mib=st.integers(1_000, 80_000),
        used_mib=st.integers(0, 999),
        reserved_mib=st.just(0),
    )


@st.composite
def _mig(draw: st.DrawFn) -> Mig:
    enabled = draw(st.booleans())
    count = draw(st.integers(0, 7)) if enabled else 0
    return Mig(enabled=enabled, instances=tuple(draw(_instance(number)) for number in range(count)))


_LINK = st.one_of(
    st.just(Link(active=False, type=None)),
    st.builds(
        Link,
        active=st.just(True),
        type=st.sampled_from([0, 1, 2, 255]),
        peer=st.sampled_from(["00000000:80:00.0", "00000000:11:00.0"]),
        errors=_SMALL,
    ),
)


def _device(index: int) -> st.SearchStrategy[Device]:
    processes = st.lists(
        st.builds(Process, pid=st.integers(1, 2**22), mib=_SMALL, gpu_instance=st.none() | st.integers(0, 7)),
        max_size=9,
        unique_by=lambda process: process.pid,
    )
    return st.builds(
        Device,
        uuid=st.just(f"GPU-{index}"),
        name=_WORD,
        serial=st.none() | st.text("0123456789", min_size=1, max_size=16),
        minor=st.none() | st.just(index),
        pci=st.just(f"00000000:{0x10 + index:02X}:00.0"),
        numa=st.none() | st.integers(0, 7),
        memory_mib=st.none() | st.integers(1_000, 200_000),
        used_mib=st.integers(0, 900),
        reserved_mib=st.integers(0, 99),
        utilisation_gpu=st.integers(0, 100),
        utilisation_memory=st.integers(0, 100),
        power_usage_mw=st.none() | st.integers(0, 1_000_000),
        power_limit_mw=st.none() | st.integers(0, 1_000_000),
        temperature=st.none() | st.integers(-10, 110),
        ecc=st.none()
        | st.builds(
            Ecc,
            enabled=st.just(True),
            volatile_corrected=_COUNT,
            volatile_uncorrected=_COUNT,
            aggregate_corrected=_COUNT,
            aggregate_uncorrected=_COUNT,
            sram_exceeded=st.booleans(),
        ),
        remap=st.none() | st.builds(Remap, corrected=_SMALL, uncorrected=_SMALL),
        retired=st.none() | st.builds(Retired, single=st.integers(0, 60), double=st.integers(0, 60)),
        repair=st.none() | st.builds(Repair),
        mig=st.none() | _mig(),
        links=st.lists(_LINK, max_size=18).map(tuple),
        fabric=st.none()
        | st.builds(
            Fabric,
            cluster=st.text("0123456789abcdef", min_size=32, max_size=32),
            clique=st.integers(0, 2**31 - 1),
            state=st.integers(1, 3),
            health=st.integers(0, 3),
            status=st.sampled_from([0, 0, 17, 999]),
            mask=st.integers(0, 2**16 - 1),
        ),
        recovery=st.none() | st.integers(0, 8),
        processes=processes.map(tuple),
    )


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Up to four devices that have little in common."""
    count = draw(st.integers(1, 4))
    driver = Driver(version=draw(st.sampled_from(["470.1", "580.95.05"])), cuda=draw(st.just(12_080)))
    return Scenario(driver=driver, devices=tuple(draw(_device(index)) for index in range(count)))
