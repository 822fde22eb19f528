"""How fast invented loads run through ``stowplan simulate``, each in its own process, beside a budget."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import msgspec

_MIB: Final = 1024
_CLUSTER: Final = """
pools:
  - {{name: gpu, count: {nodes}, gpus: 8, model: NVIDIA-H100-80GB-HBM3, gpuMemory: 80Gi}}
"""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Independent arrivals on equal nodes of 8 GPUs, under the default policy."""

    name: str
    jobs: int
    load: float
    nodes: int
    budget_s: float


class Measured(Load, frozen=True, kw_only=True):
    """From the start of the process to its end; the most memory that it held."""

    wall_s: float
    cpu_s: float
    rss_mib: float


LOADS: Final = (
    Load(name="thousands wait", jobs=4_000, load=1.3, nodes=64, budget_s=10.0),
    Load(name="just full", jobs=100_000, load=1.0, nodes=64, budget_s=120.0),
    Load(name="no queue", jobs=100_000, load=0.7, nodes=64, budget_s=20.0),
    Load(name="a million", jobs=1_000_000, load=0.8, nodes=64, budget_s=600.0),
)


def measured(one: Load) -> Measured:
    """Raises: RuntimeError with what the command said where it failed."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = Path(folder) / "cluster.yaml"
        cluster.write_text(_CLUSTER.format(nodes=one.nodes), encoding="utf-8")
        said = f"poisson:jobs={one.jobs},load={one.load:g}"
        command = [sys.executable, "-m", "scheduler.cli", "simulate", said, "--cluster", str(cluster)]
        with tempfile.TemporaryFile() as told:
            begun_s = time.perf_counter()
            running = subprocess.Popen([*command, "-o", "json"], stdout=told, stderr=subprocess.STDOUT)
            # Not of all children together: the most that any of them held would be everybody's.
            _, status, used = os.wait4(running.pid, 0)
            wall_s = time.perf_counter() - begun_s
            running.returncode = os.waitstatus_to_exitcode(status)
            if running.returncode:
                told.seek(0)
                raise RuntimeError(f"{' '.join(command)}: {told.read()[-2_000:].decode(errors='replace')}")
    return Measured(
        **msgspec.structs.asdict(one),
        wall_s=round(wall_s, 2),
        cpu_s=round(used.ru_utime + used.ru_stime, 2),
        rss_mib=round(used.ru_maxrss / _MIB, 1),
    )


def line(one: Measured) -> str:
    """What is printed of it."""
    told = "within" if one.wall_s <= one.budget_s else "OVER"
    return (
        f"{one.name}: {one.jobs:,} jobs at load {one.load:g} on {one.nodes} nodes in {one.wall_s:.1f} s "
        f"({told} its {one.budget_s:g} s; {one.cpu_s:.1f} s of a core), {one.rss_mib:.0f} MiB"
    )
