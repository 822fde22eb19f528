"""GPUNode objects to frozen values for the planner. Pure and total: what is odd is not usable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from scheduler.inventory.assess import Health, HealthState, fatal_times
from scheduler.inventory.health import HealthPolicy, xid
from scheduler.inventory.history import COUNT_MAX, SIGNS_MAX, History, Sign
from scheduler.inventory.record import Record
from scheduler.inventory.report import Device, Memory, NodeState
from scheduler.inventory.scenario import DEVICES_MAX, INSTANCES_MAX, LINKS_MAX
from scheduler.inventory.times import read
from scheduler.inventory.troubles import is_level
from scheduler.kube.wire.inventory import GPUDevice, GPUHolder, GPUInstance, GPULinks, GPUNode, GPUSign

TEXT_MAX = 512
HOLDERS_MAX = 64
NAME_MAX = 128
BYTES_MAX = 1 << 50
#: A probe older than this gives no device for new bindings (invariant INV9).
PROBE_AGE_S_MAX = 30.0
#: What proves nothing against a node: NVIDIA's own tools disagree about it.
_PROOF = HealthPolicy(severities={xid(109): "note"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The object cannot be one of an agent's; the node counts as never reported."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceState:
    """A MIG instance. ``is_usable``: its device is well, and no foreign process is on it."""

    uuid: str
    profile: str
    memory_bytes: int
    is_usable: bool
    holders: tuple[GPUHolder, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """One device for the planner.

    ``is_usable``: well and free of foreign processes; a device cut into MIG instances is not given whole.
    ``fatal_s`` names the one reaction due to an outage; None without one. ``island``: devices of the node
    with the same one reach each other over NVLink; empty for none. ``offences_s``: when each of its fatal
    outages on record began.
    """

    index: int
    uuid: str
    model: str
    memory_bytes: int
    health: HealthState
    reason: str
    clear: str
    fatal_s: float | None
    foreign_processes: int
    foreign_bytes: int
    is_usable: bool
    is_mig: bool
    island: str
    clique: str
    numa: int | None
    levels: tuple[int, ...]
    instances: tuple[InstanceState, ...]
    offences_s: tuple[float, ...] = ()
    holders: tuple[GPUHolder, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInventory:
    """A node's devices as its agent last told. ``probed_s``: None when NVML never answered."""

    node: str
    state: NodeState
    message: str
    driver: str
    probed_s: float | None
    devices: tuple[DeviceState, ...]
    evidence: str = ""

    def is_fresh(self, now_s: float, age_s_max: float = PROBE_AGE_S_MAX) -> bool:
        """Whether new bindings may rely on this. A probe from beyond the same bound ahead is not fresh."""
        return self.probed_s is not None and abs(now_s - self.probed_s) <= age_s_max

    def usable(self, now_s: float, age_s_max: float = PROBE_AGE_S_MAX) -> tuple[DeviceState, ...]:
        """Whole devices that new pods may be given now: none unless the probe is fresh and the node ready."""
        if self.state != "Ready" or not self.is_fresh(now_s, age_s_max):
            return ()
        return tuple(device for device in self.devices if device.is_usable and not device.is_mig)


def parse(node: GPUNode) -> NodeInventory | Refused:
    """The planner's view of a GPUNode. What an agent could not have written is refused with its reason."""
    status, name = node.status, node.metadata.name
    devices = status.devices or ()
    if not name:
        return Refused(reason="metadata.name is empty")
    if len(devices) > DEVICES_MAX:
        return Refused(reason=f"status.devices: {len(devices)} devices, at most {DEVICES_MAX}")
    uuids = [device.uuid for device in devices]
    if len(set(uuids)) != len(uuids) or not all(uuids):
        return Refused(reason="status.devices: each device needs a UUID of its own")
    return NodeInventory(
        node=name,
        state=_node_state(status.state),
        message=_text(status.message),
        driver=_text(status.driver, NAME_MAX),
        probed_s=read(status.last_probe),
        devices=tuple(_device(device) for device in devices),
        evidence=_text(status.evidence, NAME_MAX),
    )


def found_record(node: GPUNode) -> Record:
    """What an earlier agent knew, for the next one to go on from."""
    status = node.status
    devices = [device for device in (status.devices or ())[:DEVICES_MAX] if device.uuid]
    signs = {device.uuid: _signs(device.signs or ()) for device in devices}
    silent = {device.uuid: read(device.since) for device in devices if device.state == "Unknown"}
    return Record(
        probed_s=read(status.last_probe),
        driver=status.driver,
        cuda=status.cuda,
        boot_id=status.boot_id,
        node_uid=status.node_uid,
        seen_in={device.uuid: device.boot_id for device in devices if device.boot_id},
        links_best={device.uuid: best for device in devices if (best := _links_best(device.links))},
        held={device.uuid: pods for device in devices if (pods := _used_by(device.holders))},
        silent_s={uuid: since_s for uuid, since_s in silent.items() if since_s is not None},
        devices={
            device.uuid: _known(device, signs[device.uuid], read(status.last_probe)) for device in devices
        },
        history=History(signs={uuid: found for uuid, found in signs.items() if found}),
    )


