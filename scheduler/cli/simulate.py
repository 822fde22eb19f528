"""``stowplan simulate``: a trace on a cluster under a policy, as a table, JSON, or a page."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from scheduler.cli.accounts import show_account
from scheduler.cli.configuration import read as read_configuration
from scheduler.cli.failure import EXIT_USAGE, Failure
from scheduler.cli.output import emit, table
from scheduler.cli.progress import progress
from scheduler.cli.units import duration, percent
from scheduler.model.objects import Node
from scheduler.model.plan import Budget
from simulations.engine import Engine, Setting
from simulations.loads.files import BadTrace
from simulations.loads.formats import file_of, is_generated, load
from simulations.loads.registry import named
from simulations.manifests import BadManifest
from simulations.node_events import BadEvents, NodeChange, read_events
from simulations.nodes import BadCluster, read_nodes
from simulations.outcome import Outcome
from simulations.report.repeat import Repeat
from simulations.speeds import BadSpeeds, Speeds, read_speeds
from simulations.summary import Figures, Summary, summarise
from simulations.teams import Teams, read_teams
from simulations.times import BadTime, seconds_of
from simulations.workload import Workload

Output = Literal["table", "json", "yaml", "parquet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The words of the command line, and the files that they name beside the trace; None: not given."""

    words: Sequence[str]
    files: Sequence[Path | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a run assumes beside its policy, and which of its jobs count."""

    restart_s: float = 0.0
    checkpoint_s: float = 0.0
    cycle_s: float = 0.01
    warm_up_s: float = 0.0
    horizon_s: float | None = None
    speeds: Speeds | None = None

    def __post_init__(self) -> None:
        if self.horizon_s is not None and self.horizon_s <= self.warm_up_s:
            text = f"--horizon {self.horizon_s:g} s: nothing counts after a --warm-up of {self.warm_up_s:g} s"
            raise Failure(f"{text}; give a later horizon", code=EXIT_USAGE)


def terms(
    *,
    restart_s: float,
    checkpoint_s: float,
    cycle_s: float,
    warm_up: str,
    horizon: str | None,
    speeds: Path | None,
) -> Terms:
    """As the options of that name say. Raises: Failure."""
    try:
        known = None if speeds is None else read_speeds(speeds)
    except BadSpeeds as error:
        raise Failure(str(error), code=EXIT_USAGE) from error
    return Terms(
        speeds=known,
        restart_s=restart_s,
        checkpoint_s=checkpoint_s,
        cycle_s=cycle_s,
        warm_up_s=time_of("--warm-up", warm_up),
        horizon_s=None if horizon is None else time_of("--horizon", horizon),
    )


def time_of(option: str, said: str) -> float:
    """Seconds. Raises: Failure."""
    try:
        return seconds_of(said)
    except BadTime as error:
        raise Failure(f"{option}: {error}", code=EXIT_USAGE) from error


def simulate(
    said: str,
    *,
    cluster: Path,
    events: Path | None,
    chosen: Setting,
    policy: str,
    output: Output,
    report: Path | None,
    tables: Path,
    asked: Asked,
) -> int:
    """Run and show; the exit code. Raises: Failure naming file, line and column of what is wrong."""
    if report is not None:
        need("simulations.report.page")
    if output == "parquet":
        need("simulations.report.tables")
    nodes, jobs = inputs(said, cluster)
    outcome = run(jobs, nodes, replace(chosen, changes=changes(events, nodes)))
    summary = summarise(outcome, policy=policy)
    if output == "parquet":
        _write_tables(tables, outcome)
    elif output == "table":
        show(summary)
    else:
        emit(summary, output)
    if report is not None:
        _write_page(report, outcome, summary, replace(asked, files=(file_of(said), *asked.files)))
    return 0


def need(module: str) -> None:
    """Raises: Failure where the extra that the module takes is not installed."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        text = f"{error.name} is not installed; install stowplan[scheduler,simulate]"
        raise Failure(text) from error


def _write_page(path: Path, outcome: Outcome, summary: Summary, asked: Asked) -> None:
    from simulations.report.page import page

    write(path, page(outcome, summary, again(asked)))


def again(asked: Asked) -> Repeat:
    """How to have the same again. Raises: Failure."""
    from simulations.report.repeat import repeat

    try:
        return repeat(asked.words, asked.files)
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}; give a readable file") from error


def write(path: Path, text: str) -> None:
    """A page, and where it is. Raises: Failure."""
    from simulations.report import page

    try:
        page.write(path, text)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}; give a file that can be written") from error
    print(f"report: {path}", file=sys.stderr)


