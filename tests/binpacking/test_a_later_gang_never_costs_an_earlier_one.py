"""Joint answers in strict order equal trying every set of gangs; by weight, the heaviest set stands."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.answer import GangAnswer, Infeasible, Unknown
from binpacking.check import check
from binpacking.greedy import Packing
from binpacking.joint import solve_joint
from binpacking.problem import Gang, Nodes
from binpacking.score import PACK
from tests.binpacking.problems import Placement, answer_of, every_placement, random_gang, random_nodes, valid

SEEDS = st.integers(0, 2**32 - 1)


def problem(seed: int) -> tuple[Nodes, list[Gang]]:
    rng = np.random.default_rng(seed)
    nodes = random_nodes(rng, most=2)
    gangs = [random_gang(rng, nodes, roles=1, count=2) for _ in range(3)]
    return nodes, [replace(g, name=f"gang{i}", weight=int(rng.integers(1, 5))) for i, g in enumerate(gangs)]


def standing_sets(nodes: Nodes, gangs: list[Gang]) -> set[tuple[bool, ...]]:
    """Every set of gangs that can stand together."""
    ways: list[list[Placement | None]] = [
        [None, *(p for p in every_placement(nodes, gang) if valid(nodes, gang, p))] for gang in gangs
    ]
    sets: set[tuple[bool, ...]] = set()
    for chosen in product(*ways):
        stands = tuple(p is not None for p in chosen)
        if stands not in sets and not check(nodes, gangs, [answer_of(p) for p in chosen]):
            sets.add(stands)
    return sets


def standing(answers: tuple[GangAnswer, ...]) -> tuple[bool, ...]:
    return tuple(a.placement is not None for a in answers)


@given(seed=SEEDS)
@settings(max_examples=200, deadline=None)
def test_in_strict_order_the_lexicographically_best_set_stands(seed: int) -> None:
    nodes, gangs = problem(seed)
    answers = solve_joint(Packing(nodes, score=PACK), gangs, budget=5.0, seed=seed, mode="strict")
    assert standing(answers) == max(standing_sets(nodes, gangs))
    assert all(isinstance(a.certificate, Infeasible) for a in answers if a.placement is None)


@given(seed=SEEDS)
@settings(max_examples=200, deadline=None)
def test_for_throughput_the_heaviest_set_stands(seed: int) -> None:
    nodes, gangs = problem(seed)
    answers = solve_joint(Packing(nodes, score=PACK), gangs, budget=5.0, seed=seed, mode="throughput")
    best = max(_weight(gangs, stands) for stands in standing_sets(nodes, gangs))
    assert _weight(gangs, standing(answers)) == best


@given(seed=SEEDS)
@settings(max_examples=100, deadline=None)
def test_without_a_budget_nothing_is_claimed_that_is_not_cheaply_proven(seed: int) -> None:
    nodes, gangs = problem(seed)
    answers = solve_joint(Packing(nodes, score=PACK), gangs, budget=0.0, seed=seed, mode="strict")
    assert check(nodes, gangs, answers) == []
    possible = standing_sets(nodes, gangs)
    for i, answer in enumerate(answers):
        if isinstance(answer.certificate, Infeasible):
            assert not any(stands[i] for stands in possible)
        else:
            assert (answer.placement is None) == isinstance(answer.certificate, Unknown)


def _weight(gangs: list[Gang], stands: tuple[bool, ...]) -> int:
    return sum(gang.weight for gang, is_standing in zip(gangs, stands, strict=True) if is_standing)
