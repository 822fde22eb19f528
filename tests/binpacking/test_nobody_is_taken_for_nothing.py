"""Victims: the cheapest set by trying every set, minimal, and only where the gang then stands."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.answer import Feasible, Infeasible, Optimal
from binpacking.check import check
from binpacking.greedy import Packing
from binpacking.problem import Gang, Nodes
from binpacking.score import PACK
from binpacking.victims import Part, Taken, Victim, VictimAnswer, victims
from tests.binpacking.problems import answer_of, most_pods, random_gang, random_nodes

SEEDS = st.integers(0, 2**32 - 1)


def problem(seed: int) -> tuple[Nodes, Gang, list[Victim]]:
    rng = np.random.default_rng(seed)
    nodes = random_nodes(rng, most=3)
    gang = random_gang(rng, nodes, roles=1, count=3)
    return nodes, gang, [_victim(rng, nodes, f"victim{i}") for i in range(int(rng.integers(0, 4)))]


def _victim(rng: np.random.Generator, nodes: Nodes, name: str) -> Victim:
    extra = tuple(_part(rng, nodes) for _ in range(int(rng.integers(0, 3))))
    # Of some, what they stand on may not go.
    return Victim(name=name, base=_part(rng, nodes) if rng.random() < 0.8 else None, extra=extra)


def _part(rng: np.random.Generator, nodes: Nodes) -> Part:
    at = np.flatnonzero(rng.random(len(nodes)) < 0.6).astype(np.int64)
    return Part(
        cost=int(rng.integers(0, 9)), nodes=at, amounts=rng.integers(0, 4, (len(at), nodes.free.shape[1]))
    )


def without(nodes: Nodes, parts: list[Part]) -> Nodes:
    free = nodes.free.copy()
    for part in parts:
        free[part.nodes] += part.amounts
    return Nodes(free=free, total=nodes.total, domains=nodes.domains)


def parts_of(candidates: list[Victim], taken: tuple[Taken, ...]) -> list[Part]:
    parts: list[Part] = []
    for one in taken:
        victim = candidates[one.victim]
        parts += victim.whole if one.base else [victim.extra[e] for e in one.extra]
    return parts


def cheapest(nodes: Nodes, gang: Gang, candidates: list[Victim]) -> int | None:
    """By trying every allowed set of parts: the least cost after which the gang can stand."""
    ways = [
        ([list(victim.whole)] if victim.base is not None else [])
        + [[e for e, out in zip(victim.extra, chosen, strict=True) if out] for chosen in _subsets(victim)]
        for victim in candidates
    ]
    sets = [[part for parts in chosen for part in parts] for chosen in product(*ways)]
    for parts in sorted(sets, key=lambda chosen: sum(part.cost for part in chosen)):
        if most_pods(without(nodes, parts), gang) >= 0:
            return sum(part.cost for part in parts)
    return None


def _subsets(victim: Victim) -> list[tuple[bool, ...]]:
    return list(product((False, True), repeat=len(victim.extra)))


def found(seed: int, budget: float) -> tuple[Nodes, Gang, list[Victim], VictimAnswer]:
    nodes, gang, candidates = problem(seed)
    answer = victims(Packing(nodes, score=PACK), gang, candidates, budget=budget, seed=seed)
    return nodes, gang, candidates, answer


@given(seed=SEEDS)
@settings(max_examples=250, deadline=None)
def test_the_set_is_the_cheapest_there_is(seed: int) -> None:
    nodes, gang, candidates, answer = found(seed, budget=5.0)
    truth = cheapest(nodes, gang, candidates)
    if truth is None:
        assert isinstance(answer.certificate, Infeasible)
        assert answer.taken == ()
    else:
        assert answer.certificate == Optimal(float(truth))
        assert sum(part.cost for part in parts_of(candidates, answer.taken)) == truth


@given(seed=SEEDS, budget=st.sampled_from([0.0, 1.0]))
@settings(max_examples=400, deadline=None)
def test_the_gang_stands_after_it_and_would_not_with_any_one_part_kept(seed: int, budget: float) -> None:
    nodes, gang, candidates, answer = found(seed, budget)
    if answer.placement is None:
        assert answer.taken == ()
        return
    after = without(nodes, parts_of(candidates, answer.taken))
    assert check(after, [gang], [answer_of(answer.placement)]) == []
    for one in answer.taken:
        victim = candidates[one.victim]
        assert not one.base or one.extra == tuple(range(len(victim.extra)))
        kept = victim.whole[0] if one.base else victim.extra[one.extra[0]]
        fewer = after.free.copy()
        fewer[kept.nodes] -= kept.amounts
        short = Nodes(free=fewer, total=nodes.total, domains=nodes.domains)
        assert check(short, [gang], [answer_of(answer.placement)]) != []


@given(seed=SEEDS)
@settings(max_examples=150, deadline=None)
def test_a_bound_never_exceeds_the_truth(seed: int) -> None:
    nodes, gang, candidates, answer = found(seed, budget=0.0)
    truth = cheapest(nodes, gang, candidates)
    match answer.certificate:
        case Feasible(value=value, bound=bound):
            assert truth is not None
            assert bound <= truth <= value
        case Optimal(value=value):
            assert truth == value
        case Infeasible():
            assert truth is None
        case _:
            assert answer.taken == ()
