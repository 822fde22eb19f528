"""Workloads of Pollux and Sia (Jayaram Subramanya et al., SOSP 2023): applications and replicas.

How long an application runs is a table beside the trace: one of a planner's own measurements.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from simulations.loads.files import BadTrace
from simulations.loads.table import Row, rows
from simulations.loads.trace import Format, Left, Source, Tally, columns, gpus_of, of_gpus, row_by_row
from simulations.workload import Job

RUN_TIMES = "run_times.csv"
NO_RUN_TIME = f"{RUN_TIMES} has no run time for its application and replicas"

Times = dict[tuple[str, int], float]


def _times(path: Path) -> Times:
    """Seconds by application and replicas. Raises: BadTrace."""
    if not path.exists():
        raise BadTrace(
            f"{path}: this trace has no durations: give them there, in the columns application, num_replicas "
            "and duration_s"
        )
    return {
        (row.text("application"), gpus_of(row, "num_replicas")): row.seconds("duration_s")
        for row in rows(path, needs=("application", "num_replicas", "duration_s"))
    }


def _read(source: Source, tally: Tally) -> Iterator[tuple[int, Job]]:
    times = _times(source.path.parent / RUN_TIMES)
    return row_by_row(source, tally, lambda row: _job(row, source, times))


def _job(row: Row, source: Source, times: Times) -> Job:
    gpus = gpus_of(row, "num_replicas")
    duration_s = times.get((row.text("application"), gpus))
    if duration_s is None:
        raise Left(NO_RUN_TIME)
    return of_gpus(
        gpus,
        source,
        name=row.text("name"),
        kind=row.text("application"),
        submit_s=row.seconds("time"),
        duration_s=duration_s,
        estimate_s=duration_s,
    )


FORMAT = Format(
    name="sia",
    origin="Pollux and Sia (petuum/adaptdl, siasosp23/artifacts, workloads/*.csv)",
    units=f"seconds from the start of the trace, durations from {RUN_TIMES} beside it; a replica is a GPU",
    needs=columns(
        "name time application num_replicas batch_size",
    ),
    read=_read,
)
