"""A scenario as the lines that the fake library reads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from scheduler.inventory.scenario import ACROSS, SAME_BRIDGE, Device, Process, Scenario

_MIB = 1 << 20
_NVLINK_OK, _NVLINK_NOT_SUPPORTED = 0, 5

Value = str | int | bool | None
Line = tuple[str, Value]


def write(scenario: Scenario, path: Path, node: str = "node") -> None:
    """Put the node's table in place at once, so that a reader sees the old one or the new one."""
    whole = path.with_name(f"{path.name}.{os.getpid()}.partial")
    whole.write_text(rendered(scenario.expanded(node)), encoding="utf-8")
    whole.replace(path)


def rendered(scenario: Scenario) -> str:
    """An expanded scenario as text: ``key value`` lines; what is not supported has no line."""
    return "".join(
        f"{key} {int(value) if isinstance(value, bool) else value}\n"
        for key, value in _lines(scenario)
        if value is not None
    )


def _lines(scenario: Scenario) -> Iterator[Line]:
    driver = scenario.driver
    yield "driver.version", driver.version
    yield "driver.cuda", driver.cuda
    yield "driver.loaded", driver.loaded
    yield "driver.generation", driver.generation
    yield "devices", len(scenario.devices)
    yield from ((f"fail.{call}", code) for call, code in scenario.fail.items())
    yield from ((f"hang.{call}", 1) for call in scenario.hang)
    yield "events", len(scenario.events)
    for number, event in enumerate(scenario.events):
        yield f"event{number}.device", event.device
        yield f"event{number}.type", event.type
        yield f"event{number}.data", event.data
        yield f"event{number}.gi", event.gpu_instance
    for index, device in enumerate(scenario.devices):
        for key, value in (*_device(device), *_pairs(scenario, index)):
            yield f"d{index}.{key}", value


def _device(device: Device) -> Iterator[Line]:
    yield "uuid", device.uuid
    yield "name", device.name
    yield "serial", device.serial
    yield "minor", device.minor
    yield "pci", device.pci or None
    yield "numa", device.numa
    yield "lost", 1 if device.lost else None
    yield "utilisation.gpu", device.utilisation_gpu
    yield "utilisation.memory", device.utilisation_memory
    yield "power.usage", device.power_usage_mw
    yield "power.limit", device.power_limit_mw
    yield "temperature", device.temperature
    yield "events.supported", device.events_supported
    yield "recovery", device.recovery
    yield from ((f"fail.{call}", code) for call, code in device.fail.items())
    yield from ((f"hang.{call}", 1) for call in device.hang)
    if device.memory_mib is not None:
        yield from _memory("", device.memory_mib, device.used_mib, device.reserved_mib)
    yield from _wear(device)
    yield from _instances(device)
    for number, link in enumerate(device.links):
        yield f"link{number}.active", link.active
        yield f"link{number}.type", link.type
        yield f"link{number}.pci", link.peer
        yield f"link{number}.errors", link.errors
    if device.fabric is not None:
        yield "fabric.uuid", device.fabric.cluster
        yield "fabric.clique", device.fabric.clique
        yield "fabric.state", device.fabric.state
        yield "fabric.health", device.fabric.health
        yield "fabric.status", device.fabric.status
        yield "fabric.mask", device.fabric.mask
    yield from _processes("process", [process for process in device.processes if not process.mps])
    yield from _processes("mps", [process for process in device.processes if process.mps])


def _memory(prefix: str, total_mib: int, used_mib: int, reserved_mib: int) -> Iterator[Line]:
    yield f"{prefix}memory.total", total_mib * _MIB
    yield f"{prefix}memory.used", used_mib * _MIB
    yield f"{prefix}memory.reserved", reserved_mib * _MIB


def _wear(device: Device) -> Iterator[Line]:
    if (ecc := device.ecc) is not None:
        yield "ecc.enabled", ecc.enabled
        yield "ecc.volatile.corrected", ecc.volatile_corrected
        yield "ecc.volatile.uncorrected", ecc.volatile_uncorrected
        yield "ecc.aggregate.corrected", ecc.aggregate_corrected
        yield "ecc.aggregate.uncorrected", ecc.aggregate_uncorrected
        yield "ecc.sram_exceeded", ecc.sram_exceeded
    if (remap := device.remap) is not None:
        yield "remap.corrected", remap.corrected
        yield "remap.uncorrected", remap.uncorrected
        yield "remap.pending", remap.pending
        yield "remap.failure", remap.failure
    if (retired := device.retired) is not None:
        yield "retired.single", retired.single
        yield "retired.double", retired.double
        yield "retired.pending", retired.pending
    if (repair := device.repair) is not None:
        yield "repair.channel", repair.channel
        yield "repair.tpc", repair.tpc


def _instances(device: Device) -> Iterator[Line]:
    if device.mig is None:
        return
    yield "mig.enabled", device.mig.enabled
    yield "mig.max", len(device.mig.instances)
    for number, instance in enumerate(device.mig.instances):
        prefix = f"m{number}."
        yield f"{prefix}uuid", instance.uuid
        yield f"{prefix}name", instance.name
        yield f"{prefix}gi", instance.gpu_instance
        yield f"{prefix}ci", instance.compute_instance
        yield f"{prefix}slices.gpu", instance.gpu_slices
        yield f"{prefix}slices.compute", instance.compute_slices
        yield f"{prefix}slices.memory_mib", instance.memory_mib
        yield from _memory(prefix, instance.memory_mib, instance.used_mib, instance.reserved_mib)


def _processes(kind: str, processes: list[Process]) -> Iterator[Line]:
    yield kind, len(processes)
    for number, process in enumerate(processes):
        yield f"{kind}{number}.pid", process.pid
        yield f"{kind}{number}.bytes", process.mib * _MIB
        yield f"{kind}{number}.gi", process.gpu_instance


def _pairs(scenario: Scenario, index: int) -> Iterator[Line]:
    own = scenario.devices[index]
    for other, device in enumerate(scenario.devices):
        if other == index:
            continue
        if scenario.levels:
            yield f"level.{other}", scenario.levels[index][other]
        else:
            yield f"level.{other}", SAME_BRIDGE if own.numa == device.numa else ACROSS
        if scenario.nvlink:
            yield f"nvlink.{other}", scenario.nvlink[index][other]
        else:
            yield f"nvlink.{other}", _NVLINK_OK if _linked(own, device) else _NVLINK_NOT_SUPPORTED
        yield f"p2p.{other}", 0


def _linked(a: Device, b: Device) -> bool:
    """Both at one switch, or one at the far end of the other's link."""
    at_a = {link.peer for link in a.links if link.active}
    at_b = {link.peer for link in b.links if link.active}
    return bool(at_a & at_b) or b.pci in at_a
