"""Philly's jobs in one table, as Pollux and Sia sample them: Qiao et al., OSDI 2021."""

from __future__ import annotations

from simulations.loads.table import Row
from simulations.loads.trace import Format, Source, Tally, by_row, columns, gpus_of, of_gpus
from simulations.workload import Job


def _job(row: Row, source: Source, tally: Tally) -> Job:
    return of_gpus(
        gpus_of(row, "num_gpus"),
        source,
        name=f"job-{row.line}",
        submit_s=row.date("timestamp"),
        duration_s=row.seconds("duration"),
        estimate_s=None,
        team=tally.team(row.text("cluster")),
    )


FORMAT = Format(
    name="pollux-philly",
    origin="Pollux (petuum/adaptdl, simulator/traces/philly.csv); a virtual cluster is a team",
    units="dates without a zone, durations in seconds; GPUs of the whole job",
    needs=columns(
        "timestamp duration num_gpus gpu_time cluster",
    ),
    read=by_row(_job),
    is_dated=True,
)
