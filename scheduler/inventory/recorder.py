"""Writes down a real node as a scenario: ``python -m scheduler.inventory.recorder > node.json``.

The file holds no names of people, pods or processes: serial numbers are left out, and UUIDs, the NVLink
fabric's among them, are replaced unless asked for. Send it with a report: the fake library plays that node.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import msgspec
import pynvml

from scheduler.inventory.nvml import FUNCTION_NOT_FOUND, P2P_OK, Nvml
from scheduler.inventory.probe import probe
from scheduler.inventory.report import Device as Seen
from scheduler.inventory.report import DeviceReport, Memory
from scheduler.inventory.report import Link as SeenLink
from scheduler.inventory.scenario import (
    Device,
    Driver,
    Ecc,
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

_MIB = 1 << 20
_P2P_NOT_SUPPORTED = 5


def recorded(report: DeviceReport, *, keep_uuids: bool = False) -> Scenario:
    """The scenario under which a probe sees what this one saw, but for serials and, unless kept, UUIDs.

    Sizes are rounded down to whole MiB.
    """
    # Those that did not even tell their UUID are there too, maybe as the last.
    count = len(report.devices) + report.unidentified
    by_index = {device.index: device for device in report.devices}
    devices = tuple(_device(by_index.get(index), index, keep_uuids) for index in range(count))
    if not keep_uuids:
        devices = _without_fabrics(devices)
    levels = tuple(_row(by_index.get(index), count, -1, "levels") for index in range(count))
    nvlink = tuple(_row(by_index.get(index), count, _P2P_NOT_SUPPORTED, "nvlink") for index in range(count))
    major, _, minor = report.cuda.partition(".")
    cuda = int(major) * 1000 + int(minor or 0) * 10 if major.isdecimal() else 0
    loaded = report.state in ("Ready", "NoDevices")
    driver = Driver(version=report.driver, cuda=cuda, loaded=loaded)
    odd = {call: int(code) for call, _, code in (line.partition(": ") for line in report.odd)}
    fail = dict.fromkeys(report.lacking, FUNCTION_NOT_FOUND) | odd
    return Scenario(driver=driver, devices=devices, levels=levels, nvlink=nvlink, fail=fail)


def main(arguments: Sequence[str] | None = None, api: Nvml = pynvml) -> int:
    """Print the scenario. Exit codes: 0 recorded, 3 no driver or no device, 1 NVML answers with errors."""
    parser = argparse.ArgumentParser(prog="python -m scheduler.inventory.recorder", description=__doc__)
    parser.add_argument("--keep-uuids", action="store_true", help="do not replace device UUIDs")
    options = parser.parse_args(arguments)
    report = probe(api)
    if report.state != "Ready":
        print(f"{report.state}: {report.message}", file=sys.stderr)
        return 3 if report.state in ("NoDriver", "NoDevices") else 1
    scenario = recorded(report, keep_uuids=options.keep_uuids)
    print(msgspec.json.format(msgspec.json.encode(scenario)).decode())
    for line in (*(f"not in this library: {call}" for call in report.lacking), *report.odd):
        print(line, file=sys.stderr)
    return 0


def _row(device: Seen | None, count: int, otherwise: int, which: str) -> tuple[int, ...]:
    if device is None:
        return (otherwise,) * count
    if which == "levels":
        return tuple(device.levels[:count]) + (otherwise,) * (count - len(device.levels))
    return tuple(P2P_OK if index in device.nvlink_peers else otherwise for index in range(count))


def _device(seen: Seen | None, index: int, keep_uuids: bool) -> Device:
    if seen is None or "lost" in seen.troubles:
        return Device(uuid=f"GPU-recorded-{index}", lost=True)
    memory = seen.memory or Memory(total_bytes=0, used_bytes=0)
    return Device(
        uuid=seen.uuid if keep_uuids else f"GPU-recorded-{index}",
        name=seen.model,
        minor=seen.minor,
        pci=seen.pci,
        numa=seen.numa,
        memory_mib=None if seen.memory is None else memory.total_bytes // _MIB,
        used_mib=memory.used_bytes // _MIB,
        reserved_mib=memory.reserved_bytes // _MIB,
        utilisation_gpu=seen.utilisation_gpu,
        utilisation_memory=seen.utilisation_memory,
        power_usage_mw=seen.power_mw,
        power_limit_mw=seen.power_limit_mw,
        temperature=seen.temperature_c,
        ecc=_ecc(seen),
        remap=_remap(seen),
        retired=_retired(seen),
        repair=None if seen.repair is None else Repair(channel=seen.repair[0], tpc=seen.repair[1]),
        mig=_mig(seen, index, keep_uuids),
        links=tuple(_link(link) for link in seen.links),
        fabric=_fabric(seen),
        recovery=seen.recovery,
        processes=tuple(
            Process(pid=number + 1, mib=process.used_bytes // _MIB, gpu_instance=process.gpu_instance)
            for number, process in enumerate(seen.processes)
        ),
    )


def _without_fabrics(devices: Sequence[Device]) -> tuple[Device, ...]:
    """Fabrics by the order they are met in; the zeros of a device that is in none stay."""
    met = dict.fromkeys(device.fabric.cluster for device in devices if device.fabric is not None)
    number = {name: index for index, name in enumerate((name for name in met if name.strip("0")), 1)}

    def renamed(fabric: Fabric | None) -> Fabric | None:
        if fabric is None or fabric.cluster not in number:
            return fabric
        return msgspec.structs.replace(fabric, cluster=f"{number[fabric.cluster]:032x}")

    return tuple(msgspec.structs.replace(device, fabric=renamed(device.fabric)) for device in devices)


def _ecc(seen: Seen) -> Ecc | None:
    if (ecc := seen.ecc) is None:
        return None
    return Ecc(
        enabled=ecc.enabled,
        volatile_corrected=ecc.volatile_corrected,
        volatile_uncorrected=ecc.volatile_uncorrected,
        aggregate_corrected=ecc.aggregate_corrected,
        aggregate_uncorrected=ecc.aggregate_uncorrected,
        sram_exceeded=ecc.sram_exceeded,
    )


def _remap(seen: Seen) -> Remap | None:
    if (rows := seen.remap) is None:
        return None
    return Remap(
        corrected=rows.corrected, uncorrected=rows.uncorrected, pending=rows.pending, failure=rows.failure
    )


def _retired(seen: Seen) -> Retired | None:
    if (pages := seen.retired) is None:
        return None
    return Retired(single=pages.single, double=pages.double, pending=pages.pending)


def _fabric(seen: Seen) -> Fabric | None:
    if (fabric := seen.fabric) is None:
        return None
    return Fabric(
        cluster=fabric.cluster,
        clique=fabric.clique,
        state=fabric.state,
        health=fabric.health,
        status=fabric.status,
        mask=fabric.mask,
    )


def _link(link: SeenLink) -> Link:
    return Link(active=link.active, type=link.type, peer=link.peer, errors=link.errors)


def _mig(seen: Seen, index: int, keep_uuids: bool) -> Mig | None:
    if seen.mig_enabled is None:
        return None
    instances = []
    for number, found in enumerate(seen.instances):
        memory = found.memory or Memory(total_bytes=0, used_bytes=0)
        instances.append(
            Instance(
                uuid=found.uuid if keep_uuids else f"MIG-recorded-{index}-{number}",
                name=found.model,
                gpu_instance=found.gpu_instance,
                compute_instance=found.compute_instance,
                gpu_slices=found.gpu_slices,
                compute_slices=found.compute_slices,
                memory_mib=memory.total_bytes // _MIB,
                used_mib=memory.used_bytes // _MIB,
                reserved_mib=memory.reserved_bytes // _MIB,
            )
        )
    return Mig(enabled=seen.mig_enabled, instances=tuple(instances))


if __name__ == "__main__":
    sys.exit(main())
