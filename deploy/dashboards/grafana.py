"""A dashboard in Grafana's words, by Grafana's own model of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from string import ascii_uppercase
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, StackingConfig, VizTooltipOptions
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import StackingMode, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from deploy.dashboards.panels import Dashboard, Panel, Variable

#: The chart takes them from there.
FOLDER: Final = Path(__file__).resolve().parents[1] / "monitoring" / "dashboards"
#: Whoever imports a dashboard chooses the data source.
SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
#: Of a row that is 24 wide.
WIDTH: Final = 12
NUMBER_WIDTH: Final = 6
HEIGHT: Final = 8
NUMBER_HEIGHT: Final = 4


def place_of(dashboard: Dashboard) -> Path:
    return FOLDER / f"{dashboard.name}.json"


def rendered(dashboard: Dashboard) -> str:
    """The dashboard as JSON, ready to import; the same bytes for the same dashboard."""
    made = (
        build.Dashboard(dashboard.title)
        .uid(f"stowplan-{dashboard.name}")
        .description(dashboard.says)
        .tags(["stowplan"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .with_variable(build.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for variable in dashboard.variables:
        made = made.with_variable(_variable(variable))
    for row in dashboard.rows:
        made = made.with_row(build.Row(row.title))
        for panel in row.panels:
            made = made.with_panel(_number(panel) if panel.kind == "number" else _lines(panel))
    return JSONEncoder(sort_keys=True, indent=2).encode(made.build()) + "\n"


def _variable(variable: Variable) -> build.QueryVariable:
    return (
        build.QueryVariable(variable.name)
        .label(variable.name.title())
        .datasource(SOURCE)
        .query(f"label_values({variable.metric}, {variable.label})")
        .include_all(True)
        .multi(True)
    )


def _number(panel: Panel) -> stat.Panel:
    made = stat.Panel().title(panel.title).description(panel.says).unit(panel.unit).datasource(SOURCE)
    made = made.span(NUMBER_WIDTH).height(NUMBER_HEIGHT)
    made = made.reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    for target in _targets(panel):
        made = made.with_target(target)
    return made


def _lines(panel: Panel) -> timeseries.Panel:
    made = timeseries.Panel().title(panel.title).description(panel.says).unit(panel.unit).datasource(SOURCE)
    made = made.span(WIDTH).height(HEIGHT).min(0)
    made = made.tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    if panel.kind == "stack":
        made = made.stacking(StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(30)
    for target in _targets(panel):
        made = made.with_target(target)
    return made


def _targets(panel: Panel) -> Iterator[prometheus.Dataquery]:
    """Named A, B, ... as Grafana does."""
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        yield prometheus.Dataquery().expr(query.expression).legend_format(query.legend).ref_id(letter)
