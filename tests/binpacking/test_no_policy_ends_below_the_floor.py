"""The bound on what can be allocated holds for every policy tried, lucky ones included."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.devices import WHOLE, DeviceNodes, Shape, observed
from binpacking.floor import Floor, marks, narrowest
from binpacking.floor_model import Marked
from binpacking.knapsack import knapsacks
from binpacking.sharing import Rating, SharedState, Sharing
from tests.binpacking.test_shared_gpus_are_never_overcommitted import MILLI, random_cluster, random_shape

SEEDS = st.integers(0, 2**32 - 1)


class _Whim:
    """Places every pod that fits, on a node and device drawn at random."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def refresh(self, state: SharedState) -> bool:
        return True

    def rate(self, state: SharedState, shape: Shape, rows: np.ndarray) -> Rating:
        fits = state.free[rows] >= max(shape.milli, 1)
        device = np.argmax(fits * self._rng.random(fits.shape), axis=1)
        draw = self._rng.random(len(rows))
        return Rating(cost=draw, tie=draw, device=device)


def case(seed: int) -> tuple[np.random.Generator, DeviceNodes, tuple[Shape, ...], np.ndarray]:
    rng = np.random.default_rng(seed)
    large = tuple(Shape(cpu=int(c), memory=1, gpus=1, milli=810) for c in rng.integers(0, 6, (2,)))
    shapes = tuple(dict.fromkeys((*large, *(random_shape(rng) for _ in range(3)))))
    return rng, random_cluster(rng), shapes, rng.integers(0, len(shapes), (20,))


@given(seed=SEEDS, is_marked=st.booleans())
@settings(max_examples=60, deadline=None)
def test_placing_at_random_never_allocates_more_than_the_bound(seed: int, is_marked: bool) -> None:
    rng, nodes, shapes, pods = case(seed)
    marked = marks(observed(shapes, pods.tolist())) if is_marked else []
    bound = narrowest(nodes, shapes, marked, pods).most(pods)
    for _ in range(6):
        cluster = Sharing(nodes, shapes, _Whim(rng))
        allocated = sum(shapes[p].total for p in pods.tolist() if cluster.place(p) is not None)
        assert allocated <= bound + 1e-3


