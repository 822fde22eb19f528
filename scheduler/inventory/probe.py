"""One probe of a node's GPUs through NVML: ``probe(pynvml)``. Never raises for what a GPU or driver does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from scheduler.inventory import nvml
from scheduler.inventory.binding import NvmlError
from scheduler.inventory.device import pci_address, read_device
from scheduler.inventory.nvml import Handle, Nvml
from scheduler.inventory.reader import DeviceLost, DriverGone, Reader, Unanswered
from scheduler.inventory.report import Device, DeviceReport, Nameless, NodeState
from scheduler.inventory.scenario import DEVICES_MAX
from scheduler.inventory.troubles import links_wanted, nobody_may_look, troubles

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
    nameless: list[Nameless] = []
    for index in range(min(count, DEVICES_MAX)):
        handle, device = _device(api, reader, index)
        handles.append(handle)
        if isinstance(device, Device):
            devices.append(device)
        else:
            nameless.append(device)
    paired = [_paired(api, reader, device, handles) for device in devices]
    wanted, closed = links_wanted(paired), nobody_may_look(paired)
    return DeviceReport(
        state="Ready" if count else "NoDevices",
        message="" if count else "the driver has no devices",
        devices=tuple(_judged(device, wanted[device.uuid], closed) for device in paired),
        nameless=tuple(nameless),
        lacking=tuple(sorted(reader.lacking)),
        odd=tuple(f"{call}: {code}" for call, code in sorted(reader.odd.items())),
        driver=driver or "",
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else "",
    )


def _device(api: Nvml, reader: Reader, index: int) -> tuple[Handle | None, Device | Nameless]:
    """The device, with ``troubles`` and little else where it is lost; nameless where it has no UUID."""
    reader.begin()
    handle: Handle | None = None
    uuid = ""
    try:
        handle = reader.must("nvmlDeviceGetHandleByIndex_v2", api.nvmlDeviceGetHandleByIndex, index)
        uuid = reader.must("nvmlDeviceGetUUID", api.nvmlDeviceGetUUID, handle)
        device = read_device(api, reader, handle, index)
    except DeviceLost as lost:
        return None, _without_answers(reader, index, uuid, "", lost.trouble)
    except Unanswered:
        return None, _without_answers(reader, index, uuid, _where(api, reader, handle), "unreadable")
    return handle, replace(device, unanswered=reader.failures)


def _where(api: Nvml, reader: Reader, handle: Handle | None) -> str:
    """By the bus address a device is known that does not tell its UUID."""
    if handle is None:
        return ""
    try:
        return pci_address(api, reader, handle)
    except DeviceLost:
        return ""


def _without_answers(reader: Reader, index: int, uuid: str, pci: str, trouble: str) -> Device | Nameless:
    failures = reader.failures
    if not uuid:
        return Nameless(index=index, trouble=trouble, pci=pci, unanswered=failures)
    return Device(index=index, uuid=uuid, pci=pci, troubles=(trouble,), unanswered=failures)


def _judged(device: Device, wanted_links: int, closed: bool) -> Device:
    """One that was lost meanwhile has its trouble already."""
    if device.troubles:
        return device
    return replace(device, troubles=troubles(device, wanted_links, is_closed=closed))


def _paired(api: Nvml, reader: Reader, device: Device, handles: Sequence[Handle | None]) -> Device:
    """With what it shares with each other device. A device lost meanwhile keeps what is known."""
    own = handles[device.index]
    if own is None:
        return device
    reader.begin()
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
    unanswered = (*device.unanswered, *reader.failures)
    return replace(device, nvlink_peers=tuple(peers), levels=tuple(levels), unanswered=unanswered)


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
