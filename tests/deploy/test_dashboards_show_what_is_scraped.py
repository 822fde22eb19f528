"""A real Prometheus scrapes what the chart installs: every query of every dashboard has an answer."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from deploy import reference
from deploy.dashboards.boards import DASHBOARDS
from deploy.dashboards.grafana import place_of, rendered
from deploy.dashboards.panels import Dashboard
from deploy.local import helm
from deploy.local.manifests import DEPLOY
from deploy.local.nodes.pools import Pool, specs
from deploy.local.nodes.register import register
from deploy.local.nodes.writer import Writer
from deploy.local.nvml.library import FakeNode, shipped
from deploy.local.prometheus import Server, promtool, running_prometheus
from scheduler.kube.transport import Transport
from tests.deploy.containers import Kubelet, fake_driver
from tests.deploy.documents import of_kind, parsed
from tests.deploy.waiting import SETTLE_S, until_ready
from tests.faults.stage import gang, pod

ALERTS = DEPLOY / "monitoring" / "alerts.yaml"
TEAMS = "/apis/stowplan.dev/v1alpha1/teamquotas"
#: What Grafana would fill in.
FILLED = {"$__rate_interval": "1m", "$team": ".*"}


def families() -> set[str]:
    """The name of every metric of the scheduler and of the agent, as it is exposed."""
    registries = (reference.scheduler_registry(), reference.agent_registry())
    return {entry.name for registry in registries for entry in reference.entries(registry)}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: str(one.name))
def test_the_json_is_the_sources(dashboard: Dashboard) -> None:
    text = place_of(dashboard).read_text(encoding="utf-8")
    assert text == rendered(dashboard), "run python -m deploy.dashboards"
    told = json.loads(text)
    targets = [target["expr"] for panel in told["panels"] for target in panel.get("targets", ())]
    assert targets == [query.expression for query in dashboard.queries()]


def test_no_file_is_left_of_a_dashboard_that_is_gone() -> None:
    kept = {file.name for file in (DEPLOY / "monitoring" / "dashboards").iterdir()}
    assert kept == {place_of(dashboard).name for dashboard in DASHBOARDS}


def test_every_metric_is_shown_somewhere() -> None:
    shown = {
        re.sub(r"_(bucket|count|sum)$", "", name)
        for dashboard in DASHBOARDS
        for query in dashboard.queries()
        for name in re.findall(r"\bstowplan_\w+", query.expression)
    }
    assert shown == families()


def test_the_page_of_metrics_is_the_registries() -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), "run python -m deploy.reference"


@pytest.mark.parametrize("registry", [reference.scheduler_registry, reference.agent_registry])
def test_promtool_finds_nothing_to_say_of_the_metrics(registry: Callable[[], CollectorRegistry]) -> None:
    assert promtool(["check", "metrics"], given=generate_latest(registry()).decode()) == ""


def test_the_chart_brings_the_dashboards_only_where_asked() -> None:
    assert "grafana_dashboard" not in helm.template()
    asked = parsed(helm.template({"monitoring": {"dashboards": True}}))
    maps = [one for one in of_kind(asked, "ConfigMap") if "grafana_dashboard" in one["metadata"]["labels"]]
    told = {name: text for one in maps for name, text in one["data"].items()}
    assert {name: json.loads(text) for name, text in told.items()} == {
        place_of(one).name: json.loads(rendered(one)) for one in DASHBOARDS
    }


@asynccontextmanager
async def team_of(api: Transport, namespace: str) -> AsyncIterator[None]:
    body = {
        "apiVersion": "stowplan.dev/v1alpha1",
        "kind": "TeamQuota",
        "metadata": {"name": namespace},
        "spec": {"namespaces": [namespace]},
    }
    await api.request("POST", TEAMS, body=msgspec.json.encode(body))
    yield
    await api.delete(f"{TEAMS}/{namespace}")


async def has_a_figure(server: Server, expression: str) -> bool:
    """Whether some series of the answer is a number: no division by zero, no quantile of nothing."""
    for name, text in FILLED.items():
        expression = expression.replace(name, text)
    return any(not math.isnan(float(series.value[1])) for series in await server.query(expression))


async def test_every_query_of_every_dashboard_has_an_answer(
    kubelet_of: Kubelet, api: Transport, free_port: Callable[[], int], tmp_path: Path, namespace: str
) -> None:
    nodes = specs([Pool(name=f"{namespace}-n", count=2, gpus=4), Pool(name=f"{namespace}-a", gpus=8)])
    await register(Writer(api), nodes, clock=time.time)
    watched = nodes[-1].name
    driver = fake_driver(FakeNode(tmp_path, watched, shipped("h100-nvswitch")))
    agent = await kubelet_of.start(
        "DaemonSet", "stowplan-agent-nvidia", port=free_port(), node=watched, extra=driver
    )
    scheduler = await kubelet_of.start("Deployment", "stowplan", port=free_port())
    await until_ready(scheduler)
    targets = {"scheduler": [scheduler.url.authority], "agent": [agent.url.authority]}
    async with (
        team_of(api, namespace),
        running_prometheus(tmp_path / "prometheus", free_port(), targets, [ALERTS]) as server,
    ):
        # A rate shows what happened after the first look.
        await server.until("count(up == 1) == 2", within_s=SETTLE_S)
        for body in [*gang("work", 4), *gang("wide", 3, gpus=8), pod("alone")]:
            await api.request("POST", f"/api/v1/namespaces/{namespace}/pods", body=msgspec.json.encode(body))
        missing = {query.expression for dashboard in DASHBOARDS for query in dashboard.queries()}
        assert len(missing) > len(families()) / 2
        try:
            async with asyncio.timeout(2 * SETTLE_S):
                while missing:
                    missing = {one for one in missing if not await has_a_figure(server, one)}
        except TimeoutError:
            assert missing == set(), f"{scheduler.tail()}\n{agent.tail()}"
        rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
        for rule in rules:
            assert isinstance(await server.query(rule["expr"]), list)
        assert await server.query('ALERTS{alertname=~"StowplanTwoLead|StowplanAgentCannotWrite"}') == []
