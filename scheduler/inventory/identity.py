"""Which device of this probe is which of those known before, and which are gone for good. Pure.

A UUID names a device as long as it answers. Beside it stand the bus address, the serial number, and the boot
and the Node in which the device was last seen: hardware is replaced while a node is off, and a Node of the
same name may be another machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from scheduler.inventory.report import Device, DeviceReport, Nameless
from scheduler.inventory.scenario import DEVICES_MAX
from scheduler.inventory.troubles import AWAY, NVLINK_DOWN, UNREADABLE, field_of, lacks_links, silent_fields

#: A device that is listed no more is forgotten after this long without a boot.
FORGET_S: Final = 86_400.0
#: Stands for the boot of whatever ran under this Node's name before.
ANOTHER_NODE: Final = "another-node"


def filled(device: Device, before: Device | None, links_best: int) -> Device:
    """A device that answered, with what it could not be asked this time as it was last told."""
    fields = silent_fields(device)
    levels = device.troubles
    if before is not None and fields:
        device = replace(device, **{name: getattr(before, name) for name in fields})
        levels = (*levels, *(kind for kind in before.troubles if field_of(kind) in fields))
    if lacks_links(device, links_best):
        levels = (*levels, NVLINK_DOWN)
    return device if levels == device.troubles else replace(device, troubles=tuple(dict.fromkeys(levels)))


def away(known: Mapping[str, Device], report: DeviceReport, is_gone: Mapping[str, bool]) -> Iterable[Device]:
    """Known devices that this probe did not name, as far as they are not gone for good.

    One that is listed and does not tell its UUID is known by its bus address, else by its place. While one
    such cannot be told apart, any of those that are absent may be it: their state is not known.
    """
    present = {device.uuid for device in report.devices}
    absent = [device for uuid, device in known.items() if uuid not in present]
    strangers: list[Nameless] = []
    for found in report.nameless:
        match = _match(found, absent)
        if match is None:
            strangers.append(found)
            continue
        absent.remove(match)
        yield silent(match, found.index, (found.trouble,), found.unanswered)
    for device in absent:
        if strangers:
            yield silent(device, device.index, (UNREADABLE,), strangers[0].unanswered)
        elif not is_gone[device.uuid] and not _is_replaced(device, report.devices):
            yield replace(device, troubles=("missing",), unanswered=())


def silent(before: Device, index: int, troubles: tuple[str, ...], unanswered: tuple[str, ...]) -> Device:
    """A device that tells nothing now. Who used it last is the best that is known of who holds it.

    What held of one that could only not be asked still holds, as far as anybody knows.
    """
    if UNREADABLE in troubles:
        troubles = (*troubles, *(kind for kind in before.troubles if kind not in AWAY))
    return replace(before, index=index, troubles=troubles, unanswered=unanswered)


def successor(device: Device, present: Iterable[Device]) -> Device | None:
    """The same hardware under another UUID: at the same bus address, with the same serial number."""
    if not device.pci or not device.serial:
        return None
    return next((d for d in present if (d.pci, d.serial) == (device.pci, device.serial)), None)


def bounded(devices: Mapping[str, Device], missing_s: Mapping[str, float]) -> dict[str, Device]:
    """As many as one object can hold: those that are there, and of the others the latest."""

    def worth(device: Device) -> tuple[bool, float]:
        return "missing" not in device.troubles, missing_s.get(device.uuid, 0.0)

    kept = sorted(devices.values(), key=worth, reverse=True)[:DEVICES_MAX]
    names = {device.uuid for device in kept}
    return {uuid: device for uuid, device in devices.items() if uuid in names}


def _match(found: Nameless, absent: Sequence[Device]) -> Device | None:
    by_address = [device for device in absent if found.pci and device.pci == found.pci]
    by_place = [device for device in absent if device.index == found.index and not found.pci]
    return next(iter((*by_address, *by_place)), None)


def _is_replaced(device: Device, present: Iterable[Device]) -> bool:
    """Another one is where it was."""
    return bool(device.pci) and any(other.pci == device.pci for other in present)
