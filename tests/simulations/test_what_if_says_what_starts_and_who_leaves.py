"""What-if: the planner's own answer to a change, with times by what is known to end, and who leaves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.cli.main import main
from scheduler.model.objects import Node, Owner, Pod
from scheduler.model.plan import Budget, Policy
from scheduler.service import ESTIMATE
from simulations.manifests import BadManifest
from simulations.snapshots import ClusterSnapshot, write_snapshot
from simulations.submitted import Submitted, read_manifests
from simulations.teams import read_teams
from simulations.whatif import Answer, Change, Start, what_if
from tests.builders import gang, node

NOW_S = 1_700_000_000.0
OWNER = Owner(api_version="batch/v1", kind="Job", name="j", uid="u")
QUOTAS = """\
{kind: TeamQuota, metadata: {name: red}, spec: {namespaces: [red], guaranteed: {gpu: %d}}}
---
{kind: TeamQuota, metadata: {name: blue}, spec: {namespaces: [blue], guaranteed: {gpu: %d}}}
"""


def members(
    name: str, size: int, *, on: str = "", runs_s: float | None = None, gpu: int = 8, namespace: str = "team"
) -> list[Pod]:
    """A gang; bound to a node since 100 s where one is named."""
    found = gang(name, size, gpu=gpu, namespace=namespace)
    words = () if runs_s is None else ((ESTIMATE, f"{runs_s}"),)
    return [
        replace(
            one,
            annotations=tuple(sorted((*one.annotations, *words))),
            owner=OWNER,
            node_name=on,
            phase="Running" if on else "Pending",
            created_s=NOW_S - 200.0,
            started_s=NOW_S - 100.0 if on else None,
        )
        for one in found
    ]


def snapshot(nodes: Sequence[Node], *gangs: list[Pod]) -> ClusterSnapshot:
    return ClusterSnapshot(
        taken_s=NOW_S,
        scheduler_name="stowplan",
        nodes=tuple(nodes),
        pods=tuple(one for found in gangs for one in found),
        namespaces={"team": {}, "red": {}, "blue": {}},
    )


def ask(found: ClusterSnapshot, change: Change, *, horizon_s: float = 86_400.0) -> Answer:
    return what_if(found, change, policy=Policy(), budget=Budget(), horizon_s=horizon_s)


def start(found: Answer, name: str) -> Start:
    return next(one for one in found.starts if one.gang == name)


@settings(max_examples=12, deadline=None)
@given(
    running=st.lists(st.tuples(st.sampled_from([1, 4, 8]), st.floats(200, 5_000)), max_size=3),
    waiting=st.lists(st.tuples(st.integers(1, 3), st.sampled_from([1, 4, 8])), min_size=1, max_size=5),
)
def test_nothing_changed_changes_nothing_and_enough_nodes_start_all(
    running: list[tuple[int, float]], waiting: list[tuple[int, int]]
) -> None:
    nodes = [node(f"n{i}") for i in range(3)]
    gangs = [members(f"r{i}", 1, on=f"n{i}", gpu=g, runs_s=s) for i, (g, s) in enumerate(running)]
    gangs += [members(f"w{i}", size, gpu=gpu, runs_s=50.0) for i, (size, gpu) in enumerate(waiting)]
    found = snapshot(nodes, *gangs)
    same = ask(found, Change())
    assert all(one.before_s == one.after_s for one in same.starts)
    assert same.displaced == same.displaced_before == []
    assert {one.gang for one in same.starts} == {f"team/w{i}" for i in range(len(waiting))}
    assert all(one.before_s is not None for one in same.starts if one.pods <= 3)
    more = [node(f"more{i}") for i in range(sum(size for size, _ in waiting))]
    grown = ask(found, Change(adds=more))
    assert all(one.after_s == 0.0 for one in grown.starts)
    assert all(a.before_s == b.before_s for a, b in zip(same.starts, grown.starts, strict=True))


@pytest.mark.parametrize("runs_s", [150.0, 1_000.0])
def test_a_gang_starts_when_what_holds_its_room_ends(runs_s: float) -> None:
    found = snapshot([node("n0")], members("long", 1, on="n0", runs_s=runs_s))
    submits = Submitted(pods=tuple(members("new", 1)))
    answer = ask(found, Change(submits=submits))
    assert start(answer, "team/new").is_submitted
    assert start(answer, "team/new").after_s == pytest.approx(runs_s - 100.0)
    assert start(ask(found, Change(submits=submits), horizon_s=10.0), "team/new").after_s is None
    unknown = ask(snapshot([node("n0")], members("long", 1, on="n0")), Change(submits=submits))
    assert unknown.endless == 1
    assert start(unknown, "team/new").after_s is None
    assert "needs 1 of 1" in start(unknown, "team/new").message


def test_a_drained_node_loses_its_pods_and_they_start_elsewhere() -> None:
    nodes = [node("n0"), node("n1")]
    found = snapshot(nodes, members("moves", 2, on="n0", gpu=2), members("stays", 1, on="n1", gpu=4))
    answer = ask(found, Change(drains=frozenset({"n0"})))
    assert [(one.gang, one.pods, one.at_s, one.rule) for one in answer.displaced] == [
        ("team/moves", 2, 0.0, "drain")
    ]
    assert start(answer, "team/moves").after_s is not None
    assert start(answer, "team/moves").after_s == pytest.approx(0.0, abs=1.0)
    full = ask(
        snapshot(nodes, members("moves", 2, on="n0", gpu=4), members("stays", 1, on="n1")),
        Change(drains=frozenset({"n0"})),
    )
    assert start(full, "team/moves").after_s is None


def test_a_guarantee_takes_back_what_was_borrowed(tmp_path: Path) -> None:
    path = tmp_path / "quotas.yaml"
    path.write_text(QUOTAS % (0, 16))
    before = read_teams(path)
    path.write_text(QUOTAS % (8, 8))
    after = read_teams(path)
    nodes = [node("n0"), node("n1")]
    lent = [members(f"lent{i}", 1, on=f"n{i}", namespace="blue") for i in range(2)]
    found = replace(snapshot(nodes, *lent, members("own", 1, namespace="red")), quotas=before.quotas)
    answer = ask(found, Change(teams=after))
    assert start(answer, "red/own").before_s is None
    assert start(answer, "red/own").after_s == pytest.approx(0.0, abs=1.0)
    assert [(one.gang, one.rule, one.beneficiary) for one in answer.displaced] == [
        (answer.displaced[0].gang, "reclaim", "red/own")
    ]
    assert answer.displaced[0].gang in ("blue/lent0", "blue/lent1")
    assert answer.displaced_before == []


MANIFEST = """\
apiVersion: batch/v1
kind: Job
metadata: {name: train, namespace: team}
spec:
  parallelism: 2
  completions: 2
  template:
    metadata: {annotations: {stowplan.dev/gang: train, stowplan.dev/gang-min-member: "2"}}
    spec:
      schedulerName: stowplan
      containers: [{name: c, image: i, resources: {limits: {nvidia.com/gpu: 8}}}]
