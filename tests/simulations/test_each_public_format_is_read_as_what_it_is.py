"""Each sample goes in at the command line and comes out as jobs; every record of it is accounted for."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from scheduler.cli.main import main
from simulations.loads.formats import load, read
from simulations.loads.readers.slurm import AGAIN, OTHER_MODEL
from simulations.loads.registry import FORMATS
from simulations.loads.trace import DUPLICATE, Format
from simulations.nodes import read_nodes
from tests.simulations.traces import ALL, SAMPLES, Sample

CLUSTER = str(SAMPLES / "muri-nodes.yaml")


def stowplan(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    told = capsys.readouterr()
    return int(ended.value.code or 0), told.out, told.err


def checked(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    code, out, err = stowplan(capsys, "trace", "check", *words, "-o", "json")
    assert code == 0, err
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def said(one: Sample) -> tuple[str, ...]:
    return ("--format", one.form) if one.say else ()


def accounted(account: dict[str, object]) -> None:
    """Every record is a job, left out, or part of a job."""
    counts = {
        key: sum(one["count"] for one in account[key])  # type: ignore[attr-defined] # plain JSON
        for key in ("left_out", "folded")
    }
    assert account["records"] == account["jobs"] + counts["left_out"] + counts["folded"]  # type: ignore[operator] # plain JSON


def test_every_format_has_a_sample() -> None:
    assert {one.form for one in ALL} == {form.name for form in FORMATS}


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.form)
def test_it_is_simulated_and_accounted_for(capsys: pytest.CaptureFixture[str], one: Sample) -> None:
    code, out, err = stowplan(
        capsys, "simulate", str(SAMPLES / one.file), *said(one), "--cluster", CLUSTER, "-o", "json"
    )
    assert code == 0, err
    figures = json.loads(out)
    account = figures["read"]
    assert (account["form"], account["records"], account["jobs"]) == (one.form, one.records, one.jobs)
    accounted(account)
    assert sum(entry["count"] for entry in account["folded"]) == one.folded
    left = {entry["reason"]: entry["count"] for entry in account["left_out"]}
    assert sum(left.values()) == sum(count for _, count in one.left)
    for words, count in one.left:
        assert [found for reason, found in left.items() if reason.startswith(words)] == [count]
    assert figures["total"]["jobs"] == one.jobs
    if one.gpu_seconds is not None:
        profile = checked(capsys, str(SAMPLES / one.file), *said(one))
        assert profile["gpu_hours"] == pytest.approx(one.gpu_seconds / 3600)


@pytest.mark.parametrize("form", [form for form in FORMATS if form.needs], ids=lambda form: form.name)
def test_a_column_more_or_less_is_another_format(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, form: Format
) -> None:
    path = tmp_path / "t.csv"
    for header in ([*form.needs, "what_is_this"], form.needs[:-1]):
        path.write_text(",".join(header) + "\n" + ",".join("1" for _ in header) + "\n")
        code, out, err = stowplan(capsys, "trace", "check", str(path))
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"error: {path}:1: no known format has the columns found, ")
        assert "; the nearest is " in err
        assert all(known.name in err for known in FORMATS)


def test_the_nearest_format_is_named_with_what_differs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("job_id,num_gpu,submit_time,iterations,model_name,duration\n0,1,0,9,vgg,5\n")
    _, _, err = stowplan(capsys, "simulate", str(path), "--cluster", CLUSTER)
    assert "the nearest is tiresias: the file lacks interval;" in err


def test_a_format_is_forced_and_refused(capsys: pytest.CaptureFixture[str]) -> None:
    muri = str(SAMPLES / "muri.csv")
    assert checked(capsys, muri, "--format", "muri")["account"]["form"] == "muri"  # type: ignore[index] # plain JSON
    code, _, err = stowplan(capsys, "trace", "check", muri, "--format", "tiresias")
    assert code == 2
    assert "expected the columns of tiresias: it has not batch_size" in err
    code, _, err = stowplan(capsys, "trace", "check", muri, "--format", "oracle")
    assert (code, err.count("\n")) == (2, 1)
    assert "expected one of csv, muri, tiresias" in err
    code, _, err = stowplan(capsys, "simulate", "poisson:jobs=5", "--cluster", CLUSTER, "--format", "muri")
    assert code == 2
    assert "is no file but invented" in err


def test_seconds_and_milliseconds_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """Muri's columns are those of Tiresias and more; the first jobs of both start within minutes."""
    found = checked(capsys, str(SAMPLES / "tiresias.csv"))
    assert found["span_s"] == 250.0
    assert "seconds" in found["account"]["units"]  # type: ignore[index] # plain JSON
    assert checked(capsys, str(SAMPLES / "muri.csv"))["span_s"] > 1e5  # type: ignore[operator] # plain JSON


