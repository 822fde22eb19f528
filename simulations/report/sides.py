"""Several runs side by side on one page: the same figures and the same charts, a line or box of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scheduler.cli.units import duration, percent
from simulations.comparison import Comparison, Difference, Result
from simulations.report.charts import (
    COLOURS,
    PERCENTS,
    SHARES,
    TABLE_ROWS,
    Chart,
    Trace,
    amount,
    dashed,
    rounded,
    step_line,
    unit_of,
)
from simulations.report.page import ASSUMPTIONS, rendered
from simulations.report.repeat import Repeat
from simulations.report.series import BINS, Floats, Timeline
from simulations.summary import least_gpus, quantile, size_class

CLOCK = "since the first submission"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    id: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """One alternative. ``jct_s``, ``wait_s``, ``gpus``: float64 by job, of all its runs; NaN: none.
    ``timeline`` is of its first run.
    """

    name: str
    jct_s: Floats
    wait_s: Floats
    gpus: Floats
    timeline: Timeline


def sides_of(results: Sequence[Result]) -> list[Side]:
    """One for each alternative, in their order."""
    runs: dict[str, list[Result]] = {}
    for result in results:
        runs.setdefault(result.alternative, []).append(result)
    return [
        Side(
            name=name,
            jct_s=np.concatenate([run.jct_s for run in found]),
            wait_s=np.concatenate([run.wait_s for run in found]),
            gpus=np.concatenate([run.gpus for run in found]),
            timeline=found[0].timeline,
        )
        for name, found in runs.items()
    ]


def comparison_page(found: Comparison, results: Sequence[Result], again: Repeat | None = None) -> str:
    """The page of a comparison. Nothing in it is taken from anywhere but the runs and how to have them."""
    sides = sides_of(results)
    seeds = len({result.seed for result in results})
    of = f"of the first of {seeds:,} runs each" if seeds > 1 else ""
    charts = [completion(sides), waits(sides), allocation(sides, of), queue(sides, of)]
    return rendered(
        "sides.html",
        charts,
        ASSUMPTIONS,
        again,
        title=f"{found.workload}: {', '.join(side.name for side in sides)}",
        command="compare",
        text=f"Each beside {found.baseline}, on the same jobs. {found.method[0].upper()}{found.method[1:]}.",
        tables=[_figures(found)],
    )


def _figures(found: Comparison) -> Table:
    names = list(found.differences)
    columns = ["figure", found.baseline]
    for name in names:
        columns += [name, "difference", "from", "to"]
    rows = []
    for at, first in enumerate(found.differences[names[0]]):
        told = _told(first.figure)
        cells = [first.figure.removesuffix("_s").replace("_", " "), told(first.baseline)]
        for name in names:
            row = found.differences[name][at]
            cells += [
                told(row.value),
                *(_signed(told, value) for value in (row.difference, row.low, row.high)),
            ]
        rows.append(cells)
    return Table(
        id="figures",
        title="Figures",
        columns=columns,
        rows=rows,
        notes=[_left_out(name, row) for name in names for row in found.differences[name] if row.left_out],
    )


def _left_out(name: str, row: Difference) -> str:
    figure = row.figure.removesuffix("_s").replace("_", " ")
    return f"{figure} of {name}: {row.left_out:,} jobs are left out, which have it not in both."


def _told(figure: str) -> Callable[[float], str]:
    if figure.endswith("_s"):
        return duration
    return percent if figure.endswith("_share") else amount


def _signed(told: Callable[[float], str], value: float | None) -> str:
    return "-" if value is None else f"{'-' if value < 0 else '+'}{told(abs(value))}"


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def completion(sides: Sequence[Side]) -> Chart:
    text = "From submission to end, of the jobs that ended"
    return distribution("completion", "Completion times", text, sides, [side.jct_s for side in sides])


def distribution(name: str, title: str, text: str, sides: Sequence[Side], values: Sequence[Floats]) -> Chart:
    """The share that took no longer, a line of each side; NaN counts as none.

    values: seconds of each side, float64 by job.
    """
    ended = [sorted(took[~np.isnan(took)].tolist()) for took in values]
    unit_s, unit = unit_of(max((found[-1] for found in ended if found), default=0.0))
    shares = np.linspace(0.0, 1.0, PERCENTS + 1)
    data = [
        step_line(
            side.name,
            rounded(np.array([quantile(found, share) / unit_s for share in shares.tolist()]), 4),
            rounded(100 * shares),
            colour(number),
        )
        for number, (side, found) in enumerate(zip(sides, ended, strict=True))
        if found
    ]
    counts = ", ".join(f"{len(found):,} of {s.name}" for s, found in zip(sides, ended, strict=True))
    return Chart(
        id=name,
        title=title,
        text=f"{text} ({counts}): the share that took no longer.",
        data=data,
        layout={
            "xaxis": {"title": {"text": unit}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "% of jobs"}, "range": [0, 100]},
        },
        columns=["share of jobs", *(side.name for side in sides)],
        rows=[
            [f"{100 * share:g} %", *(duration(quantile(found, share)) if found else "-" for found in ended)]
            for share in SHARES
        ],
    )


def waits(sides: Sequence[Side]) -> Chart:
    """Quartiles of the wait by what the whole gang asks for, a box of each side over a size."""
    by_size = [_waits(side) for side in sides]
    names = sorted({name for found in by_size for name in found}, key=least_gpus)
    longest_s = max((waited[-1] for found in by_size for waited in found.values() if waited), default=0.0)
    unit_s, unit = unit_of(longest_s)
    data: list[Trace] = []
    for number, (side, found) in enumerate(zip(sides, by_size, strict=True)):
        told = [name for name in names if found.get(name)]
        box: Trace = {"type": "box", "x": [f"{name} GPUs" for name in told], "name": side.name}
        for field, share in (
            ("lowerfence", 0.05),
            ("q1", 0.25),
            ("median", 0.5),
            ("q3", 0.75),
            ("upperfence", 0.95),
        ):
            box[field] = rounded(np.array([quantile(found[name], share) / unit_s for name in told]), 4)
        data.append(box | {"line": {"color": colour(number)}})
    return Chart(
        id="waits",
        title="Wait by gang size",
        text=f"From submission to start, in {unit}, by the GPUs of the whole gang. Boxes are quartiles, "
        "whiskers 5 % and 95 %. Jobs that never started have no wait.",
        data=data if any(trace["x"] for trace in data) else [],
        layout={"boxmode": "group", "yaxis": {"title": {"text": unit}, "rangemode": "tozero"}},
        columns=[
            "gang",
            *(f"{side.name}, {what}" for side in sides for what in ("started", "median", "95 %")),
        ],
        rows=[
            [f"{name} GPUs", *(cell for found in by_size for cell in _wait_cells(found.get(name, [])))]
            for name in names
        ],
    )


def _waits(side: Side) -> dict[str, list[float]]:
    """Waits in order of length, by size of the gang."""
    found: dict[str, list[float]] = {}
    for gpus, wait_s in sorted(zip(side.gpus.tolist(), side.wait_s.tolist(), strict=True)):
        of = found.setdefault(size_class(gpus), [])
        if wait_s == wait_s:
            of.append(wait_s)
    return {name: sorted(waited) for name, waited in found.items()}


def _wait_cells(waited: Sequence[float]) -> list[str]:
    if not waited:
        return ["0", "-", "-"]
    return [f"{len(waited):,}", duration(quantile(waited, 0.5)), duration(quantile(waited, 0.95))]


def allocation(sides: Sequence[Side], of: str = "", clock: str = CLOCK) -> Chart:
    """GPUs that pods hold; dashed, those that there are."""
    text = f"GPUs held by bound pods{', ' if of else ''}{of}; dashed, the GPUs that there are."
    return _over_time(
        "allocation",
        "Allocation",
        text,
        "GPUs",
        sides,
        lambda one: one.allocated,
        lambda one: one.capacity,
        clock=clock,
    )


def queue(sides: Sequence[Side], of: str = "") -> Chart:
    text = f"Jobs that were submitted or evicted and do not run{', ' if of else ''}{of}."
    return _over_time("queue", "Queue", text, "jobs", sides, lambda one: one.waiting_jobs)


def _over_time(
    name: str,
    title: str,
    text: str,
    axis: str,
    sides: Sequence[Side],
    values: Callable[[Timeline], Floats],
    limits: Callable[[Timeline], Floats] | None = None,
    clock: str = CLOCK,
) -> Chart:
    """All on one clock, which ends with the longest run."""
    end_s = max(float(side.timeline.edges_s[-1]) for side in sides)
    at = np.linspace(0.0, end_s, BINS + 1)
    unit_s, unit = unit_of(end_s)
    x = rounded(at[:-1] / unit_s, 4)
    lines = {side.name: side.timeline.over(values(side.timeline), at) for side in sides}
    data = [step_line(told, x, rounded(line), colour(i)) for i, (told, line) in enumerate(lines.items())]
    for i, side in enumerate(sides if limits is not None else ()):
        there = [] if limits is None else rounded(side.timeline.over(limits(side.timeline), at))
        data.append(step_line(f"{side.name}, there are", x, there, colour(i)) | {"line": dashed(colour(i))})
    per_row = -(-BINS // TABLE_ROWS)
    return Chart(
        id=name,
        title=title,
        text=text,
        data=data,
        layout={
            "xaxis": {"title": {"text": f"{unit} {clock}"}},
            "yaxis": {"title": {"text": axis}, "rangemode": "tozero"},
        },
        columns=[f"{unit} from", *lines],
        rows=[
            [amount(x[i]), *(amount(float(line[i : i + per_row].mean())) for line in lines.values())]
            for i in range(0, BINS, per_row)
        ],
    )
