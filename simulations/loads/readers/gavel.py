"""Gavel's Philly virtual clusters and physical traces: Narayanan et al., OSDI 2020.

Jobs are numbers of steps. How long they take is in the trace for a V100, or in a table of speeds beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from simulations.loads.table import Row, rows
from simulations.loads.trace import Format, Left, Source, Tally, by_row, columns, gpus_of, of_gpus, row_by_row
from simulations.workload import SECONDS_MAX, Job

STEPS_MAX = 10**12
#: Beside physical traces: steps a second by GPU model, kind of job and GPUs.
THROUGHPUTS = "isolated_throughputs.csv"
NO_SPEED = "no speed is known for its kind"

Speeds = dict[tuple[str, int], float]


def _job(row: Row, source: Source, tally: Tally) -> Job:
    duration_s = row.optional_seconds("v100_duration_s")
    if duration_s is None:
        raise Left(NO_SPEED)
    return of_gpus(
        gpus_of(row, "scale_factor"),
        source,
        name=f"job-{row.text('job_id')}",
        kind=row.text("job_type"),
        submit_s=row.seconds("arrival_s"),
        duration_s=duration_s,
        estimate_s=duration_s,
    )


def _speeds(path: Path) -> Speeds:
    """Steps a second on V100s of one node, by kind of job and GPUs."""
    return {
        (row.text("job_type"), gpus_of(row, "scale_factor")): row.positive("steps_per_s")
        for row in rows(path, needs=("gpu_type", "job_type", "scale_factor", "steps_per_s"))
        if row.text("gpu_type") == "v100"
    }


def _physical(source: Source, tally: Tally) -> Iterator[tuple[int, Job]]:
    speeds = _speeds(source.path.parent / THROUGHPUTS)
    return row_by_row(source, tally, lambda row: _of_steps(row, source, speeds))


def _of_steps(row: Row, source: Source, speeds: Speeds) -> Job:
    gpus = gpus_of(row, "scale_factor")
    steps_per_s = speeds.get((row.text("job_type"), gpus))
    if steps_per_s is None:
        raise Left(NO_SPEED)
    duration_s = row.whole("total_steps", most=STEPS_MAX) / steps_per_s
    if duration_s > SECONDS_MAX:
        raise row.fault("total_steps", f"at most {SECONDS_MAX:,.0f} s of steps")
    return of_gpus(
        gpus,
        source,
        name=f"job-{row.text('job_id')}",
        kind=row.text("job_type"),
        submit_s=row.seconds("arrival_s"),
        duration_s=duration_s,
        estimate_s=duration_s,
    )


FORMAT = Format(
    name="gavel",
    origin="Gavel (stanford-futuredata/gavel, scheduler/traces/msr), as CSV with V100 durations",
    units="seconds from the start of the trace, durations on V100s; GPUs of the whole job",
    needs=columns(
        "job_id arrival_s scale_factor job_type total_steps v100_duration_s",
    ),
    read=by_row(_job),
)
PHYSICAL = Format(
    name="gavel-physical",
    origin="Gavel (stanford-futuredata/gavel, scheduler/traces/physical_cluster), as CSV",
    units=f"seconds from the start of the trace, steps at the V100 speeds of {THROUGHPUTS} beside it; "
    "GPUs of the whole job",
    needs=columns(
        "job_id arrival_s scale_factor job_type total_steps priority_weight",
    ),
    read=_physical,
)