def packed(path: Path, data: bytes, how: str) -> Path:
    """The sample, otherwise written."""
    match how:
        case "gz":
            path = path.with_name(path.name + ".gz")
            path.write_bytes(gzip.compress(data))
        case "zst":
            path = path.with_name(path.name + ".zst")
            path.write_bytes(pyarrow.compress(data, codec="zstd", asbytes=True))
        case "parquet":
            path = path.with_suffix(".parquet")
            source = path.with_suffix(".source")
            source.write_bytes(data)
            parquet.write_table(arrow_csv.read_csv(source), path)
        case "capitals":
            path = path.with_suffix(path.suffix.upper())
            path.write_bytes(data)
        case _:
            path.write_bytes(data.decode().encode(how))
    return path


@pytest.mark.parametrize("how", ["gz", "zst", "utf-16", "utf-8-sig", "capitals", "parquet"])
@pytest.mark.parametrize("name", ["helios.csv", "tiresias.csv", "small.swf"])
def test_however_it_is_packed_it_says_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, how: str
) -> None:
    if how == "parquet" and name.endswith("swf"):
        how = "gz"
    path = packed(tmp_path / name, (SAMPLES / name).read_bytes(), how)
    found, plain = checked(capsys, str(path)), checked(capsys, str(SAMPLES / name))
    assert {**found, "file": ""} == {**plain, "file": ""}