@given(seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_the_bound_is_no_more_than_is_there_or_was_asked_for(seed: int) -> None:
    _, nodes, shapes, pods = case(seed)
    bound = Floor(nodes, shapes, None).most(pods)
    assert bound <= int(nodes.gpus.sum()) * WHOLE + 1e-3
    assert bound <= sum(shapes[p].total for p in pods.tolist()) + 1e-3


def _spots(shape: Shape, cpu: int, memory: int, free: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """What may be free of a node's devices once the pod is on it; nothing where it does not fit."""
    if cpu < shape.cpu or memory < shape.memory:
        return
    if shape.is_fraction:
        for milli in sorted({f for f in free if f >= shape.milli}):
            at = free.index(milli)
            yield (*free[:at], milli - shape.milli, *free[at + 1 :])
    elif free.count(WHOLE) >= shape.gpus:
        whole = [at for at, milli in enumerate(free) if milli == WHOLE][: shape.gpus]
        yield tuple(0 if at in whole else milli for at, milli in enumerate(free))


def most_of_all(nodes: DeviceNodes, shapes: tuple[Shape, ...], pods: list[int]) -> int:
    """Milli that the luckiest policy allocates which places every pod that fits: every choice is tried."""
    columns = zip(nodes.cpu, nodes.memory, nodes.gpus, nodes.model, strict=True)
    empty = tuple((int(m), int(c), int(r), (WHOLE,) * int(g)) for c, r, g, m in columns)
    states = {tuple(sorted(empty)): 0}
    for pod in pods:
        shape, after = shapes[pod], dict[tuple[tuple[int, int, int, tuple[int, ...]], ...], int]()
        for state, allocated in states.items():
            moves = [
                tuple(
                    sorted(
                        (*state[:at], (model, cpu - shape.cpu, memory - shape.memory, left), *state[at + 1 :])
                    )
                )
                for at, (model, cpu, memory, free) in enumerate(state)
                if shape.models is None or model in shape.models
                for left in _spots(shape, cpu, memory, free)
            ]
            total = allocated + shape.total if moves else allocated
            for move in moves or [state]:
                after[move] = max(after.get(move, 0), total)
        states = after
    return max(states.values())


def few_nodes(seed: int) -> tuple[DeviceNodes, tuple[Shape, ...], list[int], Marked]:
    """A cluster in which CPU or memory often ends first, pods without GPUs among the others, and any mark."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 4))
    nodes = DeviceNodes(
        cpu=rng.integers(2, 14, (count,)),
        memory=rng.integers(2, 14, (count,)),
        gpus=rng.integers(0, 3, (count,)),
        model=rng.integers(0, 2, (count,)).astype(np.int32),
    )
    idle = Shape(cpu=int(rng.integers(1, 6)), memory=int(rng.integers(0, 6)), gpus=0, milli=0)
    shapes = tuple(dict.fromkeys((idle, *(random_shape(rng) for _ in range(3)))))
    marked = Marked(
        milli=int(rng.choice([*MILLI, WHOLE])), cpu=int(rng.integers(0, 10)), memory=int(rng.integers(0, 10))
    )
    return nodes, shapes, rng.integers(0, len(shapes), (7,)).tolist(), marked


@given(seed=SEEDS)
@settings(max_examples=400, deadline=None)
def test_the_luckiest_policy_allocates_no_more_than_the_bound_of_any_mark(seed: int) -> None:
    nodes, shapes, pods, marked = few_nodes(seed)
    assert most_of_all(nodes, shapes, pods) <= Floor(nodes, shapes, marked).most(np.array(pods)) + 1e-3


def test_marked_are_the_size_that_wastes_most_and_what_asks_less() -> None:
    """810 milli waste most: marked up to the largest of them, and up to 3 of 4 pods that ask no more."""
    sizes = [(810, 3, 5), (810, 4, 2), (600, 9, 1), (200, 1, 9), (1000, 20, 20)]
    shapes = tuple(Shape(cpu=c, memory=m, gpus=1, milli=milli) for milli, c, m in sizes)
    counts = (5, 1, 1, 3, 50)
    pods = [kind for kind, count in enumerate(counts) for _ in range(count)]
    found = [(mark.milli, mark.cpu, mark.memory) for mark in marks(observed(shapes, pods))]
    assert found == [(810, 4, 5), (810, 3, 9)]
    assert marks(observed(shapes[3:], [0, 1])) == []


def test_the_mark_that_bounds_most_is_taken() -> None:
    """Every node here is short of the CPU of the wide mark from the start, so it says nothing."""
    nodes = one_node(4, 4, 1)
    shapes = (Shape(cpu=0, memory=0, gpus=1, milli=810), Shape(cpu=0, memory=0, gpus=1, milli=1000))
    wide, narrow = (Marked(milli=810, cpu=amount, memory=0) for amount in (5, 0))
    pods = np.array([0, 1])
    for order in ([wide, narrow], [narrow, wide]):
        assert narrowest(nodes, shapes, order, pods).most(pods) == pytest.approx(810, abs=1)
    assert Floor(nodes, shapes, wide).most(pods) == pytest.approx(1000, abs=1)


def one_node(cpu: int, memory: int, gpus: int) -> DeviceNodes:
    return DeviceNodes(
        cpu=np.array([cpu]), memory=np.array([memory]), gpus=np.array([gpus]), model=np.zeros(1, np.int32)
    )


@pytest.mark.parametrize("is_cpu", [True, False])
def test_what_is_left_where_a_pod_did_not_fit_is_of_no_use_to_one_that_asks_as_much(is_cpu: bool) -> None:
    """Ten pods of 1 fill a node of 10, then two come that ask a GPU and 1: both are dropped."""
    nodes = one_node(10, 100, 2) if is_cpu else one_node(100, 10, 2)
    one = (1, 0) if is_cpu else (0, 1)
    shapes = (
        Shape(cpu=one[0], memory=one[1], gpus=0, milli=0),
        Shape(cpu=one[0], memory=one[1], gpus=1, milli=1000),
    )
    pods = np.array([0] * 10 + [1, 1])
    assert Floor(nodes, shapes, None).most(pods) == pytest.approx(2000, abs=1)
    marked = Marked(milli=1000, cpu=one[0], memory=one[1])
    assert Floor(nodes, shapes, marked).most(pods) == pytest.approx(0, abs=1)


def test_one_pod_a_gpu_that_must_be_placed_wastes_what_it_leaves() -> None:
    """Two GPUs; four pods of 600 come, then two of 1000: who places what fits has 1,200 at most."""
    nodes = DeviceNodes(
        cpu=np.array([100]), memory=np.array([100]), gpus=np.array([2]), model=np.array([0], dtype=np.int32)
    )
    shapes = (Shape(cpu=1, memory=1, gpus=1, milli=600), Shape(cpu=1, memory=1, gpus=1, milli=1000))
    pods = np.array([0, 0, 0, 0, 1, 1])
    assert Floor(nodes, shapes, None).most(pods) == pytest.approx(2000, abs=1)
    assert Floor(nodes, shapes, Marked(milli=600, cpu=1, memory=1)).most(pods) < 2000


@given(seed=SEEDS, is_exact=st.booleans())
@settings(max_examples=150, deadline=None)
def test_knapsacks_equal_trying_every_multiset(seed: int, is_exact: bool) -> None:
    rng = np.random.default_rng(seed)
    sizes = np.sort(rng.choice(np.arange(1, 9), size=3, replace=False))
    gains = rng.integers(-3, 9, (2, 3)).astype(np.float64)
    found = knapsacks(sizes, gains, 12, is_exact=is_exact)
    for which in range(2):
        for capacity in range(13):
            values = (
                [
                    float(gains[which] @ counts)
                    for counts in np.ndindex(13, 13, 13)
                    if (sizes @ counts == capacity if is_exact else sizes @ counts <= capacity)
                ]
                if capacity in (0, 5, 12)
                else []
            )
            if values:
                assert found.best[which, capacity] == pytest.approx(max(values))
                pattern = found.pattern(which, capacity)
                gain = sum(gains[which, size] * count for size, count in pattern.items())
                assert gain == pytest.approx(max(values))
