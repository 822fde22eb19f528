"""Every figure of the page and of the tables is one of the outcome, counted here a second time by hand."""

from __future__ import annotations

import hashlib
import html
import json
import shlex
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from pyarrow import parquet

from scheduler.cli.main import main
from scheduler.cli.units import duration
from scheduler.model.plan import Policy
from simulations.engine import Engine, Setting
from simulations.node_events import NodeChange
from simulations.outcome import Outcome
from simulations.report.page import page
from simulations.report.series import device_map, edges, series
from simulations.report.tables import write_tables
from simulations.summary import quantile, size_class, span, summarise
from simulations.teams import Teams, read_teams
from simulations.workload import Job, workload
from tests.simulations.drawn import NODES, jobs, policies

#: Figures of a chart are rounded to thousandths.
ROUNDED = 1e-3
EVIL = '</script><script src="http://evil.example/x.js">'


class Page(HTMLParser):
    """Elements that could load something, tables by id, and the text of scripts by id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.scripts: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.script_count = 0
        self.policy = ""
        self._table = self._script = ""
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.loads += [said[name] for name in ("src", "href", "action", "data") if name in said]
        if tag == "meta" and said.get("http-equiv") == "Content-Security-Policy":
            self.policy = said["content"]
        elif tag == "script":
            self.script_count += 1
            self._script = said.get("id", "code")
        elif tag == "table":
            self._table = said["id"]
            self.tables[self._table] = []
        elif tag == "tr":
            self.tables[self._table].append([])
        self._in_cell = tag in ("td", "th")
        if self._in_cell:
            self.tables[self._table][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._script = ""
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
        elif self._in_cell:
            self.tables[self._table][-1][-1] += data


def run(found: Sequence[Job], policy: Policy, **fields: object) -> Outcome:
    setting = Setting(policy=policy, **fields)  # type: ignore[arg-type] # fields of Setting by name
    return Engine(workload("drawn", found), NODES, setting).run()


def gpu_seconds(outcome: Outcome, begins: str) -> float:
    found = (stay.gpus * max(0.0, stay.to_s - getattr(stay, begins)) for stay in outcome.stays)
    return float(sum(found))


@settings(max_examples=25, deadline=None)
@given(found=jobs(), policy=policies)
def test_no_bin_loses_or_invents_a_gpu_second(found: list[Job], policy: Policy) -> None:
    outcome = run(found, policy, restart_s=7.0)
    from_s, to_s = span(outcome)
    told = series(outcome, bins=37)
    width_s = told.edges_s[1] - told.edges_s[0]
    assert told.allocated.sum() * width_s == pytest.approx(gpu_seconds(outcome, "from_s"), abs=1e-3)
    assert told.at_work.sum() * width_s == pytest.approx(gpu_seconds(outcome, "works_s"), abs=1e-3)
    assert told.teams["default"].sum() == pytest.approx(told.allocated.sum(), abs=1e-6)
    assert told.capacity.mean() == pytest.approx(32.0)
    assert told.waiting_jobs.mean() == pytest.approx(summarise(outcome).mean_waiting_jobs, abs=1e-6)
    if to_s > from_s:
        assert (told.at_work <= told.allocated + 1e-6).all()


@settings(max_examples=25, deadline=None)
@given(found=jobs(), policy=policies)
def test_the_map_gives_no_device_to_two(found: list[Job], policy: Policy) -> None:
    outcome = run(found, policy)
    told = device_map(outcome, bins=53)
    assert told.is_by_device
    assert len(told.rows) == 32
    assert told.held.max(initial=0.0) <= 1 + 1e-6
    assert told.held.min(initial=0.0) >= -1e-6
    at = edges(outcome, 53)
    assert told.held.sum() * (at[1] - at[0]) == pytest.approx(gpu_seconds(outcome, "from_s"), abs=1e-3)


@settings(max_examples=6, deadline=None)
@given(found=jobs(), policy=policies)
def test_the_page_says_what_happened_and_loads_nothing(found: list[Job], policy: Policy) -> None:
    outcome = run(found, policy)
    summary = summarise(outcome, policy=EVIL)
    read = Page(page(outcome, summary))
    assert all(told.startswith("data:image/png;base64,") for told in read.loads)
    assert read.policy.startswith("default-src 'none';")
    assert read.script_count == 1
    charts = {chart["id"]: chart for chart in json.loads(read.scripts["charts"])}
    assert list(charts) == ["allocation", "completion", "waits", "teams", "fragmentation", "queue", "devices"]
    assert all(f"{name}-table" in read.tables for name in charts)
    from_s, to_s = span(outcome)
    lines = {line["name"]: np.array(line["y"]) for line in charts["allocation"]["data"]}
    held = gpu_seconds(outcome, "from_s")
    assert lines["allocated"].mean() * (to_s - from_s) == pytest.approx(
        held, abs=ROUNDED * (to_s - from_s) + 1e-3
    )
    heat = np.array(charts["devices"]["data"][0]["z"])
    assert heat.sum(axis=0).mean() * (to_s - from_s) == pytest.approx(held, abs=0.2 * (to_s - from_s) + 1e-3)
    rows = {row[0]: row[1:] for row in read.tables["figures"][1:]}
    total = summary.total
    assert rows["all"][:3] == [str(total.jobs), str(total.ended), str(total.evictions)]
    assert rows["all"][4] == duration(total.avg_jct_s)
    jcts = sorted(s.jct_s for s in outcome.stories if s.jct_s is not None)
    told = dict(read.tables["completion-table"][1:])
    assert told == {
        f"{share} %": duration(quantile(jcts, share / 100)) for share in (5, 25, 50, 75, 90, 95, 99, 100)
    }
    waits = read.tables["waits-table"][1:]
    sizes = sorted({s.job.total_gpus for s in outcome.stories})
    for name, row in zip(dict.fromkeys(map(size_class, sizes)), waits, strict=True):
        assert row[0] == f"{name} GPUs"
        of = [s for s in outcome.stories if size_class(s.job.total_gpus) == name]
        assert row[1] == str(len(of))
    longest_s = max(s.wait_s for s in outcome.stories if s.wait_s is not None)
    unit = charts["waits"]["layout"]["yaxis"]["title"]["text"]
    unit_s = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}[unit]
    if charts["waits"]["data"]:
        box = charts["waits"]["data"][0]
        for at, shown in enumerate(box["x"]):
            ordered = sorted(
                s.wait_s
                for s in outcome.stories
                if f"{size_class(s.job.total_gpus)} GPUs" == shown and s.wait_s is not None
            )
            assert box["median"][at] * unit_s == pytest.approx(quantile(ordered, 0.5), abs=unit_s * ROUNDED)
            assert box["upperfence"][at] * unit_s <= longest_s + unit_s * ROUNDED


@pytest.mark.parametrize("evil", [EVIL, "</script x", "<!--<script", "&lt;b&gt;"])
def test_a_name_cannot_leave_its_place(evil: str) -> None:
    found = [Job(name=evil, submit_s=0, duration_s=10, gpus=1, team=evil)]
    found.append(Job(name="big", submit_s=0, duration_s=10, gpus=9, team="other"))
    outcome = run(found, Policy())
    read = Page(page(outcome, summarise(outcome, policy=evil)))
    assert all(told.startswith("data:image/png;base64,") for told in read.loads)
    assert read.script_count == 1
    assert f"team {evil}" in [row[0] for row in read.tables["figures"]]
    # Browsers end a script where Python's parser does not, so there must be nothing to end it with.
    assert "<" not in read.scripts["charts"]
    lines = json.loads(read.scripts["charts"])[3]["data"]
    assert evil in [line["name"] for line in lines]


@settings(max_examples=6, deadline=None)
@given(found=jobs(), policy=policies)
def test_the_tables_are_the_run(
    tmp_path_factory: pytest.TempPathFactory, found: list[Job], policy: Policy
) -> None:
    outcome = run(found, policy)
    written = write_tables(tmp_path_factory.mktemp("tables"), outcome)
    read = {path.stem: parquet.read_table(path).to_pylist() for path in written}
    assert [row["name"] for row in read["jobs"]] == [s.job.name for s in outcome.stories]
    assert [row["ended_s"] for row in read["jobs"]] == [s.ended_s for s in outcome.stories]
    assert [row["estimate_s"] for row in read["jobs"]] == [s.job.estimate_s for s in outcome.stories]
    total = sum((row["to_s"] - row["from_s"]) * row["gpus"] for row in read["stays"])
    assert total == pytest.approx(gpu_seconds(outcome, "from_s"), abs=1e-6)
    assert [row["allocated_gpus"] for row in read["curve"]] == list(outcome.curve.allocated)


QUOTAS = """\
{kind: List, items: [
  {kind: Namespace, metadata: {name: red, labels: {who: red}}},
  {kind: TeamQuota, metadata: {name: red}, spec: {namespaceSelector: {matchLabels: {who: red}},
    guaranteed: {gpu: 16}}}]}
