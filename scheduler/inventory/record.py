"""What the agent knows of its node from one probe to the next: a value and what changes it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from scheduler.inventory.history import History
from scheduler.inventory.report import Device, DeviceReport, NodeState

#: Told about a device that is listed but not readable; once they are gone, the device came back from a reset.
_AWAY = frozenset({"lost", "missing", "reset-required", "unreadable"})
#: States in which the probe said something certain about the node's devices.
_CERTAIN = frozenset({"Ready", "NoDevices", "NoDriver"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Devices stay known once they were seen, so that one that vanishes is missed and not forgotten.

    probed_s: when the last successful probe ended; None before the first. driver: the version at the last
    probe that could read it.
    """

    state: NodeState = "Failed"
    message: str = "not probed yet"
    probed_s: float | None = None
    driver: str = ""
    cuda: str = ""
    boot_id: str = ""
    devices: Mapping[str, Device] = field(default_factory=dict)
    history: History = field(default_factory=History)
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
    seen = {device.uuid: device for device in _all_known(record, report)}
    history = _mended(record, report, seen, now_s)
    for device in seen.values():
        for trouble in device.troubles:
            history = history.struck(device.uuid, trouble, now_s)
    return replace(told, devices=seen, history=history, driver=report.driver, cuda=report.cuda)


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
    return replace(record, devices=kept, history=record.history.cleared(named))


def resumed(found: Record, boot_id: str, now_s: float) -> Record:
    """What an earlier agent wrote, at the start of this one; a boot since then mends what a boot mends."""
    rebooted = bool(found.boot_id) and found.boot_id != boot_id
    history = found.history.mended(found.devices, "boot", now_s) if rebooted else found.history
    return replace(
        found,
        state="Failed",
        message="not probed yet",
        boot_id=boot_id,
        history=history,
        probed_s=found.probed_s,
    )


def _all_known(record: Record, report: DeviceReport) -> Iterable[Device]:
    """What the probe saw; lost devices keep what was known of them, and missing ones are listed."""
    present = {device.uuid for device in report.devices}
    for device in report.devices:
        before = record.devices.get(device.uuid)
        is_away = bool(_AWAY & set(device.troubles))
        if is_away and before is not None:
            yield replace(before, index=device.index, troubles=device.troubles, processes=())
        else:
            yield device
    # An unidentified device is one of those: NVML lists it, and it does not even tell its UUID.
    trouble = "lost" if report.unidentified else "missing"
    for device in record.in_order:
        if device.uuid not in present:
            yield replace(device, troubles=(trouble,), processes=())


def _mended(record: Record, report: DeviceReport, seen: Mapping[str, Device], now_s: float) -> History:
    """A driver loaded anew resets all devices; one that was away and is back was reset alone."""
    is_new_driver = bool(record.driver) and (
        report.driver != record.driver or (report.opened and _was_open(record))
    )
    back = [
        uuid
        for uuid, device in seen.items()
        if is_new_driver or (_is_away(record.devices.get(uuid)) and not _is_away(device))
    ]
    return record.history.mended(back, "reset", now_s)


def _was_open(record: Record) -> bool:
    """An agent that has just started opens NVML too, and that is no reload."""
    return record.message != "not probed yet"


def _is_away(device: Device | None) -> bool:
    return device is not None and bool(_AWAY & set(device.troubles))
