"""What if, on one page: how a cluster goes on as it is, beside how it goes on with the change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scheduler.cli.units import duration
from simulations.report.page import rendered
from simulations.report.repeat import Repeat
from simulations.report.series import BINS, Timeline, steps
from simulations.report.sides import Side, Table, allocation, distribution, waits
from simulations.whatif import Answer, Course, Start
from simulations.workload import MILLI

ASSUMPTIONS = (
    "Writes are answered at once. Time passes only by ends that are known: a gang ends when its estimate or "
    "its limit says so, and one that says nothing stays. Pods with an owner are made anew when displaced."
)
BEFORE, AFTER = "as it is", "with the change"


def what_if_page(answer: Answer, before: Course, after: Course, again: Repeat | None = None) -> str:
    """The page of an answer and the two courses that it was taken from."""
    last_s = max(course.held[-1][0] for course in (before, after))
    end_s = max(last_s, 1.0)
    sides = [
        _side(BEFORE, before, [one.before_s for one in answer.starts], answer.starts, end_s),
        _side(AFTER, after, [one.after_s for one in answer.starts], answer.starts, end_s),
    ]
    text = "From now to the start, of the gangs that wait and start within the horizon"
    charts = [
        distribution("starts", "Times to start", text, sides, [side.wait_s for side in sides]),
        waits(sides),
        allocation(sides, clock="from now"),
    ]
    return rendered(
        "sides.html",
        charts,
        ASSUMPTIONS,
        again,
        title="What if",
        command="what-if",
        text=f"How the cluster goes on as it is, and with the change, within {duration(answer.horizon_s)}. "
        f"{answer.endless:,} running gangs do not say when they end, or should have.",
        tables=[_starts(answer), _displaced(answer)],
    )


def _side(
    name: str, course: Course, starts: Sequence[float | None], of: Sequence[Start], end_s: float
) -> Side:
    edges_s = np.linspace(0.0, end_s, BINS + 1)
    at_s = [at for at, _ in course.held]
    return Side(
        name=name,
        jct_s=np.zeros(0),
        wait_s=np.array([np.nan if at is None else at for at in starts], dtype=np.float64),
        gpus=np.array([one.gpus for one in of], dtype=np.float64),
        timeline=Timeline(
            edges_s=edges_s,
            capacity=np.full(BINS, float(course.capacity)),
            allocated=steps(at_s, [milli / MILLI for _, milli in course.held], edges_s),
            waiting_jobs=np.zeros(BINS),
        ),
    )


def _starts(answer: Answer) -> Table:
    rows = [
        [one.gang, f"{one.pods:,}", f"{one.gpus:g}", _before(one), _at(one.after_s), _why(one)]
        for one in sorted(answer.starts, key=lambda one: (one.before_s == one.after_s, one.gang))
    ]
    return Table(
        id="gangs",
        title="Gangs that wait",
        columns=["gang", "pods", "GPUs", f"starts, {BEFORE}", f"starts, {AFTER}", "why not"],
        rows=rows,
    )


def _before(one: Start) -> str:
    if one.is_submitted:
        return "-"
    return "runs" if one.is_running else _at(one.before_s)


def _at(seconds: float | None) -> str:
    if seconds is None:
        return "never, as far as is known"
    return "at once" if seconds < 1 else f"in {duration(seconds)}"


def _why(one: Start) -> str:
    return one.message if one.after_s is None else ""


def _displaced(answer: Answer) -> Table:
    both = ((BEFORE, answer.displaced_before), (AFTER, answer.displaced))
    return Table(
        id="displaced",
        title="Displaced",
        columns=["gang", "", "pods", "when", "by", "for"],
        rows=[
            [one.gang, name, f"{one.pods:,}", _at(one.at_s), one.rule, one.beneficiary]
            for name, found in both
            for one in found
        ],
        notes=[] if any(found for _, found in both) else ["Nobody is displaced."],
    )
