"""Microsoft's ITP clusters: Gu et al., "ElasticFlow", ASPLOS 2023."""

from __future__ import annotations

from simulations.loads.table import Row
from simulations.loads.trace import Format, Source, Tally, by_row, columns, gpus_of, of_gpus
from simulations.workload import Job


def _job(row: Row, source: Source, tally: Tally) -> Job:
    duration_s = row.seconds("duration")
    return of_gpus(
        gpus_of(row, "num_gpu"),
        source,
        name=row.text("job_id"),
        submit_s=row.seconds("submission_time"),
        duration_s=duration_s,
        estimate_s=duration_s,
    )


FORMAT = Format(
    name="itp",
    origin="Microsoft ITP (microsoft/elasticflow-traces, raw traces)",
    units="seconds from the start of the collection; GPUs of the whole job",
    needs=columns(
        "job_id submission_time duration num_gpu",
    ),
    read=by_row(_job),
)
#: The jobs that ElasticFlow made of them, with invented models and deadlines.
ELASTICFLOW = Format(
    name="elasticflow",
    origin="ElasticFlow (microsoft/elasticflow-traces, *job.csv); deadlines and models are not read",
    units="seconds from the start of the collection; GPUs of the whole job",
    needs=columns(
        "job_id submission_time num_iteration model_name deadline batch_size num_gpu",
        "duration",
    ),
    read=by_row(_job),
)
