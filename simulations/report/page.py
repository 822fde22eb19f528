"""One page of a run that needs no network and no script: charts as pictures, every one also as a table."""

from __future__ import annotations

from pathlib import Path

import msgspec
from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from scheduler.cli.units import duration
from simulations.outcome import Outcome
from simulations.report.charts import Chart, charts
from simulations.report.repeat import Repeat
from simulations.report.svg import picture
from simulations.summary import Figures, Summary

ASSUMPTIONS = (
    "Writes are answered at once. A job starts when enough of its gang is bound, and runs for its duration. "
    "An evicted job goes on from where it was, after what a restart costs; a job whose node "
    "failed goes on from its last checkpoint."
)
_COLUMNS = (
    ("jobs", "jobs"),
    ("ended", "ended"),
    ("evictions", "evictions"),
    ("gpu_seconds", "GPU-hours"),
    ("avg_jct_s", "avg jct"),
    ("median_jct_s", "median jct"),
    ("p99_jct_s", "p99 jct"),
    ("avg_wait_s", "avg wait"),
    ("p99_wait_s", "p99 wait"),
)


def page(outcome: Outcome, summary: Summary, again: Repeat | None = None) -> str:
    """The page as HTML. Nothing in it is taken from anywhere but the outcome and how to have it again."""
    return rendered(
        "page.html",
        charts(outcome),
        ASSUMPTIONS,
        again,
        summary=summary,
        facts=_facts(summary),
        columns=[title for _, title in _COLUMNS],
        groups=_groups(summary),
    )


def rendered(
    template: str, found: list[Chart], assumptions: str, again: Repeat | None, **fields: object
) -> str:
    """A page of charts by its template; names in it are escaped."""
    environment = Environment(
        loader=PackageLoader("simulations.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(
        charts=[(chart, picture(chart)) for chart in found],
        assumptions=assumptions,
        again=again,
        data=_inert(found),
        **fields,
    )


def write(path: Path, text: str) -> None:
    """Raises: OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _inert(found: list[Chart]) -> Markup:
    """The figures as JSON that no name inside can end the script element with."""
    told = [{"id": chart.id, "data": chart.data, "layout": chart.layout} for chart in found]
    text = msgspec.json.encode(told).decode()
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _facts(summary: Summary) -> list[tuple[str, str]]:
    until = "the end" if summary.horizon_s is None else duration(summary.horizon_s)
    told = {
        "figures of jobs submitted": f"from {duration(summary.warm_up_s)} until {until}"
        if summary.warm_up_s or summary.horizon_s is not None
        else "",
        "unfinished": ", ".join(f"{count:,} {name}" for name, count in summary.unfinished.items()),
        "failed nodes away, GPU-hours": _hours(summary.failed_gpu_seconds),
        "drained nodes away, GPU-hours": _hours(summary.drained_gpu_seconds),
        "lost to faults, GPU-hours": _hours(summary.total.lost_gpu_seconds),
    }
    return [
        ("policy", summary.policy),
        ("nodes", f"{summary.nodes:,}"),
        ("GPUs", f"{summary.gpus:,}"),
        ("makespan", duration(summary.makespan_s)),
        ("GPUs allocated", f"{100 * summary.gpu_share:.2f} %"),
        ("free GPUs on nodes in use", f"{100 * summary.fragmented_share:.2f} %"),
        ("jobs waiting, mean", f"{summary.mean_waiting_jobs:,.2f}"),
        ("scheduling cycles", f"{summary.cycles:,}"),
        *((name, value) for name, value in told.items() if value),
    ]


def _hours(gpu_s: float) -> str:
    return f"{gpu_s / 3600:,.1f}" if gpu_s else ""


def _groups(summary: Summary) -> list[tuple[str, list[str]]]:
    rows = [("all", summary.total)]
    rows += [(f"{name} GPUs", one) for name, one in summary.by_gpus.items()]
    rows += [(f"team {name}", one) for name, one in summary.by_team.items()]
    return [(name, _cells(one)) for name, one in rows]


def _cells(one: Figures) -> list[str]:
    return [_cell(field, getattr(one, field)) for field, _ in _COLUMNS]


def _cell(field: str, value: float) -> str:
    if field == "gpu_seconds":
        return f"{value / 3600:,.1f}"
    return duration(value) if field.endswith("_s") else f"{value:,.0f}"
