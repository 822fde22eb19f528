"""What the agent knows of its node from one probe to the next: a value and what changes it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from scheduler.inventory.health import rule_of
from scheduler.inventory.history import History, Mending, mends
from scheduler.inventory.identity import (
    ANOTHER_NODE,
    FORGET_S,
    away,
    bounded,
    filled,
    silent,
    successor,
)
from scheduler.inventory.nvml import RECOVERY_NONE
from scheduler.inventory.report import Device, DeviceReport, NodeState
from scheduler.inventory.troubles import AWAY, links_up

#: States in which the probe said something certain about the node's devices.
_CERTAIN = frozenset({"Ready", "NoDevices", "NoDriver"})
_NOT_PROBED = "not probed yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Devices stay known once they were seen, so that one that vanishes is missed and not forgotten.

    Never more of them than one object can hold. seen_in: by UUID, the boot in which the device was last
    seen, where that is not ``boot_id``. links_best: by UUID, the most NVLinks that were ever up, where that
    is more than are up now. silent_s: by UUID, since when it could not be asked. held: by UUID, pods whose
    processes an earlier agent saw on it, until it answers this one. probed_s: when the last
    successful probe ended; None before the first. driver: the version at the last probe that could read it.
    """

    state: NodeState = "Failed"
    message: str = _NOT_PROBED
    probed_s: float | None = None
    driver: str = ""
    cuda: str = ""
    boot_id: str = ""
    node_uid: str = ""
    devices: Mapping[str, Device] = field(default_factory=dict)
    history: History = field(default_factory=History)
    seen_in: Mapping[str, str] = field(default_factory=dict)
    links_best: Mapping[str, int] = field(default_factory=dict)
    silent_s: Mapping[str, float] = field(default_factory=dict)
    held: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unidentified: int = 0
    lacking: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()

    @property
    def in_order(self) -> tuple[Device, ...]:
        """Known devices by index."""
        return tuple(sorted(self.devices.values(), key=lambda device: (device.index, device.uuid)))


def observed(record: Record, report: DeviceReport, now_s: float) -> Record:
    """After a probe that came back at ``now_s``."""
    told = replace(
        record,
        state=report.state,
        message=report.message,
        probed_s=now_s if report.state in _CERTAIN else record.probed_s,
        lacking=report.lacking,
        odd=report.odd,
        unidentified=report.unidentified,
    )
    if report.state != "Ready":
        return told
    record = _renamed(record, report)
    is_new_driver = _is_new_driver(record, report)
    seen = _all_known(record, report, now_s, is_new_driver=is_new_driver)
    history = _mended(record, seen, now_s, is_new_driver=is_new_driver)
    for device in seen.values():
        before = record.devices.get(device.uuid)
        held = () if before is None else before.troubles
        for trouble in device.troubles:
            if rule_of(trouble).severity != "unknown":
                history = history.struck(device.uuid, trouble, now_s, has_held=trouble in held)
        if device.recovery == RECOVERY_NONE and not AWAY & set(device.troubles):
            history = history.graded(device.uuid, now_s)
    return replace(
        told,
        devices=seen,
        history=history.of(seen),
        seen_in={uuid: record.seen_in[uuid] for uuid in seen if _is_of_before(record, seen[uuid])},
        links_best=_links_best(record, seen),
        silent_s={
            uuid: record.silent_s.get(uuid, now_s)
            for uuid, device in seen.items()
            if "unreadable" in device.troubles
        },
        held={uuid: pods for uuid, pods in record.held.items() if uuid in seen and _is_away(seen[uuid])},
        driver=report.driver or record.driver,
        cuda=report.cuda or record.cuda,
    )


def struck(record: Record, uuids: Iterable[str], kind: str, now_s: float) -> Record:
    """After an event on devices, such as an XID."""
    history = record.history
    for uuid in uuids:
        history = history.struck(uuid, kind, now_s)
    return replace(record, history=history)


def hung(record: Record, call_age_s: float) -> Record:
    """While a probe does not come back. What is known stays; the probe's time does not move."""
    message = f"NVML has not answered for {max(0, int(call_age_s)) // 10 * 10} s"
    return replace(record, state="Hung", message=message)


def cleared(record: Record, uuids: Iterable[str]) -> Record:
    """After an admin said that these devices are well; those that are no longer listed are forgotten."""
    named = frozenset(uuids)
    gone = {uuid for uuid in named & record.devices.keys() if "missing" in record.devices[uuid].troubles}
    kept = {uuid: device for uuid, device in record.devices.items() if uuid not in gone}
    best = {uuid: count for uuid, count in record.links_best.items() if uuid not in named}
    return replace(record, devices=kept, history=record.history.cleared(named), links_best=best)


def cleared_by(record: Record, words: str) -> tuple[Record, list[str]]:
    """After an admin's word, UUIDs with commas or all, and which devices it meant."""
    named = {word.strip() for word in words.split(",")}
    uuids = sorted(uuid for uuid in record.devices if uuid in named or "all" in named)
    return cleared(record, uuids), uuids


