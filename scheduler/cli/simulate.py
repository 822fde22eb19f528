"""``stowplan simulate``: a trace on a cluster under a policy, as a table, JSON, or a page."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from scheduler.cli.configuration import read as read_configuration
from scheduler.cli.failure import EXIT_USAGE, Failure
from scheduler.cli.output import emit, table
from scheduler.cli.units import duration, percent
from scheduler.model.objects import Node
from scheduler.model.plan import Budget
from simulations.engine import Engine, Setting
from simulations.loads.formats import read
from simulations.loads.table import BadTrace
from simulations.nodes import BadCluster, gpus_per_node, read_nodes
from simulations.outcome import Outcome
from simulations.summary import Figures, Summary, summarise
from simulations.workload import Workload

Output = Literal["table", "json", "yaml"]


def simulate(
    trace: Path, *, cluster: Path, policy: Path | None, restart_s: float, cycle_s: float, output: Output
) -> int:
    """Run and show; the exit code. Raises: Failure naming file, line and column of what is wrong."""
    nodes, load = inputs(trace, cluster)
    outcome = run(load, nodes, setting(policy, restart_s=restart_s, cycle_s=cycle_s))
    summary = summarise(outcome, policy=title(policy))
    if output == "table":
        show(summary)
    else:
        emit(summary, output)
    return 0


def title(policy: Path | None) -> str:
    return "default" if policy is None else policy.stem


def inputs(trace: Path, cluster: Path) -> tuple[tuple[Node, ...], Workload]:
    """The nodes and the jobs. Raises: Failure."""
    try:
        nodes = read_nodes(cluster)
        return nodes, read(trace, per_node=max(1, gpus_per_node(nodes)))
    except (BadTrace, BadCluster) as error:
        raise Failure(str(error), code=EXIT_USAGE) from error


def setting(policy: Path | None, *, restart_s: float = 0.0, cycle_s: float = 0.01) -> Setting:
    """The policy of a SchedulerConfiguration file, the one ``stowplan run`` reads. Raises: Failure."""
    section = read_configuration(policy).policy
    return Setting(
        policy=section.as_policy(),
        budget=Budget(per_gang=section.solver.per_gang, total=section.solver.total),
        restart_s=restart_s,
        cycle_s=cycle_s,
    )


def run(load: Workload, nodes: Sequence[Node], chosen: Setting, label: str = "") -> Outcome:
    """Simulate, with a progress bar where somebody watches."""
    engine = Engine(load, nodes, chosen)
    if not sys.stderr.isatty():
        return engine.run()
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("jobs, {task.fields[rate]}/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label or load.name, total=len(load.jobs), rate="0")

        def tell(ended: int, _: float) -> None:
            bar.update(task, completed=ended, rate=f"{bar.tasks[task].speed or 0:,.0f}")

        return engine.run(tell)


def show(summary: Summary) -> None:
    """Print the figures: the run, then each size class, then each team."""
    print(
        f"{summary.workload} on {summary.nodes} nodes with {summary.gpus} GPUs, policy {summary.policy}: "
        f"makespan {duration(summary.makespan_s)}, GPUs allocated {percent(summary.gpu_share)}, "
        f"free GPUs on nodes in use {percent(summary.fragmented_share)}, "
        f"{summary.mean_waiting_jobs:,.1f} jobs waiting on average"
    )
    rows = [("all", summary.total)]
    rows += [(f"{name} GPUs", one) for name, one in summary.by_gpus.items()]
    if len(summary.by_team) > 1:
        rows += [(f"team {name}", one) for name, one in summary.by_team.items()]
    table(
        ("jobs of", "jobs", "ended", "evictions", "avg jct", "median jct", "p99 jct", "avg wait", "p99 wait"),
        [_row(name, one) for name, one in rows],
    )
    for reason, count in summary.never_started.items():
        print(f"{count:,} never started: {reason}")


def _row(name: str, one: Figures) -> tuple[str, ...]:
    times: tuple[float, ...] = (
        one.avg_jct_s,
        one.median_jct_s,
        one.p99_jct_s,
        one.avg_wait_s,
        one.p99_wait_s,
    )
    texts: Callable[[float], str] = duration
    return (name, f"{one.jobs:,}", f"{one.ended:,}", f"{one.evictions:,}", *map(texts, times))
