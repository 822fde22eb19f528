"""``gpu_node``: what is known of a node as the GPUNode object its agent writes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from scheduler.inventory.assess import HEALTHY, Health, assess
from scheduler.inventory.health import DEFAULT_POLICY, HealthPolicy
from scheduler.inventory.history import Sign
from scheduler.inventory.processes import Owner, held, unknown_owner
from scheduler.inventory.record import Record, observed
from scheduler.inventory.report import Device, DeviceReport, Instance
from scheduler.inventory.times import written
from scheduler.kube.wire.base import Metadata
from scheduler.kube.wire.inventory import (
    GPUDevice,
    GPUErrors,
    GPUInstance,
    GPULinks,
    GPUNode,
    GPUNodeStatus,
    GPUSign,
)

MESSAGE_MAX = 512
LACKING_MAX = 64
_AWAY = frozenset({"lost", "missing"})
#: What is not certain now leaves no device to give away.
_GIVES_DEVICES = frozenset({"Ready"})


def gpu_node(
    report: DeviceReport,
    node_name: str,
    now_s: float,
    *,
    before: Record | None = None,
    owner: Owner = unknown_owner,
    policy: HealthPolicy = DEFAULT_POLICY,
) -> GPUNode:
    """The object after one probe; ``before`` is what was known until then."""
    return written_node(observed(before or Record(), report, now_s), node_name, now_s, owner, policy)


def written_node(
    record: Record,
    node_name: str,
    now_s: float,
    owner: Owner = unknown_owner,
    policy: HealthPolicy = DEFAULT_POLICY,
) -> GPUNode:
    """The object for what is known."""
    health = assess(record.history, now_s, policy)
    islands = _islands(record.in_order, health)
    devices = tuple(
        _device(device, health.get(device.uuid, HEALTHY), record, islands.get(device.uuid, ""), owner)
        for device in record.in_order
    )
    healthy = sum(device.state in ("Healthy", "Noted") for device in devices)
    usable = sum(device.state in ("Healthy", "Noted") and not device.foreign_processes for device in devices)
    counts = record.state in _GIVES_DEVICES
    status = GPUNodeStatus(
        state=record.state,
        message=record.message[:MESSAGE_MAX],
        driver=record.driver,
        cuda=record.cuda,
        boot_id=record.boot_id,
        last_probe=written(record.probed_s),
        last_heartbeat=written(now_s),
        model=_model(devices),
        gpus=len(devices),
        healthy=healthy if counts else 0,
        usable=usable if counts else 0,
        unidentified=record.unidentified,
        lacking=record.lacking[:LACKING_MAX] or None,
        devices=devices,
    )
    return GPUNode(metadata=Metadata(name=node_name), status=status)


def meaning(status: GPUNodeStatus) -> GPUNodeStatus:
    """The part of a status that decides: what changes all the time, such as power, is left out.

    A change in it is written at once; the rest travels with the heartbeat.
    """
    devices = tuple(_decisive(device) for device in status.devices or ())
    message = "" if status.state == "Hung" else status.message
    return msgspec.structs.replace(
        status, message=message, last_probe=None, last_heartbeat=None, devices=devices
    )


def _decisive(device: GPUDevice) -> GPUDevice:
    instances = tuple(
        msgspec.structs.replace(
            instance,
            used_bytes=0,
            foreign_bytes=0,
            foreign_processes=min(1, instance.foreign_processes),
        )
        for instance in device.instances or ()
    )
    return msgspec.structs.replace(
        device,
        used_bytes=0,
        utilisation_percent=None,
        power_milliwatts=None,
        temperature_celsius=None,
        foreign_bytes=0,
        foreign_processes=min(1, device.foreign_processes),
        unknown_processes=0,
        until=None,
        instances=instances,
        errors=None,
        signs=None,
    )


def _device(device: Device, health: Health, record: Record, island: str, owner: Owner) -> GPUDevice:
    foreign = held(device, owner)
    memory = device.memory
    return GPUDevice(
        index=device.index,
        uuid=device.uuid,
        model=device.model,
        serial=device.serial,
        minor=device.minor,
        pci=device.pci,
        numa=device.numa,
        memory_bytes=0 if memory is None else memory.total_bytes,
        used_bytes=0 if memory is None else memory.used_bytes,
        utilisation_percent=device.utilisation_gpu,
        power_milliwatts=device.power_mw,
        power_limit_milliwatts=device.power_limit_mw,
        temperature_celsius=device.temperature_c,
        state=health.state,
        reason=health.reason,
        clear=health.clear,
        since=written(health.since_s),
        until=written(health.until_s),
        fatal_since=written(health.fatal_s),
        foreign_processes=foreign.processes,
        foreign_bytes=foreign.used_bytes,
        unknown_processes=foreign.unknown,
        mig=device.mig_enabled,
        instances=tuple(_instance(device, instance, owner) for instance in device.instances) or None,
        island=island,
        clique=device.clique,
        links=_links(device),
        levels=device.levels or None,
        errors=_errors(device),
        signs=tuple(_sign(sign) for sign in record.history.signs.get(device.uuid, ())) or None,
    )


def _instance(device: Device, instance: Instance, owner: Owner) -> GPUInstance:
    foreign = held(device, owner, instance.gpu_instance)
    memory = instance.memory
    return GPUInstance(
        uuid=instance.uuid,
        profile=instance.profile,
        gpu_instance=instance.gpu_instance,
        compute_instance=instance.compute_instance,
        memory_bytes=0 if memory is None else memory.total_bytes,
        used_bytes=0 if memory is None else memory.used_bytes,
        foreign_processes=foreign.processes,
        foreign_bytes=foreign.used_bytes,
    )


def _links(device: Device) -> GPULinks | None:
    if not device.links:
        return None
    return GPULinks(total=len(device.links), active=sum(link.active for link in device.links))


def _errors(device: Device) -> GPUErrors | None:
    ecc, remap, retired = device.ecc, device.remap, device.retired
    found = GPUErrors(
        ecc_corrected=None if ecc is None else ecc.volatile_corrected,
        ecc_uncorrected=None if ecc is None else ecc.volatile_uncorrected,
        ecc_corrected_ever=None if ecc is None else ecc.aggregate_corrected,
        ecc_uncorrected_ever=None if ecc is None else ecc.aggregate_uncorrected,
        rows_remapped_corrected=None if remap is None else remap.corrected,
        rows_remapped_uncorrected=None if remap is None else remap.uncorrected,
        pages_retired=None if retired is None else retired.single + retired.double,
        nvlink=sum(link.errors for link in device.links) if device.links else None,
    )
    return None if found == GPUErrors() else found


def _sign(sign: Sign) -> GPUSign:
    return GPUSign(
        kind=sign.kind,
        first=written(sign.first_s) or "",
        last=written(sign.last_s) or "",
        count=sign.count,
        mended=written(sign.mended_s),
    )


def _model(devices: Sequence[GPUDevice]) -> str:
    models = sorted({device.model for device in devices if device.model})
    return models[0] if len(models) == 1 else "mixed" if models else ""


def _islands(devices: Sequence[Device], health: Mapping[str, Health]) -> dict[str, str]:
    """UUID to island. An island is named by the lowest index in it.

    A device that is isolated by its health takes its whole island apart: NVLink trouble is rarely of one end.
    """
    # The index of a device that is away may be another's by now.
    by_index = {device.index: device for device in devices if not _AWAY & set(device.troubles)}
    islands: dict[str, str] = {}
    seen: set[int] = set()
    for device in devices:
        if device.index in seen or by_index.get(device.index) is not device or not device.nvlink_peers:
            continue
        members = _reachable(device.index, by_index)
        seen |= members
        known = [by_index[index] for index in members]
        if len(known) > 1 and not any(health.get(member.uuid, HEALTHY).isolated for member in known):
            islands.update({member.uuid: str(min(members)) for member in known})
    return islands


def _reachable(start: int, by_index: Mapping[int, Device]) -> set[int]:
    found, edge = {start}, [start]
    while edge:
        for peer in by_index[edge.pop()].nvlink_peers:
            if peer in by_index and peer not in found:
                found.add(peer)
                edge.append(peer)
    return found
