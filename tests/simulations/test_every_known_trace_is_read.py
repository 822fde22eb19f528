"""Each shipped sample is read as what it is; durations and estimates stay apart."""

from __future__ import annotations

from pathlib import Path

import pytest

import simulations
from simulations.loads.formats import read
from simulations.nodes import read_nodes
from simulations.workload import repeated, split

SAMPLES = Path(simulations.__file__).parent / "samples"


@pytest.mark.parametrize(
    ("name", "jobs", "gpus", "seconds"),
    [
        ("muri.csv", 100, 1, 2868294.0),
        ("itp.csv", 100, None, None),
        ("gavel.csv", None, 1, 1034866.3),
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


def test_an_estimate_is_not_the_duration() -> None:
    by_name = {job.name: job for job in read(SAMPLES / "jobs.csv").jobs}
    assert (by_name["sweep-0"].duration_s, by_name["sweep-0"].estimate_s) == (1800.0, 2400.0)
    assert by_name["serve"].estimate_s is None
    swf = {job.name: job for job in read(SAMPLES / "small.swf").jobs}
    assert (swf["job-4"].duration_s, swf["job-4"].estimate_s) == (3600.0, 7200.0)
    assert (swf["job-4"].pods, swf["job-4"].gpus) == (2, 8)


def test_a_cluster_is_read_from_either_form() -> None:
    assert len(read_nodes(SAMPLES / "muri-nodes.yaml")) == 8
    assert read_nodes(SAMPLES / "openb-nodes.csv")[0].labels["nvidia.com/gpu.product"] == "P100"


@pytest.mark.parametrize(
    ("gpus", "per_node", "pods", "each"),
    [(1, 8, 1, 1), (8, 8, 1, 8), (12, 8, 2, 6), (32, 8, 4, 8), (7, 4, 7, 1)],
)
def test_gpus_become_as_few_equal_pods_as_nodes_hold(gpus: int, per_node: int, pods: int, each: int) -> None:
    assert split(gpus, per_node) == (pods, each)


def test_a_repeated_workload_goes_on_after_its_end() -> None:
    source = read(SAMPLES / "jobs.csv")
    twice = repeated(source, 12)
    assert len({job.name for job in twice.jobs}) == 12
    assert twice.jobs[8].submit_s > source.jobs[-1].submit_s
    assert [job.submit_s for job in twice.jobs] == sorted(job.submit_s for job in twice.jobs)
