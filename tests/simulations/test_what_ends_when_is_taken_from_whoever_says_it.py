"""``stowplan what-if``: ends by estimates, by limits, by a default; and the answer says which."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.cli.main import main
from scheduler.gangs.groups import MAX_EXEC_TIME, Job
from scheduler.kube import wire
from scheduler.model.objects import Pod
from scheduler.parse.groups import parse_job
from scheduler.parse.pod import parse_pod
from scheduler.service import ESTIMATE
from simulations.lengths import DEADLINE, DEFAULT, Lengths
from simulations.snapshots import write_snapshot
from tests.builders import node
from tests.simulations.test_what_if_says_what_starts_and_who_leaves import OWNER, members, snapshot


def job(name: str, **said: Any) -> Job:
    """As the API server's answer is read."""
    labels = said.pop("labels", {})
    document = {"metadata": {"name": name, "namespace": "team", "uid": "u", "labels": labels}, "spec": said}
    return parse_job(msgspec.json.decode(msgspec.json.encode(document), type=wire.Job))


def ask(
    running: list[Pod], jobs: Sequence[Job], folder: Path, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[dict[str, Any], str]:
    """What a gang that needs the whole node is told, as JSON and as the table."""
    waits = [replace(one, owner=replace(OWNER, name="other", uid="v")) for one in members("waits", 1)]
    found = snapshot([node("n0", gpu=8)], running, waits)
    write_snapshot(folder / "s.gz", replace(found, groups=tuple(jobs)))
    told = []
    for form in (["-o", "json"], []):
        with pytest.raises(SystemExit) as ended:
            main(["what-if", str(folder / "s.gz"), *more, *form])
        assert not ended.value.code
        told.append(capsys.readouterr().out)
    answer: dict[str, Any] = json.loads(told[0])
    return answer, told[1]


def start_s(answer: dict[str, Any]) -> float | None:
    found: float | None = next(one["after_s"] for one in answer["starts"] if "waits" in one["gang"])
    return found


KUEUE = {MAX_EXEC_TIME: "700"}


@pytest.mark.parametrize(
    ("estimate_s", "deadline_s", "said", "expected_s", "source"),
    [
        (500.0, 0.0, {"activeDeadlineSeconds": 200}, 400, ESTIMATE),
        (None, 300.0, {"activeDeadlineSeconds": 900}, 200, DEADLINE),
        (None, 0.0, {"activeDeadlineSeconds": 900}, 800, DEADLINE),
        (None, 0.0, {"activeDeadlineSeconds": 900, "labels": KUEUE}, 600, MAX_EXEC_TIME),
        (None, 0.0, {"labels": {MAX_EXEC_TIME: "soon"}}, None, None),
        (None, 0.0, {}, None, None),
    ],
)
def test_a_gang_ends_by_its_estimate_or_its_least_limit(
    estimate_s: float | None,
    deadline_s: float,
    said: dict[str, Any],
    expected_s: float | None,
    source: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    running = [replace(one, deadline_s=deadline_s) for one in members("runs", 1, on="n0", runs_s=estimate_s)]
    answer, table = ask(running, [job("j", **said)], tmp_path, capsys)
    # It has run for 100 s.
    assert start_s(answer) == (None if expected_s is None else pytest.approx(expected_s, abs=1))
    assert answer["ends_by"] == ({} if source is None else {source: 1})
    assert answer["endless"] == (source is None)
    if source is None:
        assert "1 running gangs do not say when they end, or should have: annotate" in table
    else:
        assert f"1 gangs are taken to end by {'their' if source != MAX_EXEC_TIME else 'Kueue'}" in table
    # A default is for those that say nothing.
    answer, table = ask(running, [job("j", **said)], tmp_path, capsys, "--default-duration", "30min")
    assert start_s(answer) == pytest.approx(1700 if expected_s is None else expected_s, abs=1)
    ends_by = dict.fromkeys([source or DEFAULT], 1)
    # The gang that waits says nothing either, and has started.
    ends_by[DEFAULT] = ends_by.get(DEFAULT, 0) + 1
    assert answer["ends_by"] == ends_by
    assert answer["endless"] == 0
    assert f"{ends_by[DEFAULT]} gangs are taken to end by --default-duration, for they say nothing" in table


@given(said=st.one_of(st.none(), st.integers(-(10**30), 10**30)))
def test_whatever_a_limit_says_is_a_time(said: int | None) -> None:
    spec = {} if said is None else {"activeDeadlineSeconds": said}
    document = msgspec.json.encode({"metadata": {"name": "p", "uid": "u"}, "spec": spec})
    try:
        pod = parse_pod(msgspec.json.decode(document, type=wire.Pod))
    except msgspec.ValidationError:
        return
    assert isinstance(pod, Pod)
    length = Lengths([], None).of(pod)
    assert length is None if not said or said < 0 else length is not None and length.seconds > 0


def test_a_default_that_is_no_time_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["what-if", str(tmp_path / "s.gz"), "--default-duration", "long"])
    assert ended.value.code == 2
    assert "--default-duration: expected a time such as" in capsys.readouterr().err