def health_of(device: GPUDevice) -> Health:
    """As written; an unknown word is Quarantined, never Healthy."""
    return Health(
        state=_health_state(device.state),
        reason=_text(device.reason),
        clear=_text(device.clear),
        since_s=read(device.since),
        until_s=read(device.until),
        fatal_s=read(device.fatal_since),
    )


def _device(device: GPUDevice) -> DeviceState:
    health = health_of(device)
    is_foreign = device.foreign_processes != 0
    instances = device.instances or ()
    return DeviceState(
        index=device.index,
        uuid=_text(device.uuid, NAME_MAX),
        model=_text(device.model, NAME_MAX),
        memory_bytes=_bounded(device.memory_bytes),
        health=health.state,
        reason=health.reason,
        clear=health.clear,
        fatal_s=health.fatal_s if health.state == "Fatal" else None,
        foreign_processes=_bounded(device.foreign_processes),
        foreign_bytes=_bounded(device.foreign_bytes),
        is_usable=health.is_usable and not is_foreign,
        is_mig=bool(device.mig),
        island=_text(device.island, NAME_MAX),
        clique=_text(device.clique, NAME_MAX),
        numa=device.numa,
        levels=(device.levels or ())[:DEVICES_MAX],
        instances=tuple(_instance(instance, health) for instance in instances[:INSTANCES_MAX]),
        offences_s=fatal_times(_signs(device.signs), _PROOF) if device.signs else (),
        holders=_holders(device.holders),
    )


def _holders(found: tuple[GPUHolder, ...] | None) -> tuple[GPUHolder, ...]:
    return tuple(holder for holder in (found or ())[:HOLDERS_MAX] if holder.uid or holder.name)


def _instance(instance: GPUInstance, health: Health) -> InstanceState:
    return InstanceState(
        uuid=_text(instance.uuid, NAME_MAX),
        profile=_text(instance.profile, NAME_MAX),
        memory_bytes=_bounded(instance.memory_bytes),
        is_usable=health.is_usable and instance.foreign_processes == 0 and bool(instance.uuid),
        holders=_holders(instance.holders),
    )


def _known(device: GPUDevice, signs: tuple[Sign, ...], probed_s: float | None) -> Device:
    """Its troubles are those that held when it was asked last; whether they still do, the next probe says."""
    memory = Memory(total_bytes=_bounded(device.memory_bytes), used_bytes=0)
    held = (sign for sign in signs if sign.mended_s is None and sign.last_s == probed_s)
    return Device(
        index=device.index,
        uuid=device.uuid,
        model=device.model,
        serial=device.serial,
        minor=device.minor,
        pci=device.pci,
        numa=device.numa,
        memory=memory if device.memory_bytes else None,
        troubles=tuple(dict.fromkeys(sign.kind for sign in held if is_level(sign.kind))),
    )


def _used_by(found: tuple[GPUHolder, ...] | None) -> tuple[str, ...]:
    """The pods whose processes were on it."""
    return tuple(holder.uid for holder in _holders(found) if holder.uid)


def _links_best(links: GPULinks | None) -> int:
    """The most that were up: the next agent may start while some are down."""
    return 0 if links is None else min(max(links.best, links.active, 0), LINKS_MAX)


def _signs(signs: tuple[GPUSign, ...]) -> tuple[Sign, ...]:
    found = []
    for sign in signs[:SIGNS_MAX]:
        first_s, last_s = read(sign.first), read(sign.last)
        if sign.kind and first_s is not None and last_s is not None and first_s <= last_s:
            count = min(max(1, sign.count), COUNT_MAX)
            mended_s = read(sign.mended)
            found.append(
                Sign(
                    kind=sign.kind[:NAME_MAX], first_s=first_s, last_s=last_s, count=count, mended_s=mended_s
                )
            )
    return tuple(found)


def _node_state(word: str) -> NodeState:
    for state in get_args(NodeState):
        if word == state:
            known: NodeState = state
            return known
    return "Failed"


def _health_state(word: str) -> HealthState:
    for state in get_args(HealthState):
        if word == state:
            known: HealthState = state
            return known
    return "Quarantined"


def _bounded(number: int) -> int:
    return min(max(0, number), BYTES_MAX)


def _text(text: str, length_max: int = TEXT_MAX) -> str:
    """Cut, and without anything that could garble a line."""
    cut = text[:length_max]
    return cut if cut.isprintable() else ascii(cut)[1:-1][:length_max]
