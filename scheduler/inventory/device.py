"""Reads everything that NVML tells about one device."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import pynvml

from scheduler.inventory import binding, nvml
from scheduler.inventory.nvml import Handle, Nvml, RunningProcess
from scheduler.inventory.reader import Reader
from scheduler.inventory.report import (
    Device,
    Ecc,
    Fabric,
    Instance,
    Link,
    Memory,
    Process,
    Remap,
    Retired,
)
from scheduler.inventory.scenario import INSTANCES_MAX, LINKS_MAX, PROCESSES_MAX

TEXT_MAX = 96
_NO_INSTANCE = 0xFFFFFFFF
_MIB = 1 << 20
_PROFILE = re.compile(r"MIG (\S+)")
_LINK_COUNTERS = (nvml.NVLINK_REPLAY, nvml.NVLINK_RECOVERY, nvml.NVLINK_CRC_FLIT, nvml.NVLINK_CRC_DATA)


def read_device(api: Nvml, reader: Reader, handle: Handle, index: int) -> Device:
    """One GPU, without what only pairs of devices know. Raises: DriverGone, DeviceLost, Unanswered."""
    uuid = reader.must("nvmlDeviceGetUUID", api.nvmlDeviceGetUUID, handle)[:TEXT_MAX]
    mig = reader.maybe("nvmlDeviceGetMigMode", api.nvmlDeviceGetMigMode, handle)
    # A MIG parent has no utilisation of its own.
    rates = reader.maybe("nvmlDeviceGetUtilizationRates", api.nvmlDeviceGetUtilizationRates, handle)
    repair = reader.maybe("nvmlDeviceGetRepairStatus", api.nvmlDeviceGetRepairStatus, handle)
    limit = reader.maybe("nvmlDeviceGetEnforcedPowerLimit", api.nvmlDeviceGetEnforcedPowerLimit, handle)
    memory = _memory(api, reader, handle)
    return Device(
        index=index,
        uuid=uuid,
        model=(reader.maybe("nvmlDeviceGetName", api.nvmlDeviceGetName, handle) or "")[:TEXT_MAX],
        serial=(reader.maybe("nvmlDeviceGetSerial", api.nvmlDeviceGetSerial, handle) or "")[:TEXT_MAX],
        minor=reader.maybe("nvmlDeviceGetMinorNumber", api.nvmlDeviceGetMinorNumber, handle),
        pci=pci_address(api, reader, handle),
        numa=_numa(reader.maybe("nvmlDeviceGetNumaNodeId", api.nvmlDeviceGetNumaNodeId, handle)),
        memory=memory,
        utilisation_gpu=None if rates is None else rates.gpu,
        utilisation_memory=None if rates is None else rates.memory,
        power_mw=reader.maybe("nvmlDeviceGetPowerUsage", api.nvmlDeviceGetPowerUsage, handle),
        power_limit_mw=limit,
        temperature_c=reader.maybe(
            "nvmlDeviceGetTemperatureV",
            api.nvmlDeviceGetTemperatureV,
            handle,
            nvml.TEMPERATURE_GPU,
        ),
        ecc=_ecc(api, reader, handle),
        remap=_remap(api, reader, handle),
        retired=_retired(api, reader, handle),
        repair=None if repair is None else (bool(repair[0]), bool(repair[1])),
        mig_enabled=None if mig is None else bool(mig[0]),
        instances=tuple(_instances(api, reader, handle, memory)) if mig and mig[0] else (),
        links=tuple(_links(api, reader, handle)),
        fabric=_fabric(api, reader, handle),
        processes=tuple(_processes(api, reader, handle)),
        recovery=_recovery(api, reader, handle),
    )


def pci_address(api: Nvml, reader: Reader, handle: Handle) -> str:
    """Where the device is on the bus; empty where that is not told. Raises: DriverGone, DeviceLost."""
    pci = reader.maybe("nvmlDeviceGetPciInfo_v3", api.nvmlDeviceGetPciInfo, handle)
    return "" if pci is None else _text(pci.busId)


def _memory(api: Nvml, reader: Reader, handle: Handle) -> Memory | None:
    found = reader.maybe("nvmlDeviceGetMemoryInfo_v2", api.nvmlDeviceGetMemoryInfo, handle, binding.MEMORY_V2)
    if found is not None:
        return Memory(total_bytes=found.total, used_bytes=found.used, reserved_bytes=found.reserved)
    # Drivers before 510; there ``used`` includes what is reserved.
    older = reader.maybe("nvmlDeviceGetMemoryInfo", api.nvmlDeviceGetMemoryInfo, handle, None)
    return None if older is None else Memory(total_bytes=older.total, used_bytes=older.used)


def _ecc(api: Nvml, reader: Reader, handle: Handle) -> Ecc | None:
    mode = reader.maybe("nvmlDeviceGetEccMode", api.nvmlDeviceGetEccMode, handle)
    if mode is None:
        return None
    if not mode[0]:
        return Ecc(enabled=False)

    def total(kind: int, counter: int) -> int | None:
        return reader.maybe(
            "nvmlDeviceGetTotalEccErrors", api.nvmlDeviceGetTotalEccErrors, handle, kind, counter
        )

    status = pynvml.c_nvmlEccSramErrorStatus_v1_t()
    told = reader.maybe(
        "nvmlDeviceGetSramEccErrorStatus",
        api.nvmlDeviceGetSramEccErrorStatus,
        handle,
        pynvml.byref(status),
    )
    return Ecc(
        enabled=True,
        volatile_corrected=total(nvml.CORRECTED, nvml.VOLATILE),
        volatile_uncorrected=total(nvml.UNCORRECTED, nvml.VOLATILE),
        aggregate_corrected=total(nvml.CORRECTED, nvml.AGGREGATE),
        aggregate_uncorrected=total(nvml.UNCORRECTED, nvml.AGGREGATE),
        sram_exceeded=None if told is None else bool(status.bThresholdExceeded),
    )


def _remap(api: Nvml, reader: Reader, handle: Handle) -> Remap | None:
    rows = reader.maybe("nvmlDeviceGetRemappedRows", api.nvmlDeviceGetRemappedRows, handle)
    if rows is None:
        return None
    return Remap(corrected=rows[0], uncorrected=rows[1], pending=bool(rows[2]), failure=bool(rows[3]))


def _retired(api: Nvml, reader: Reader, handle: Handle) -> Retired | None:
    def pages(cause: int) -> int | None:
        found = reader.maybe("nvmlDeviceGetRetiredPages_v2", api.nvmlDeviceGetRetiredPages_v2, handle, cause)
        return None if found is None else len(found)

    single = pages(nvml.RETIRED_SINGLE)
    if single is None:
        return None
    pending = reader.maybe(
        "nvmlDeviceGetRetiredPagesPendingStatus", api.nvmlDeviceGetRetiredPagesPendingStatus, handle
    )
    return Retired(single=single, double=pages(nvml.RETIRED_DOUBLE) or 0, pending=bool(pending))


def _links(api: Nvml, reader: Reader, handle: Handle) -> Iterator[Link]:
    """Until the first link the device does not have."""
    for link in range(LINKS_MAX):
        state = reader.maybe("nvmlDeviceGetNvLinkState", api.nvmlDeviceGetNvLinkState, handle, link)
        if state is None:
            return
        if not state:
            yield Link(active=False)
            continue
        kind = reader.maybe(
            "nvmlDeviceGetNvLinkRemoteDeviceType",
            api.nvmlDeviceGetNvLinkRemoteDeviceType,
            handle,
            link,
        )
        far = reader.maybe(
            "nvmlDeviceGetNvLinkRemotePciInfo_v2",
            api.nvmlDeviceGetNvLinkRemotePciInfo,
            handle,
            link,
        )
        errors = 0
        for counter in _LINK_COUNTERS:
            found = reader.maybe(
                "nvmlDeviceGetNvLinkErrorCounter",
                api.nvmlDeviceGetNvLinkErrorCounter,
                handle,
                link,
                counter,
            )
            if found is None:
                break
            errors += found
        yield Link(active=True, type=kind, peer="" if far is None else _text(far.busId), errors=errors)


def _fabric(api: Nvml, reader: Reader, handle: Handle) -> Fabric | None:
    info = pynvml.c_nvmlGpuFabricInfo_v3_t()
    told = reader.maybe(
        "nvmlDeviceGetGpuFabricInfoV",
        api.nvmlDeviceGetGpuFabricInfoV,
        handle,
        pynvml.byref(info),
    )
    if told is None or info.state == nvml.FABRIC_NOT_SUPPORTED:
        return None
    return Fabric(
        cluster=bytes(info.clusterUuid).hex(),
        clique=int(info.cliqueId),
        state=int(info.state),
        health=int(info.healthSummary),
        status=int(info.status),
        mask=int(info.healthMask),
    )


def _recovery(api: Nvml, reader: Reader, handle: Handle) -> int | None:
    """What the driver asks for; drivers before 570 do not know the field."""
    call = "nvmlDeviceGetFieldValues"
    told = reader.maybe(call, api.nvmlDeviceGetFieldValues, handle, [binding.RECOVERY_ACTION])
    if not told:
        return None
    code = int(told[0].nvmlReturn)
    if code == nvml.SUCCESS:
        return int(told[0].value.uiVal)
    if code not in nvml.ABSENT_CODES | nvml.LACKING_CODES:
        reader.failed(call, code)
    return None


def _processes(api: Nvml, reader: Reader, handle: Handle) -> Iterator[Process]:
    plain = reader.maybe(
        "nvmlDeviceGetComputeRunningProcesses_v3", api.nvmlDeviceGetComputeRunningProcesses, handle
    )
    served = reader.maybe(
        "nvmlDeviceGetMPSComputeRunningProcesses_v3",
        api.nvmlDeviceGetMPSComputeRunningProcesses,
        handle,
    )
    seen: set[tuple[int, int]] = set()
    for process in (*(plain or ()), *(served or ())):
        key = (process.pid, process.gpuInstanceId)
        if key not in seen and len(seen) < PROCESSES_MAX:
            seen.add(key)
            yield _process(process)


def _process(found: RunningProcess) -> Process:
    return Process(
        pid=found.pid,
        used_bytes=found.usedGpuMemory or 0,
        gpu_instance=None if found.gpuInstanceId == _NO_INSTANCE else found.gpuInstanceId,
    )


def _instances(api: Nvml, reader: Reader, handle: Handle, whole: Memory | None) -> Iterator[Instance]:
    """Instances need not have consecutive indices."""
    most = reader.maybe("nvmlDeviceGetMaxMigDeviceCount", api.nvmlDeviceGetMaxMigDeviceCount, handle)
    for index in range(min(most or 0, INSTANCES_MAX)):
        instance = reader.maybe(
            "nvmlDeviceGetMigDeviceHandleByIndex",
            api.nvmlDeviceGetMigDeviceHandleByIndex,
            handle,
            index,
        )
        if instance is not None:
            yield _instance(api, reader, instance, whole)


def _instance(api: Nvml, reader: Reader, handle: Handle, whole: Memory | None) -> Instance:
    name = (reader.maybe("nvmlDeviceGetName", api.nvmlDeviceGetName, handle) or "")[:TEXT_MAX]
    slices = reader.maybe("nvmlDeviceGetAttributes_v2", api.nvmlDeviceGetAttributes_v2, handle)
    memory = _memory(api, reader, handle)
    compute = 0 if slices is None else slices.computeInstanceSliceCount
    named = _PROFILE.search(name)
    if named is not None:
        profile = named[1]
    else:
        mib = slices.memorySizeMB if slices is not None else 0
        profile = f"{compute}g.{_profile_gb(mib, whole)}gb"
    return Instance(
        uuid=reader.must("nvmlDeviceGetUUID", api.nvmlDeviceGetUUID, handle)[:TEXT_MAX],
        model=name,
        profile=profile,
        gpu_instance=reader.maybe("nvmlDeviceGetGpuInstanceId", api.nvmlDeviceGetGpuInstanceId, handle) or 0,
        compute_instance=reader.maybe(
            "nvmlDeviceGetComputeInstanceId", api.nvmlDeviceGetComputeInstanceId, handle
        )
        or 0,
        memory=memory,
        gpu_slices=0 if slices is None else slices.gpuInstanceSliceCount,
        compute_slices=compute,
    )


def _profile_gb(mib: int, whole: Memory | None) -> int:
    """What a MIG profile's name says of its memory: so many eighths of the device's, in whole GiB.

    Source: NVIDIA go-nvlib, ``pkg/nvlib/device/mig_profile.go`` (getMigMemorySizeGB).
    """
    if whole is None or not whole.total_bytes:
        return round(mib * _MIB / 1e9)
    eighths = math.ceil(8 * mib * _MIB / whole.total_bytes)
    return math.floor(eighths * math.ceil(whole.total_bytes / (_MIB << 10)) / 8 + 0.5)


def _numa(node: int | None) -> int | None:
    return node if node is not None and 0 <= node < 1024 else None


def _text(value: str | bytes) -> str:
    return (value.decode("ascii", "replace") if isinstance(value, bytes) else value)[:TEXT_MAX]
