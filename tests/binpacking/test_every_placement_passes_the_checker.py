"""Greedy or solved, alone or jointly: placements are valid, whole, and leave the caller's state alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.check import check
from binpacking.greedy import Packing, place_greedy
from binpacking.joint import Mode, solve_joint
from binpacking.problem import Gang, Nodes
from binpacking.score import PACK, SPREAD, Score
from binpacking.solve import solve_gang
from tests.binpacking.problems import answer_of, pods, random_gang, random_nodes

SEEDS = st.integers(0, 2**32 - 1)
SCORES = st.sampled_from([PACK, SPREAD])


def cluster(seed: int, gangs: int) -> tuple[np.random.Generator, Nodes, list[Gang]]:
    rng = np.random.default_rng(seed)
    nodes = random_nodes(rng, most=12)
    return rng, nodes, [random_gang(rng, nodes, roles=3, count=8) for _ in range(gangs)]


@given(seed=SEEDS, score=SCORES)
@settings(max_examples=1500, deadline=None)
def test_gangs_placed_one_after_the_other_never_overcommit(seed: int, score: Score) -> None:
    rng, nodes, gangs = cluster(seed, 4)
    packing = Packing(nodes, score=score)
    answers = []
    for gang in gangs:
        prefer = rng.integers(0, 3, len(nodes)) if rng.random() < 0.3 else None
        before = packing.free.copy()
        placement = place_greedy(packing, gang, prefer=prefer)
        assert (packing.free == before).all()
        answers.append(answer_of(placement))
        for role, where in zip(gang.roles, placement or (), strict=False):
            packing.take(role, where)
    assert check(nodes, gangs, answers) == []
    for gang, answer in zip(gangs, answers, strict=True):
        for role, where in zip(gang.roles, answer.placement or (), strict=False):
            packing.give(role, where)
    assert (packing.free == nodes.free).all()


@given(seed=SEEDS)
@settings(max_examples=300, deadline=None)
def test_a_solved_gang_stands_whole_and_has_no_fewer_pods_than_greedy_found(seed: int) -> None:
    _, nodes, (gang,) = cluster(seed, 1)
    packing = Packing(nodes, score=PACK)
    answer = solve_gang(packing, gang, budget=1.0, seed=seed)
    assert check(nodes, [gang], [answer]) == []
    assert pods(answer.placement) >= pods(place_greedy(packing, gang))


@pytest.mark.parametrize("mode", ["strict", "throughput"])
@given(seed=SEEDS)
@settings(max_examples=150, deadline=None)
def test_joint_answers_hold_together(mode: Mode, seed: int) -> None:
    _, nodes, gangs = cluster(seed, 3)
    packing = Packing(nodes, score=PACK)
    answers = solve_joint(packing, gangs, budget=1.0, seed=seed, mode=mode)
    assert check(nodes, gangs, answers) == []
    assert (packing.free == nodes.free).all()
