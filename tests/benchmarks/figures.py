"""What all benchmarks say about a measurement: the machine, the versions, medians, and where they go."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from deploy.local.build import KUBERNETES_VERSION

FOLDER: Final = Path(__file__).resolve().parents[2] / "build" / "bench"
_GIB: Final = 1 << 30


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Of repeated measurements. p99 of fewer than 100 is their largest."""

    median: float
    p99: float
    least: float
    repeats: int


def spread(values: Sequence[float]) -> Spread:
    """Raises statistics.StatisticsError for no values."""
    ordered = sorted(values)
    return Spread(
        median=round(statistics.median(ordered), 6),
        p99=round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 6),
        least=round(ordered[0], 6),
        repeats=len(ordered),
    )


def machine() -> str:
    """One line: processor, cores, memory, kernel, and the load before the benchmark began."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    load = os.getloadavg()[0]
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}, load {load:.1f}"
    )


def versions() -> dict[str, str]:
    return {
        "stowplan": version("stowplan"),
        "kubernetes": KUBERNETES_VERSION,
        "python": platform.python_version(),
        "ortools": version("ortools"),
    }


def write(name: str, report: object) -> Path:
    """``build/bench/NAME``, whole or not at all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    partial = FOLDER / f"{name}.partial"
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    return partial.rename(FOLDER / name)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()
