"""One probe of a node's GPUs through NVML: ``probe(pynvml)``. Never raises for what a GPU or driver does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from scheduler.inventory import nvml
from scheduler.inventory.device import read_device
from scheduler.inventory.nvml import Handle, Nvml, NvmlError
from scheduler.inventory.reader import DeviceLost, DriverGone, Reader
from scheduler.inventory.report import Device, DeviceReport, NodeState
from scheduler.inventory.scenario import DEVICES_MAX

_MESSAGES: dict[int, tuple[NodeState, str]] = {
    nvml.LIBRARY_NOT_FOUND: ("NoDriver", "libnvidia-ml.so.1 is not here: no NVIDIA driver on this node"),
    nvml.DRIVER_NOT_LOADED: ("NoDriver", "the NVIDIA driver is not loaded"),
    nvml.LIBRARY_MISMATCH: (
        "DriverMismatch",
        "the driver was replaced under the library this process has loaded; the agent must start anew",
    ),
}


def _nothing() -> None:
    pass


def probe(api: Nvml, before_open: Callable[[], None] = _nothing) -> DeviceReport:
    """Everything NVML says now. Opens NVML where nobody has, or where the driver was loaded anew.

    before_open: called before handles and event sets become invalid, so that their users can let go.
    Blocks for as long as NVML does: call it where that may be (``scheduler.inventory.prober``).
    """
    try:
        return _read(api)
    except DriverGone as gone:
        if gone.code != nvml.UNINITIALIZED:
            return _without_driver(gone)
    try:
        before_open()
        _open_again(api)
        return replace(_read(api), opened=True)
    except DriverGone as gone:
        return _without_driver(gone)


def _open_again(api: Nvml) -> None:
    reader = Reader()
    # It fails where nobody had opened it, or where the driver it was opened on is gone.
    with suppress(NvmlError):
        api.nvmlShutdown()
    reader.of_node("nvmlInitWithFlags", api.nvmlInit)


def _without_driver(gone: DriverGone) -> DeviceReport:
    state, message = _MESSAGES.get(gone.code, ("Failed", str(gone)))
    return DeviceReport(state=state, message=message)


def _read(api: Nvml) -> DeviceReport:
    reader = Reader()
    driver = reader.of_node("nvmlSystemGetDriverVersion", api.nvmlSystemGetDriverVersion)
    cuda = reader.of_node("nvmlSystemGetCudaDriverVersion_v2", api.nvmlSystemGetCudaDriverVersion_v2)
    count = reader.of_node("nvmlDeviceGetCount_v2", api.nvmlDeviceGetCount)
    if count is None:
        odd = ", ".join(f"{call}: {code}" for call, code in reader.odd.items())
        return DeviceReport(state="Failed", message=f"the devices could not be counted ({odd})")
    handles: list[Handle | None] = []
    devices: list[Device] = []
    unidentified = 0
    for index in range(min(count, DEVICES_MAX)):
        handle, device = _device(api, reader, index)
        handles.append(handle)
        if device is None:
            unidentified += 1
        else:
            devices.append(device)
    return DeviceReport(
        state="Ready" if count else "NoDevices",
        message="" if count else "the driver has no devices",
        devices=tuple(_paired(api, reader, device, handles) for device in devices),
        unidentified=unidentified,
        lacking=tuple(sorted(reader.lacking)),
        odd=tuple(f"{call}: {code}" for call, code in sorted(reader.odd.items())),
        driver=driver or "",
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else "",
    )


def _device(api: Nvml, reader: Reader, index: int) -> tuple[Handle | None, Device | None]:
    """The device, with ``troubles`` and little else where it is lost; no device where it has no name."""
    handle: Handle | None = None
    uuid = ""
    try:
        handle = reader.must("nvmlDeviceGetHandleByIndex_v2", api.nvmlDeviceGetHandleByIndex, index)
        uuid = reader.must("nvmlDeviceGetUUID", api.nvmlDeviceGetUUID, handle)
        device = read_device(api, reader, handle, index)
    except DeviceLost as lost:
        return None, Device(index=index, uuid=uuid, troubles=(lost.trouble,)) if uuid else None
    return handle, replace(device, troubles=_troubles(device))


def _troubles(device: Device) -> tuple[str, ...]:
    """The levels that hold now; events come from the event set. See ``scheduler.inventory.health``."""
    remap, retired, ecc, fabric = device.remap, device.retired, device.ecc, device.fabric
    found = {
        "unreadable": device.memory is None and not device.model,
        "remap-failure": remap is not None and remap.failure,
        "remap-pending": remap is not None and remap.pending,
        "retired-pending": retired is not None and retired.pending,
        "sram-threshold": ecc is not None and bool(ecc.sram_exceeded),
        "repair-pending": device.repair is not None and any(device.repair),
        "fabric-unready": fabric is not None and fabric.state != nvml.FABRIC_COMPLETED,
        "fabric-unhealthy": fabric is not None and fabric.health == nvml.FABRIC_UNHEALTHY,
        "nvlink-down": any(link.active for link in device.links)
        and not all(link.active for link in device.links),
    }
    return tuple(kind for kind, holds in found.items() if holds)


def _paired(api: Nvml, reader: Reader, device: Device, handles: Sequence[Handle | None]) -> Device:
    """With what it shares with each other device. A device lost meanwhile keeps what is known."""
    own = handles[device.index]
    if own is None:
        return device
    peers: list[int] = []
    levels: list[int] = []
    for index, other in enumerate(handles):
        if index == device.index:
            levels.append(0)
            continue
        level, linked = (-1, None) if other is None else _pair(api, reader, own, other, bool(device.links))
        levels.append(-1 if level is None else level)
        if linked == nvml.P2P_OK:
            peers.append(index)
    return replace(device, nvlink_peers=tuple(peers), levels=tuple(levels))


def _pair(
    api: Nvml, reader: Reader, own: Handle, other: Handle, has_links: bool
) -> tuple[int | None, int | None]:
    try:
        level = reader.maybe(
            "nvmlDeviceGetTopologyCommonAncestor",
            api.nvmlDeviceGetTopologyCommonAncestor,
            own,
            other,
        )
        if not has_links:
            return level, None
        linked = reader.maybe(
            "nvmlDeviceGetP2PStatus", api.nvmlDeviceGetP2PStatus, own, other, nvml.P2P_NVLINK
        )
    except DeviceLost:
        return None, None
    return level, linked
