"""Alternatives are compared on the same load, pair by pair; intervals hold the truth as often as they say."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.signal import lfilter

from scheduler.cli.main import main
from scheduler.model.plan import Policy
from simulations.comparison import Alternative, Result, compare, difference, sweep
from simulations.engine import Setting
from simulations.intervals import of_independent, of_series
from tests.builders import node

NODES = tuple(node(f"n{i}", gpu=8) for i in range(4))
LOAD = "poisson:jobs=40,load=1.2,largest=16"


def alternative(name: str, **fields: object) -> Alternative:
    policy = Policy(**fields)  # type: ignore[arg-type] # fields of Policy by name
    return Alternative(name=name, nodes=NODES, setting=Setting(policy=policy))


numbers = st.one_of(st.just(float("nan")), st.floats(-1e6, 1e6))


@settings(max_examples=60, deadline=None)
@given(
    values=arrays(np.float64, st.tuples(st.just(2), st.integers(1, 40)), elements=numbers),
)
def test_only_whole_pairs_count(values: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> None:
    found = difference("x", values[0], values[1])
    pairs = [(a, b) for a, b in values.T.tolist() if a == a and b == b]
    assert found.pairs == len(pairs)
    if pairs:
        mean = sum(b - a for a, b in pairs) / len(pairs)
        assert found.difference == pytest.approx(mean, abs=1e-6, rel=1e-6)
        assert found.value - found.baseline == pytest.approx(mean, abs=1e-4)
    if len(pairs) > 1:
        assert found.low is not None
        assert found.high is not None
        assert found.low - 1e-3 <= found.difference <= found.high + 1e-3
    else:
        assert found.low is found.high is None


@pytest.mark.parametrize("spread", [None, 1.2], ids=["normal", "heavy-tailed"])
@pytest.mark.parametrize("alike", [0.0, 0.5, 0.9, 0.98])
def test_intervals_of_a_series_hold_the_truth_as_often_as_they_say(
    alike: float, spread: float | None
) -> None:
    """Series with mean 0 whose neighbours are alike; at 0.98 a hundred neighbours count as one."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(400):
        noise = rng.normal(size=7_000)
        if spread is not None:
            noise = np.exp(spread * noise) - np.exp(spread**2 / 2)
        found.append(of_series(lfilter([1.0], [1.0, -alike], noise)[2_000:]))
    told = [bounds for bounds in found if bounds is not None]
    assert len(told) >= 370
    assert 0.92 <= sum(low <= 0 <= high for low, high in told) / len(told) <= 0.98


def test_a_series_too_short_for_how_alike_it_is_has_no_interval() -> None:
    rng = np.random.default_rng(7)
    walks = [np.cumsum(rng.normal(size=300)) for _ in range(50)]
    assert sum(of_series(walk) is None for walk in walks) >= 42


@pytest.mark.parametrize("count", [3, 6, 20])
def test_intervals_of_few_seeds_hold_the_truth_as_often_as_they_say(count: int) -> None:
    rng = np.random.default_rng(9)
    found = [of_independent(rng.normal(size=count)) for _ in range(1_000)]
    assert 0.93 <= sum(low <= 0 <= high for low, high in filter(None, found)) / 1_000 <= 0.97


def test_two_runs_are_compared_on_the_jobs_that_both_ended() -> None:
    """Of twenty jobs five never end under the one policy: their times are in neither column."""
    rng = np.random.default_rng(3)
    one = rng.uniform(1, 9, size=20)
    two = one + 1.0
    two[5:10] = np.nan
    results = [outcome_of("a", one), outcome_of("b", two)]
    told = {found.figure: found for found in compare(results).differences["b"]}
    for figure in ("avg_jct_s", "p99_jct_s", "avg_wait_s"):
        assert told[figure].left_out == 5
        assert told[figure].difference == pytest.approx(1.0)
    assert told["avg_jct_s"].pairs == 15


