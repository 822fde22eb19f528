"""Loads by name: one reader per known trace format, told apart by their header, and the generators.

docs/simulation.md documents each.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scheduler.model.objects import Node
from simulations.loads.generated import GENERATORS
from simulations.loads.swf import read_swf
from simulations.loads.table import BadTrace, Row, header, open_text, rows
from simulations.nodes import gpus_per_node
from simulations.workload import GPUS_MAX, PODS_MAX, SECONDS_MAX, Job, Workload, split, workload

GPUS_TOTAL_MAX = PODS_MAX * GPUS_MAX
CPU_MILLI_MAX = 10**9
MEMORY_MIB_MAX = 10**9
PRIORITY_MAX = 10**9
STEPS_MAX = 10**12
#: Beside Gavel's physical traces: steps a second by GPU model, kind of job and GPUs.
THROUGHPUTS = "isolated_throughputs.csv"


#: Reads one row, for nodes of so many GPUs; None leaves it out.
Reader = Callable[[Row, int], Job | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """``needs``: columns by which the format is known; ``reader``: what reads the rows of a file."""

    name: str
    needs: tuple[str, ...]
    reader: Callable[[Path], Reader]


def _alone(reader: Reader) -> Callable[[Path], Reader]:
    """For a format that needs no other file than the trace."""
    return lambda path: reader


def _plain(row: Row, per_node: int) -> Job:
    """stowplan's own CSV."""
    pods = row.pods("pods", 1)
    models = tuple(sorted(filter(None, row.text("gpu_models", "").split("|"))))
    return Job(
        name=row.text("name", f"job-{row.line}"),
        submit_s=row.seconds("submit_s"),
        duration_s=row.seconds("duration_s"),
        gpus=row.gpus("gpus"),
        pods=pods,
        min_pods=row.whole("min_pods", pods, least=1, most=pods),
        cpu_milli=row.whole("cpu_milli", 0, most=CPU_MILLI_MAX),
        memory_mib=row.whole("memory_mib", 0, most=MEMORY_MIB_MAX),
        models=models,
        team=_team(row, "team"),
        priority=row.whole("priority", 0, least=-PRIORITY_MAX, most=PRIORITY_MAX),
        estimate_s=row.optional_seconds("estimate_s"),
        topology=row.text("topology", ""),
    )


def _team(row: Row, column: str) -> str:
    name = row.text(column, "default").lower()
    if (
        len(name) > 63
        or not all(c.isascii() and (c.isalnum() or c == "-") for c in name)
        or name.strip("-") != name
    ):
        raise row.fault(column, "a namespace: at most 63 letters, digits and '-'")
    return name


def _of_gpus(row: Row, per_node: int, *, gpus: str, name: str, submit_s: float, duration_s: float) -> Job:
    """A job that the trace knows by its GPUs alone; the trace's own duration is also the estimate."""
    pods, each = split(row.whole(gpus, least=1, most=GPUS_TOTAL_MAX), per_node)
    return Job(
        name=name,
        submit_s=submit_s,
        duration_s=duration_s,
        estimate_s=duration_s,
        gpus=each,
        pods=pods,
        min_pods=pods,
    )


def _muri(row: Row, per_node: int) -> Job:
    return _of_gpus(
        row,
        per_node,
        gpus="num_gpu",
        name=f"job-{row.text('job_id')}",
        submit_s=row.seconds("submit_time", unit_s=1e-3),
        duration_s=row.seconds("duration", unit_s=1e-3),
    )


def _itp(row: Row, per_node: int) -> Job:
    return _of_gpus(
        row,
        per_node,
        gpus="num_gpu",
        name=row.text("job_id"),
        submit_s=row.seconds("submission_time"),
        duration_s=row.seconds("duration"),
    )


def _gavel(row: Row, per_node: int) -> Job | None:
    if not row.text("v100_duration_s", ""):
        return None  # the throughput table has no entry for this job
    return _of_gpus(
        row,
        per_node,
        gpus="scale_factor",
        name=f"job-{row.text('job_id')}",
        submit_s=row.seconds("arrival_s"),
        duration_s=row.seconds("v100_duration_s"),
    )


def _gavel_physical(path: Path) -> Reader:
    """Steps, which take as long as the table beside the trace says of V100s in one node."""
    table = path.parent / THROUGHPUTS
    steps_per_s = {
        (row.text("job_type"), row.whole("scale_factor", least=1, most=GPUS_TOTAL_MAX)): row.positive(
            "steps_per_s"
        )
        for row in rows(table, needs=("gpu_type", "job_type", "scale_factor", "steps_per_s"))
        if row.text("gpu_type") == "v100"
    }

    def job(row: Row, per_node: int) -> Job | None:
        kind = row.text("job_type"), row.whole("scale_factor", least=1, most=GPUS_TOTAL_MAX)
        if kind not in steps_per_s:
            return None
        duration_s = row.whole("total_steps", most=STEPS_MAX) / steps_per_s[kind]
        if duration_s > SECONDS_MAX:
            raise row.fault("total_steps", f"at most {SECONDS_MAX:,.0f} s of steps")
        return _of_gpus(
            row,
            per_node,
            gpus="scale_factor",
            name=f"job-{row.text('job_id')}",
            submit_s=row.seconds("arrival_s"),
            duration_s=duration_s,
        )

    return job


