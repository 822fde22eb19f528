"""``make test-gpu``: the agent against nvidia-smi on this machine's GPUs.

Exit codes: 0, 1 where something differs, 3 where there is no GPU (make itself says "Error 3"). Every field of
the agent, a CUDA process of a stranger seen and gone, memory and utilisation within 2 %, the time and memory
of a probe, a client that is killed and one that hangs. Writes build/bench/gpu.json.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import msgspec
import pynvml

from scheduler.inventory.nvml import Nvml
from scheduler.inventory.probe import probe
from scheduler.inventory.processes import held, owner_by_cgroup
from scheduler.inventory.publish import gpu_node
from scheduler.inventory.report import Device
from scheduler.inventory.troubles import RECOVERY
from tests.benchmarks.figures import FOLDER
from tests.gpu.smi import Gpu, NoDriver, Told, smi

NO_GPU: Final = 3
PROBES: Final = 100
STRANGER_MIB: Final = 1_024
SLACK: Final = 0.02
#: How long a process may take to show and to go.
PATIENCE_S: Final = 20.0
_WATTS: Final = 0.25
_DEGREES: Final = 5
_RECOVERY: Final = {
    0: "None",
    1: "Reset",
    2: "Reboot",
    3: "Drain P2P",
    4: "Drain and Reset",
}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison or claim."""

    what: str
    is_right: bool
    detail: str = ""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    driver: str
    cuda: str
    models: list[str]
    probe_ms_median: float
    probe_ms_p99: float
    probe_cpu_ms: float
    rss_mib: float
    lacking: list[str]
    odd: list[str]
    findings: list[Finding]


def main() -> int:
    try:
        told = smi()
    except NoDriver as error:
        print(f"{error}: nothing to test here")
        return NO_GPU
    api = cast(Nvml, pynvml)
    report = probe(api)
    findings = list(_compared(told, api))
    findings += _strangers(api)
    took_s, cpu_s = _timed(api)
    result = Result(
        driver=told.driver,
        cuda=told.cuda,
        models=[gpu.model for gpu in told.gpus],
        probe_ms_median=round(statistics.median(took_s) * 1_000, 3),
        probe_ms_p99=round(sorted(took_s)[int(0.99 * len(took_s))] * 1_000, 3),
        probe_cpu_ms=round(cpu_s * 1_000, 3),
        rss_mib=round(_rss_mib(), 1),
        lacking=list(report.lacking),
        odd=list(report.odd),
        findings=findings,
    )
    text = msgspec.json.format(msgspec.json.encode(result)).decode()
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "gpu.json").write_text(f"{text}\n")
    wrong = [finding for finding in findings if not finding.is_right]
    print(f"driver {told.driver}, {', '.join(result.models)}: {len(findings)} findings, {len(wrong)} wrong")
    print(f"a probe: {result.probe_ms_median} ms, {result.probe_cpu_ms} ms of CPU; {result.rss_mib} MiB")
    for finding in wrong:
        print(f"WRONG {finding.what}: {finding.detail}")
    return 1 if wrong else 0


def _compared(told: Told, api: Nvml) -> Iterator[Finding]:
    """Every field, between two looks of nvidia-smi: what changes all the time lies between them, or near."""
    report, after = probe(api), smi()
    yield _equal("driver", report.driver, told.driver)
    yield _equal("cuda", report.cuda, told.cuda)
    yield _equal("count", len(report.devices), len(told.gpus))
    written = {device.uuid: device for device in gpu_node(report, "n", time.time()).status.devices or ()}
    for gpu, later in zip(told.gpus, after.gpus, strict=True):
        device = next((one for one in report.devices if one.uuid == gpu.uuid), None)
        yield _equal(f"{gpu.uuid} is listed", device is not None, True)
        if device is None:
            continue
        yield from _fields(gpu, later, device)
        state = written[gpu.uuid].state
        is_calm = gpu.recovery in ("", "None") and gpu.fabric_status in ("", "Success")
        yield Finding(
            what=f"{gpu.uuid} state", is_right=not is_calm or state in ("Healthy", "Noted"), detail=state
        )


