"""``--warm-up`` and ``--horizon``: whose times count, and what is said of jobs that have not ended."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.cli.main import main
from simulations.engine import Engine, Setting
from simulations.node_events import NodeChange
from simulations.outcome import Outcome
from simulations.summary import summarise
from simulations.workload import Job, workload
from tests.builders import node
from tests.simulations.drawn import NODES, jobs


def run(found: Sequence[Job], **fields: Any) -> Outcome:
    return Engine(workload("drawn", found), NODES, Setting(**fields)).run()


@settings(max_examples=25, deadline=None)
@given(found=jobs(), warm_up_s=st.integers(0, 250), more_s=st.integers(1, 700))
def test_each_job_submitted_between_is_ended_running_or_waiting(
    found: list[Job], warm_up_s: int, more_s: int
) -> None:
    horizon_s = float(warm_up_s + more_s)
    whole, cut = run(found), run(found, warm_up_s=float(warm_up_s), horizon_s=horizon_s)
    summary = summarise(cut)
    between = [job for job in found if warm_up_s <= job.submit_s < horizon_s]
    assert summary.total.jobs == len(between)
    assert summary.total.jobs == summary.total.ended + sum(summary.unfinished.values())
    known = {story.job.name: story for story in whole.stories}
    for story in cut.stories:
        # The future does not reach back: until the horizon all is as without it.
        before = known[story.job.name]
        ended_s, started_s = before.ended_s, before.started_s
        assert story.ended_s == (ended_s if ended_s is not None and ended_s < horizon_s else None)
        assert story.started_s == (started_s if started_s is not None and started_s < horizon_s else None)
    assert all(stay.to_s <= horizon_s for stay in cut.stays)
    assert cut.end_s <= horizon_s
    assert 0 <= summary.gpu_share <= 1 + 1e-9


@settings(max_examples=15, deadline=None)
@given(found=jobs(), horizon_s=st.integers(1, 600), later_s=st.integers(0, 100))
def test_what_happens_from_the_horizon_on_changes_nothing(
    found: list[Job], horizon_s: int, later_s: int
) -> None:
    late = NodeChange(at_s=float(horizon_s + later_s), node=node("late", gpu=8), does="joins")
    lost = NodeChange(at_s=float(horizon_s + later_s), node=NODES[0], does="fails")
    one = run(found, horizon_s=float(horizon_s))
    other = run(found, horizon_s=float(horizon_s), changes=(late, lost))
    assert summarise(one) == summarise(other)
    assert one.stories == other.stories
    assert one.stays == other.stays


def answer(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr()
    return int(ended.value.code or 0), told.out, told.err


@pytest.fixture
def given_files(tmp_path: Path) -> list[str]:
    """Eight GPUs, and a job of them all every 100 s, each of which takes 150 s."""
    (tmp_path / "cluster.yaml").write_text("pools: [{name: a, count: 1, gpus: 8}]")
    rows = "".join(f"{at},150,8\n" for at in range(0, 1000, 100))
    (tmp_path / "jobs.csv").write_text("submit_s,duration_s,gpus\n" + rows)
    return [str(tmp_path / "jobs.csv"), "--cluster", str(tmp_path / "cluster.yaml")]


def test_unfinished_jobs_are_told_by_the_command(
    given_files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = answer(["simulate", *given_files, "--warm-up", "3min", "--horizon", "650s"], capsys)
    assert code == 0
    # Of those at 200 to 600 s the first two have ended (450 and 600 s), and the next one runs.
    assert "unfinished at the end of the run: 1 running, 2 waiting" in out
    code, out, _ = answer(
        ["simulate", *given_files, "--warm-up", "180", "--horizon", "650", "-o", "json"], capsys
    )
    found = json.loads(out)
    assert found["total"]["jobs"] == 5
    assert found["total"]["ended"] == 2
    assert found["unfinished"] == {"running": 1, "waiting": 2}
    # The account is of the file, whatever part of it counts.
    assert (found["read"]["records"], found["read"]["jobs"]) == (10, 10)
    assert found["total"]["avg_wait_s"] == pytest.approx((100 + 150 + 200) / 3, abs=0.1)
    assert found["gpu_share"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--horizon", "soon"], "--horizon: expected a time such as 90, 90s, 15min, 2h or 1.5d"),
        (["--warm-up", "-3"], "--warm-up: expected a time such as"),
        (["--warm-up", "2h", "--horizon", "120min"], "--horizon 7200 s: nothing counts after a --warm-up of"),
    ],
)
def test_times_that_cannot_be_are_refused(
    given_files: list[str], options: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = answer(["simulate", *given_files, *options], capsys)
    assert code == 2
    assert expected in err


def test_a_comparison_pairs_the_jobs_that_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(5)
    rows = [f"{i * 60},{chance.randint(10, 150)},{chance.randint(1, 8)}" for i in range(200)]
    (tmp_path / "jobs.csv").write_text("submit_s,duration_s,gpus\n" + "\n".join(rows) + "\n")
    names = []
    for count in (1, 2):
        (tmp_path / f"{count}.yaml").write_text(f"pools: [{{name: a, count: {count}, gpus: 8}}]")
        names.append(str(tmp_path / f"{count}.yaml"))
    common = ["--load", str(tmp_path / "jobs.csv"), "--processes", "1", "-o", "json"]
    code, out, err = answer(["compare", *names, *common, "--warm-up", "1h", "--horizon", "2h"], capsys)
    assert code == 0, err
    found = {row["figure"]: row for row in json.loads(out)["differences"]["2"]}
    # 60 jobs are submitted in the second hour.
    assert found["avg_wait_s"]["pairs"] + found["avg_wait_s"]["left_out"] == 60
    assert found["avg_wait_s"]["difference"] < 0