def _write_tables(directory: Path, outcome: Outcome) -> None:
    from simulations.report.tables import write_tables

    try:
        written = write_tables(directory, outcome)
    except OSError as error:
        raise Failure(f"{directory}: {error.strerror}; give a directory that can be written") from error
    for path in written:
        print(path)


def title(policy: Path | None) -> str:
    return "default" if policy is None else policy.stem


def inputs(said: str, cluster: Path) -> tuple[tuple[Node, ...], Workload]:
    """The nodes and the jobs. Raises: Failure."""
    nodes = cluster_of(cluster)
    try:
        return nodes, load(said, nodes)
    except BadTrace as error:
        raise Failure(str(error), code=EXIT_USAGE) from error


def cluster_of(file: Path) -> tuple[Node, ...]:
    """Raises: Failure."""
    try:
        return read_nodes(file)
    except BadCluster as error:
        raise Failure(str(error), code=EXIT_USAGE) from error


def changes(file: Path | None, nodes: Sequence[Node]) -> tuple[NodeChange, ...]:
    """What happens to nodes, by a file of events. Raises: Failure."""
    try:
        return () if file is None else read_events(file, nodes)
    except BadEvents as error:
        raise Failure(str(error), code=EXIT_USAGE) from error


def setting(
    policy: Path | None,
    *,
    teams: Path | None = None,
    terms: Terms | None = None,
) -> Setting:
    """The policy of a SchedulerConfiguration file, the one ``stowplan run`` reads, what it says of gangs that
    lose a member, and TeamQuota manifests.

    Raises: Failure.
    """
    configuration = read_configuration(policy)
    terms = terms or Terms()
    section = configuration.policy
    try:
        units = configuration.teams.units()
        known = Teams(units=units) if teams is None else read_teams(teams, units)
    except BadManifest as error:
        raise Failure(str(error), code=EXIT_USAGE) from error
    return Setting(
        teams=known,
        policy=section.as_policy(),
        budget=Budget(per_gang=section.solver.per_gang, total=section.solver.total),
        restart_s=terms.restart_s,
        checkpoint_s=terms.checkpoint_s,
        cycle_s=terms.cycle_s,
        warm_up_s=terms.warm_up_s,
        horizon_s=terms.horizon_s,
        healing=configuration.gangs.as_healing(),
        speeds=terms.speeds,
    )


def run(jobs: Workload, nodes: Sequence[Node], chosen: Setting, label: str = "") -> Outcome:
    """Simulate, with a progress bar where somebody watches. Raises: Failure."""
    try:
        engine = Engine(jobs, nodes, chosen)
    except BadSpeeds as error:
        raise Failure(str(error), code=EXIT_USAGE) from error
    with progress(label or jobs.name, len(jobs.jobs), "jobs") as tell:
        return engine.run() if tell is None else engine.run(lambda ended, _: tell(ended))


def said_as(said: str, form: str | None) -> str:
    """A load as ``load`` reads it, with the format that its file is said to have. Raises: Failure."""
    if form is None:
        return said
    if is_generated(said):
        raise Failure(f"--format {form}: {said} is no file but invented: leave it out", code=EXIT_USAGE)
    try:
        return f"{named(form).name}:{said}"
    except BadTrace as error:
        raise Failure(f"--{error}", code=EXIT_USAGE) from error


def show(summary: Summary) -> None:
    """Print the figures: the run, then each size class, then each team."""
    show_account(summary.read)
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
    if summary.unfinished:
        stood = ", ".join(f"{count:,} {name}" for name, count in summary.unfinished.items())
        print(f"unfinished at the end of the run: {stood}")
    _show_faults(summary)
    for reason, count in summary.never_started.items():
        print(f"{count:,} never started: {reason}")


def _show_faults(summary: Summary) -> None:
    """Only where nodes failed or were drained."""
    total = summary.total
    told = (
        ("failed", total.faults, summary.failed_gpu_seconds),
        ("drained", total.drains, summary.drained_gpu_seconds),
    )
    for what, stops, gpu_s in told:
        if gpu_s or stops:
            print(f"nodes {what}: {gpu_s / 3600:,.1f} GPU-hours away, jobs stopped {stops:,} times")
    if total.lost_gpu_seconds:
        hours = total.lost_gpu_seconds / 3600
        print(f"lost to faults: {hours:,.1f} GPU-hours held without progress or of work done again")


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
