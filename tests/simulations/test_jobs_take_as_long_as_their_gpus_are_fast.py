"""A table of speeds divides durations by the speed of the model that a job runs on, and nothing else."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from scheduler.cli.main import main
from tests.simulations.drawn import UNSHRUNK
from tests.simulations.test_each_public_format_is_read_as_what_it_is import stowplan
from tests.simulations.traces import SAMPLES

H100, A100 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-80GB"
EVENTS = "events:\n- {at: 40, fails: [h100-0], until: 90}\n- {at: 150, drains: [h100-1], until: 200}\n"


def table(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    """A CSV file of these rows, of which all have the same columns."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def cluster(folder: Path, **pools: tuple[str, int, int]) -> Path:
    """Pools of nodes by name: model, nodes, GPUs of each."""
    told = [
        f"{{name: {name}, count: {count}, gpus: {gpus}, model: {model}}}"
        for name, (model, count, gpus) in pools.items()
    ]
    path = folder / f"{'-'.join(pools)}.yaml"
    path.write_text(f"pools: [{', '.join(told)}]\n")
    return path


def lives(folder: Path, load: Path, nodes: Path, *words: str) -> dict[str, tuple[float, float, int]]:
    """Start, end and evictions of each job, as the command says in its tables."""
    told = folder / f"of-{load.stem}-{len(words)}"
    with pytest.raises(SystemExit) as ended:
        main(("simulate", str(load), "--cluster", str(nodes), *words, "-o", "parquet", "--tables", str(told)))
    assert ended.value.code == 0
    rows = parquet.read_table(told / "jobs.parquet").to_pylist()
    return {row["name"]: (row["started_s"], row["ended_s"], row["evictions"]) for row in rows}


@settings(max_examples=12, deadline=None, phases=UNSHRUNK)
@given(
    work=st.lists(
        st.tuples(
            st.integers(0, 200), st.integers(1, 80), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2)
        ),
        min_size=1,
        max_size=20,
    ),
    speed=st.sampled_from([0.25, 0.5, 2.0, 8.0]),
)
def test_at_one_speed_it_is_as_if_all_durations_were_divided(
    tmp_path_factory: pytest.TempPathFactory, work: list[tuple[int, int, int, int, int]], speed: float
) -> None:
    """Nodes that fail, evictions, restarts and checkpoints included: the same run, start by start."""
    folder = tmp_path_factory.mktemp("speeds")
    (folder / "events.yaml").write_text(EVENTS)
    speeds = table(folder / "speeds.csv", [{"model": "h100", "speed": speed}])
    rows: dict[str, list[dict[str, object]]] = {"plain": [], "fast": []}
    for i, (at, lasts, gpus, pods, priority) in enumerate(work):
        for name, by in (("plain", 1.0), ("fast", speed)):
            row = {"name": f"j{i}", "submit_s": at, "duration_s": lasts * by, "gpus": gpus, "pods": pods}
            rows[name].append({**row, "priority": priority})
    nodes = cluster(folder, h100=(H100, 3, 4))
    words = ("--events", str(folder / "events.yaml"), "--restart-seconds", "3", "--checkpoint-seconds", "16")
    plain = lives(folder, table(folder / "plain.csv", rows["plain"]), nodes, *words)
    fast = lives(folder, table(folder / "fast.csv", rows["fast"]), nodes, *words, "--speeds", str(speeds))
    assert [life[2] for life in fast.values()] == [life[2] for life in plain.values()]
    for name, life in plain.items():
        assert fast[name][:2] == pytest.approx(life[:2])