def _fields(gpu: Gpu, later: Gpu, device: Device) -> Iterator[Finding]:
    memory, remap, ecc = device.memory, device.remap, device.ecc
    exact: dict[str, tuple[object, object]] = {
        "model": (device.model, gpu.model),
        "serial": (device.serial, gpu.serial),
        "minor": (device.minor, gpu.minor),
        "pci": (device.pci.lower(), gpu.pci.lower()),
        "mig": (device.mig_enabled, gpu.mig),
        "ecc": (None if ecc is None else ecc.enabled, gpu.ecc),
        "rows remapped": (None if remap is None else remap.corrected, gpu.rows_remapped[0]),
        "rows remapped, uncorrected": (None if remap is None else remap.uncorrected, gpu.rows_remapped[1]),
    }
    for name, (mine, theirs) in exact.items():
        yield _equal(f"{gpu.uuid} {name}", mine, theirs)
    total = gpu.memory_bytes or 0
    used = None if memory is None else memory.used_bytes
    near: dict[str, tuple[int | None, int | None, int | None, float]] = {
        "memory": (
            None if memory is None else memory.total_bytes,
            gpu.memory_bytes,
            later.memory_bytes,
            SLACK * total,
        ),
        "memory used": (used, gpu.used_bytes, later.used_bytes, SLACK * total),
        "reserved": (
            None if memory is None else memory.reserved_bytes,
            gpu.reserved_bytes,
            later.reserved_bytes,
            SLACK * total,
        ),
        "utilisation": (device.utilisation_gpu, gpu.utilisation, later.utilisation, 100 * SLACK),
        "memory utilisation": (
            device.utilisation_memory,
            gpu.utilisation_memory,
            later.utilisation_memory,
            100 * SLACK,
        ),
        "power": (device.power_mw, gpu.power_mw, later.power_mw, _WATTS * (gpu.power_mw or 0)),
        "power limit": (device.power_limit_mw, gpu.power_limit_mw, later.power_limit_mw, 10),
        "temperature": (device.temperature_c, gpu.temperature_c, later.temperature_c, _DEGREES),
    }
    for name, (mine, first, last, slack) in near.items():
        yield _between(f"{gpu.uuid} {name}", mine, first, last, slack)
    if gpu.recovery:
        mine = _RECOVERY.get(device.recovery or 0, RECOVERY.get(device.recovery or 0, "?"))
        yield _equal(f"{gpu.uuid} recovery action", mine, gpu.recovery)
    if gpu.fabric_state:
        state = {1: "Not Started", 2: "In Progress", 3: "Completed"}.get(
            device.fabric.state if device.fabric else 0
        )
        yield _equal(f"{gpu.uuid} fabric state", state, gpu.fabric_state)
    pids = {process.pid for process in device.processes}
    yield Finding(
        what=f"{gpu.uuid} processes",
        is_right=gpu.pids & later.pids <= pids,
        detail=f"{pids} beside {gpu.pids}",
    )


def _strangers(api: Nvml) -> Iterator[Finding]:
    """Its process is seen with its memory, as nobody's, and gone when it ends, is killed, or hangs."""
    for how in ("ends", "is killed", "hangs"):
        with _stranger() as (process, uuid):
            seen = _until(api, uuid, lambda device: process.pid in {p.pid for p in device.processes})
            yield Finding(what=f"a stranger that {how} is seen", is_right=seen is not None)
            if seen is None:
                continue
            used = next(p.used_bytes for p in seen.processes if p.pid == process.pid)
            is_near = abs(used / (1 << 20) - STRANGER_MIB) <= max(SLACK * STRANGER_MIB, 800)
            yield Finding(what="its memory", is_right=is_near, detail=f"{used >> 20} MiB")
            mine = held(seen, owner_by_cgroup())
            yield Finding(
                what="it is foreign, or cannot be told apart",
                is_right=mine.processes > 0 or mine.unknown > 0,
                detail=str(mine),
            )
            if how == "hangs":
                os.kill(process.pid, signal.SIGSTOP)
                took_s = _timed(api, 10)[0]
                is_soon = max(took_s) < 5.0
                yield Finding(what="a probe beside it", is_right=is_soon, detail=f"{max(took_s):.3f} s")
            if how == "ends":
                process.communicate()
            else:
                process.kill()
            process.wait(PATIENCE_S)
            gone = _until(api, uuid, lambda device: process.pid not in {p.pid for p in device.processes})
            yield Finding(what=f"a stranger that {how} is gone", is_right=gone is not None)


@contextmanager
def _stranger() -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    command = [sys.executable, "-m", "tests.gpu.stranger", str(STRANGER_MIB)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().decode().strip()
    finally:
        process.kill()
        process.wait()


def _until(api: Nvml, uuid: str, holds: Callable[[Device], bool]) -> Device | None:
    """The device as soon as something is true of it; None where that takes too long."""
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        for device in probe(api).devices:
            if device.uuid == uuid and holds(device):
                return device
    return None


def _timed(api: Nvml, count: int = PROBES) -> tuple[list[float], float]:
    """Seconds that each probe took, and CPU seconds of one."""
    took_s, begun_s = [], time.process_time()
    for _ in range(count):
        started_s = time.perf_counter()
        probe(api)
        took_s.append(time.perf_counter() - started_s)
    return took_s, (time.process_time() - begun_s) / count


def _rss_mib() -> float:
    words = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()
    return int(words[0]) / 1_024


def _equal(what: str, mine: object, theirs: object) -> Finding:
    return Finding(what=what, is_right=mine == theirs, detail=f"{mine!r} is not {theirs!r}")


def _between(what: str, mine: int | None, first: int | None, last: int | None, slack: float) -> Finding:
    """Or as near to either as that."""
    if mine is None or first is None or last is None:
        return _equal(what, mine, first)
    low, high = min(first, last) - slack, max(first, last) + slack
    return Finding(what=what, is_right=low <= mine <= high, detail=f"{mine} is not in {low:.0f}..{high:.0f}")


if __name__ == "__main__":
    sys.exit(main())
