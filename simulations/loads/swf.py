"""The Standard Workload Format of batch scheduling (Feitelson; parallel workloads archive, version 2.2).

18 whitespace-separated numbers a line, -1 where unknown, comments behind ``;``. Of these: 1 job number,
2 submit time (s), 4 run time (s), 5 allocated processors, 8 requested processors, 9 requested time (s,
which is the estimate), 12 user, 13 group. A processor is a GPU here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from simulations.loads.table import BadTrace, Row, open_text
from simulations.workload import GPUS_MAX, JOBS_MAX, PODS_MAX, Job, split

COLUMNS = (
    "job_number", "submit_time", "wait_time", "run_time", "allocated_processors", "cpu_time", "memory",
    "requested_processors", "requested_time", "requested_memory", "status", "user", "group", "executable",
    "queue", "partition", "preceding_job", "think_time",
)  # fmt: skip


def read_swf(path: Path, *, per_node: int) -> Iterator[Job]:
    """Jobs that ran: those without a run time or processors were cancelled before they started."""
    with open_text(path) as file:
        try:
            for number, line in enumerate(file, start=1):
                text = line.partition(";")[0].split()
                if number > JOBS_MAX:
                    raise BadTrace(f"{path}:{number}: expected at most {JOBS_MAX:,} lines, found more")
                job = _job(_row(path, number, text), per_node) if text else None
                if job is not None:
                    yield job
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise BadTrace(f"{path}: expected text: {error}") from error


def _row(path: Path, number: int, text: list[str]) -> Row:
    if len(text) != len(COLUMNS):
        missing = COLUMNS[min(len(text), len(COLUMNS) - 1)]
        raise BadTrace(
            f"{path}:{number}: column {missing}: expected {len(COLUMNS)} numbers, found {len(text)}"
        )
    cells = dict(zip(COLUMNS, text, strict=True))
    return Row(path, number, {name: "" if cell == "-1" else cell for name, cell in cells.items()})


def _job(row: Row, per_node: int) -> Job | None:
    most = PODS_MAX * GPUS_MAX
    gpus = row.whole("requested_processors", 0, most=most) or row.whole("allocated_processors", 0, most=most)
    duration_s = row.optional_seconds("run_time")
    if not gpus or duration_s is None:
        return None
    pods, each = split(gpus, per_node)
    group = row.whole("group", 0, most=10**9)
    return Job(
        name=f"job-{row.whole('job_number', most=10**12)}",
        submit_s=row.seconds("submit_time"),
        duration_s=duration_s,
        estimate_s=row.optional_seconds("requested_time"),
        gpus=each,
        pods=pods,
        min_pods=pods,
        team=f"group-{group}",
    )
