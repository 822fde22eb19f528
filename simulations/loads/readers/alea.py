"""SWF with GPUs, as AleaNG's workload generator writes it (Klusáček and Chlumský, IJHPCA 2025).

The 18 fields of the Standard Workload Format and three more: 19 used_GPUs (of all nodes), 20 soft_walltime
(s, the expected run time; -1 where unknown), 21 required_properties, as ``all:excl:2x4`` for two nodes of 4
cores.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from simulations.loads.readers import swf
from simulations.loads.table import GPUS_TOTAL_MAX, Row
from simulations.loads.trace import (
    NEVER_STARTED,
    TOO_LARGE,
    Format,
    Left,
    Source,
    Tally,
    each,
    of_gpus,
)
from simulations.workload import GPUS_MAX, PODS_MAX, Job

COLUMNS: Final = (*swf.COLUMNS, "used_GPUs", "soft_walltime", "required_properties")
UNEVEN: Final = "GPUs that its nodes cannot have alike"
_NODES: Final = re.compile(r"(?:^|:)(\d{1,9})x\d+(?=:|$)")


def _read(source: Source, tally: Tally) -> Iterator[tuple[int, Job]]:
    numbered = swf.numbered(source, tally)
    return each(numbered, tally, lambda line, cells: _job(swf.row_of(source, line, cells, COLUMNS), source))


def _job(row: Row, source: Source) -> Job:
    gpus = row.whole("used_GPUs", 0, most=GPUS_TOTAL_MAX)
    duration_s = row.optional_seconds("run_time")
    if duration_s is None:
        raise Left(NEVER_STARTED)
    soft_s = row.optional_seconds("soft_walltime")
    job = of_gpus(
        gpus,
        source,
        name=f"job-{row.whole('job_number', most=10**12)}",
        submit_s=row.seconds("submit_time"),
        duration_s=duration_s,
        estimate_s=row.optional_seconds("requested_time") if soft_s is None else soft_s,
        team=f"group-{row.whole('group', 0, most=10**9)}",
    )
    said = _NODES.search(row.text("required_properties", ""))
    return job if said is None else _on_nodes(job, gpus, int(said[1]))


def _on_nodes(job: Job, gpus: int, nodes: int) -> Job:
    """A pod for each node that it says."""
    if nodes > PODS_MAX:
        raise Left(TOO_LARGE)
    if not nodes or gpus % nodes or gpus // nodes > GPUS_MAX:
        raise Left(UNEVEN)
    return replace(job, pods=nodes, min_pods=nodes, gpus=gpus // nodes, last_gpus=None)


def _begins(text: str) -> bool:
    """Whether the first line that is no comment has 20 numbers and a word."""
    first = swf.first_line(text)
    return len(first) == len(COLUMNS) and swf.are_numbers(first[:-1])


FORMAT = Format(
    name="alea",
    origin="Extended SWF of AleaNG's workload generator; a group is a team",
    units="seconds from the start of the log; used_GPUs of the whole job",
    recognises=_begins,
    read=_read,
)
