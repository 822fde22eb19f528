"""``stowplan compare``: policies, clusters or teams side by side on the same load."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from scheduler.cli.accounts import show_account
from scheduler.cli.failure import EXIT_USAGE, Failure
from scheduler.cli.output import Output, emit, table
from scheduler.cli.progress import progress
from scheduler.cli.simulate import Asked, Terms, again, changes, cluster_of, need, setting, title, write
from scheduler.live.config import KIND
from simulations.backends import NoBackend, backend
from simulations.comparison import Alternative, Difference, compare, sweep
from simulations.loads.files import BadTrace
from simulations.loads.formats import file_of, is_generated
from simulations.speeds import BadSpeeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What all alternatives have in common."""

    load: str
    cluster: Path | None
    policy: Path | None
    #: Of all alternatives where there is one file; several are the alternatives.
    teams: Sequence[Path]
    seeds: int
    processes: int | None
    backend: str | None
    events: Path | None
    terms: Terms
    report: Path | None
    asked: Asked


def show(files: Sequence[Path], options: Options, *, output: Output) -> None:
    """Raises: Failure."""
    processes = _processes(options)
    if options.report is not None:
        need("simulations.report.sides")
    alternatives = _alternatives(files, options)
    made = is_generated(options.load)
    seeds: list[int | None] = list(range(options.seeds)) if made else [None]
    total = len(seeds) * len(alternatives)
    try:
        with (
            nullcontext() if options.backend is None else backend(options.backend),
            progress(options.load, total, "runs") as tell,
        ):
            results = sweep(alternatives, options.load, seeds, processes=processes, done=tell)
    except NoBackend as error:
        raise Failure(str(error)) from error
    except (BadTrace, BadSpeeds) as error:
        raise Failure(str(error), code=EXIT_USAGE) from error
    found = compare(results)
    if options.report is not None:
        from simulations.report.sides import comparison_page

        write(options.report, comparison_page(found, results, again(_asked(files, options))))
    if output != "table":
        emit(found, output)
        return
    show_account(found.runs[0].read)
    print(f"{found.workload}: each less {found.baseline}; {found.method}")
    for name, rows in found.differences.items():
        print()
        columns = ("figure", found.baseline, name, "difference", "from", "to", "pairs")
        table(columns, [_cells(row) for row in rows])
        for row in rows:
            if row.left_out:
                print(f"{row.figure}: {row.left_out:,} jobs are left out, which have it not in both")


def _asked(files: Sequence[Path], options: Options) -> Asked:
    """With the files that the alternatives and the load are."""
    own = (file_of(options.load), *files, *options.teams, options.cluster, options.policy, options.events)
    return replace(options.asked, files=(*own, *options.asked.files))


def _processes(options: Options) -> int | None:
    """Runs at a time here; None where a backend decides."""
    if options.processes == 0:
        raise Failure("--processes 0: expected 1 or more, or -1 for one a core", code=EXIT_USAGE)
    if options.backend is None:
        return -1 if options.processes is None else options.processes
    if options.processes is not None:
        text = "--processes counts the cores here and --backend runs elsewhere: leave one of them out"
        raise Failure(text, code=EXIT_USAGE)
    return None


def _alternatives(files: Sequence[Path], options: Options) -> list[Alternative]:
    """Policies on one cluster, clusters under one policy, both mixed with what is common; or teams."""
    common = options.teams[0] if len(options.teams) == 1 else None
    if len(options.teams) > 1:
        if files:
            text = f"{files[0]} beside several --teams: compare one thing at a time, and name what is common"
            raise Failure(f"{text} by --policy and --cluster", code=EXIT_USAGE)
        files = options.teams
    elif len(files) < 2:
        text = "compare needs two files or more: policies or clusters, or --teams more than once"
        raise Failure(text, code=EXIT_USAGE)
    found: list[Alternative] = []
    for file in files:
        policy: Path | None
        cluster: Path | None
        teams: Path | None
        if common is None and options.teams:
            policy, cluster, teams = options.policy, options.cluster, file
        elif is_policy(file):
            policy, cluster, teams = file, options.cluster, common
        else:
            policy, cluster, teams = options.policy, file, common
        if cluster is None:
            raise Failure(f"{file} is no cluster: name the cluster by --cluster", code=EXIT_USAGE)
        chosen = setting(policy, teams=teams, terms=options.terms)
        name = title(file)
        if any(one.name == name for one in found):
            raise Failure(f"{file}: a second alternative named {name}; rename the file", code=EXIT_USAGE)
        nodes = cluster_of(cluster)
        chosen = replace(chosen, changes=changes(options.events, nodes))
        found.append(Alternative(name=name, nodes=nodes, setting=chosen))
    return found


def is_policy(file: Path) -> bool:
    """Whether the file is a SchedulerConfiguration, and not a cluster."""
    if file.suffix in (".csv", ".gz"):
        return False
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Failure(f"{file}: {error}", code=EXIT_USAGE) from error
    return isinstance(found, dict) and found.get("kind") == KIND


def _cells(row: Difference) -> tuple[str, ...]:
    low, high = ("-" if bound is None else f"{bound:+,.4g}" for bound in (row.low, row.high))
    change = f"{row.difference:+,.4g}"
    return (row.figure, f"{row.baseline:,.6g}", f"{row.value:,.6g}", change, low, high, f"{row.pairs:,}")
