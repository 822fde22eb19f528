"""What a dashboard shows, in no tool's words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

#: Grafana's names: a number, seconds, a second, a share of 1.
Unit = Literal["short", "s", "ops", "percentunit"]
Kind = Literal["number", "lines", "stack"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """``expression`` in PromQL. legend: labels in double braces, as Grafana fills them in."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """``says``: what a reader should make of it, one or two sentences."""

    title: str
    says: str
    queries: tuple[Query, ...]
    unit: Unit = "short"
    kind: Kind = "lines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A choice above the dashboard: the values of a label of a metric."""

    name: str
    metric: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """``name`` is its file's and, with a prefix, its uid."""

    name: str
    title: str
    says: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()

    def queries(self) -> Iterator[Query]:
        for row in self.rows:
            for panel in row.panels:
                yield from panel.queries


def one(expression: str, legend: str = "") -> tuple[Query, ...]:
    return (Query(expression=expression, legend=legend),)


def rate(counter: str, by: str, legend: str = "") -> tuple[Query, ...]:
    """How often a counter moves, by one of its labels; in all for an empty ``by``."""
    grouped = f"sum by ({by}) " if by else "sum"
    shown = legend or (f"{{{{{by}}}}}" if by else "")
    return one(f"{grouped}(rate({counter}[$__rate_interval]))", shown)


def quantiles(metric: str, *shares: float) -> tuple[Query, ...]:
    """Of a histogram, over everything that observes into it."""
    buckets = f"sum by (le) (rate({metric}_bucket[$__rate_interval]))"
    return tuple(
        Query(expression=f"histogram_quantile({share:g}, {buckets})", legend=f"{share:.0%}")
        for share in shares
    )


def gauge(metric: str, by: str) -> tuple[Query, ...]:
    """By a label; the leader's, where standbys tell zero or nothing."""
    return one(f"max by ({by}) ({metric})", f"{{{{{by}}}}}")