def _openb(row: Row, per_node: int) -> Job:
    """Alibaba 2023: single pods. A share of a GPU counts as one whole device."""
    created_s = row.seconds("creation_time")
    ended_s = row.seconds("deletion_time", created_s)
    if ended_s < created_s:
        raise row.fault("deletion_time", f"a time not before creation_time {created_s:g}")
    return Job(
        name=row.text("name"),
        submit_s=created_s,
        duration_s=ended_s - created_s,
        gpus=row.gpus("num_gpu"),
        cpu_milli=row.whole("cpu_milli", most=CPU_MILLI_MAX),
        memory_mib=row.whole("memory_mib", most=MEMORY_MIB_MAX),
        models=tuple(sorted(filter(None, row.text("gpu_spec", "").split("|")))),
    )


#: The first whose columns are all there reads the file.
FORMATS: tuple[Format, ...] = (
    Format(name="csv", needs=("submit_s", "duration_s", "gpus"), reader=_alone(_plain)),
    Format(
        name="muri", needs=("job_id", "num_gpu", "submit_time", "duration", "interval"), reader=_alone(_muri)
    ),
    Format(name="itp", needs=("job_id", "submission_time", "duration", "num_gpu"), reader=_alone(_itp)),
    Format(
        name="gavel", needs=("job_id", "arrival_s", "scale_factor", "v100_duration_s"), reader=_alone(_gavel)
    ),
    Format(
        name="gavel-physical",
        needs=("job_id", "arrival_s", "scale_factor", "job_type", "total_steps"),
        reader=_gavel_physical,
    ),
    Format(
        name="openb",
        needs=("cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "creation_time"),
        reader=_alone(_openb),
    ),
)


def read(path: Path, *, per_node: int = 8) -> Workload:
    """The workload of a file: SWF by its name, CSV by its header, each optionally gzipped.

    per_node: GPUs of the cluster's largest node, which decides how many pods a job becomes that the
    trace knows only by its GPUs. Raises: BadTrace.
    """
    bare = path.with_suffix("") if path.suffix == ".gz" else path
    if bare.suffix == ".swf":
        return workload(path.name, read_swf(path, per_node=per_node))
    columns = set(header(path))
    for form in FORMATS:
        if columns.issuperset(form.needs):
            return workload(path.name, _jobs(path, form, per_node))
    known = ", ".join(form.name for form in FORMATS[1:])
    raise BadTrace(
        f"{path}:1: column submit_s: expected the columns submit_s, duration_s and gpus, or those of a known "
        f"trace ({known}); found {', '.join(sorted(columns))[:200] or 'nothing'}"
    )


def load(said: str, nodes: Sequence[Node], *, seed: int | None = None) -> Workload:
    """The workload that is meant: a generator by its name and parameters, else a file.

    ``seed`` is the generator's; a file has none. Raises: BadTrace.
    """
    name, _, parameters = said.partition(":")
    for generator in GENERATORS:
        if generator.name == name and not Path(said).exists():
            return generator.make(parameters, nodes, seed)
    return read(Path(said), per_node=max(1, gpus_per_node(nodes)))


def is_generated(said: str) -> bool:
    """Whether a load is made anew for each seed."""
    return said.partition(":")[0] in {g.name for g in GENERATORS} and not Path(said).exists()


def _jobs(path: Path, form: Format, per_node: int) -> Iterator[Job]:
    seen: set[str] = set()
    reader = form.reader(path)
    for row in rows(path, needs=form.needs):
        job = reader(row, per_node)
        if job is None:
            continue
        if job.name in seen:
            raise BadTrace(
                f"{path}:{row.line}: column name: expected a name of its own, found {job.name!r} again"
            )
        seen.add(job.name)
        yield job


def arrivals(pods: Path, order: Path, seed: int) -> Iterator[str]:
    """Names of openb pods in the published arrival order of one seed (fgd-openb ``arrival_order``)."""
    names = [row.text("name") for row in rows(pods, needs=("name",))]
    with open_text(order) as file:
        for line, cells in enumerate(csv.DictReader(file), start=2):
            cell = cells.get(f"seed{seed}")
            if cell is None:
                raise BadTrace(f"{order}:{line}: column seed{seed}: expected in the header, found none")
            if cell:
                yield names[int(cell)]