@pytest.mark.parametrize(
    ("start", "remedy"),
    [
        (b"PK\x03\x04rest", "unpack it"),
        (b"\xfd7zXZ\x00rest", "xz -d"),
        (b"BZh9rest", "bunzip2"),
        (b"\x28\xb5\x2f\xfdbroken", "ZSTD decompress failed"),
        (b"PAR1broken", "Parquet"),
        (b"\x1f\x8bbroken", "fetch it again"),
        (b"\xff\xfe\x00\xd8\x00", "iconv"),
        (b"name,submit_s,duration_s,gpus\n\xe4,0,1,1\n", "iconv"),
    ],
)
def test_what_cannot_be_unpacked_is_one_line_with_the_remedy(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, start: bytes, remedy: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(start)
    code, out, err = stowplan(capsys, "trace", "check", str(path))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {path}")
    assert remedy in err


def test_a_load_is_held_against_a_cluster_and_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(SAMPLES / "tiresias.csv")
    found = checked(capsys, path, "--cluster", CLUSTER)
    assert found["load"] == {"gpus": 64, "load": pytest.approx(19_950 / (64 * 250)), "too_large": 0}
    sizes = {one["gpus"]: one["jobs"] for one in found["sizes"]}  # type: ignore[attr-defined] # plain JSON
    assert sizes == {"1": 4, "2": 2, "3-4": 1, "5-8": 2, "9-16": 1}
    code, out, _ = stowplan(capsys, "trace", "check", path, "--cluster", CLUSTER)
    assert code == 0
    bars = [line.count("#") for line in out.splitlines() if "#" in line]
    assert max(bars) == 30
    assert len(bars) == 5


def test_counts_are_printed_by_simulate_and_compare(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sample = str(SAMPLES / "slurm.txt")
    expected = ("read 5 jobs of 13 records as slurm", "2 left out: never started (lines 8, 12)")
    _, out, _ = stowplan(capsys, "simulate", sample, "--cluster", CLUSTER)
    assert all(words in out for words in expected)
    other = tmp_path / "other.yaml"
    other.write_text(Path(CLUSTER).read_text())
    code, out, err = stowplan(capsys, "compare", CLUSTER, str(other), "--load", sample, "--processes", "1")
    assert code == 0, err
    assert all(words in out for words in expected)


def test_a_few_broken_records_are_left_out_and_many_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    lines = (SAMPLES / "muri.csv").read_text().splitlines()
    for broken, code in ((10, 0), (11, 2)):
        found = [line.replace(",", ";", 3) if 1 <= i <= broken else line for i, line in enumerate(lines)]
        path.write_text("\n".join(found) + "\n")
        got, out, err = stowplan(capsys, "trace", "check", str(path))
        assert got == code
        if not code:
            assert "read 90 jobs of 100 records as muri" in out
            assert "10 left out: failed to parse (lines 2, 3, 4, 5, 6, ...)" in out
        else:
            assert err.startswith(f"error: {path}:2: column ")
            assert err.endswith("; 11 of 100 records fail so\n")


@pytest.mark.parametrize("gpus", [127, 12, 64, 7])
def test_a_large_job_runs_on_whole_nodes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, gpus: int
) -> None:
    path, cluster = tmp_path / "t.csv", tmp_path / "nodes.csv"
    path.write_text(f"job_id,submission_time,duration,num_gpu\na,0,100,{gpus}\n")
    count = -(-gpus // 8)
    cluster.write_text(
        "sn,cpu_milli,memory_mib,gpu,model\n" + "".join(f"n{i},8000,8000,8,\n" for i in range(count))
    )
    tables = tmp_path / "tables"
    code, _, err = stowplan(
        capsys, "simulate", str(path), "--cluster", str(cluster), "-o", "parquet", "--tables", str(tables)
    )
    assert code == 0, err
    stays = parquet.read_table(tables / "stays.parquet").to_pylist()
    whole = [8] * (gpus // 8) + ([gpus % 8] if gpus % 8 else [])
    assert sorted((row["gpus"] for row in stays), reverse=True) == whole
    assert len({row["node"] for row in stays}) == len(whole)


def test_slurm_ids_limits_and_types(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """An id that comes again after its job ended is another job; a type keeps to the models that bear it."""
    path, cluster = tmp_path / "t.txt", tmp_path / "nodes.csv"
    path.write_text(
        "JobID|Submit|Start|End|Elapsed|Timelimit|State|AllocTRES\n"
        "7|2026-01-01T00:00:00|2026-01-01T00:00:00|2026-01-01T01:00:00|01:00:00|2-00:00:00|COMPLETED|gres/gpu:h100=2\n"
        "7|2026-02-01T00:00:00|2026-02-01T00:00:00|2026-02-01T01:00:00|01:00:00|UNLIMITED|FAILED|gres/gpu:v100=2\n"
        "7|2026-02-01T00:00:00|2026-02-01T00:00:00|2026-02-01T01:00:00|01:00:00|UNLIMITED|FAILED|gres/gpu:v100=2\n"
    )
    cluster.write_text(
        "sn,cpu_milli,memory_mib,gpu,model\na,8000,8000,8,NVIDIA-H100-80GB-HBM3\nb,8000,8000,8,A10\n"
    )
    found = load(str(path), read_nodes(cluster))
    assert [(job.name, job.submit_s, job.estimate_s, job.models) for job in found.jobs] == [
        ("job-7", 0.0, 172_800.0, ("NVIDIA-H100-80GB-HBM3",)),
        ("job-7-again-1", 31 * 86_400.0, None, ()),
    ]
    assert found.account is not None
    assert {one.reason for one in found.account.noted} == {AGAIN, OTHER_MODEL}
    assert [(one.reason, one.lines) for one in found.account.left_out] == [(DUPLICATE, (4,))]


def test_teams_that_read_alike_stay_apart(tmp_path: Path) -> None:
    header, row = "timestamp,duration,num_gpus,gpu_time,cluster", "2017-10-09 07:01:55,66.0,1,66.0,"
    path = tmp_path / "t.csv"
    path.write_text("\n".join([header, *(row + name for name in ("a_b", "A-b", "a.b", "a_b"))]) + "\n")
    assert [job.team for job in read(path).jobs] == ["a-b", "a-b-2", "a-b-3", "a-b"]
