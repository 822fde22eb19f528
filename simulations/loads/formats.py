"""Loads by name: a file of any known format, or a generator. docs/simulation.md documents each."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from scheduler.model.objects import Node
from simulations.loads.files import BadTrace, open_text
from simulations.loads.generated import GENERATORS
from simulations.loads.registry import BY_NAME, check, named, recognise
from simulations.loads.table import rows
from simulations.loads.trace import DUPLICATE, Format, Source, Tally
from simulations.nodes import MODEL_LABEL, gpus_per_node
from simulations.workload import Job, Workload, workload


def read(
    path: Path, *, per_node: int = 8, form: Format | None = None, models: Sequence[str] = ()
) -> Workload:
    """The workload of a file, with the account of its records.

    per_node: GPUs of the cluster's largest node, which decides how many pods a job becomes that the trace
    knows only by its GPUs. form: what the file is said to be; by default it is recognised. models: GPU
    models of the cluster. Raises: BadTrace.
    """
    known = recognise(path) if form is None else form
    columns = () if form is None else check(form, path)
    source = Source(path=path, per_node=per_node, models=tuple(models), columns=columns)
    tally = Tally(path=path, is_strict=known.is_strict)
    jobs = list(_distinct(known, source, tally))
    account = tally.account(known, len(jobs))
    if known.is_dated:
        first_s = min(job.submit_s for job in jobs)
        jobs = [replace(job, submit_s=job.submit_s - first_s) for job in jobs]
    return replace(workload(path.name, jobs), account=account)


def load(said: str, nodes: Sequence[Node], *, seed: int | None = None) -> Workload:
    """The workload that is meant: a generator by its name and parameters, else a file.

    ``FORMAT:FILE`` says of what format the file is. ``seed`` is the generator's; a file has none.
    Raises: BadTrace.
    """
    name, _, rest = said.partition(":")
    if is_generated(said):
        generator = next(one for one in GENERATORS if one.name == name)
        return generator.make(rest, nodes, seed)
    path = file_of(said) or Path(said)
    is_said = path != Path(said)
    return read(
        path,
        per_node=max(1, gpus_per_node(nodes)),
        form=named(name) if is_said else None,
        models=sorted({node.labels[MODEL_LABEL] for node in nodes if MODEL_LABEL in node.labels}),
    )


def file_of(said: str) -> Path | None:
    """The file of a load, without the format that it is said to have; None of an invented one."""
    name, _, rest = said.partition(":")
    if is_generated(said):
        return None
    return Path(rest if name in BY_NAME and rest and not Path(said).exists() else said)


def is_generated(said: str) -> bool:
    """Whether a load is made anew for each seed."""
    return said.partition(":")[0] in {g.name for g in GENERATORS} and not Path(said).exists()


def _distinct(form: Format, source: Source, tally: Tally) -> Iterator[Job]:
    seen: set[str] = set()
    for line, job in form.read(source, tally):
        if job.name not in seen:
            seen.add(job.name)
            yield job
        elif form.is_strict:
            raise BadTrace(
                f"{source.path}:{line}: column name: expected a name of its own, found {job.name!r} again"
            )
        else:
            tally.left(DUPLICATE, line)


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
