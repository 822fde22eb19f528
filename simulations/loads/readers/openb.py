"""Alibaba's GPU-sharing cluster: Weng, Yang et al., "Beware of Fragmentation", ATC 2023; single pods."""

from __future__ import annotations

from simulations.loads.readers.own import CPU_MILLI_MAX, MEMORY_MIB_MAX
from simulations.loads.table import Row
from simulations.loads.trace import SHARE, Format, Source, Tally, between, by_row, columns
from simulations.workload import Job

WHOLE_MILLI = 1_000


def _job(row: Row, source: Source, tally: Tally) -> Job:
    created_s = row.seconds("creation_time")
    duration_s = between(created_s, row.optional_seconds("deletion_time"))
    job = Job(
        name=row.text("name"),
        submit_s=created_s,
        duration_s=duration_s,
        gpus=row.gpus("num_gpu"),
        cpu_milli=row.whole("cpu_milli", most=CPU_MILLI_MAX),
        memory_mib=row.whole("memory_mib", most=MEMORY_MIB_MAX),
        models=tuple(sorted(filter(None, row.text("gpu_spec", "").split("|")))),
    )
    if job.gpus and row.whole("gpu_milli", WHOLE_MILLI, most=WHOLE_MILLI) < WHOLE_MILLI:
        tally.noted(SHARE, row.line)
    return job


FORMAT = Format(
    name="openb",
    origin="Alibaba cluster-trace-gpu-v2023 (openb_pod_list_*.csv)",
    units="seconds from the start of the trace, from creation to deletion; thousandths of a CPU, MiB, GPUs",
    needs=columns(
        "name cpu_milli memory_mib num_gpu gpu_milli qos pod_phase creation_time",
        "deletion_time scheduled_time",
    ),
    may=frozenset(("gpu_spec",)),
    read=by_row(_job),
)
