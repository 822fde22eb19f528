"""The charts of a page, as data in plotly's terms and, for each, the same numbers as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from scheduler.cli.units import duration
from simulations.outcome import Outcome, Story
from simulations.report.series import DeviceMap, Floats, Series, device_map, series
from simulations.summary import least_gpus, quantile, size_class

#: Okabe and Ito (2008): told apart by colour-blind readers, on light and on dark.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
#: Teams with a line of their own; the rest are summed.
TEAMS_MAX = 7
TABLE_ROWS = 24
#: Shares of the jobs at which completion times are told, and steps of their curve.
SHARES = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
PERCENTS = 200
OTHERS = "all others"
UNITS_S = ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))

Trace = dict[str, object]


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """``data`` and ``layout`` are plotly's; ``columns`` and ``rows`` say the same without scripts."""

    id: str
    title: str
    text: str
    data: list[Trace]
    layout: dict[str, object]
    columns: list[str]
    rows: list[list[str]]


def charts(outcome: Outcome) -> list[Chart]:
    """Every chart of a run, in the order of the page."""
    found, clock = series(outcome), Clock(outcome)
    return [
        allocation(found, clock),
        completion(outcome),
        waits(outcome),
        teams(outcome, found, clock),
        fragmentation(found, clock),
        queue(found, clock),
        devices(device_map(outcome), found, clock),
    ]


class Clock:
    """Virtual time as people read it: since the first submission, in one unit."""

    def __init__(self, outcome: Outcome) -> None:
        self.from_s = min((job.submit_s for job in outcome.workload.jobs), default=0.0)
        self.unit_s, self.unit = unit_of(outcome.end_s - self.from_s)

    @property
    def axis(self) -> dict[str, object]:
        return {"title": {"text": f"{self.unit} since the first submission"}}

    def __call__(self, at_s: Floats) -> list[float]:
        return rounded((at_s - self.from_s) / self.unit_s, 4)


def unit_of(length_s: float) -> tuple[float, str]:
    """The largest unit of which there are a few, in seconds, and its name."""
    return next(((s, name) for s, name in UNITS_S if length_s >= 3 * s), UNITS_S[-1])


def rounded(values: Floats, digits: int = 3) -> list[float]:
    return [float(value) for value in np.round(values, digits)]


def allocation(found: Series, clock: Clock) -> Chart:
    """GPUs that there are, that pods hold, and that do work."""
    lines = {"GPUs there are": found.capacity, "allocated": found.allocated, "at work": found.at_work}
    return _over_time(
        "allocation",
        "Allocation and utilisation",
        "Allocated: held by bound pods. At work: held by jobs that make progress, not waiting for the rest "
        "of their gang and not restarting.",
        lines,
        "GPUs",
        found,
        clock,
        filled=frozenset({"at work"}),
    )


def fragmentation(found: Series, clock: Clock) -> Chart:
    """Free GPUs, apart by whether their node is in use."""
    idle = np.maximum(0.0, found.capacity - found.allocated - found.scattered)
    return _over_time(
        "fragmentation",
        "Fragmentation",
        "Free GPUs on nodes that hold pods are left over between them: only small pods fit there.",
        {"free on nodes in use": found.scattered, "free on empty nodes": idle},
        "GPUs",
        found,
        clock,
        stacked=True,
    )


def queue(found: Series, clock: Clock) -> Chart:
    lines = {"jobs waiting": found.waiting_jobs, "GPUs they ask for": found.waiting_gpus}
    return _over_time(
        "queue",
        "Queue",
        "Jobs that were submitted or evicted and do not run, and the GPUs they ask for.",
        lines,
        "jobs, GPUs",
        found,
        clock,
    )


def teams(outcome: Outcome, found: Series, clock: Clock) -> Chart:
    """What each team holds; where TeamQuotas say so, beside what it may hold."""
    title = "Teams"
    if not outcome.dues:
        text = "GPUs held, by team. No TeamQuota was given (--teams), so no team is entitled to anything."
        return _over_time("teams", title, text, _largest(found.teams), "GPUs", found, clock)
    moments = outcome.dues
    names = sorted(moments[0].used, key=lambda name: (-sum(m.due.get(name, 0.0) for m in moments), name))
    at = clock(np.array([moment.at_s for moment in moments]))
    data: list[Trace] = []
    rows: list[list[str]] = []
    for number, name in enumerate(names[:TEAMS_MAX]):
        colour = COLOURS[number]
        used = rounded(np.array([moment.used.get(name, 0.0) for moment in moments]))
        due = rounded(np.array([moment.due.get(name, 0.0) for moment in moments]))
        data.append(step_line(f"{name} holds", at, used, colour))
        data.append(step_line(f"{name} is due", at, due, colour) | {"line": dashed(colour)})
        shown = [amount(sum(values) / len(values)) for values in (used, due)]
        rows.append([name, *shown, amount(max(used)), amount(max(due))])
    return Chart(
        id="teams",
        title=title,
        text="Normalised GPUs in use, and (dashed) what the team may have in use at that moment by its quota "
        "and what the others want. The table has means over the moments shown, and the most.",
        data=data,
        layout={"xaxis": clock.axis, "yaxis": {"title": {"text": "normalised GPUs"}, "rangemode": "tozero"}},
        columns=["team", "holds", "is due", "held at most", "due at most"],
        rows=rows,
    )


