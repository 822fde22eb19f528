"""What holds of a device now, by kinds of the health table: from what one probe told of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from scheduler.inventory import nvml
from scheduler.inventory.report import Device, Fabric

NVLINK_DOWN: Final = "nvlink-down"
#: Told about a device that is listed but not readable.
UNREADABLE: Final = "unreadable"
AWAY: Final = frozenset({"lost", "missing", "reset-required", UNREADABLE})
#: nvmlDeviceGpuRecoveryAction_t (nvml.h) to kinds of the health table; 0 asks for nothing.
RECOVERY: Final[Mapping[int, str]] = {
    1: "recovery-reset",
    2: "recovery-reboot",
    3: "recovery-drain-p2p",
    4: "recovery-drain",
    5: "recovery-imex",
    6: "recovery-reset",
    7: "recovery-reboot",
}
#: Without an answer to these nobody can say what the device is, how it is cut, or who is on it. What others
#: would tell is taken as it was last told.
VITAL: Final = frozenset(
    {
        "nvmlDeviceGetHandleByIndex_v2",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetName",
        "nvmlDeviceGetMemoryInfo",
        "nvmlDeviceGetMigMode",
        "nvmlDeviceGetMaxMigDeviceCount",
        "nvmlDeviceGetMigDeviceHandleByIndex",
        "nvmlDeviceGetGpuInstanceId",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetMPSComputeRunningProcesses_v3",
    }
)
#: By field of a Device, the calls without which it is not known.
FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "model": frozenset({"nvmlDeviceGetName"}),
    "serial": frozenset({"nvmlDeviceGetSerial"}),
    "minor": frozenset({"nvmlDeviceGetMinorNumber"}),
    "pci": frozenset({"nvmlDeviceGetPciInfo_v3"}),
    "numa": frozenset({"nvmlDeviceGetNumaNodeId"}),
    "memory": frozenset({"nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetMemoryInfo"}),
    "ecc": frozenset({"nvmlDeviceGetEccMode", "nvmlDeviceGetSramEccErrorStatus"}),
    "remap": frozenset({"nvmlDeviceGetRemappedRows"}),
    "retired": frozenset({"nvmlDeviceGetRetiredPages_v2", "nvmlDeviceGetRetiredPagesPendingStatus"}),
    "repair": frozenset({"nvmlDeviceGetRepairStatus"}),
    "mig_enabled": frozenset({"nvmlDeviceGetMigMode"}),
    "instances": frozenset(
        {
            "nvmlDeviceGetMigMode",
            "nvmlDeviceGetMaxMigDeviceCount",
            "nvmlDeviceGetMigDeviceHandleByIndex",
            "nvmlDeviceGetGpuInstanceId",
            "nvmlDeviceGetComputeInstanceId",
            "nvmlDeviceGetAttributes_v2",
        }
    ),
    "links": frozenset(
        {
            "nvmlDeviceGetNvLinkState",
            "nvmlDeviceGetNvLinkRemoteDeviceType",
            "nvmlDeviceGetNvLinkRemotePciInfo_v2",
        }
    ),
    "nvlink_peers": frozenset({"nvmlDeviceGetP2PStatus", "nvmlDeviceGetNvLinkState"}),
    "levels": frozenset({"nvmlDeviceGetTopologyCommonAncestor"}),
    "fabric": frozenset({"nvmlDeviceGetGpuFabricInfoV"}),
    "processes": frozenset(
        {"nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetMPSComputeRunningProcesses_v3"}
    ),
    "recovery": frozenset({"nvmlDeviceGetFieldValues"}),
}
_FIELD_OF: Final[Mapping[str, str]] = {
    "remap-failure": "remap",
    "remap-pending": "remap",
    "retired-pending": "retired",
    "sram-threshold": "ecc",
    "repair-pending": "repair",
    "fabric-unready": "fabric",
    "fabric-failed": "fabric",
    "fabric-unhealthy": "fabric",
    "fabric-misconfigured": "fabric",
    "fabric-degraded": "fabric",
    NVLINK_DOWN: "links",
}
_MAY_NOT_LOOK: Final = frozenset(f"{call}: {nvml.NO_PERMISSION}" for call in VITAL if "Processes" in call)
#: From 0 to 3 the two low bits of a pair in the health mask; the configuration takes four.
_PAIR, _NIBBLE = 0x3, 0xF
#: "Not supported" and "correct".
_CONFIGURED: Final = (0, 1)


def links_wanted(devices: Sequence[Device]) -> Mapping[str, int]:
    """By UUID, how many NVLinks are up on the device of the same model and the same island that has most.

    What a board leaves unconnected by design, its peers leave unconnected too: an H100 NVL has 12 of 18.
    """
    wanted: dict[str, int] = {}
    for island in _islands(devices):
        most: dict[str, int] = {}
        for device in island:
            most[device.model] = max(most.get(device.model, 0), links_up(device))
        wanted.update({device.uuid: most[device.model] for device in island})
    return wanted


def links_up(device: Device) -> int:
    return sum(link.active for link in device.links)


def lacks_links(device: Device, wanted: int) -> bool:
    """Whether fewer NVLinks are up than should be; cut into MIG instances a device has no peers."""
    return wanted > 0 and not device.mig_enabled and links_up(device) < wanted


def troubles(device: Device, wanted_links: int, *, is_closed: bool = False) -> tuple[str, ...]:
    """The levels that hold; events come from the event set.

    wanted_links: NVLinks that should be up. is_closed: nobody here may look at processes of any device.
    """
    remap, retired, ecc = device.remap, device.retired, device.ecc
    action = device.recovery or nvml.RECOVERY_NONE
    found = {
        UNREADABLE: is_unknown(device, is_closed=is_closed) or (device.memory is None and not device.model),
        "remap-failure": remap is not None and remap.failure,
        "remap-pending": remap is not None and remap.pending,
        "retired-pending": retired is not None and retired.pending,
        "sram-threshold": ecc is not None and bool(ecc.sram_exceeded),
        "repair-pending": device.repair is not None and any(device.repair),
        **_of_fabric(device.fabric),
        # Cut into MIG instances a device has no peers.
        NVLINK_DOWN: lacks_links(device, wanted_links) and "links" not in silent_fields(device),
        RECOVERY.get(action, "recovery-unknown"): action != nvml.RECOVERY_NONE,
    }
    return tuple(kind for kind, holds in found.items() if holds)


def silent_fields(device: Device) -> frozenset[str]:
    """The fields of a Device that could not be asked by this probe: empty in it, and not known to be so."""
    if not device.unanswered:
        return frozenset()
    calls = {failure.split(": ", 1)[0] for failure in device.unanswered}
    return frozenset(name for name, asks in FIELDS.items() if asks & calls)


def field_of(kind: str) -> str:
    """The field that a level is read from; empty for what no single field tells."""
    return _FIELD_OF.get(kind, "recovery" if kind.startswith("recovery-") else "")


def is_level(kind: str) -> bool:
    """Whether each probe tells it anew for as long as it holds; an event is told once."""
    return kind in AWAY or bool(field_of(kind))


def is_unknown(device: Device, *, is_closed: bool = False) -> bool:
    """Whether what decides about the device could not be asked.

    Some containers may never look at processes, and of a device that is cut into MIG instances few may: that
    is so by design, and told as an odd call. Where others of the node answer, it is not.
    """
    is_by_design = is_closed or bool(device.mig_enabled)
    hidden = _forbidden(device) if is_by_design else ()
    return any(failure.split(": ", 1)[0] in VITAL for failure in device.unanswered if failure not in hidden)


def nobody_may_look(devices: Sequence[Device]) -> bool:
    """Whether of each device that answers at all nobody may see the processes."""
    return all(_forbidden(device) for device in devices if not device.troubles)


def _forbidden(device: Device) -> tuple[str, ...]:
    return tuple(failure for failure in device.unanswered if failure in _MAY_NOT_LOOK)


def _of_fabric(fabric: Fabric | None) -> Mapping[str, bool]:
    if fabric is None:
        return {}
    is_over = fabric.state == nvml.FABRIC_COMPLETED
    has_failed = is_over and fabric.status != nvml.SUCCESS
    configuration = fabric.mask >> nvml.MASK_CONFIGURATION & _NIBBLE
    is_unhealthy = fabric.health == nvml.FABRIC_UNHEALTHY or _is_set(fabric, nvml.MASK_ROUTE_UNHEALTHY)
    is_degraded = fabric.health == nvml.FABRIC_LIMITED or _is_set(fabric, nvml.MASK_DEGRADED_BANDWIDTH)
    return {
        "fabric-unready": not is_over,
        "fabric-failed": has_failed,
        "fabric-unhealthy": is_unhealthy,
        "fabric-misconfigured": is_over and not has_failed and configuration not in _CONFIGURED,
        "fabric-degraded": is_degraded,
    }


def _is_set(fabric: Fabric, shift: int) -> bool:
    return fabric.mask >> shift & _PAIR == nvml.MASK_TRUE


def _islands(devices: Sequence[Device]) -> list[list[Device]]:
    """Devices that reach each other over NVLink, directly or by others; one without peers is alone."""
    by_index = {device.index: device for device in devices}
    left, islands = dict(by_index), []
    while left:
        edge = [left.pop(next(iter(left)))]
        island = []
        while edge:
            device = edge.pop()
            island.append(device)
            edge += [left.pop(peer) for peer in device.nvlink_peers if peer in left]
        islands.append(island)
    return islands
