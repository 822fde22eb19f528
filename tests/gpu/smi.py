"""What ``nvidia-smi -q -x`` says of each GPU, as the agent's own values."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as Tree
from dataclasses import dataclass
from typing import Final

TIMEOUT_S: Final = 60.0
_MIB: Final = 1 << 20
_ABSENT: Final = frozenset({"", "N/A", "[N/A]", "Requested functionality has been deprecated"})


class NoDriver(Exception):
    """No NVIDIA driver here, or one without a GPU; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """None for what nvidia-smi does not tell. Sizes in bytes, power in milliwatts."""

    uuid: str
    model: str
    serial: str
    minor: int | None
    pci: str
    memory_bytes: int | None
    used_bytes: int | None
    reserved_bytes: int | None
    utilisation: int | None
    utilisation_memory: int | None
    power_mw: int | None
    power_limit_mw: int | None
    temperature_c: int | None
    mig: bool | None
    ecc: bool | None
    ecc_volatile_uncorrected: int | None
    rows_remapped: tuple[int | None, int | None]
    recovery: str
    fabric_state: str
    fabric_status: str
    clique: str
    pids: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    driver: str
    cuda: str
    gpus: tuple[Gpu, ...]


def smi() -> Told:
    """Raises: NoDriver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        raise NoDriver("there is no nvidia-smi on this machine, so no NVIDIA driver")
    done = subprocess.run([program, "-q", "-x"], capture_output=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        raise NoDriver(f"nvidia-smi ended with {done.returncode}: {done.stdout.decode()[:200].strip()}")
    root = Tree.fromstring(done.stdout)
    gpus = tuple(_gpu(found) for found in root.iter("gpu"))
    if not gpus:
        raise NoDriver("the NVIDIA driver here has no GPU")
    return Told(driver=_text(root, "driver_version"), cuda=_text(root, "cuda_version"), gpus=gpus)


def _gpu(gpu: Tree.Element) -> Gpu:
    mig = _text(gpu, "mig_mode/current_mig")
    ecc = _text(gpu, "ecc_mode/current_ecc")
    remapped = "remapped_rows/remapped_row_"
    return Gpu(
        uuid=_text(gpu, "uuid"),
        model=_text(gpu, "product_name"),
        serial=_text(gpu, "serial"),
        minor=_number(gpu, "minor_number"),
        pci=_text(gpu, "pci/pci_bus_id"),
        memory_bytes=_scaled(gpu, "fb_memory_usage/total", _MIB),
        used_bytes=_scaled(gpu, "fb_memory_usage/used", _MIB),
        reserved_bytes=_scaled(gpu, "fb_memory_usage/reserved", _MIB),
        utilisation=_number(gpu, "utilization/gpu_util"),
        utilisation_memory=_number(gpu, "utilization/memory_util"),
        power_mw=_scaled(gpu, "gpu_power_readings/instant_power_draw", 1_000)
        or _scaled(gpu, "gpu_power_readings/power_draw", 1_000),
        power_limit_mw=_scaled(gpu, "gpu_power_readings/current_power_limit", 1_000),
        temperature_c=_number(gpu, "temperature/gpu_temp"),
        mig=None if not mig else mig == "Enabled",
        ecc=None if not ecc else ecc == "Enabled",
        ecc_volatile_uncorrected=_number(gpu, "ecc_errors/volatile/dram_uncorrectable"),
        rows_remapped=(_number(gpu, f"{remapped}corr"), _number(gpu, f"{remapped}unc")),
        recovery=_text(gpu, "gpu_recovery_action"),
        fabric_state=_text(gpu, "fabric/state"),
        fabric_status=_text(gpu, "fabric/status"),
        clique=_text(gpu, "fabric/cliqueId"),
        pids=frozenset(int(pid.text or 0) for pid in gpu.findall("processes/process_info/pid")),
    )


def _text(element: Tree.Element, path: str) -> str:
    found = (element.findtext(path) or "").strip()
    return "" if found in _ABSENT else found


def _number(element: Tree.Element, path: str) -> int | None:
    return _scaled(element, path, 1)


def _scaled(element: Tree.Element, path: str, factor: int) -> int | None:
    match = re.match(r"-?\d+(\.\d+)?", _text(element, path))
    return round(float(match[0]) * factor) if match else None
