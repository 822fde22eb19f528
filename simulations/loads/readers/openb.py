"""Alibaba's GPU-sharing cluster: Weng, Yang et al., "Beware of Fragmentation", ATC 2023; single pods."""

from __future__ import annotations

from simulations.loads.readers.own import CPU_MILLI_MAX, MEMORY_MIB_MAX, share_of
from simulations.loads.table import Row
from simulations.loads.trace import SHARE, Format, Source, Tally, between, by_row, columns
from simulations.workload import Job


def _job(row: Row, source: Source, tally: Tally) -> Job:
    created_s = row.seconds("creation_time")
    duration_s = between(created_s, row.optional_seconds("deletion_time"))
    gpus = row.gpus("num_gpu")
    share_milli = share_of(row, "gpu_milli") if gpus else 0
    if share_milli and gpus > 1:
        tally.noted(SHARE, row.line)
        share_milli = 0
    return Job(
        name=row.text("name"),
        submit_s=created_s,
        duration_s=duration_s,
        gpus=0 if share_milli else gpus,
        share_milli=share_milli,
        cpu_milli=row.whole("cpu_milli", most=CPU_MILLI_MAX),
        memory_mib=row.whole("memory_mib", most=MEMORY_MIB_MAX),
        models=tuple(sorted(filter(None, row.text("gpu_spec", "").split("|")))),
    )


FORMAT = Format(
    name="openb",
    origin="Alibaba cluster-trace-gpu-v2023 (openb_pod_list_*.csv)",
    units="seconds from the start of the trace, creation to deletion; thousandths of a CPU and of a GPU, MiB",
    needs=columns(
        "name cpu_milli memory_mib num_gpu gpu_milli qos pod_phase creation_time",
        "deletion_time scheduled_time",
    ),
    may=frozenset(("gpu_spec",)),
    read=by_row(_job),
)
