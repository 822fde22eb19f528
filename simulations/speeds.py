"""How fast jobs run on each GPU model: a table of one's own, or Gavel's measured throughputs.

A speed of 2 halves the duration that the load gives. The scheduler is told nothing of it, as live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from scheduler.model.objects import GPU, Node
from simulations.loads.files import BadTrace
from simulations.loads.table import GPUS_TOTAL_MAX, Row, header, listed, rows
from simulations.nodes import MODEL_LABEL
from simulations.workload import Job

SPEED_MAX: Final = 1_000.0
STEPS_MAX: Final = 1e9
OWN: Final = ("model", "speed")
OWN_MAY: Final = ("kind", "gpus")
GAVEL: Final = ("gpu_type", "job_type", "scale_factor", "steps_per_s")
#: The model that durations of Gavel's traces are on.
GAVEL_REFERENCE: Final = "v100"

#: Kind of job and GPUs of the whole job; empty and 0 where any is meant.
Key = tuple[str, float]


class BadSpeeds(ValueError):
    """A table that cannot be read, or has no speed for a job; the message names the remedy."""


class Speeds:
    """``table``: by kind and GPUs, the speed on each model, by a part of the model's name."""

    def __init__(self, path: Path, table: Mapping[Key, Mapping[str, float]]) -> None:
        self._path = path
        self._table = table
        self._known: dict[tuple[str, float, str], float | None] = {}

    def of(self, job: Job, model: str) -> float | None:
        """The speed of a job on a model; None where no row says it.

        Rows of its kind, or of its name, go before those of any, and of these the ones of its GPUs.
        """
        kind, gpus = job.kind or job.name, job.total_gpus
        key = (kind, gpus, model)
        if key not in self._known:
            found = (self._on(at, model) for at in ((kind, gpus), (kind, 0), ("", gpus), ("", 0)))
            self._known[key] = next((speed for speed in found if speed is not None), None)
        return self._known[key]

    def slowest(self, job: Job, models: Iterable[str]) -> float:
        """The speed of a gang on several models at once: all wait for the slowest."""
        return min((self.of(job, model) or 1.0 for model in models), default=1.0)

    def check(self, jobs: Iterable[Job], nodes: Iterable[Node]) -> None:
        """Raises: BadSpeeds where a job has no speed on a model of the cluster on which it may run."""
        models: dict[str, None] = {}
        for node in nodes:
            if node.allocatable.get(GPU, 0):
                if not node.labels.get(MODEL_LABEL):
                    remedy = "give its pool a model, or leave --speeds out"
                    raise BadSpeeds(f"{self._path}: node {node.name} has GPUs of no model: {remedy}")
                models[node.labels[MODEL_LABEL]] = None
        for job in jobs:
            for model in models if job.total_milli else ():
                if (not job.models or model in job.models) and self.of(job, model) is None:
                    what = f"jobs of kind {job.kind!a}" if job.kind else f"job {job.name!a}"
                    remedy = "add a row for it, or take a cluster without this model"
                    raise BadSpeeds(
                        f"{self._path}: no speed of {what} with {job.total_gpus:g} GPUs on {model}: {remedy}"
                    )

    def _on(self, key: Key, model: str) -> float | None:
        """The longest name that is part of the model's, in any case."""
        by_model = self._table.get(key, {})
        named = [name for name in by_model if name in model.casefold()]
        return by_model[max(named, key=len)] if named else None


def read_speeds(path: Path) -> Speeds:
    """The speeds of a CSV file, known by all of its columns. Raises: BadSpeeds."""
    try:
        found = header(path)
        if set(found) == set(GAVEL):
            return Speeds(path, _relative(path))
        missing = [name for name in OWN if name not in found]
        foreign = [name for name in found if name not in (*OWN, *OWN_MAY)]
        if missing or foreign:
            known = f"{listed(OWN)}, perhaps {listed(OWN_MAY)}; or {listed(GAVEL)}"
            raise BadSpeeds(f"{path}:1: expected the columns {known}; found {listed(found)}")
        return Speeds(path, _table(path, OWN, _own, _speed))
    except BadTrace as error:
        raise BadSpeeds(str(error)) from error


def _table(
    path: Path,
    needs: Sequence[str],
    key_of: Callable[[Row], tuple[Key, str]],
    value_of: Callable[[Row], float],
) -> dict[Key, dict[str, float]]:
    found: dict[Key, dict[str, float]] = {}
    for row in rows(path, needs=needs):
        key, model = key_of(row)
        by_model = found.setdefault(key, {})
        if model.casefold() in by_model:
            raise row.fault(needs[0], "one row for each model, kind and GPUs: delete one of them")
        by_model[model.casefold()] = value_of(row)
    return found


def _own(row: Row) -> tuple[Key, str]:
    return (row.text("kind", ""), row.whole("gpus", 0, most=GPUS_TOTAL_MAX)), row.text("model")


def _speed(row: Row) -> float:
    found = row.positive("speed")
    if not 1 / SPEED_MAX <= found <= SPEED_MAX:
        raise row.fault("speed", f"a number from {1 / SPEED_MAX:g} to {SPEED_MAX:,.0f}")
    return found


def _gavel(row: Row) -> tuple[Key, str]:
    return (row.text("job_type"), row.whole("scale_factor", least=1, most=GPUS_TOTAL_MAX)), row.text(
        "gpu_type"
    )


def _relative(path: Path) -> dict[Key, dict[str, float]]:
    """Throughputs over those of the model that the durations are on. One of 0 says that such a job does not
    run there, which is no speed.
    """
    steps = _table(path, GAVEL, _gavel, lambda row: row.amount("steps_per_s", most=STEPS_MAX))
    for (kind, gpus), by_model in steps.items():
        if not by_model.get(GAVEL_REFERENCE):
            remedy = f"add its row of {GAVEL_REFERENCE}, on which durations are"
            raise BadSpeeds(f"{path}: column gpu_type: {kind!a} with {gpus:g} GPUs: {remedy}")
    return {
        key: {model: value / by_model[GAVEL_REFERENCE] for model, value in by_model.items() if value}
        for key, by_model in steps.items()
    }
