"""Shanghai AI Lab's Acme: Hu et al., "Characterization of Large Language Model Development", NSDI 2024.

Run time is from start to end: in Kalos the column ``duration`` counts the queue as well.
"""

from __future__ import annotations

from simulations.loads.table import Row
from simulations.loads.trace import Format, Source, Tally, between, by_row, columns, gpus_of, of_gpus
from simulations.workload import Job

_ORIGIN = "Acme (InternLM/AcmeTrace, data/job_trace/trace_{}.csv); a user is a team"
_UNITS = "dates with their zone, run time from start to end; GPUs of the whole job"


def _job(row: Row, source: Source, tally: Tally) -> Job:
    return of_gpus(
        gpus_of(row, "gpu_num"),
        source,
        name=f"job-{row.text('job_id')}",
        submit_s=row.date("submit_time"),
        duration_s=between(row.optional_date("start_time"), row.optional_date("end_time")),
        estimate_s=None,
        team=tally.team(row.text("user")),
    )


SEREN = Format(
    name="acme-seren",
    origin=_ORIGIN.format("seren"),
    units=_UNITS,
    needs=columns(
        "job_id user node_num gpu_num cpu_num type state submit_time start_time end_time",
        "duration queue gpu_time",
    ),
    read=by_row(_job),
    is_dated=True,
)
KALOS = Format(
    name="acme-kalos",
    origin=_ORIGIN.format("kalos"),
    units=_UNITS,
    needs=columns(
        "job_id user node_num gpu_num cpu_num mem_per_pod_GB shared_mem_per_pod type",
        "state submit_time start_time end_time fail_time stop_time duration queue",
        "gpu_time",
    ),
    read=by_row(_job),
    is_dated=True,
)
