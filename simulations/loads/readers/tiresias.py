"""Tiresias' simulator: Gu et al., "Tiresias: A GPU Cluster Manager for Distributed Deep Learning", NSDI 2019.

Its README says that times are in seconds. Muri, which grew from it, has more columns and milliseconds.
"""

from __future__ import annotations

from simulations.loads.table import Row
from simulations.loads.trace import Format, Source, Tally, by_row, columns, gpus_of, of_gpus
from simulations.workload import Job


def _job(row: Row, source: Source, tally: Tally) -> Job:
    duration_s = row.seconds("duration")
    return of_gpus(
        gpus_of(row, "num_gpu"),
        source,
        name=f"job-{row.text('job_id')}",
        kind=row.text("model_name", ""),
        submit_s=row.seconds("submit_time"),
        duration_s=duration_s,
        estimate_s=duration_s,
    )


FORMAT = Format(
    name="tiresias",
    origin="Tiresias (SymbioticLab/Tiresias, simulator/*_job.csv)",
    units="seconds from the start of the trace; GPUs of the whole job",
    needs=columns(
        "job_id num_gpu submit_time iterations model_name duration interval",
    ),
    read=by_row(_job),
)