"""


def test_the_command_line_asks_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = snapshot([node("n0")], members("long", 1, on="n0", runs_s=700.0))
    write_snapshot(tmp_path / "s.gz", found)
    (tmp_path / "job.yaml").write_text(MANIFEST)
    (tmp_path / "more.yaml").write_text("pools: [{name: more, count: 1, gpus: 8}]\n")
    asked = ["what-if", str(tmp_path / "s.gz"), "--submit", str(tmp_path / "job.yaml")]
    for words, after_s in (([], None), (["--add", str(tmp_path / "more.yaml")], 600.0)):
        with pytest.raises(SystemExit) as ended:
            main([*asked, *words, "-o", "json"])
        assert ended.value.code in (0, None)
        (one,) = json.loads(capsys.readouterr().out)["starts"]
        assert (one["gang"], one["pods"], one["is_submitted"]) == ("team/train", 2, True)
        assert one["after_s"] == (None if after_s is None else pytest.approx(after_s))
    with pytest.raises(SystemExit):
        main([*asked, "--drain", "n0"])
    told = capsys.readouterr().out
    assert "team/long" in told
    assert "drain" in told
    for words in (["--drain", "gone"], ["--add", str(tmp_path / "none.yaml")]):
        with pytest.raises(SystemExit) as ended:
            main([*asked, *words])
        assert ended.value.code == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind: PyTorchJob", "expected Pod, Job and PodGroup"),
        ("{kind: Job, metadata: {name: a}, spec: {}}", "spec.template"),
        ("{kind: Pod, metadata: {name: a}, spec: {priorityClassName: high}}", "give spec.priority"),
        ("{kind: Pod, metadata: {name: a}, spec: {nodeName: 3}}", "Expected `str`"),
        ("just text", "expected a manifest"),
        ("{a: [", "while parsing"),
    ],
)
def test_a_manifest_that_cannot_be_taken_is_told(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(BadManifest) as caught:
        read_manifests(path, at_s=NOW_S)
    assert str(caught.value).startswith(str(path))
    assert expected in str(caught.value)
