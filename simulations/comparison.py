"""Policies or clusters side by side on the same load: paired differences with confidence intervals.

Where the load is generated, one pair is one seed. Where it is one trace, one pair is one job, and jobs
that were submitted one after another are resampled together, because who waits makes the next one wait:
the circular block bootstrap (Politis and Romano, 1992) with blocks of n^(1/3) jobs; seeds in blocks of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from joblib import Parallel, delayed
from joblib.parallel import get_active_backend
from numpy.typing import NDArray

from scheduler.model.objects import Node
from simulations.engine import Engine, Setting
from simulations.loads.formats import is_generated, load
from simulations.outcome import Outcome
from simulations.summary import Summary, summarise
from simulations.workload import Workload

RESAMPLES: Final = 2_000
#: Blocks drawn at a time, for memory.
DRAWS_MAX: Final = 1_000_000
CONFIDENCE: Final = 0.95
METHOD: Final = (
    "{pairs} paired by {unit}; {confidence:.0%} intervals by the percentile circular block bootstrap, "
    "{resamples:,} resamples"
)
#: Figures of ``Summary`` and of its total. Of a single trace those of ``BY_JOB`` are compared job by job.
OF_RUN: Final = ("makespan_s", "gpu_share", "fragmented_share", "mean_waiting_jobs")
OF_TOTAL: Final = ("avg_jct_s", "p99_jct_s", "avg_wait_s", "p99_wait_s", "evictions", "ended")
BY_JOB: Final = {"avg_jct_s": "jct_s", "avg_wait_s": "wait_s"}

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One policy on one cluster."""

    name: str
    nodes: tuple[Node, ...]
    setting: Setting


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """One run. ``jct_s`` and ``wait_s``: float64 by job in order of submission, NaN where there is none."""

    alternative: str
    seed: int | None
    summary: Summary
    jct_s: Floats
    wait_s: Floats


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of an alternative less that of the baseline, over the pairs in which both have one.

    ``low`` and ``high`` bound the mean difference; None where there is but one pair.
    """

    figure: str
    baseline: float
    value: float
    difference: float
    low: float | None
    high: float | None
    pairs: int


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
    )


def _by_job(outcome: Outcome, field: str) -> Floats:
    found = [getattr(story, field) for story in outcome.stories]
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
            resamples=RESAMPLES,
        ),
        differences={name: _differences(base, runs[name], by_seed) for name in names[1:]},
        runs=[result.summary for result in results],
    )


def _differences(base: Sequence[Result], other: Sequence[Result], by_seed: bool) -> list[Difference]:
    found: list[Difference] = []
    for figure in (*OF_TOTAL, *OF_RUN):
        if not by_seed and figure in BY_JOB:
            field = BY_JOB[figure]
            pairs = getattr(base[0], field), getattr(other[0], field)
            found.append(difference(figure, *pairs, block=max(1, round(len(pairs[0]) ** (1 / 3)))))
        else:
            found.append(difference(figure, _of(base, figure), _of(other, figure), block=1))
    return found


def _of(results: Sequence[Result], figure: str) -> Floats:
    owners = [r.summary.total if figure in OF_TOTAL else r.summary for r in results]
    return np.array([getattr(owner, figure) for owner in owners], dtype=np.float64)


def difference(figure: str, base: Floats, other: Floats, *, block: int) -> Difference:
    """Over the pairs in which both are numbers; with the interval of the mean difference."""
    both = ~np.isnan(base) & ~np.isnan(other)
    one, two = base[both], other[both]
    low, high = interval(two - one, block=min(block, len(one))) if len(one) > 1 else (None, None)
    return Difference(
        figure=figure,
        baseline=float(one.mean()) if len(one) else 0.0,
        value=float(two.mean()) if len(two) else 0.0,
        difference=float((two - one).mean()) if len(one) else 0.0,
        low=low,
        high=high,
        pairs=len(one),
    )


def interval(values: Floats, *, block: int, seed: int = 0) -> tuple[float, float]:
    """Bounds of the mean: resamples of blocks of neighbours, the last followed by the first."""
    rng = np.random.default_rng(seed)
    count = len(values)
    starts = -(-count // block)
    sums = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values[:block]]))])
    whole = sums[block : block + count] - sums[:count]
    means = np.empty(RESAMPLES)
    at_once = max(1, DRAWS_MAX // starts)
    for first in range(0, RESAMPLES, at_once):
        size = min(at_once, RESAMPLES - first)
        drawn = whole[rng.integers(count, size=(size, starts))]
        means[first : first + size] = drawn.sum(axis=1) / (starts * block)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
