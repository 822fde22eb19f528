"""``gpu_node``: what is known of a node as the GPUNode object its agent writes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from scheduler.inventory.assess import HEALTHY, Health, assess, unknown
from scheduler.inventory.health import DEFAULT_POLICY, HealthPolicy
from scheduler.inventory.history import Sign
from scheduler.inventory.holders import Holders, holders
from scheduler.inventory.pod_resources import Grant
from scheduler.inventory.processes import Owner, asked_once, held, unknown_owner
from scheduler.inventory.record import Record, observed
from scheduler.inventory.report import Device, DeviceReport, Instance
from scheduler.inventory.scenario import INSTANCES_MAX
from scheduler.inventory.times import written
from scheduler.inventory.troubles import AWAY, links_up
from scheduler.kube.wire.base import Metadata
from scheduler.kube.wire.inventory import (
    GPUDevice,
    GPUErrors,
    GPUHolder,
    GPUInstance,
    GPULinks,
    GPUNode,
    GPUNodeStatus,
    GPUSign,
)

MESSAGE_MAX = 512
LACKING_MAX = 64
#: What the definition of GPUNode allows; a driver may answer anything.
_INT64_MAX = (1 << 63) - 1
_INT32_MAX = (1 << 31) - 1
_TEXT_MAX = 128
_WORD_MAX = 64
_LINKS_MAX = 64
_INDEX_MAX = 1_023
_LEVELS = (-1, 255)
_CELSIUS = (-273, 1_000)
_CUDA_MAX = 32
#: A device that is only not readable is still linked to its neighbours.
_GONE = AWAY - {"unreadable"}
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
    grants: Sequence[Grant] | None = None,
) -> GPUNode:
    """The object after one probe; ``before`` is what was known until then."""
    record = observed(before or Record(), report, now_s)
    return written_node(record, node_name, now_s, owner, policy, grants)


def written_node(
    record: Record,
    node_name: str,
    now_s: float,
    owner: Owner = unknown_owner,
    policy: HealthPolicy = DEFAULT_POLICY,
    grants: Sequence[Grant] | None = None,
) -> GPUNode:
    """The object for what is known. grants: what the kubelet gave to whom, None where nobody can tell."""
    health = _health(record, now_s, policy)
    islands = _islands(record.in_order, health)
    owner = asked_once(owner)
    found = holders(record.in_order, grants, owner, record.held)
    devices = tuple(
        _device(device, health.get(device.uuid, HEALTHY), record, islands.get(device.uuid, ""), owner, found)
        for device in record.in_order
    )
    healthy = sum(device.state in ("Healthy", "Noted") for device in devices)
    usable = sum(device.state in ("Healthy", "Noted") and not device.foreign_processes for device in devices)
    counts = record.state in _GIVES_DEVICES
    status = GPUNodeStatus(
        state=record.state,
        message=record.message[:MESSAGE_MAX],
        driver=record.driver[:_TEXT_MAX],
        cuda=record.cuda[:_CUDA_MAX],
        boot_id=record.boot_id[:_WORD_MAX],
        node_uid=record.node_uid[:_TEXT_MAX],
        last_probe=written(record.probed_s),
        last_heartbeat=written(now_s),
        model=_model(devices),
        gpus=len(devices),
        healthy=healthy if counts else 0,
        usable=usable if counts else 0,
        unidentified=record.unidentified,
        evidence=found.evidence,
        lacking=tuple(call[:_TEXT_MAX] for call in record.lacking[:LACKING_MAX]) or None,
        devices=devices,
    )
    return GPUNode(metadata=Metadata(name=node_name), status=status)


def _health(record: Record, now_s: float, policy: HealthPolicy) -> dict[str, Health]:
    """By UUID: what is known against each device, and whether it could be asked now."""
    known = assess(record.history, now_s, policy)
    found = {}
    for uuid, device in record.devices.items():
        found[uuid] = known.get(uuid, HEALTHY)
        if "unreadable" in device.troubles:
            found[uuid] = unknown(found[uuid], device.unanswered, record.silent_s.get(uuid))
    return found


def meaning(status: GPUNodeStatus) -> GPUNodeStatus:
    """The part of a status that decides: what changes all the time, such as power, is left out.

    A change in it is written at once; the rest travels with the heartbeat.
    """
    devices = tuple(_decisive(device, status.evidence) for device in status.devices or ())
    message = "" if status.state == "Hung" else status.message
    return msgspec.structs.replace(
        status, message=message, last_probe=None, last_heartbeat=None, devices=devices
    )


def _decisive(device: GPUDevice, evidence: str) -> GPUDevice:
    instances = tuple(
        msgspec.structs.replace(
            instance,
            holders=_decisive_holders(instance.holders, evidence),
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
        holders=_decisive_holders(device.holders, evidence),
        until=None,
        instances=instances,
        errors=None,
        signs=None,
    )


def _decisive_holders(holders: tuple[GPUHolder, ...] | None, evidence: str) -> tuple[GPUHolder, ...]:
    """Processes come and go with every run of a program.

    Where the kubelet says who holds the device, only more pods on it than it knows of are news.
    """
    named = tuple(holder for holder in holders or () if holder.name)
    used = tuple(holder for holder in holders or () if holder.uid)
    return named + used if evidence != "kubelet" or len(used) > len(named) else named


def _device(
    device: Device, health: Health, record: Record, island: str, owner: Owner, by: Holders
) -> GPUDevice:
    foreign = held(device, owner)
    memory = device.memory
    return GPUDevice(
        index=_fit(device.index, _INDEX_MAX),
        uuid=device.uuid,
        model=device.model,
        serial=device.serial,
        minor=_fit_or_none(device.minor, _INT32_MAX),
        pci=device.pci[:_WORD_MAX],
        boot_id=record.seen_in.get(device.uuid, "")[:_WORD_MAX],
        numa=device.numa,
        memory_bytes=0 if memory is None else _fit(memory.total_bytes),
        used_bytes=0 if memory is None else _fit(memory.used_bytes),
        utilisation_percent=_fit_or_none(device.utilisation_gpu, 100),
        power_milliwatts=_fit_or_none(device.power_mw),
        power_limit_milliwatts=_fit_or_none(device.power_limit_mw),
        temperature_celsius=_within(device.temperature_c, *_CELSIUS),
        state=health.state,
        reason=health.reason[:MESSAGE_MAX],
        clear=health.clear[:MESSAGE_MAX],
        since=written(health.since_s),
        until=written(health.until_s),
        fatal_since=written(health.fatal_s),
        foreign_processes=foreign.processes,
        foreign_bytes=_fit(foreign.used_bytes),
        unknown_processes=foreign.unknown,
        holders=by.of(device.uuid),
        mig=device.mig_enabled,
        instances=tuple(_instance(device, one, owner, by) for one in device.instances[:INSTANCES_MAX])
        or None,
        island=island,
        clique=device.clique,
        links=_links(device, record.links_best.get(device.uuid, 0)),
        levels=tuple(min(max(level, _LEVELS[0]), _LEVELS[1]) for level in device.levels) or None,
        errors=_errors(device),
        signs=tuple(_sign(sign) for sign in record.history.signs.get(device.uuid, ())) or None,
    )


def _instance(device: Device, instance: Instance, owner: Owner, by: Holders) -> GPUInstance:
    foreign = held(device, owner, instance.gpu_instance)
    memory = instance.memory
    return GPUInstance(
        uuid=instance.uuid,
        profile=instance.profile[:_WORD_MAX],
        gpu_instance=_fit(instance.gpu_instance, _INT32_MAX),
        compute_instance=_fit(instance.compute_instance, _INT32_MAX),
        memory_bytes=0 if memory is None else _fit(memory.total_bytes),
        used_bytes=0 if memory is None else _fit(memory.used_bytes),
        foreign_processes=foreign.processes,
        foreign_bytes=_fit(foreign.used_bytes),
        holders=by.of(instance.uuid),
    )


def _fit(number: int, most: int = _INT64_MAX) -> int:
    return min(max(0, number), most)


def _fit_or_none(number: int | None, most: int = _INT64_MAX) -> int | None:
    """What no device can mean is not told."""
    return _within(number, 0, most)


def _within(number: int | None, least: int, most: int) -> int | None:
    return number if number is not None and least <= number <= most else None


def _links(device: Device, best: int) -> GPULinks | None:
    if not device.links and not best:
        return None
    total = min(len(device.links), _LINKS_MAX)
    return GPULinks(total=total, active=links_up(device), best=min(best, _LINKS_MAX))


def _errors(device: Device) -> GPUErrors | None:
    ecc, remap, retired = device.ecc, device.remap, device.retired
    found = GPUErrors(
        ecc_corrected=None if ecc is None else _fit_or_none(ecc.volatile_corrected),
        ecc_uncorrected=None if ecc is None else _fit_or_none(ecc.volatile_uncorrected),
        ecc_corrected_ever=None if ecc is None else _fit_or_none(ecc.aggregate_corrected),
        ecc_uncorrected_ever=None if ecc is None else _fit_or_none(ecc.aggregate_uncorrected),
        rows_remapped_corrected=None if remap is None else _fit(remap.corrected),
        rows_remapped_uncorrected=None if remap is None else _fit(remap.uncorrected),
        pages_retired=None if retired is None else _fit(retired.single + retired.double),
        nvlink=_fit(sum(link.errors for link in device.links)) if device.links else None,
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
    by_index = {device.index: device for device in devices if not _GONE & set(device.troubles)}
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
