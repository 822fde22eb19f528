"""A page of a comparison, or of a what-if, shows what each run did, beside each other, and loads nothing."""

from __future__ import annotations

import hashlib
import json
import shlex
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from scheduler.cli.main import main
from scheduler.cli.units import duration, percent
from simulations.snapshots import write_snapshot
from simulations.summary import quantile, size_class
from tests.builders import node
from tests.simulations.drawn import UNSHRUNK
from tests.simulations.test_a_report_holds_the_numbers_of_the_run import Page
from tests.simulations.test_each_public_format_is_read_as_what_it_is import stowplan
from tests.simulations.test_jobs_take_as_long_as_their_gpus_are_fast import table
from tests.simulations.test_what_if_says_what_starts_and_who_leaves import members, snapshot

BYTES_MAX = 2_000_000
#: Half of the last digit of what a chart's data are rounded to.
ROUNDED = 0.0005
UNITS_S = {"seconds": 1.0, "minutes": 60.0, "hours": 3_600.0, "days": 86_400.0}


def silent(*words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code in (0, None)


def opened(path: Path) -> tuple[Page, dict[str, Any]]:
    """The page, and its charts by id; it loads nothing and is small."""
    text = path.read_text()
    read = Page(text)
    assert read.loads == []
    assert read.policy.startswith("default-src 'none';")
    assert read.script_count == 1
    assert len(text.encode()) < BYTES_MAX
    return read, {chart["id"]: chart for chart in json.loads(read.scripts["charts"])}


def gpu_seconds(chart: dict[str, Any], name: str) -> float:
    """Under one line of a chart over time."""
    x, y = next((line["x"], line["y"]) for line in chart["data"] if line["name"] == name)
    unit = chart["layout"]["xaxis"]["title"]["text"].split()[0]
    return float(sum(y) * (x[-1] - x[0]) / (len(x) - 1) * UNITS_S[unit])


def clusters(folder: Path, **nodes: int) -> list[Path]:
    """Node files by name: so many nodes of eight GPUs."""
    found = [folder / f"{name}.yaml" for name in nodes]
    for path, count in zip(found, nodes.values(), strict=True):
        path.write_text(f"pools: [{{name: n, count: {count}, gpus: 8, model: NVIDIA-H100-80GB-HBM3}}]\n")
    return found


@settings(max_examples=5, deadline=None, phases=UNSHRUNK)
@given(
    work=st.lists(
        st.tuples(
            st.integers(0, 900), st.integers(1, 2_000), st.sampled_from([1, 2, 4, 8]), st.integers(1, 2)
        ),
        min_size=5,
        max_size=30,
    )
)
def test_each_side_is_its_own_run(
    tmp_path_factory: pytest.TempPathFactory, work: list[tuple[int, int, int, int]]
) -> None:
    """What the page says of each cluster is what ``simulate`` says of it alone."""
    folder = tmp_path_factory.mktemp("sides")
    columns = ("submit_s", "duration_s", "gpus", "pods")
    load = table(folder / "load.csv", [dict(zip(columns, row, strict=True)) for row in work])
    files = clusters(folder, small=2, large=5)
    page = folder / "out" / "page.html"
    words = ("compare", *map(str, files), "--load", str(load), "--processes", "1", "--report", str(page))
    silent(*words)
    _, charts = opened(page)
    assert list(charts) == ["completion", "waits", "allocation", "queue"]
    for file in files:
        told = folder / f"of-{file.stem}"
        silent("simulate", str(load), "--cluster", str(file), "-o", "parquet", "--tables", str(told))
        jobs = parquet.read_table(told / "jobs.parquet").to_pylist()
        jcts = sorted(job["jct_s"] for job in jobs)
        unit_s = UNITS_S[charts["completion"]["layout"]["xaxis"]["title"]["text"]]
        line = next(one for one in charts["completion"]["data"] if one["name"] == file.stem)
        for at, share in enumerate(np.linspace(0.0, 1.0, len(line["x"])).tolist()):
            assert line["y"][at] == pytest.approx(100 * share, abs=0.001)
            assert line["x"][at] * unit_s == pytest.approx(quantile(jcts, share), abs=unit_s * ROUNDED)
        unit_s = UNITS_S[charts["waits"]["layout"]["yaxis"]["title"]["text"]]
        for box in (one for one in charts["waits"]["data"] if one["name"] == file.stem):
            sizes = [size_class(job["gpus"] * job["pods"]) for job in jobs]
            assert {f"{size} GPUs" for size in sizes} == set(box["x"])
            for at, shown in enumerate(box["x"]):
                of = [job["wait_s"] for job, size in zip(jobs, sizes, strict=True) if f"{size} GPUs" == shown]
                assert box["median"][at] * unit_s == pytest.approx(
                    quantile(sorted(of), 0.5), abs=unit_s * ROUNDED
                )
        held = sum(job["gpus"] * job["pods"] * job["duration_s"] for job in jobs)
        lines = {one["name"]: one for one in charts["allocation"]["data"]}
        assert gpu_seconds(charts["allocation"], file.stem) == pytest.approx(held, rel=0.01, abs=1)
        assert max(lines[f"{file.stem}, there are"]["y"]) == {"small": 16, "large": 40}[file.stem]


def test_figures_are_those_of_the_comparison_and_it_can_be_made_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = clusters(tmp_path, four=4, five=5)
    page = tmp_path / "page.html"
    load = "poisson:jobs=150,load=1.1,largest=16"
    words = ["compare", *map(str, files), "--load", load, "--seeds", "2", "--processes", "1"]
    words += ["--report", str(page), "-o", "json"]
    code, out, err = stowplan(capsys, *words)
    assert (code, f"report: {page}" in err) == (0, True)
    read, charts = opened(page)
    rows = {row[0]: row for row in read.tables["figures"]}
    assert rows["figure"] == ["figure", "four", "five", "difference", "from", "to"]
    for found in json.loads(out)["differences"]["five"]:
        name = found["figure"]
        told = duration if name.endswith("_s") else percent if name.endswith("_share") else None
        cells = rows[name.removesuffix("_s").replace("_", " ")]
        if told is not None:
            assert cells[1:3] == [told(found["baseline"]), told(found["value"])]
            assert cells[3] == f"{'-' if found['difference'] < 0 else '+'}{told(abs(found['difference']))}"
    assert "(300 of four, 300 of five)" in page.read_text()
    assert [line["name"] for line in charts["completion"]["data"]] == ["four", "five"]
    assert escape(shlex.join(["stowplan", *words])) in page.read_text()
    assert read.tables["inputs"][1:] == [
        [file.name, hashlib.sha256(file.read_bytes()).hexdigest()] for file in files
    ]


def test_many_jobs_and_many_sides_stay_small(tmp_path: Path) -> None:
    files = clusters(tmp_path, **{f"with-{count}": count for count in range(4, 14)})
    page = tmp_path / "page.html"
    words = ("--load", "poisson:jobs=400,load=1.5,largest=8", "--seeds", "1", "--processes", "1")
    silent("compare", *map(str, files), *words, "--report", str(page))
    _, charts = opened(page)
    assert len(charts["waits"]["data"]) == len(charts["completion"]["data"]) == len(files)


@pytest.mark.parametrize("command", ["simulate", "compare"])
def test_a_format_that_is_said_is_no_part_of_the_files_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    load = tmp_path / "load.csv"
    load.write_text("submit_s,duration_s,gpus\n0,10,1\n")
    files = list(map(str, clusters(tmp_path, one=1, two=2)))
    page = tmp_path / "page.html"
    if command == "simulate":
        words = ["simulate", str(load), "--cluster", files[0]]
    else:
        words = ["compare", *files, "--load", str(load), "--processes", "1"]
    code, _, err = stowplan(capsys, *words, "--format", "csv", "--report", str(page))
    assert code == 0, err
    assert Page(page.read_text()).tables["inputs"][1] == [
        "load.csv",
        hashlib.sha256(load.read_bytes()).hexdigest(),
    ]


@settings(max_examples=6, deadline=None, phases=UNSHRUNK)
@given(
    running=st.lists(st.tuples(st.sampled_from([1, 4, 8]), st.integers(200, 900)), max_size=3),
    waiting=st.lists(st.tuples(st.integers(1, 3), st.sampled_from([1, 4, 8])), min_size=1, max_size=5),
)
def test_before_and_after_a_change_stand_beside_each_other(
    tmp_path_factory: pytest.TempPathFactory,
    running: list[tuple[int, int]],
    waiting: list[tuple[int, int]],
) -> None:
    """With more nodes gangs start no later; either way the same GPU-seconds are held in the end."""
    folder = tmp_path_factory.mktemp("what-if")
    gangs = [members(f"r{i}", 1, on=f"n{i}", gpu=g, runs_s=s) for i, (g, s) in enumerate(running)]
    gangs += [members(f"w{i}", size, gpu=gpu, runs_s=50.0) for i, (size, gpu) in enumerate(waiting)]
    file, page = folder / "snapshot.gz", folder / "page.html"
    write_snapshot(file, snapshot([node(f"n{i}") for i in range(3)], *gangs))
    (more,) = clusters(folder, more=12)
    silent("what-if", str(file), "--add", str(more), "--report", str(page))
    read, charts = opened(page)
    assert list(charts) == ["starts", "waits", "allocation"]
    gpus = {f"team/w{i}": size * gpu for i, (size, gpu) in enumerate(waiting)}
    rows = {row[0]: row for row in read.tables["gangs"][1:]}
    assert {name: float(row[2]) for name, row in rows.items()} == gpus
    assert {row[4] for row in rows.values()} == {"at once"}
    held = sum(g * (s - 100) for g, s in running) + 50 * sum(gpus.values())
    lines = {one["name"]: one for one in charts["allocation"]["data"]}
    for name in ("as it is", "with the change"):
        assert gpu_seconds(charts["allocation"], name) == pytest.approx(held, rel=0.01)
        assert max(lines[f"{name}, there are"]["y"]) == {"as it is": 24, "with the change": 24 + 96}[name]
    assert read.tables["displaced"][1:] == []
    assert "Nobody is displaced." in page.read_text()
    assert [row[0] for row in read.tables["inputs"][1:]] == ["snapshot.gz", "more.yaml"]


def test_boxes_of_several_stand_beside_each_other_in_their_colours(tmp_path: Path) -> None:
    files = clusters(tmp_path, one=1, two=2)
    load = table(tmp_path / "load.csv", [{"submit_s": i, "duration_s": 60, "gpus": 8} for i in range(9)])
    page = tmp_path / "page.html"
    silent("compare", *map(str, files), "--load", str(load), "--processes", "1", "--report", str(page))
    text = page.read_text()
    _, charts = opened(page)
    there = {line["name"]: max(line["y"]) for line in charts["allocation"]["data"]}
    assert (there["one, there are"], there["two, there are"]) == (8, 16)
    colours = [trace["line"]["color"] for trace in charts["waits"]["data"]]
    assert len(set(colours)) == 2
    for name, colour in zip(("one", "two"), colours, strict=True):
        assert text.count(f'<g stroke="{colour}">') == 1
        assert f"<title>{name}, 5-8 GPUs: 5 %" in text
    left = [float(part.split('"')[0]) for part in text.split('<rect class="box" x="')[1:]]
    width = [float(part.split('width="')[1].split('"')[0]) for part in text.split('<rect class="box"')[1:]]
    assert left[0] + width[0] == pytest.approx(left[1], abs=0.1)
