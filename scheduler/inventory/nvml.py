"""The calls of NVML that are used, and what its numbers mean. Pure: who only reads reports needs no library.

``pynvml`` carries no types; ``Nvml`` is the part of it the agent needs, so the module itself is one, and so
is whatever loads another library behind it. Calls that NVIDIA announced to remove with CUDA 14 are not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Protocol

#: A device handle: a ctypes pointer nobody looks into.
Handle = object
EventSet = object

SUCCESS: Final = 0
UNINITIALIZED: Final = 1
INVALID_ARGUMENT: Final = 2
NOT_SUPPORTED: Final = 3
NO_PERMISSION: Final = 4
NOT_FOUND: Final = 6
DRIVER_NOT_LOADED: Final = 9
TIMEOUT: Final = 10
LIBRARY_NOT_FOUND: Final = 12
FUNCTION_NOT_FOUND: Final = 13
GPU_IS_LOST: Final = 15
RESET_REQUIRED: Final = 16
LIBRARY_MISMATCH: Final = 18
NO_DATA: Final = 21
VERSION_MISMATCH: Final = 25
DEPRECATED: Final = 26
UNKNOWN: Final = 999

#: About the driver, not about one device or one call.
DRIVER_CODES: Final = frozenset({UNINITIALIZED, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, LIBRARY_MISMATCH})
#: About the device, and evidence: no other call on it will do better.
LOST_CODES: Final = frozenset({GPU_IS_LOST, RESET_REQUIRED})
#: This device or library does not know that; normal, and no sign of anything.
ABSENT_CODES: Final = frozenset({NOT_SUPPORTED, NO_DATA, INVALID_ARGUMENT, NOT_FOUND})
#: The library is older than the call.
LACKING_CODES: Final = frozenset({FUNCTION_NOT_FOUND, VERSION_MISMATCH, DEPRECATED})

CORRECTED, UNCORRECTED = 0, 1
VOLATILE, AGGREGATE = 0, 1
RETIRED_SINGLE, RETIRED_DOUBLE = 0, 1
NVLINK_REPLAY, NVLINK_RECOVERY, NVLINK_CRC_FLIT, NVLINK_CRC_DATA = 0, 1, 2, 3
#: 13.615.71 defines NVML_P2P_CAPS_INDEX_READ as a tuple, so the numbers of the header stand here.
P2P_NVLINK: Final = 2
P2P_OK: Final = 0
LINK_TO_GPU, LINK_TO_SWITCH = 0, 2
FABRIC_NOT_SUPPORTED, FABRIC_COMPLETED = 0, 3
FABRIC_UNHEALTHY, FABRIC_LIMITED = 2, 3
#: Of the fabric's health mask: where each pair of bits is, and what it says.
MASK_DEGRADED_BANDWIDTH, MASK_ROUTE_UNHEALTHY, MASK_CONFIGURATION = 0, 4, 8
MASK_TRUE: Final = 1
RECOVERY_NONE: Final = 0
TEMPERATURE_GPU: Final = 0
EVENT_XID: Final = 8
#: Double-bit ECC, XID, fatal poison, GPU unavailable: what says that a device may have become bad.
EVENTS_WANTED: Final = 0x2 | EVENT_XID | 0x2000 | 0x4000

DriverTrouble = Literal["NoDriver", "DriverMismatch", "Failed"]


class Memory(Protocol):
    total: int
    used: int
    reserved: int


class Rates(Protocol):
    gpu: int
    memory: int


class Pci(Protocol):
    busId: str


class RunningProcess(Protocol):
    pid: int
    usedGpuMemory: int | None
    gpuInstanceId: int


class FieldValue(Protocol):
    nvmlReturn: int
    value: UnsignedValue


class UnsignedValue(Protocol):
    uiVal: int


class Attributes(Protocol):
    gpuInstanceSliceCount: int
    computeInstanceSliceCount: int
    memorySizeMB: int


class EventData(Protocol):
    device: Handle
    eventType: int
    eventData: int
    gpuInstanceId: int


class Nvml(Protocol):
    """As in ``pynvml``, which raises NvmlError for every code but success."""

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlSystemGetDriverVersion(self) -> str: ...
    def nvmlSystemGetCudaDriverVersion_v2(self) -> int: ...
    def nvmlDeviceGetCount(self) -> int: ...
    def nvmlDeviceGetHandleByIndex(self, index: int, /) -> Handle: ...
    def nvmlDeviceGetUUID(self, device: Handle, /) -> str: ...
    def nvmlDeviceGetName(self, device: Handle, /) -> str: ...
    def nvmlDeviceGetSerial(self, device: Handle, /) -> str: ...
    def nvmlDeviceGetMinorNumber(self, device: Handle, /) -> int: ...
    def nvmlDeviceGetPciInfo(self, device: Handle, /) -> Pci: ...
    def nvmlDeviceGetNumaNodeId(self, device: Handle, /) -> int: ...
    def nvmlDeviceGetMemoryInfo(self, device: Handle, version: int | None = None, /) -> Memory: ...
    def nvmlDeviceGetUtilizationRates(self, device: Handle, /) -> Rates: ...
    def nvmlDeviceGetPowerUsage(self, device: Handle, /) -> int: ...
    def nvmlDeviceGetEnforcedPowerLimit(self, device: Handle, /) -> int: ...
    def nvmlDeviceGetTemperatureV(self, device: Handle, sensor: int, /) -> int: ...
    def nvmlDeviceGetEccMode(self, device: Handle, /) -> list[int]: ...
    def nvmlDeviceGetTotalEccErrors(self, device: Handle, kind: int, counter: int, /) -> int: ...
    def nvmlDeviceGetSramEccErrorStatus(self, device: Handle, status: object, /) -> int: ...
    def nvmlDeviceGetRemappedRows(self, device: Handle, /) -> tuple[int, int, int, int]: ...
    def nvmlDeviceGetRepairStatus(self, device: Handle, /) -> list[int]: ...
    def nvmlDeviceGetRetiredPages_v2(self, device: Handle, cause: int, /) -> list[object]: ...
    def nvmlDeviceGetRetiredPagesPendingStatus(self, device: Handle, /) -> int: ...
    def nvmlDeviceGetMigMode(self, device: Handle, /) -> list[int]: ...
    def nvmlDeviceGetMaxMigDeviceCount(self, device: Handle, /) -> int: ...
    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Handle, index: int, /) -> Handle: ...
    def nvmlDeviceGetGpuInstanceId(self, device: Handle, /) -> int: ...
    def nvmlDeviceGetComputeInstanceId(self, device: Handle, /) -> int: ...
    def nvmlDeviceGetAttributes_v2(self, device: Handle, /) -> Attributes: ...
    def nvmlDeviceGetNvLinkState(self, device: Handle, link: int, /) -> int: ...
    def nvmlDeviceGetNvLinkRemoteDeviceType(self, device: Handle, link: int, /) -> int: ...
    def nvmlDeviceGetNvLinkRemotePciInfo(self, device: Handle, link: int, /) -> Pci: ...
    def nvmlDeviceGetNvLinkErrorCounter(self, device: Handle, link: int, counter: int, /) -> int: ...
    def nvmlDeviceGetP2PStatus(self, a: Handle, b: Handle, index: int, /) -> int: ...
    def nvmlDeviceGetTopologyCommonAncestor(self, a: Handle, b: Handle, /) -> int: ...
    def nvmlDeviceGetGpuFabricInfoV(self, device: Handle, info: object, /) -> int: ...
    def nvmlDeviceGetFieldValues(self, device: Handle, fields: list[int], /) -> Sequence[FieldValue]: ...
    def nvmlDeviceGetComputeRunningProcesses(self, device: Handle, /) -> list[RunningProcess]: ...
    def nvmlDeviceGetMPSComputeRunningProcesses(self, device: Handle, /) -> list[RunningProcess]: ...
    def nvmlDeviceGetSupportedEventTypes(self, device: Handle, /) -> int: ...
    def nvmlDeviceRegisterEvents(self, device: Handle, types: int, events: EventSet, /) -> None: ...
    def nvmlEventSetCreate(self) -> EventSet: ...
    def nvmlEventSetWait_v2(self, events: EventSet, timeout_ms: int, /) -> EventData: ...
    def nvmlEventSetFree(self, events: EventSet, /) -> None: ...
