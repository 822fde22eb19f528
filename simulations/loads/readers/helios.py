"""SenseTime's Helios: Hu et al., "Characterization and Prediction of Deep Learning Workloads", SC 2021."""

from __future__ import annotations

from simulations.loads.table import Row
from simulations.loads.trace import Format, Source, Tally, between, by_row, columns, gpus_of, of_gpus
from simulations.workload import Job


def _job(row: Row, source: Source, tally: Tally) -> Job:
    gpus = gpus_of(row, "gpu_num")
    return of_gpus(
        gpus,
        source,
        name=f"job-{row.text('job_id')}",
        submit_s=row.date("submit_time"),
        duration_s=between(row.optional_date("start_time"), row.optional_date("end_time")),
        estimate_s=None,
        team=tally.team(row.text("vc")),
    )


FORMAT = Format(
    name="helios",
    origin="Helios (S-Lab-System-Group/HeliosData, cluster_log.csv); a virtual cluster is a team",
    units="dates without a zone, run time from start to end; GPUs of the whole job",
    needs=columns(
        "job_id user vc gpu_num cpu_num node_num state submit_time start_time end_time",
        "duration queue",
    ),
    read=by_row(_job),
    is_dated=True,
)
