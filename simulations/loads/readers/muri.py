"""Muri's traces: Zhao et al., "Multi-Resource Interleaving for Deep Learning Training", SIGCOMM 2022."""

from __future__ import annotations

from simulations.loads.table import Row
from simulations.loads.trace import Format, Source, Tally, by_row, columns, gpus_of, of_gpus
from simulations.workload import Job

MILLISECOND_S = 1e-3


def _job(row: Row, source: Source, tally: Tally) -> Job:
    duration_s = row.seconds("duration", unit_s=MILLISECOND_S)
    return of_gpus(
        gpus_of(row, "num_gpu"),
        source,
        name=f"job-{row.text('job_id')}",
        kind=row.text("model_name", ""),
        submit_s=row.seconds("submit_time", unit_s=MILLISECOND_S),
        duration_s=duration_s,
        estimate_s=duration_s,
    )


FORMAT = Format(
    name="muri",
    origin="Muri (Rivendile/Muri, simulator/trace-data)",
    units="milliseconds from the start of the trace; GPUs of the whole job",
    needs=columns(
        "job_id num_gpu submit_time iterations model_name batch_size duration interval",
        "iteration_time resource_time_0 resource_time_1 resource_time_2 priority",
    ),
    read=by_row(_job),
)
