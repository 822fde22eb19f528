"""Generated loads: the same seed gives the same jobs, and the figures that the parameters name come out."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.objects import CPU, GPU
from scheduler.model.plan import Policy
from simulations.engine import Engine, Setting
from simulations.loads.files import BadTrace
from simulations.loads.formats import load
from simulations.loads.generated import GENERATORS
from simulations.summary import summarise
from tests.builders import node

NODES = tuple(node(f"n{i}", gpu=8) for i in range(8))
ARRIVING = tuple(g.name for g in GENERATORS if g.name != "planted")


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from([g.name for g in GENERATORS]),
    seed=st.integers(0, 2**40),
    other=st.integers(0, 2**40),
)
def test_a_seed_is_a_load(name: str, seed: int, other: int) -> None:
    one, again = (load(f"{name}:seed={seed}", NODES) for _ in range(2))
    assert one == again
    assert load(name, NODES, seed=seed) == one
    assert (load(name, NODES, seed=other) == one) == (other == seed)
    assert len({job.name for job in one.jobs}) == len(one.jobs)
    for job in one.jobs:
        assert 1 <= job.total_gpus <= 64
        assert job.gpus <= 8
        assert math.isfinite(job.submit_s)
        assert job.submit_s >= 0
        assert job.estimate_s is not None
        assert 0 < job.duration_s <= job.estimate_s


@pytest.mark.parametrize("name", ARRIVING)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**40), asked=st.sampled_from([0.3, 0.8, 1.5]))
def test_work_arrives_at_the_load_that_was_asked(name: str, seed: int, asked: float) -> None:
    found = load(
        f"{name}:jobs=3000,load={asked},seed={seed}" + (",period_s=100" if name == "diurnal" else ""), NODES
    )
    span_s = found.jobs[-1].submit_s - found.jobs[0].submit_s
    assert found.gpu_seconds / (span_s * 64) == pytest.approx(asked, rel=0.15)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**40), amplitude=st.sampled_from([0.0, 0.5, 0.9]))
def test_more_comes_by_day(seed: int, amplitude: float) -> None:
    period_s = 5_000.0
    found = load(f"diurnal:jobs=4000,amplitude={amplitude},period_s={period_s},seed={seed}", NODES)
    whole = found.jobs[-1].submit_s // period_s * period_s
    by_day = [job.submit_s % period_s < period_s / 2 for job in found.jobs if job.submit_s < whole]
    assert sum(by_day) / len(by_day) == pytest.approx(0.5 + amplitude / math.pi, abs=0.06)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**40), alpha=st.sampled_from([1.3, 2.0, 3.0]))
def test_tails_are_as_heavy_as_asked(seed: int, alpha: float) -> None:
    found = load(f"heavy-tailed:jobs=8000,cut=10000,alpha={alpha},seed={seed}", NODES)
    longest = np.sort([job.duration_s for job in found.jobs])[-801:]
    hill = 1 / np.mean(np.log(longest[1:] / longest[0]))
    assert hill == pytest.approx(alpha, rel=0.25)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    waves=st.integers(1, 3),
    sizes=st.lists(st.tuples(st.integers(1, 8), st.integers(1_000, 96_000)), min_size=1, max_size=6),
)
def test_what_is_planted_asks_for_all_there_is(seed: int, waves: int, sizes: list[tuple[int, int]]) -> None:
    nodes = [node(f"n{i}", gpu=gpus, cpu=cpu) for i, (gpus, cpu) in enumerate(sizes)]
    found = load(f"planted:waves={waves},seed={seed}", nodes)
    by_wave: dict[float, float] = defaultdict(float)
    cpu_by_wave: Counter[float] = Counter()
    for job in found.jobs:
        by_wave[job.submit_s] += job.total_gpus
        cpu_by_wave[job.submit_s] += job.pods * job.cpu_milli
    assert list(by_wave.values()) == [sum(one.allocatable[GPU] for one in nodes)] * waves
    assert all(cpu <= sum(one.allocatable[CPU] for one in nodes) for cpu in cpu_by_wave.values())


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_wave_fits_a_node_by_node(seed: int) -> None:
    """One node: whatever the order, all of its pods fit at once, for they were cut from it."""
    alone = [node("n0", gpu=8)]
    found = load(f"planted:gang=1,seed={seed}", alone)
    outcome = Engine(found, alone, Setting(policy=Policy())).run()
    assert {story.started_s for story in outcome.stories} == {0.0}
    assert summarise(outcome).gpu_share == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("poisson:jobs=none", "poisson: parameter jobs: Expected `int`"),
        ("poisson:load=0", "poisson: parameter load: Expected `float` > 0.0"),
        ("poisson:colour=red", "poisson: Object contains unknown field `colour`; there are "),
        ("diurnal:amplitude=1", "diurnal: parameter amplitude: Expected `float` < 1.0"),
        ("planted:waves", "planted: expected key=value, each key once, found 'waves'"),
        ("planted:waves=1,waves=2", "planted: expected key=value, each key once, found 'waves=2'"),
    ],
)
def test_a_wrong_parameter_is_told(said: str, expected: str) -> None:
    with pytest.raises(BadTrace) as caught:
        load(said, NODES)
    assert str(caught.value).startswith(expected)
    with pytest.raises(BadTrace, match="expected a cluster with GPUs"):
        load(said.partition(":")[0], [node("n0", gpu=0)])
