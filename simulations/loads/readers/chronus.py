"""Chronus: Gao et al., "Chronus: A Novel Deadline-aware Scheduler for Deep Learning", SoCC 2021."""

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
        team=tally.team(row.text("user")),
    )


FORMAT = Format(
    name="chronus",
    origin="Chronus (S-Lab-System-Group/ChronusArtifact, trace_job_*.csv); deadlines are not read",
    units="seconds from the start of the trace; GPUs of the whole job",
    needs=columns(
        "job_id user num_gpu submit_time iterations model_name duration interval",
        "expect_time_list expect_value_list best_effort job_type",
    ),
    read=by_row(_job),
)