---
{kind: TeamQuota, metadata: {name: blue}, spec: {namespaces: [blue], guaranteed: {gpu: 16}}}
"""


@pytest.fixture
def two_teams(tmp_path: Path) -> Teams:
    path = tmp_path / "teams.yaml"
    path.write_text(QUOTAS)
    return read_teams(path)


@pytest.mark.parametrize("seed", range(2))
def test_what_teams_hold_stands_beside_what_they_are_due(two_teams: Teams, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = [
        Job(
            name=f"{team}-{i}",
            submit_s=float(rng.uniform(0, 50)) + (0 if team == "red" else 500),
            duration_s=float(rng.uniform(200, 400)),
            gpus=int(rng.choice([1, 2, 4, 8])),
            team=team,
        )
        for i in range(25)
        for team in ("red", "blue")
    ]
    outcome = run(found, Policy(), teams=two_teams)
    assert outcome.dues
    by_index = outcome.workload.jobs
    for moment in outcome.dues:
        for team in ("red", "blue"):
            held = sum(
                stay.gpus
                for stay in outcome.stays
                if by_index[stay.job].team == team and stay.from_s <= moment.at_s < stay.to_s
            )
            assert moment.used[team] == held
        assert sum(moment.due.values()) <= 32
    alone = [m for m in outcome.dues if 60 < m.at_s < 400]
    assert alone
    assert all(m.due["red"] > 16 for m in alone)
    both = [m for m in outcome.dues if m.due["blue"] >= 16 and m.due["red"] >= 16]
    assert both
    lines = {line["name"]: line["y"] for line in _teams_chart(outcome)}
    assert lines["red is due"] == [pytest.approx(m.due["red"], abs=ROUNDED) for m in outcome.dues]
    assert lines["blue holds"] == [pytest.approx(m.used["blue"], abs=ROUNDED) for m in outcome.dues]


def _teams_chart(outcome: Outcome) -> list[dict[str, Any]]:
    charts = json.loads(Page(page(outcome, summarise(outcome))).scripts["charts"])
    found: list[dict[str, Any]] = next(c["data"] for c in charts if c["id"] == "teams")
    return found


def test_the_command_writes_page_and_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "nodes.yaml").write_text("pools: [{name: a, count: 2, gpus: 8}]\n")
    (tmp_path / "teams.yaml").write_text(QUOTAS.replace("blue", "team-0"))
    words = ["simulate", "poisson:jobs=30,seed=3,largest=8", "--cluster", str(tmp_path / "nodes.yaml")]
    words += ["--teams", str(tmp_path / "teams.yaml"), "--report", str(tmp_path / "out/report.html")]
    words += ["-o", "parquet", "--tables", str(tmp_path / "tables")]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code in (0, None)
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.stem for path in written] == ["jobs", "stays", "curve", "teams"]
    ended_s = [row["ended_s"] for row in parquet.read_table(written[0]).to_pylist()]
    told = Page((tmp_path / "out/report.html").read_text())
    rows = {row[0]: row for row in told.tables["figures"]}
    # What it takes to have the page again.
    assert html.escape(shlex.join(["stowplan", *words])) in (tmp_path / "out/report.html").read_text()
    assert told.tables["inputs"][1:] == [
        [name, hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()]
        for name in ("nodes.yaml", "teams.yaml")
    ]
    assert rows["all"][2] == str(len([one for one in ended_s if one is not None]))
    assert {row["team"] for row in parquet.read_table(written[3]).to_pylist()} == {"red", "team-0"}
    (tmp_path / "teams.yaml").write_text("{kind: Namespace, metadata: {name: red}}")
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "expected TeamQuota manifests" in capsys.readouterr().err


def test_a_lost_node_keeps_its_row() -> None:
    found = [Job(name=f"job-{i}", submit_s=0, duration_s=100, gpus=8) for i in range(4)]
    changes = (NodeChange(at_s=50.0, node=NODES[1], does="fails"),)
    outcome = run(found, Policy(), changes=changes)
    told = device_map(outcome)
    assert len(told.rows) == 32
    lost = [row for row, name in zip(told.held, told.rows, strict=True) if name.startswith("n1 ")]
    assert all(0 < row.mean() < 0.5 for row in lost)
