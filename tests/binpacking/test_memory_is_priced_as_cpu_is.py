"""GPUs strand for lack of memory as they do for lack of CPU: neither is dearer for its name or its unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.devices import WHOLE, DeviceNodes, Mix, Shape
from binpacking.shared_score import PriceScore
from binpacking.sharing import SharedState, Sharing
from tests.binpacking.test_shared_gpus_are_never_overcommitted import arrivals

SEEDS = st.integers(0, 2**32 - 1)


def costs(nodes: DeviceNodes, mix: Mix, shape: Shape) -> list[float]:
    score, state = PriceScore(mix), SharedState(nodes)
    score.refresh(state)
    rows = np.flatnonzero(state.fits(shape, np.arange(len(nodes))) & shape.may_use(nodes.model))
    return [round(cost, 6) for cost in score.rate(state, shape, rows).cost.tolist()] if len(rows) else []


def changed(nodes: DeviceNodes, *, cpu: np.ndarray, memory: np.ndarray) -> DeviceNodes:
    return DeviceNodes(cpu=cpu, memory=memory, gpus=nodes.gpus, model=nodes.model)


@given(seed=SEEDS)
@settings(max_examples=100, deadline=None)
def test_swapping_cpu_and_memory_everywhere_changes_no_cost(seed: int) -> None:
    nodes, shapes, _, mix = arrivals(seed)
    swapped = [replace(s, cpu=s.memory, memory=s.cpu) for s in shapes]
    other = changed(nodes, cpu=nodes.memory, memory=nodes.cpu)
    for shape, twin in zip(shapes, swapped, strict=True):
        assert costs(nodes, mix, shape) == costs(other, replace(mix, shapes=tuple(swapped)), twin)


@given(seed=SEEDS)
@settings(max_examples=100, deadline=None)
def test_costs_do_not_depend_on_the_unit_of_memory(seed: int) -> None:
    nodes, shapes, _, mix = arrivals(seed)
    finer = [replace(s, memory=1024 * s.memory) for s in shapes]
    other = changed(nodes, cpu=nodes.cpu, memory=1024 * nodes.memory)
    for shape, twin in zip(shapes, finer, strict=True):
        ours, theirs = costs(nodes, mix, shape), costs(other, replace(mix, shapes=tuple(finer)), twin)
        # Rounded to the score's own resolution, one step of which is 1.
        np.testing.assert_allclose(ours, theirs, atol=1.0)


@given(which=st.sampled_from(["cpu", "memory"]), asked=st.integers(4, 20), seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_a_pod_without_gpus_leaves_free_gpus_what_they_need(which: str, asked: int, seed: int) -> None:
    """Two nodes alike, but one has no GPU to strand: it takes the pod, in whatever order they stand."""
    order = np.random.default_rng(seed).permutation(2)
    amounts = np.full(2, 20, dtype=np.int64)
    nodes = DeviceNodes(
        cpu=amounts, memory=amounts, gpus=np.array([0, 4])[order], model=np.zeros(2, dtype=np.int32)
    )
    trainer = Shape(cpu=5, memory=5, gpus=1, milli=WHOLE)
    cpu, memory = (asked, 0) if which == "cpu" else (0, asked)
    other = Shape(cpu=cpu, memory=memory, gpus=0, milli=0)
    mix = Mix(shapes=(trainer, other), weights=(4.0, 0.001))
    spot = Sharing(nodes, (trainer, other), PriceScore(mix)).place(1)
    assert spot is not None
    assert nodes.gpus[spot.node] == 0