def test_a_gang_waits_for_its_slowest_gpus(tmp_path: Path) -> None:
    """The most exact row decides: of its kind and size, of its kind, of any; where models read alike, the
    longest name.
    """
    speeds = table(
        tmp_path / "speeds.csv",
        [
            {"model": "a100", "kind": "", "gpus": "", "speed": 0.5},
            {"model": "H100", "kind": "", "gpus": "", "speed": 2},
            {"model": "NVIDIA-H100", "kind": "bert", "gpus": "", "speed": 4},
            {"model": "NVIDIA", "kind": "bert", "gpus": "", "speed": 0.25},
            {"model": "H100", "kind": "bert", "gpus": 2, "speed": 5},
            {"model": "H100", "kind": "by-name", "gpus": "", "speed": 10},
        ],
    )
    jobs = [
        {"name": "both", "submit_s": 0, "gpus": 1, "pods": 2, "gpu_models": "", "kind": ""},
        {"name": "fast", "submit_s": 1000, "gpus": 1, "pods": 1, "gpu_models": H100, "kind": ""},
        {"name": "slow", "submit_s": 1000, "gpus": 1, "pods": 1, "gpu_models": A100, "kind": "resnet"},
        {"name": "bert", "submit_s": 2000, "gpus": 1, "pods": 1, "gpu_models": H100, "kind": "bert"},
        {"name": "slow-bert", "submit_s": 2000, "gpus": 1, "pods": 1, "gpu_models": A100, "kind": "bert"},
        {"name": "two", "submit_s": 3000, "gpus": 1, "pods": 2, "gpu_models": H100, "kind": "bert"},
        {"name": "by-name", "submit_s": 4000, "gpus": 1, "pods": 1, "gpu_models": H100, "kind": ""},
        {"name": "cpu", "submit_s": 5000, "gpus": 0, "pods": 1, "gpu_models": "", "kind": ""},
    ]
    load = table(tmp_path / "load.csv", [{**row, "duration_s": 100} for row in jobs])
    nodes = cluster(tmp_path, h100=(H100, 1, 1), a100=(A100, 1, 1))
    found = lives(tmp_path, load, nodes, "--speeds", str(speeds))
    took = {name: ended - started for name, (started, ended, _) in found.items() if started is not None}
    expected = {"both": 200, "fast": 50, "slow": 200, "bert": 25, "slow-bert": 400, "by-name": 10, "cpu": 100}
    assert took == {name: pytest.approx(seconds) for name, seconds in expected.items()}
    larger = cluster(tmp_path, many=(H100, 1, 2), a100=(A100, 1, 1))
    started_s, ended_s, _ = lives(tmp_path, load, larger, "--speeds", str(speeds), "--warm-up", "0")["two"]
    assert ended_s - started_s == pytest.approx(20)


