"""Whose processes hold a device: pods', nobody's, or unknown."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from scheduler.inventory.report import Device, Process

#: The pod UID of a process, "" for a process that is no pod's, None where that cannot be known.
Owner = Callable[[int], str | None]
#: What an Owner says of a service of the node, which holds no device from anybody.
SERVICE = "service"

#: They serve pods on every device and hold none of it from them.
SERVICES = frozenset(
    {"nvidia-cuda-mps-server", "nvidia-cuda-mps-control", "nv-hostengine", "nvidia-persistenced"}
)
#: The kernel keeps 15 characters of a process's name.
_SERVICE_NAMES = frozenset(service[:15] for service in SERVICES)
CGROUP_BYTES_MAX = 16_384
_POD = re.compile(
    r"pod([0-9a-fA-F]{8}(?:[-_][0-9a-fA-F]{4}){3}[-_][0-9a-fA-F]{12}|[0-9a-fA-F]{32})(?=[./]|$)", re.M
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """By processes outside of pods; ``unknown`` counts those that could not be told apart."""

    processes: int = 0
    used_bytes: int = 0
    unknown: int = 0


def unknown_owner(pid: int) -> str | None:
    """Nobody's guess: processes are counted, no device is taken out for them."""
    return None


def asked_once(owner: Owner) -> Owner:
    """The same answers, each process looked up once."""
    return lru_cache(maxsize=None)(owner)


def owner_by_cgroup(proc: Path = Path("/proc")) -> Owner:
    """Reads the cgroup of a process; needs the node's process namespace (``hostPID``).

    Without it, process IDs of NVML name other processes or none, and every answer is None.
    """
    is_visible = _sees_the_node(proc)

    def owner(pid: int) -> str | None:
        if not is_visible:
            return None
        try:
            name = (proc / str(pid) / "comm").read_text(errors="replace").strip()
            if name in _SERVICE_NAMES:
                # Also in a pod, where the device plugin's MPS daemon and DCGM run.
                return SERVICE
            # Bounded: a cgroup path is a line per hierarchy.
            with (proc / str(pid) / "cgroup").open(encoding="utf-8", errors="replace") as file:
                found = _POD.search(file.read(CGROUP_BYTES_MAX))
        except OSError:
            # It ended between NVML's answer and this look.
            return None
        return found[1].replace("_", "-").lower() if found else ""

    return owner


def held(device: Device, owner: Owner, gpu_instance: int | None = None) -> Held:
    """What foreign processes hold of a device, or of one of its MIG instances."""
    concerned = [
        process
        for process in device.processes
        if gpu_instance is None or process.gpu_instance == gpu_instance
    ]
    owners = [owner(process.pid) for process in concerned]
    foreign: list[Process] = [process for process, pod in zip(concerned, owners, strict=True) if pod == ""]
    return Held(
        processes=len(foreign),
        used_bytes=sum(process.used_bytes for process in foreign),
        unknown=sum(pod is None for pod in owners),
    )


def _sees_the_node(proc: Path) -> bool:
    """PID 2 is the kernel's thread parent, which only the node's own namespace shows."""
    try:
        return (proc / "2" / "comm").read_text().strip() == "kthreadd"
    except OSError:
        return False
