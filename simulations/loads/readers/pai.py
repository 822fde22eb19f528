"""Alibaba's PAI of 2020: Weng et al., "MLaaS in the Wild", NSDI 2022.

A task with GPUs is a gang of instances. The published tables have no header. A job's submission is in
``pai_job_table.csv``, read where it lies beside.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from simulations.loads.table import BadRow, Row, records
from simulations.loads.trace import (
    NEVER_STARTED,
    NO_GPUS,
    SHARE,
    Format,
    Left,
    Source,
    Tally,
    between,
    row_by_row,
)
from simulations.workload import GPUS_MAX, MILLI, PODS_MAX, Job

TASKS: Final = (
    "job_name", "task_name", "inst_num", "status", "start_time", "end_time", "plan_cpu", "plan_mem",
    "plan_gpu", "gpu_type",
)  # fmt: skip
JOBS: Final = ("job_name", "inst_id", "user", "status", "start_time", "end_time")
JOB_TABLE: Final = "pai_job_table.csv"
STARTED: Final = f"submitted when it started, for {JOB_TABLE} beside it does not say"
PERCENT: Final = 100.0


def _read(source: Source, tally: Tally) -> Iterator[tuple[int, Job]]:
    submitted = _submissions(source.path.parent / JOB_TABLE)
    return row_by_row(source, tally, lambda row: _job(row, submitted, tally))


def _submissions(path: Path) -> dict[str, tuple[float, str]]:
    """Submission (s) and user by job; what is broken there is as if it were not."""
    if not path.exists():
        return {}
    found: dict[str, tuple[float, str]] = {}
    for row in records(path, columns=JOBS):
        if isinstance(row, BadRow):
            continue
        try:
            found[row.text("job_name")] = (row.seconds("start_time"), row.text("user", "default"))
        except BadRow:
            continue
    return found


def _job(row: Row, submitted: dict[str, tuple[float, str]], tally: Tally) -> Job:
    percent = row.amount("plan_gpu", most=PERCENT * GPUS_MAX)
    if not percent:
        raise Left(NO_GPUS)
    if row.text("status", "") == "Waiting":
        raise Left(NEVER_STARTED)
    start_s, pods = row.optional_seconds("start_time"), row.whole("inst_num", 1, least=1, most=PODS_MAX)
    duration_s = between(start_s, row.optional_seconds("end_time"))
    said = submitted.get(row.text("job_name"))
    share_milli = math.ceil(percent / PERCENT * MILLI) % MILLI if percent < PERCENT else 0
    if percent % PERCENT and not share_milli:
        tally.noted(SHARE, row.line)
    if said is None:
        tally.noted(STARTED, row.line)
    return Job(
        name=f"{row.text('job_name')}-{row.text('task_name')}",
        submit_s=said[0] if said else start_s or 0.0,
        duration_s=duration_s,
        gpus=0 if share_milli else math.ceil(percent / PERCENT),
        share_milli=share_milli,
        pods=pods,
        min_pods=pods,
        team=tally.team(said[1]) if said else "default",
    )


FORMAT = Format(
    name="pai",
    origin="Alibaba cluster-trace-gpu-v2020 (pai_task_table.csv); a user is a team",
    units="seconds from the start of the trace; hundredths of a GPU of each instance",
    needs=TASKS,
    read=_read,
    is_headless=True,
)
