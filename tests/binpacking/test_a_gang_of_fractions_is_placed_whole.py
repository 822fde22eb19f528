"""Gangs whose pods share GPUs: device by device valid, all or nothing, and infeasible only when it is so."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.answer import Infeasible, Optimal
from binpacking.check import check_shared
from binpacking.devices import WHOLE, DeviceNodes, Shape, observed
from binpacking.fgd import FgdScore
from binpacking.shared_score import PriceScore
from binpacking.shared_solve import Demand, place_shared, solve_shared
from binpacking.sharing import SharedState, Sharing, Spot
from tests.binpacking.test_shared_gpus_are_never_overcommitted import arrivals, random_shape

SEEDS = st.integers(0, 2**32 - 1)


def case(seed: int) -> tuple[SharedState, list[Demand]]:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 3))
    nodes = DeviceNodes(
        cpu=rng.integers(3, 25, (size,)),
        memory=rng.integers(3, 25, (size,)),
        gpus=rng.integers(0, 3, (size,)),
        model=rng.integers(0, 3, (size,)).astype(np.int32),
    )
    state = SharedState(nodes)
    for node, device in np.argwhere(state.free == WHOLE).tolist():
        if rng.random() < 0.4:
            state.free[node, device] -= int(rng.choice([200, 500, 810]))
    demands = [
        Demand(name=f"d{i}", shape=random_shape(rng), count=int(rng.integers(0, 3)))
        for i in range(int(rng.integers(1, 3)))
    ]
    return state, demands


def fits(state: SharedState, placed: list[tuple[Shape, Spot]]) -> bool:
    cpu, memory, free = state.cpu.copy(), state.memory.copy(), state.free.copy()
    for shape, spot in placed:
        if not shape.may_use(state.nodes.model[[spot.node]])[0] or len(set(spot.devices)) != shape.gpus:
            return False
        cpu[spot.node] -= shape.cpu
        memory[spot.node] -= shape.memory
        for device in spot.devices:
            if state.free[spot.node, device] < 0:
                return False
            free[spot.node, device] -= shape.milli
    return bool((cpu >= 0).all() and (memory >= 0).all() and ((free >= 0) | (state.free < 0)).all())


def can_be_placed(state: SharedState, demands: list[Demand]) -> bool:
    """By trying every spot for every pod."""
    ways: list[list[tuple[Shape, Spot]]] = []
    slots = range(state.free.shape[1])
    for demand in demands:
        shape = demand.shape
        spots = [
            (shape, Spot(node, devices))
            for node in range(len(state.cpu))
            for devices in product(slots, repeat=shape.gpus)
            if list(devices) == sorted(set(devices))
        ]
        ways += [spots] * demand.count
    return any(fits(state, list(chosen)) for chosen in product(*ways))


@given(seed=SEEDS)
@settings(max_examples=300, deadline=None)
def test_it_stands_exactly_when_trying_everything_finds_a_way(seed: int) -> None:
    state, demands = case(seed)
    answer = solve_shared(state, demands, budget=5.0, seed=seed)
    if answer.spots is None:
        assert isinstance(answer.certificate, Infeasible)
        assert not can_be_placed(state, demands)
        return
    assert answer.certificate == Optimal(float(sum(d.count for d in demands)))
    assert [len(spots) for spots in answer.spots] == [d.count for d in demands]
    placed = [(d.shape, s) for d, spots in zip(demands, answer.spots, strict=True) for s in spots]
    assert fits(state, placed)


@given(seed=SEEDS)
@settings(max_examples=80, deadline=None)
def test_greedily_all_pods_are_placed_or_the_cluster_is_as_before(seed: int) -> None:
    nodes, shapes, pods, mix = arrivals(seed)
    cluster = Sharing(nodes, shapes, FgdScore(mix))
    for start in range(0, len(pods), 5):
        gang = pods[start : start + 5]
        before = cluster.state.free.copy(), cluster.state.cpu.copy(), cluster.state.memory.copy()
        spots = cluster.place_whole(gang)
        if spots is None:
            after = cluster.state.free, cluster.state.cpu, cluster.state.memory
            assert all((one == two).all() for one, two in zip(before, after, strict=True))
        else:
            assert [len(s.devices) for s in spots] == [shapes[p].gpus for p in gang]


@given(seed=SEEDS)
@settings(max_examples=300, deadline=None)
def test_by_prices_first_it_still_stands_exactly_when_it_can_and_the_state_stays(seed: int) -> None:
    state, demands = case(seed)
    before = state.copy()
    mix = observed([d.shape for d in demands], [i for i, d in enumerate(demands) for _ in range(d.count)])
    answer = place_shared(state, demands, score=PriceScore(mix), budget=5.0, seed=seed)
    assert (answer.spots is not None) == can_be_placed(state, demands)
    for one, two in ((before.free, state.free), (before.cpu, state.cpu), (before.memory, state.memory)):
        assert (one == two).all()
    if answer.spots is not None:
        assert [len(spots) for spots in answer.spots] == [d.count for d in demands]


@given(seed=SEEDS)
@settings(max_examples=300, deadline=None)
def test_the_checker_refuses_exactly_what_does_not_fit(seed: int) -> None:
    state, demands = case(seed)
    rng = np.random.default_rng(seed + 1)
    placed = [
        (d.shape, Spot(int(rng.integers(len(state.cpu))), tuple(rng.integers(0, 2, d.shape.gpus).tolist())))
        for d in demands
        for _ in range(d.count)
    ]
    known = [(s, p) for s, p in placed if all(d < state.free.shape[1] for d in p.devices)]
    assert bool(check_shared(state, known)) != fits(state, known)