def outcome_of(name: str, times: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Result:
    """A run with these completion and waiting times, on a load of which nothing else matters."""
    (known,) = sweep([alternative(name)], LOAD, [0], processes=1)
    return replace(known, jct_s=times, wait_s=times)


def test_an_alternative_does_not_differ_from_itself() -> None:
    results = sweep([alternative("one"), alternative("other")], LOAD, [3, 4, 5], processes=1)
    for found in compare(results).differences["other"]:
        assert (found.difference, found.low, found.high, found.pairs) == (0.0, 0.0, 0.0, 3)


def test_processes_change_nothing() -> None:
    known = [alternative("fifo"), alternative("short", order="shortest-service", displaces=True)]
    one, two = (compare(sweep(known, LOAD, [0, 1], processes=count)) for count in (1, 2))
    assert one == two


def test_every_pair_is_on_the_same_jobs() -> None:
    known = [alternative("fifo"), alternative("short", order="shortest-service")]
    results = sweep(known, LOAD, [0, 1, 2], processes=1)
    by_seed: dict[int | None, list[float]] = {}
    for result in results:
        by_seed.setdefault(result.seed, []).append(result.summary.total.gpu_seconds)
    assert len(set(map(tuple, by_seed.values()))) == 3
    assert all(len(set(work)) == 1 for work in by_seed.values())
    told = {found.figure: found for found in compare(results).differences["short"]}
    mean = [
        np.mean([r.summary.total.avg_wait_s for r in results if r.alternative == n])
        for n in ("fifo", "short")
    ]
    assert told["avg_wait_s"].difference == pytest.approx(mean[1] - mean[0])


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    head = "apiVersion: stowplan.dev/v1alpha1\nkind: SchedulerConfiguration\n"
    texts = {
        "fifo.yaml": head,
        "short.yaml": head + "policy: {order: shortest-service, displaces: true}\n",
        "small.yaml": "pools: [{name: a, count: 2, gpus: 8}]\n",
        "large.yaml": "pools: [{name: a, count: 3, gpus: 8}]\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return {name: tmp_path / name for name in texts}


def answer(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr()
    return int(ended.value.code or 0), told.out, told.err


def test_policies_are_compared_from_the_command_line(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(files[name]) for name in ("fifo.yaml", "short.yaml")]
    common = ["--load", "heavy-tailed:jobs=50,load=1.5,largest=8", "--cluster", str(files["small.yaml"])]
    more = ["--seeds", "16", "--processes", "1"]
    code, out, _ = answer(["compare", *names, *common, *more, "-o", "json"], capsys)
    assert code == 0
    found = json.loads(out)
    assert found["baseline"] == "fifo"
    jct = next(row for row in found["differences"]["short"] if row["figure"] == "avg_jct_s")
    assert jct["pairs"] == 16
    assert jct["low"] <= jct["difference"] <= jct["high"] < 0
    code, out, _ = answer(["compare", *names, *common, *more], capsys)
    assert code == 0
    assert "16 runs paired by seed" in out
    assert "avg_jct_s" in out


def test_clusters_are_compared_on_one_trace_job_by_job(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(5)
    rows = [f"{i * 60},{chance.randint(10, 150)},{chance.randint(1, 8)}" for i in range(900)]
    trace = tmp_path / "jobs.csv"
    trace.write_text("submit_s,duration_s,gpus\n" + "\n".join(rows) + "\n")
    names = [str(files[name]) for name in ("small.yaml", "large.yaml")]
    code, out, _ = answer(["compare", *names, "--load", str(trace), "--processes", "1", "-o", "json"], capsys)
    assert code == 0
    found = {row["figure"]: row for row in json.loads(out)["differences"]["large"]}
    assert found["avg_wait_s"]["pairs"] == 900
    assert found["avg_wait_s"]["high"] < 0
    assert found["makespan_s"]["pairs"] == 1
    assert found["makespan_s"]["low"] is None


QUOTA = "{kind: TeamQuota, metadata: {name: only}, spec: {namespaces: [default], limit: {gpu: %d}}}\n"


def test_teams_are_compared_from_the_command_line(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "jobs.csv"
    trace.write_text("submit_s,duration_s,gpus\n" + "0,100,4\n" * 40)
    words = ["--load", str(trace), "--cluster", str(files["large.yaml"]), "--processes", "1"]
    for name, most in (("wide", 64), ("narrow", 4), ("wide-again", 64)):
        (tmp_path / f"{name}.yaml").write_text(QUOTA % most)
        words += ["--teams", str(tmp_path / f"{name}.yaml")]
    code, out, err = answer(["compare", *words, "-o", "json"], capsys)
    assert code == 0, err
    found = json.loads(out)
    assert found["baseline"] == "wide"
    makespan = {
        name: next(row for row in rows if row["figure"] == "makespan_s")
        for name, rows in found["differences"].items()
    }
    # One job at a time.
    assert makespan["narrow"]["value"] == pytest.approx(4_000, abs=5)
    assert makespan["narrow"]["difference"] > 0
    # The same quotas under another name are the same run.
    assert all(row["difference"] == 0 for row in found["differences"]["wide-again"])
    code, _, err = answer(["compare", str(files["fifo.yaml"]), *words], capsys)
    assert code == 2
    assert "fifo.yaml beside several --teams: compare one thing at a time" in err


def test_what_cannot_be_compared_is_told(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    fifo, small = str(files["fifo.yaml"]), str(files["small.yaml"])
    for arguments, expected in (
        ([fifo], "two files or more"),
        ([fifo, str(files["short.yaml"])], "name the cluster by --cluster"),
        ([small, small], "a second alternative named small"),
        ([small, str(files["large.yaml"]) + ".gone"], "No such file"),
    ):
        code, _, err = answer(["compare", *arguments, "--load", "poisson"], capsys)
        assert code == 2
        assert expected in err
