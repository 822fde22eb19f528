"""``stowplan trace check``: what is in a trace, before anything is simulated."""

from __future__ import annotations

from pathlib import Path

from scheduler.cli.accounts import told
from scheduler.cli.failure import EXIT_USAGE, Failure
from scheduler.cli.output import Output, emit, table
from scheduler.cli.simulate import cluster_of, said_as
from scheduler.cli.units import duration, percent
from simulations.loads.files import BadTrace
from simulations.loads.formats import load
from simulations.loads.profile import Profile, profile
from simulations.loads.registry import named

_BAR_CELLS = 30


def check(file: Path, *, form: str | None, cluster: Path | None, output: Output) -> None:
    """Raises: Failure naming file, line and column of what is wrong."""
    nodes = () if cluster is None else cluster_of(cluster)
    try:
        found = load(said_as(str(file), form), nodes)
    except BadTrace as error:
        raise Failure(str(error), code=EXIT_USAGE) from error
    account = found.account
    if account is None:
        raise Failure(f"{file}: expected a file, found the name of a generator", code=EXIT_USAGE)
    answer = profile(found, account, named(account.form).origin, nodes)
    if output != "table":
        emit(answer, output)
        return
    _show(answer)


def _show(answer: Profile) -> None:
    print(f"{answer.file}: {answer.origin}")
    for line in told(answer.account):
        print(line)
    print(
        f"{answer.gpu_hours:,.1f} GPU-hours over {duration(answer.span_s)}, {answer.jobs_an_hour:,.2f} jobs "
        f"an hour, {answer.teams:,} teams, {percent(answer.estimated_share)} of the jobs with an estimate"
    )
    print(
        f"if nobody waited: {answer.mean_gpus:,.1f} GPUs in use on average, {answer.peak_gpus:,} at the most"
    )
    if answer.load is not None:
        print(
            f"load {percent(answer.load.load)} of {answer.load.gpus:,} GPUs; "
            f"{answer.load.too_large:,} jobs are too large for this cluster"
        )
    print()
    most = max(size.gpu_hours_share for size in answer.sizes)
    table(
        ("gpus", "jobs", "of jobs", "gpu-hours", "of gpu-hours", "median", "p99", "gpu-hours by size"),
        [
            (
                size.gpus,
                f"{size.jobs:,}",
                percent(size.jobs_share),
                f"{size.gpu_hours:,.1f}",
                percent(size.gpu_hours_share),
                duration(size.median_s),
                duration(size.p99_s),
                "#" * round(_BAR_CELLS * size.gpu_hours_share / most) if most else "",
            )
            for size in answer.sizes
        ],
    )