def test_gavels_throughputs_are_speeds_beside_a_v100(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each job of its own trace takes its steps over the steps a second of the model it ran on. Where a model
    cannot run a kind at all, which Gavel writes as 0, that is said.
    """
    load, throughputs = SAMPLES / "gavel-physical.csv", SAMPLES / "isolated_throughputs.csv"
    with load.open() as file:
        jobs = {f"job-{row['job_id']}": row for row in csv.DictReader(file)}
    with throughputs.open() as file:
        steps = {
            (row["gpu_type"], row["job_type"], row["scale_factor"]): float(row["steps_per_s"])
            for row in csv.DictReader(file)
        }
    nodes = cluster(tmp_path, k80=("Tesla-K80", 4, 8))
    code, _, err = stowplan(
        capsys, "simulate", str(load), "--cluster", str(nodes), "--speeds", str(throughputs)
    )
    assert code == 2
    assert "no speed of jobs of kind 'ResNet-50 (batch size 128)' with 2 GPUs on Tesla-K80: add" in err
    for gpu_type in ("v100", "p100"):
        nodes = cluster(tmp_path, **{gpu_type: (f"Tesla-{gpu_type.upper()}-16GB", 4, 8)})
        found = lives(tmp_path / gpu_type, load, nodes, "--speeds", str(throughputs))
        assert len(found) == len(jobs) == 96
        for name, (started_s, ended_s, _) in found.items():
            row = jobs[name]
            rate = steps[gpu_type, row["job_type"], row["scale_factor"]]
            assert ended_s - started_s == pytest.approx(float(row["total_steps"]) / rate)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "model,speed,colour\nh100,1,red\n",
            ":1: expected the columns model, speed, perhaps kind, gpus; or gpu",
        ),
        ("kind,gpus\nbert,1\n", ":1: expected the columns model, speed"),
        ("model,speed\nh100,0\n", ":2: column speed: expected a number above 0, found '0'"),
        ("model,speed\nh100,1e9\n", ":2: column speed: expected a number from 0.001 to 1,000, found '1e9'"),
        ("model,speed\nh100,fast\n", ":2: column speed: expected a number above 0, found 'fast'"),
        ("model,speed\n,1\n", ":2: column model: expected a value"),
        ("model,speed\nh100,1\nH100,2\n", ":3: column model: expected one row for each model"),
        ("model,speed,gpus\nh100,1,-1\n", ":2: column gpus: expected a whole number"),
        (
            "model,speed\na100,1\n",
            f": no speed of job 'a' with 8 GPUs on {H100}: add a row for it, or take a",
        ),
        ("model,kind,speed\nh100,bert,1\n", f": no speed of job 'a' with 8 GPUs on {H100}: add a row"),
        (
            "gpu_type,job_type,scale_factor,steps_per_s\nk80,x,1,2\n",
            "add its row of v100, on which durations",
        ),
        (
            "gpu_type,job_type,scale_factor,steps_per_s\nv100,x,0,2\n",
            ":2: column scale_factor: expected a whole",
        ),
    ],
)
@pytest.mark.parametrize("command", ["simulate", "compare"])
def test_a_table_that_cannot_be_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str, text: str, expected: str
) -> None:
    speeds = tmp_path / "speeds.csv"
    speeds.write_text(text)
    load = table(tmp_path / "load.csv", [{"name": "a", "submit_s": 0, "duration_s": 10, "gpus": 8}])
    nodes = [cluster(tmp_path, **{name: (H100, count, 8)}) for name, count in (("one", 1), ("two", 2))]
    if command == "simulate":
        words = ["simulate", str(load), "--cluster", str(nodes[0])]
    else:
        words = ["compare", *map(str, nodes), "--load", str(load), "--processes", "1"]
    code, out, err = stowplan(capsys, *words, "--speeds", str(speeds))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {speeds}")
    assert expected in err


def test_gpus_of_no_model_have_no_speed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    speeds = table(tmp_path / "speeds.csv", [{"model": "h100", "speed": 1}])
    load = table(tmp_path / "load.csv", [{"submit_s": 0, "duration_s": 10, "gpus": 1}])
    nodes = tmp_path / "nodes.yaml"
    nodes.write_text("pools: [{name: bare, gpus: 8}]\n")
    words = ("simulate", str(load), "--cluster", str(nodes), "--speeds", str(speeds))
    code, _, err = stowplan(capsys, *words)
    assert (code, err) == (
        2,
        f"error: {speeds}: node bare-0 has GPUs of no model: give its pool a model, or leave --speeds out\n",
    )


def test_clusters_of_other_models_are_compared_by_their_speeds(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    speeds = table(tmp_path / "speeds.csv", [{"model": "h100", "speed": 2}, {"model": "a100", "speed": 1}])
    rows = [{"submit_s": 100 * i, "duration_s": 60, "gpus": 8} for i in range(5)]
    load = table(tmp_path / "load.csv", rows)
    nodes = [cluster(tmp_path, old=(A100, 1, 8)), cluster(tmp_path, new=(H100, 1, 8))]
    words = ("compare", *map(str, nodes), "--load", str(load), "--processes", "1", "-o", "json")
    code, out, err = stowplan(capsys, *words, "--speeds", str(speeds))
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    jct = next(row for row in found["differences"]["new"] if row["figure"] == "avg_jct_s")
    assert (jct["baseline"], jct["value"]) == (pytest.approx(60), pytest.approx(30))
