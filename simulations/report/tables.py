"""The outcome as Parquet tables: jobs, stays on nodes, the cluster over time, and the teams' moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow
from pyarrow import parquet

from simulations.outcome import Outcome

Columns = Mapping[str, Sequence[object]]
TEXTS = frozenset({"name", "team", "verdict", "stands", "job", "node"})
#: Of these there may be shares.
PARTS = frozenset({"used_gpus", "due_gpus", "gpus", "allocated_gpus", "scattered_gpus", "waiting_gpus"})


def tables(outcome: Outcome) -> dict[str, Columns]:
    """Columns by table. Times in seconds of virtual time; a job that did not start or end has none."""
    stories, stays, curve, jobs = outcome.stories, outcome.stays, outcome.curve, outcome.workload.jobs
    fields = (
        "name",
        "team",
        "submit_s",
        "duration_s",
        "estimate_s",
        "gpus",
        "pods",
        "min_pods",
        "last_gpus",
        "share_milli",
        "priority",
    )
    by_job: dict[str, Sequence[object]] = {
        name: [getattr(story.job, name) for story in stories] for name in fields
    }
    by_job |= {
        name: [getattr(story, name) for story in stories]
        for name in (
            "started_s",
            "ended_s",
            "wait_s",
            "jct_s",
            "evictions",
            "faults",
            "drains",
            "lost_gpu_s",
            "stands",
            "verdict",
        )
    }
    moments = [(moment, name) for moment in outcome.dues for name in moment.used]
    return {
        "jobs": by_job,
        "stays": {
            "job": [jobs[stay.job].name for stay in stays],
            "node": [stay.node for stay in stays],
            "pods": [stay.pods for stay in stays],
            "gpus": [stay.gpus for stay in stays],
            "from_s": [stay.from_s for stay in stays],
            "works_s": [stay.works_s for stay in stays],
            "to_s": [stay.to_s for stay in stays],
        },
        "curve": {
            "at_s": curve.at_s,
            "capacity_gpus": curve.capacity,
            "allocated_gpus": curve.allocated,
            "scattered_gpus": curve.scattered,
            "waiting_jobs": curve.waiting_jobs,
            "waiting_gpus": curve.waiting_gpus,
        },
        "teams": {
            "at_s": [moment.at_s for moment, _ in moments],
            "team": [name for _, name in moments],
            "used_gpus": [moment.used[name] for moment, name in moments],
            "due_gpus": [moment.due.get(name, 0.0) for moment, name in moments],
        },
    }


def write_tables(directory: Path, outcome: Outcome) -> list[Path]:
    """One file a table, ``NAME.parquet``. Raises: OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, columns in tables(outcome).items():
        path = directory / f"{name}.parquet"
        arrays = {name: pyarrow.array(list(column), type=_type(name)) for name, column in columns.items()}
        parquet.write_table(pyarrow.table(arrays), path, compression="zstd")
        written.append(path)
    return written


def _type(column: str) -> pyarrow.DataType:
    """The same for every run, so that tables of several runs can be read as one."""
    if column in TEXTS:
        return pyarrow.string()
    return pyarrow.float64() if column.endswith("_s") or column in PARTS else pyarrow.int64()
