"""Policies or clusters side by side on the same load: paired differences with confidence intervals.

Where the load is generated, one pair is one seed. Where it is one trace, one pair is one job, in order of
submission; ``simulations.intervals`` says how neighbours that are alike are taken into account. Figures over
jobs are of the same jobs on both sides, those that have the figure in both runs. How many are left out is
told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import numpy as np
from joblib import Parallel, delayed
from joblib.parallel import get_active_backend
from numpy.typing import NDArray

from scheduler.model.objects import Node
from simulations.engine import Engine, Setting
from simulations.intervals import CONFIDENCE, of_independent, of_series
from simulations.loads.formats import is_generated, load
from simulations.outcome import Outcome
from simulations.report.series import Timeline, timeline
from simulations.summary import Summary, quantile, summarise
from simulations.workload import Workload

METHOD: Final = (
    "{pairs} paired by {unit}; {confidence:.0%} intervals of the mean difference by Student's t, of jobs "
    "with the long-run variance of their series"
)
#: Figures of ``Summary`` and of its total.
OF_RUN: Final = ("makespan_s", "gpu_share", "fragmented_share", "mean_waiting_jobs")
OF_TOTAL: Final = ("evictions", "ended")
#: Figures over jobs: what they are over, and which quantile, or None for the mean.
OF_JOBS: Final[Mapping[str, tuple[Literal["jct_s", "wait_s"], float | None]]] = {
    "avg_jct_s": ("jct_s", None),
    "p99_jct_s": ("jct_s", 0.99),
    "avg_wait_s": ("wait_s", None),
    "p99_wait_s": ("wait_s", 0.99),
}

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One policy on one cluster."""

    name: str
    nodes: tuple[Node, ...]
    setting: Setting


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """One run. ``jct_s``, ``wait_s``, ``gpus``: float64 by job that counts, in order of submission; NaN:
    none.
    """

    alternative: str
    seed: int | None
    summary: Summary
    jct_s: Floats
    wait_s: Floats
    gpus: Floats
    timeline: Timeline


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of an alternative less that of the baseline.

    ``pairs``: jobs or runs in which both have it; ``left_out``: jobs that have it in one or in neither.
    ``low`` and ``high`` bound the mean difference; None where there is one pair, or where the jobs are too
    few for how alike neighbours are.
    """

    figure: str
    baseline: float
    value: float
    difference: float
    low: float | None
    high: float | None
    pairs: int
    left_out: int = 0


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The first alternative is the baseline; ``differences`` are by alternative, ``runs`` by run."""

    workload: str
    baseline: str
    method: str
    differences: dict[str, list[Difference]]
    runs: list[Summary]


def sweep(
    alternatives: Sequence[Alternative],
    said: str,
    seeds: Sequence[int | None],
    *,
    processes: int | None = None,
    done: Callable[[int], None] | None = None,
) -> list[Result]:
    """Every alternative on every seed, by joblib, where ``simulations.backends`` or ``parallel_config`` say.

    A trace is read here, once, so that workers elsewhere need no file; an invented load is made where it is
    run, for the baseline's cluster. ``done`` is told of each run that ended, or of all in the end where the
    backend tells nothing before. Raises: BadTrace.
    """
    nodes = alternatives[0].nodes
    jobs = None if is_generated(said) else load(said, nodes)
    tasks = [(one, said if jobs is None else jobs, nodes, seed) for seed in seeds for one in alternatives]
    tells, _ = get_active_backend()
    form = "generator" if tells.supports_return_generator else "list"
    running: Iterable[Result] = Parallel(n_jobs=processes, return_as=form)(
        delayed(simulated)(*task) for task in tasks
    )
    results: list[Result] = []
    for result in running:
        results.append(result)
        if done is not None:
            done(len(results))
    return results


def simulated(
    one: Alternative, wanted: str | Workload, load_nodes: tuple[Node, ...], seed: int | None
) -> Result:
    """One run, of these jobs or of the load of that name."""
    jobs = load(wanted, load_nodes, seed=seed) if isinstance(wanted, str) else wanted
    outcome = Engine(jobs, one.nodes, one.setting).run()
    return Result(
        alternative=one.name,
        seed=seed,
        summary=summarise(outcome, policy=one.name),
        jct_s=_by_job(outcome, "jct_s"),
        wait_s=_by_job(outcome, "wait_s"),
        gpus=np.array([story.job.total_gpus for story in outcome.counted], dtype=np.float64),
        timeline=timeline(outcome),
    )


def _by_job(outcome: Outcome, field: str) -> Floats:
    found = [getattr(story, field) for story in outcome.counted]
    return np.array([np.nan if value is None else value for value in found], dtype=np.float64)


def compare(results: Sequence[Result]) -> Comparison:
    """Every alternative against the first. ``results`` as ``sweep`` gives them."""
    names = list(dict.fromkeys(result.alternative for result in results))
    runs = {name: [r for r in results if r.alternative == name] for name in names}
    base = runs[names[0]]
    by_seed = len(base) > 1
    return Comparison(
        workload=base[0].summary.workload,
        baseline=names[0],
        method=METHOD.format(
            pairs=f"{len(base):,} runs" if by_seed else "jobs of one run",
            unit="seed" if by_seed else "job",
            confidence=CONFIDENCE,
        ),
        differences={name: _differences(base, runs[name], by_seed) for name in names[1:]},
        runs=[result.summary for result in results],
    )


def _differences(base: Sequence[Result], other: Sequence[Result], by_seed: bool) -> list[Difference]:
    found: list[Difference] = []
    for figure, (field, share) in OF_JOBS.items():
        both = [_common(getattr(a, field), getattr(b, field)) for a, b in zip(base, other, strict=True)]
        left_out = sum(len(a.jct_s) - len(one) for a, (one, _) in zip(base, both, strict=True))
        if not by_seed and share is None:
            one, two = both[0]
            found.append(difference(figure, one, two, left_out=left_out, is_series=True))
        else:
            some = [(_figure(one, share), _figure(two, share)) for one, two in both if len(one)]
            values = np.array(some, dtype=np.float64).reshape(-1, 2)
            found.append(difference(figure, values[:, 0], values[:, 1], left_out=left_out))
    found += [difference(figure, _of(base, figure), _of(other, figure)) for figure in (*OF_TOTAL, *OF_RUN)]
    return found


def _common(base: Floats, other: Floats) -> tuple[Floats, Floats]:
    """The jobs that have the figure in both runs."""
    both = ~np.isnan(base) & ~np.isnan(other)
    return base[both], other[both]


def _figure(values: Floats, share: float | None) -> float:
    return float(values.mean()) if share is None else quantile(np.sort(values).tolist(), share)


def _of(results: Sequence[Result], figure: str) -> Floats:
    owners = [r.summary.total if figure in OF_TOTAL else r.summary for r in results]
    return np.array([getattr(owner, figure) for owner in owners], dtype=np.float64)


def difference(
    figure: str, base: Floats, other: Floats, *, left_out: int = 0, is_series: bool = False
) -> Difference:
    """Over the pairs in which both are numbers; with the interval of the mean difference.

    base, other: float64[n], NaN where there is none. is_series: the pairs are jobs in order of submission.
    """
    one, two = _common(base, other)
    bounds = (of_series if is_series else of_independent)(two - one)
    low, high = (None, None) if bounds is None else bounds
    return Difference(
        figure=figure,
        baseline=float(one.mean()) if len(one) else 0.0,
        value=float(two.mean()) if len(two) else 0.0,
        difference=float((two - one).mean()) if len(one) else 0.0,
        low=low,
        high=high,
        pairs=len(one),
        left_out=left_out,
    )