def completion(outcome: Outcome) -> Chart:
    """The distribution of completion times: the share of ended jobs that took no longer."""
    ended = sorted(story.jct_s for story in outcome.counted if story.jct_s is not None)
    unit_s, unit = unit_of(ended[-1] if ended else 0.0)
    shares = np.linspace(0.0, 1.0, PERCENTS + 1)
    values = rounded(np.array([quantile(ended, share) / unit_s for share in shares.tolist()]), 4)
    line = step_line("ended jobs", values, rounded(100 * shares), COLOURS[0])
    return Chart(
        id="completion",
        title="Completion times",
        text=f"From submission to end, of the {len(ended):,} jobs that ended: the share that took no longer.",
        data=[line] if ended else [],
        layout={
            "xaxis": {"title": {"text": unit}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "% of jobs"}, "range": [0, 100]},
        },
        columns=["share of jobs", "took no longer than"],
        rows=[[f"{100 * share:g} %", duration(quantile(ended, share))] for share in SHARES] if ended else [],
    )


def waits(outcome: Outcome) -> Chart:
    """Quartiles of the wait by what the whole gang asks for."""
    groups: dict[str, list[Story]] = {}
    for story in outcome.counted:
        groups.setdefault(size_class(story.job.total_gpus), []).append(story)
    names = sorted(groups, key=least_gpus)
    found = {name: sorted(s.wait_s for s in groups[name] if s.wait_s is not None) for name in names}
    longest_s = max((waited[-1] for waited in found.values() if waited), default=0.0)
    unit_s, unit = unit_of(longest_s)
    told = [name for name in names if found[name]]

    def at(share: float) -> list[float]:
        return rounded(np.array([quantile(found[name], share) / unit_s for name in told]), 4)

    box: Trace = {"type": "box", "x": [f"{name} GPUs" for name in told], "name": "wait"}
    box |= {"lowerfence": at(0.05), "q1": at(0.25), "median": at(0.5), "q3": at(0.75), "upperfence": at(0.95)}
    box |= {"line": {"color": COLOURS[0]}, "showlegend": False}
    rows = [
        [f"{name} GPUs", f"{len(groups[name]):,}", f"{len(groups[name]) - len(found[name]):,}"]
        + [duration(quantile(found[name], share)) for share in (0.5, 0.95, 1.0)]
        for name in names
    ]
    return Chart(
        id="waits",
        title="Wait by gang size",
        text=f"From submission to start, in {unit}, by the GPUs of the whole gang. Boxes are quartiles, "
        "whiskers 5 % and 95 %. Jobs that never started have no wait.",
        data=[box] if told else [],
        layout={"yaxis": {"title": {"text": unit}, "rangemode": "tozero"}},
        columns=["gang", "jobs", "never started", "median", "95 %", "longest"],
        rows=rows,
    )


def devices(found: DeviceMap, over: Series, clock: Clock) -> Chart:
    middle = (over.edges_s[1:] + over.edges_s[:-1]) / 2
    trace: Trace = {
        "type": "heatmap",
        "x": clock(middle),
        "y": list(found.rows),
        "z": [rounded(row, 2) for row in found.held],
        "zmin": 0,
        "zmax": 1,
        "colorscale": [[0, "rgba(128,128,128,0.10)"], [1, COLOURS[0]]],
        "colorbar": {"title": {"text": "held"}},
    }
    what = "GPU" if found.is_by_device else "node, or several nodes where there are many"
    return Chart(
        id="devices",
        title="Devices through time",
        text=f"One row a {what}, in the order of the cluster; the darker, the more of the time it is held."
        + (
            " Pods take the lowest free GPUs of their node."
            if found.is_by_device and not found.is_told
            else ""
        ),
        data=[trace],
        layout={
            "height": max(260, min(900, 90 + 9 * len(found.rows))),
            "xaxis": clock.axis,
            "yaxis": {"autorange": "reversed", "type": "category", "automargin": True},
        },
        columns=["GPU" if found.is_by_device else "node", "held"],
        rows=[[name, f"{100 * row.mean():.1f} %"] for name, row in zip(found.rows, found.held, strict=True)],
    )


def _over_time(
    name: str,
    title: str,
    text: str,
    lines: Mapping[str, Floats],
    axis: str,
    found: Series,
    clock: Clock,
    *,
    filled: frozenset[str] = frozenset(),
    stacked: bool = False,
) -> Chart:
    """Lines of means over bins; the table has means over fewer bins."""
    at = clock(found.edges_s[:-1])
    data = [
        step_line(label, at, rounded(values), COLOURS[i % len(COLOURS)])
        | ({"fill": "tozeroy"} if label in filled else {})
        | ({"stackgroup": "all"} if stacked else {})
        for i, (label, values) in enumerate(lines.items())
    ]
    bins = len(found.edges_s) - 1
    per_row = -(-bins // TABLE_ROWS)
    rows = [
        [amount(at[i]), *(amount(float(values[i : i + per_row].mean())) for values in lines.values())]
        for i in range(0, bins, per_row)
    ]
    return Chart(
        id=name,
        title=title,
        text=text,
        data=data,
        layout={"xaxis": clock.axis, "yaxis": {"title": {"text": axis}, "rangemode": "tozero"}},
        columns=[f"{clock.unit} from", *lines],
        rows=rows,
    )


def _largest(by_team: Mapping[str, Floats]) -> dict[str, Floats]:
    """The teams that held most; the others as one."""
    names = sorted(by_team, key=lambda name: (-float(by_team[name].sum()), name))
    lines = {name: by_team[name] for name in names[:TEAMS_MAX]}
    if len(names) > TEAMS_MAX:
        lines[OTHERS] = np.sum([by_team[name] for name in names[TEAMS_MAX:]], axis=0)
    return lines


def step_line(name: str, x: Sequence[float], y: Sequence[float], colour: str) -> Trace:
    """A step line: each value holds until the next."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {"shape": "hv", "color": colour, "width": 1.5},
    }


def dashed(colour: str) -> dict[str, object]:
    return {"shape": "hv", "color": colour, "width": 1.5, "dash": "dot"}


def amount(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
