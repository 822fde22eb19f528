"""deploy/monitoring/alerts.yaml: the metrics of each rule are exposed, and each rule has its runbook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from deploy.local import helm
from deploy.local.manifests import DEPLOY
from deploy.local.prometheus import promtool
from scheduler.inventory.metrics import AgentMetrics
from scheduler.kube.watch_metrics import WatchMetrics
from scheduler.live.metrics import Metrics
from tests.deploy.documents import Json, named, parsed

FILE = DEPLOY / "monitoring" / "alerts.yaml"
EXAMPLES = Path(__file__).with_name("alerts.test.yaml")
RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]


def exposed() -> str:
    scheduler, agent = Metrics(), AgentMetrics()
    WatchMetrics(scheduler.registry).of("pods", age_s=lambda: 0.0, objects=lambda: 0.0)
    return (generate_latest(scheduler.registry) + generate_latest(agent.registry)).decode()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_every_metric_of_a_rule_is_exposed(rule: Json) -> None:
    text = exposed()
    names = set(re.findall(r"stowplan_\w+", rule["expr"]))
    assert names
    # A metric with labels may show no series before its first event, but always its type.
    families = {re.sub(r"_bucket$", "", name) for name in names}
    assert {family for family in families if f"# TYPE {family} " not in text} == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_every_rule_has_its_page(rule: Json) -> None:
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
    assert f"## {rule['alert']}\n" in RUNBOOK.read_text(encoding="utf-8")
    assert rule["labels"]["severity"] in ("critical", "warning")


def test_the_chart_brings_the_rules_only_where_asked() -> None:
    assert "PrometheusRule" not in helm.template()
    asked = parsed(helm.template({"monitoring": {"rules": True, "serviceMonitor": True}}))
    assert [rule["alert"] for group in named(asked, "PrometheusRule", "stowplan")["spec"]["groups"]
            for rule in group["rules"]] == [rule["alert"] for rule in RULES]  # fmt: skip
    assert named(asked, "ServiceMonitor", "stowplan")["spec"]["endpoints"][0]["port"] == "http"
    assert named(asked, "PodMonitor", "stowplan-agent")


def test_promtool_takes_the_rules() -> None:
    assert f"SUCCESS: {len(RULES)} rules found" in promtool(["check", "rules", "--lint-fatal", str(FILE)])


def test_each_alert_fires_on_what_it_is_for_and_on_nothing_else() -> None:
    promtool(["test", "rules", str(EXAMPLES)])
    asked: dict[str, set[bool]] = {}
    for example in yaml.safe_load(EXAMPLES.read_text(encoding="utf-8"))["tests"]:
        for one in example["alert_rule_test"]:
            asked.setdefault(one["alertname"], set()).add(bool(one.get("exp_alerts")))
    assert asked == {rule["alert"]: {False, True} for rule in RULES}
