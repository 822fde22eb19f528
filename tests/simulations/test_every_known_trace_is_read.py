"""Each shipped sample is read as what it is; durations and estimates stay apart."""

from __future__ import annotations

from pathlib import Path

import pytest

import simulations
from simulations.loads.files import BadTrace
from simulations.loads.formats import read
from simulations.nodes import read_nodes
from simulations.workload import Job, repeated, split

SAMPLES = Path(simulations.__file__).parent / "samples"


@pytest.mark.parametrize(
    ("name", "jobs", "gpus", "seconds"),
    [
        ("muri.csv", 100, 1, 2868294.0),
        ("itp.csv", 100, None, None),
        ("gavel.csv", None, 1, 1034866.3),
        ("gavel-physical.csv", 96, 4, 13237.67),
        ("openb.csv", 100, 1, 12537496.0),
        ("jobs.csv", 8, 1, 1800.0),
        ("small.swf", 3, 8, 600.0),
    ],
)
def test_a_sample(name: str, jobs: int | None, gpus: int | None, seconds: float | None) -> None:
    found = read(SAMPLES / name)
    assert found.jobs
    assert jobs is None or len(found.jobs) == jobs
    first = found.jobs[0]
    assert gpus is None or first.gpus == gpus
    assert seconds is None or first.duration_s == pytest.approx(seconds)
    assert [job.submit_s for job in found.jobs] == sorted(job.submit_s for job in found.jobs)


def test_steps_take_as_long_as_the_table_beside_them_says(tmp_path: Path) -> None:
    trace, table = tmp_path / "trace.csv", tmp_path / "isolated_throughputs.csv"
    trace.write_text(
        "job_id,arrival_s,scale_factor,job_type,total_steps,priority_weight\n"
        "0,5,2,a,600,1\n1,6,1,a,600,1\n2,7,2,b,600,1\n"
    )
    table.write_text("gpu_type,job_type,scale_factor,steps_per_s\nv100,a,2,4\nv100,a,1,2\nk80,a,2,1\n")
    found = read(trace).jobs
    assert [(job.name, job.submit_s, job.total_gpus, job.duration_s) for job in found] == [
        ("job-0", 5.0, 2, 150.0),
        ("job-1", 6.0, 1, 300.0),
    ]
    table.write_text("gpu_type,job_type,scale_factor,steps_per_s\nv100,a,2,0\n")
    with pytest.raises(
        BadTrace, match=r"isolated_throughputs.csv:2: column steps_per_s: expected a number ab"
    ):
        read(trace)
    table.unlink()
    with pytest.raises(BadTrace, match=r"isolated_throughputs.csv: No such file or directory; give a read"):
        read(trace)


def test_an_estimate_is_not_the_duration() -> None:
    by_name = {job.name: job for job in read(SAMPLES / "jobs.csv").jobs}
    assert (by_name["sweep-0"].duration_s, by_name["sweep-0"].estimate_s) == (1800.0, 2400.0)
    assert by_name["serve"].estimate_s is None
    alea = {job.name: job for job in read(SAMPLES / "alea.swf").jobs}
    assert [(alea[name].pods, alea[name].gpus) for name in ("job-1", "job-2", "job-4")] == [
        (1, 8),
        (2, 4),
        (1, 1),
    ]
    assert (alea["job-2"].estimate_s, alea["job-4"].estimate_s) == (4000.0, 3600.0)
    swf = {job.name: job for job in read(SAMPLES / "small.swf").jobs}
    assert (swf["job-4"].duration_s, swf["job-4"].estimate_s) == (3600.0, 7200.0)
    assert (swf["job-4"].pods, swf["job-4"].gpus) == (2, 8)


def test_a_cluster_is_read_from_either_form() -> None:
    assert len(read_nodes(SAMPLES / "muri-nodes.yaml")) == 8
    assert read_nodes(SAMPLES / "openb-nodes.csv")[0].labels["nvidia.com/gpu.product"] == "P100"


@pytest.mark.parametrize(
    ("gpus", "per_node", "pods", "each", "last"),
    [(1, 8, 1, 1, None), (8, 8, 1, 8, None), (12, 8, 2, 8, 4), (32, 8, 4, 8, None), (127, 8, 16, 8, 7)],
)
def test_gpus_become_whole_nodes_and_one_pod_for_the_rest(
    gpus: int, per_node: int, pods: int, each: int, last: int | None
) -> None:
    found = split(gpus, per_node)
    assert found == (pods, each, last)
    job = Job(name="a", submit_s=0.0, duration_s=1.0, gpus=each, pods=pods, min_pods=pods, last_gpus=last)
    assert job.total_gpus == gpus


def test_a_repeated_workload_goes_on_after_its_end() -> None:
    source = read(SAMPLES / "jobs.csv")
    twice = repeated(source, 12)
    assert len({job.name for job in twice.jobs}) == 12
    assert twice.jobs[8].submit_s > source.jobs[-1].submit_s
    assert [job.submit_s for job in twice.jobs] == sorted(job.submit_s for job in twice.jobs)
