"""stowplan's own CSV: what every other format becomes."""

from __future__ import annotations

from simulations.loads.table import Row
from simulations.loads.trace import Format, Source, Tally, by_row, columns
from simulations.workload import MILLI, Job

CPU_MILLI_MAX = 10**9
MEMORY_MIB_MAX = 10**9
PRIORITY_MAX = 10**9


def _job(row: Row, source: Source, tally: Tally) -> Job:
    pods, gpus = row.pods("pods", 1), row.gpus("gpus")
    share_milli = share_of(row, "gpu_milli")
    if share_milli and gpus != 1:
        raise row.fault("gpu_milli", f"a share only where gpus is 1, and nothing beside gpus {gpus}")
    models = tuple(sorted(filter(None, row.text("gpu_models", "").split("|"))))
    return Job(
        name=row.text("name", f"job-{row.line}"),
        kind=row.text("kind", ""),
        submit_s=row.seconds("submit_s"),
        duration_s=row.seconds("duration_s"),
        gpus=0 if share_milli else gpus,
        share_milli=share_milli,
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


def share_of(row: Row, column: str) -> int:
    """Thousandths of one GPU that a pod shares; 0 where it has all of it."""
    return row.whole(column, MILLI, least=1, most=MILLI) % MILLI


def _team(row: Row, column: str) -> str:
    name = row.text(column, "default").lower()
    if (
        len(name) > 63
        or not all(c.isascii() and (c.isalnum() or c == "-") for c in name)
        or name.strip("-") != name
    ):
        raise row.fault(column, "a namespace: at most 63 letters, digits and '-'")
    return name


FORMAT = Format(
    name="csv",
    origin="stowplan",
    units="seconds from the start of the trace; GPUs, CPUs and memory of each pod",
    needs=("submit_s", "duration_s", "gpus"),
    may=frozenset(
        columns(
            "estimate_s pods min_pods gpu_milli cpu_milli memory_mib gpu_models team priority topology",
            "name kind",
        )
    ),
    read=by_row(_job),
    is_strict=True,
)
