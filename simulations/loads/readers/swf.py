"""The Standard Workload Format of batch scheduling (Feitelson; parallel workloads archive, version 2.2).

18 whitespace-separated numbers a line, -1 where unknown, comments behind ``;``. Of these: 1 job number,
2 submit time (s), 4 run time (s), 5 allocated processors, 8 requested processors, 9 requested time (s,
which is the estimate), 13 group. A processor is a GPU here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from simulations.loads.files import BadTrace, open_text
from simulations.loads.table import GPUS_TOTAL_MAX, BadRow, Row
from simulations.loads.trace import NEVER_STARTED, Folded, Format, Left, Source, Tally, each, of_gpus
from simulations.workload import JOBS_MAX, Job

COLUMNS: Final = (
    "job_number", "submit_time", "wait_time", "run_time", "allocated_processors", "cpu_time", "memory",
    "requested_processors", "requested_time", "requested_memory", "status", "user", "group", "executable",
    "queue", "partition", "preceding_job", "think_time",
)  # fmt: skip
PARTIAL: Final = "part of a job that was checkpointed, which has a line for the whole"
#: Status of a line that is a part of its job: to be continued, last and completed, last and failed.
_PARTS: Final = (2, 3, 4)


def _read(source: Source, tally: Tally) -> Iterator[tuple[int, Job]]:
    return each(
        numbered(source, tally), tally, lambda line, cells: _job(row_of(source, line, cells, COLUMNS), source)
    )


def numbered(source: Source, tally: Tally) -> Iterator[tuple[int, list[str]]]:
    """The lines that are no comments, with their words; all are counted."""
    with open_text(source.path) as file:
        for line, written in enumerate(file, start=1):
            if line > JOBS_MAX:
                raise BadTrace(f"{source.path}:{line}: expected at most {JOBS_MAX:,} lines, found more")
            cells = written.partition(";")[0].split()
            if not cells:
                continue
            tally.records += 1
            yield line, cells


def row_of(source: Source, line: int, cells: list[str], columns: Sequence[str]) -> Row:
    """A line of so many fields; -1 is an empty cell. Raises: BadRow."""
    if len(cells) != len(columns):
        missing = columns[min(len(cells), len(columns) - 1)]
        raise BadRow(
            f"{source.path}:{line}: column {missing}: expected {len(columns)} numbers, found {len(cells)}",
            line=line,
        )
    known = {name: "" if cell == "-1" else cell for name, cell in zip(columns, cells, strict=True)}
    return Row(source.path, line, known)


def _job(row: Row, source: Source) -> Job:
    if row.whole("status", 0, most=99) in _PARTS:
        raise Folded(PARTIAL)
    gpus = row.whole("requested_processors", 0, most=GPUS_TOTAL_MAX) or row.whole(
        "allocated_processors", 0, most=GPUS_TOTAL_MAX
    )
    duration_s = row.optional_seconds("run_time")
    if duration_s is None:
        raise Left(NEVER_STARTED)
    return of_gpus(
        gpus,
        source,
        name=f"job-{row.whole('job_number', most=10**12)}",
        submit_s=row.seconds("submit_time"),
        duration_s=duration_s,
        estimate_s=row.optional_seconds("requested_time"),
        team=f"group-{row.whole('group', 0, most=10**9)}",
    )


def _begins(text: str) -> bool:
    """Whether the first line that is no comment has 18 numbers."""
    first = first_line(text)
    return len(first) == len(COLUMNS) and are_numbers(first)


def first_line(text: str) -> list[str]:
    """The words of the first line that is no comment."""
    return next((words for line in text.splitlines() if (words := line.partition(";")[0].split())), [])


def are_numbers(words: Sequence[str]) -> bool:
    return all(word.strip("-").replace(".", "", 1).isdigit() for word in words)


FORMAT = Format(
    name="swf",
    origin="Standard Workload Format (Parallel Workloads Archive); a group is a team",
    units="seconds from the start of the log; a processor counts as a GPU",
    ending=".swf",
    recognises=_begins,
    read=_read,
)