def resumed(found: Record, boot_id: str, now_s: float, node_uid: str = "") -> Record:
    """What an earlier agent wrote, at the start of this one; a boot since then mends what a boot mends.

    node_uid: of the Node as it is now, empty where that is not known. Under the name of another Node ran
    other hardware.
    """
    rebooted = bool(found.boot_id) and found.boot_id != boot_id
    is_other = bool(found.node_uid) and bool(node_uid) and found.node_uid != node_uid
    history = found.history.mended(found.devices, "boot", now_s) if rebooted else found.history
    devices = _after(found.devices, "boot") if rebooted else found.devices
    seen_in = dict.fromkeys(found.devices, ANOTHER_NODE if is_other else found.boot_id)
    if not is_other:
        seen_in.update(found.seen_in)
    return replace(
        found,
        state="Failed",
        message=_NOT_PROBED,
        boot_id=boot_id,
        node_uid=node_uid or found.node_uid,
        devices=devices,
        history=history,
        seen_in={uuid: boot for uuid, boot in seen_in.items() if boot not in ("", boot_id)},
        probed_s=found.probed_s,
    )


def _all_known(
    record: Record, report: DeviceReport, now_s: float, *, is_new_driver: bool
) -> dict[str, Device]:
    """What the probe saw, with what it could not ask as it was, and those that are away."""
    known = _after(record.devices, "reset") if is_new_driver else record.devices
    seen: dict[str, Device] = {}
    for device in report.devices:
        before = known.get(device.uuid)
        if AWAY & set(device.troubles) and not device.model and before is not None:
            seen[device.uuid] = silent(before, device.index, device.troubles, device.unanswered)
        elif "lost" in device.troubles or "reset-required" in device.troubles:
            seen[device.uuid] = device
        else:
            best = max(record.links_best.get(device.uuid, 0), _up(before))
            seen[device.uuid] = filled(device, before, best)
    missing_s = {uuid: _missing_s(record, uuid, now_s) for uuid in record.devices}
    is_gone = {
        uuid: uuid in record.seen_in or now_s - since_s >= FORGET_S for uuid, since_s in missing_s.items()
    }
    seen.update({device.uuid: device for device in away(known, report, is_gone)})
    return bounded(seen, missing_s)


def _missing_s(record: Record, uuid: str, now_s: float) -> float:
    """Since when it is missing without a break; now for one that is not, or not yet."""
    if "missing" not in record.devices[uuid].troubles:
        return now_s
    signs = record.history.signs.get(uuid, ())
    return min((s.first_s for s in signs if s.kind == "missing" and s.mended_s is None), default=now_s)


def _renamed(record: Record, report: DeviceReport) -> Record:
    """The same hardware under a new UUID keeps its history."""
    present = {device.uuid for device in report.devices}
    history = record.history
    for uuid, device in record.devices.items():
        if uuid in present:
            continue
        heir = successor(device, report.devices)
        if heir is not None and heir.uuid not in record.devices:
            history = history.moved(uuid, heir.uuid)
    return replace(record, history=history)


def _is_of_before(record: Record, device: Device) -> bool:
    """Whether it is not seen in this boot yet, and was in an earlier one."""
    return device.uuid in record.seen_in and bool(AWAY & set(device.troubles))


def _links_best(record: Record, seen: Mapping[str, Device]) -> dict[str, int]:
    best = {}
    for uuid, device in seen.items():
        before = record.devices.get(uuid)
        if not device.links and uuid not in record.links_best and (before is None or not before.links):
            continue
        count = max(record.links_best.get(uuid, 0), _up(before))
        if count > links_up(device):
            best[uuid] = count
    return best


def _up(device: Device | None) -> int:
    return 0 if device is None else links_up(device)


def _after(devices: Mapping[str, Device], how: Mending) -> dict[str, Device]:
    """What held before a reset or a boot that mends it holds again only once that is told."""
    return {
        uuid: replace(
            device,
            troubles=tuple(kind for kind in device.troubles if kind in AWAY or not mends(how, kind)),
        )
        for uuid, device in devices.items()
    }


def _is_new_driver(record: Record, report: DeviceReport) -> bool:
    is_other_version = bool(report.driver) and report.driver != record.driver
    return bool(record.driver) and (is_other_version or (report.opened and _was_open(record)))


def _mended(record: Record, seen: Mapping[str, Device], now_s: float, *, is_new_driver: bool) -> History:
    """A driver loaded anew resets all devices; one that was away and is back was reset alone."""
    back = [
        uuid
        for uuid, device in seen.items()
        if is_new_driver or (_was_lost(record.devices.get(uuid)) and not _is_away(device))
    ]
    return record.history.mended(back, "reset", now_s)


def _was_open(record: Record) -> bool:
    """An agent that has just started, or that stepped aside, opens NVML too, and that is no reload."""
    return record.message != _NOT_PROBED and record.state != "Paused"


def _was_lost(device: Device | None) -> bool:
    """One that could only not be asked was not reset meanwhile."""
    return device is not None and bool((AWAY - {"unreadable"}) & set(device.troubles))


def _is_away(device: Device) -> bool:
    return bool(AWAY & set(device.troubles))
