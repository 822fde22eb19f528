"""Pods that share GPUs: what is placed fits device by device, and what is dropped fits nowhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.devices import WHOLE, DeviceNodes, Mix, Shape, observed
from binpacking.fgd import FgdScore
from binpacking.prices import gpu_worth
from binpacking.shared_score import PriceScore, expected_excess
from binpacking.sharing import SharedScore, Sharing, Spot

SEEDS = st.integers(0, 2**32 - 1)
SCORES: dict[str, Callable[[Mix], SharedScore]] = {"prices": PriceScore, "fgd": FgdScore}
MILLI = (50, 200, 270, 330, 500, 810)


def random_cluster(rng: np.random.Generator) -> DeviceNodes:
    count = int(rng.integers(1, 7))
    return DeviceNodes(
        cpu=rng.integers(0, 40, (count,)),
        memory=rng.integers(0, 40, (count,)),
        gpus=rng.integers(0, 5, (count,)),
        model=rng.integers(0, 3, (count,)).astype(np.int32),
    )


def random_shape(rng: np.random.Generator) -> Shape:
    gpus = int(rng.integers(0, 4))
    milli = 0 if gpus == 0 else WHOLE if gpus > 1 else int(rng.choice([*MILLI, WHOLE]))
    models = frozenset(rng.choice(3, size=int(rng.integers(1, 3)), replace=False).tolist())
    return Shape(
        cpu=int(rng.integers(0, 10)),
        memory=int(rng.integers(0, 10)),
        gpus=gpus,
        milli=milli,
        models=models if rng.random() < 0.3 else None,
    )


def arrivals(seed: int) -> tuple[DeviceNodes, tuple[Shape, ...], list[int], Mix]:
    rng = np.random.default_rng(seed)
    shapes = tuple({random_shape(rng): None for _ in range(int(rng.integers(1, 6)))})
    pods = rng.integers(0, len(shapes), (25,)).tolist()
    return random_cluster(rng), shapes, pods, observed(shapes, pods)


def could_fit(nodes: DeviceNodes, taken: list[tuple[Shape, Spot]], shape: Shape) -> bool:
    """Counted anew from what was placed, without the library's state."""
    cpu, memory = nodes.cpu.tolist(), nodes.memory.tolist()
    free = [[WHOLE] * int(count) for count in nodes.gpus]
    for held, spot in taken:
        cpu[spot.node] -= held.cpu
        memory[spot.node] -= held.memory
        for device in spot.devices:
            free[spot.node][device] -= held.milli
    assert min(cpu) >= 0
    assert min(memory) >= 0
    assert all(milli >= 0 for devices in free for milli in devices)
    return any(
        cpu[n] >= shape.cpu
        and memory[n] >= shape.memory
        and (shape.models is None or int(nodes.model[n]) in shape.models)
        and sum(milli >= shape.milli for milli in free[n]) >= shape.gpus
        for n in range(len(nodes))
    )


@pytest.mark.parametrize("score", sorted(SCORES))
@given(seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_a_pod_is_placed_validly_exactly_when_it_fits_somewhere(score: str, seed: int) -> None:
    nodes, shapes, pods, mix = arrivals(seed)
    cluster = Sharing(nodes, shapes, SCORES[score](mix))
    taken: list[tuple[Shape, Spot]] = []
    for pod in pods:
        fits = could_fit(nodes, taken, shapes[pod])
        spot = cluster.place(pod)
        assert (spot is not None) == fits
        if spot is not None:
            assert len(set(spot.devices)) == shapes[pod].gpus
            taken.append((shapes[pod], spot))
    could_fit(nodes, taken, shapes[0])


class _Forgetful:
    """A score that drops every rating before each pod: the same decisions, without the memory of them."""

    def __init__(self, score: SharedScore) -> None:
        self._score = score
        self.rate = score.rate

    def refresh(self, state: object) -> bool:
        self._score.refresh(state)  # type: ignore[arg-type] # handed through as it came
        return True


@given(seed=SEEDS)
@settings(max_examples=80, deadline=None)
def test_remembered_ratings_change_no_decision_also_when_pods_leave(seed: int) -> None:
    nodes, shapes, pods, mix = arrivals(seed)
    remembering = Sharing(nodes, shapes, FgdScore(mix))
    forgetful = Sharing(nodes, shapes, _Forgetful(FgdScore(mix)))
    rng = np.random.default_rng(seed)
    held: list[tuple[int, Spot]] = []
    for pod in pods:
        spot = remembering.place(pod)
        assert forgetful.place(pod) == spot
        if spot is not None:
            held.append((pod, spot))
        if held and rng.random() < 0.3:
            gone, spot = held.pop(int(rng.integers(len(held))))
            remembering.release(gone, spot)
            forgetful.release(gone, spot)


@given(seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_released_pods_leave_the_cluster_as_it_was(seed: int) -> None:
    nodes, shapes, pods, mix = arrivals(seed)
    cluster = Sharing(nodes, shapes, PriceScore(mix))
    spots = [(pod, cluster.place(pod)) for pod in pods]
    for pod, spot in spots:
        if spot is not None:
            cluster.release(pod, spot)
    fresh = Sharing(nodes, shapes, PriceScore(mix)).state
    assert (cluster.state.cpu == fresh.cpu).all()
    assert (cluster.state.memory == fresh.memory).all()
    assert (cluster.state.free == fresh.free).all()


@given(seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_worth_rises_with_free_space_from_nothing_to_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = tuple(Shape(cpu=1, memory=1, gpus=1, milli=int(m)) for m in rng.choice(MILLI, 4, replace=False))
    worth = gpu_worth(Mix(shapes=shapes, weights=tuple(rng.random(4).tolist())))
    assert worth[0] == 0.0
    assert worth[WHOLE] == 1.0
    assert (np.diff(worth) >= -1e-12).all()
    smallest = min(shape.milli for shape in shapes)
    assert (worth[:smallest] == 0.0).all()


def test_a_space_that_only_ever_fits_beside_a_large_pod_is_worth_nothing() -> None:
    """Pods of 810 leave 190; where few smaller ones come, a left-over of 190 has no price."""
    shapes = (Shape(cpu=1, memory=1, gpus=1, milli=810), Shape(cpu=1, memory=1, gpus=1, milli=110))
    worth = gpu_worth(Mix(shapes=shapes, weights=(1000.0, 10.0)))
    assert worth[190] == pytest.approx(0.0, abs=1e-6)
    assert worth[810] == pytest.approx(1.0, abs=1e-6)


@given(mean=st.floats(-50, 50), spread=st.floats(0, 20))
@settings(max_examples=100, deadline=None)
def test_expected_excess_lies_between_what_is_certain_and_what_the_spread_can_add(
    mean: float, spread: float
) -> None:
    value = float(expected_excess(np.array([mean]), np.array([spread]))[0])
    assert max(mean, 0.0) - 1e-6 <= value <= max(mean, 0.0) + 0.4 * spread + 1e-6
