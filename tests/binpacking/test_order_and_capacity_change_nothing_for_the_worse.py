"""Names decide nothing, more room never makes it worse, and the same call gives the same answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.answer import RolePlacement
from binpacking.greedy import Packing, place_greedy
from binpacking.joint import solve_joint
from binpacking.problem import Gang, Nodes, Role
from binpacking.score import PACK, SPREAD, Score
from binpacking.solve import solve_gang
from tests.binpacking.problems import permuted, pods, random_gang, random_nodes

SEEDS = st.integers(0, 2**32 - 1)


@given(seed=SEEDS)
@settings(max_examples=250, deadline=None)
def test_permuting_nodes_and_roles_keeps_the_solved_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nodes = random_nodes(rng, most=6)
    gang = random_gang(rng, nodes, count=5)
    roles = rng.permutation(len(gang.roles)).tolist()
    moved, (other,) = permuted(nodes, [gang], rng.permutation(len(nodes)), roles)
    first = solve_gang(Packing(nodes, score=PACK), gang, budget=2.0, seed=0)
    second = solve_gang(Packing(moved, score=PACK), other, budget=2.0, seed=0)
    assert pods(first.placement) == pods(second.placement)
    assert type(first.certificate) is type(second.certificate)


@given(seed=SEEDS, score=st.sampled_from([PACK, SPREAD]))
@settings(max_examples=400, deadline=None)
def test_permuting_nodes_keeps_the_states_that_greedy_leaves(seed: int, score: Score) -> None:
    """Without rules that tell nodes apart, which states the nodes end in does not depend on their order."""
    rng = np.random.default_rng(seed)
    nodes = _plain(rng)
    gang = _plain_gang(rng, nodes)
    order = rng.permutation(len(nodes))
    moved, (other,) = permuted(nodes, [gang], order)
    assert _left(nodes, gang, score) == _left(moved, other, score)


@given(seed=SEEDS)
@settings(max_examples=250, deadline=None)
def test_adding_capacity_never_loses_pods(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nodes = random_nodes(rng, most=5)
    gang = random_gang(rng, nodes, count=5)
    more = rng.integers(0, 3, nodes.free.shape)
    roomier = Nodes(free=nodes.free + more, total=nodes.total + more, domains=nodes.domains)
    first = solve_gang(Packing(nodes, score=PACK), gang, budget=2.0, seed=0)
    second = solve_gang(Packing(roomier, score=PACK), gang, budget=2.0, seed=0)
    assert pods(second.placement) >= pods(first.placement)


@given(seed=SEEDS)
@settings(max_examples=150, deadline=None)
def test_gangs_of_equal_weight_may_come_in_any_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nodes = random_nodes(rng, most=5)
    gangs = [replace(random_gang(rng, nodes, count=4), name=f"gang{i}") for i in range(3)]
    order = rng.permutation(3).tolist()
    one = solve_joint(Packing(nodes, score=PACK), gangs, budget=2.0, seed=0, mode="throughput")
    shuffled = [gangs[i] for i in order]
    two = solve_joint(Packing(nodes, score=PACK), shuffled, budget=2.0, seed=0, mode="throughput")
    assert sum(a.placement is not None for a in one) == sum(a.placement is not None for a in two)


@given(seed=SEEDS)
@settings(max_examples=100, deadline=None)
def test_the_same_call_gives_the_same_answer(seed: int) -> None:
    def answers() -> list[list[tuple[list[int], list[int]]] | None]:
        rng = np.random.default_rng(seed)
        nodes = random_nodes(rng, most=6)
        gangs = [random_gang(rng, nodes, count=5) for _ in range(2)]
        found = solve_joint(Packing(nodes, score=PACK), gangs, budget=0.5, seed=seed, mode="strict")
        return [None if a.placement is None else [_listed(r) for r in a.placement] for a in found]

    assert answers() == answers()


def _listed(role: RolePlacement) -> tuple[list[int], list[int]]:
    return role.nodes.tolist(), role.counts.tolist()


def _plain(rng: np.random.Generator) -> Nodes:
    total = rng.integers(0, 9, (int(rng.integers(1, 12)), 3))
    return Nodes(free=total - rng.integers(0, 3, total.shape), total=total)


def _plain_gang(rng: np.random.Generator, nodes: Nodes) -> Gang:
    count = int(rng.integers(1, 15))
    request = rng.integers(0, 4, (nodes.free.shape[1],))
    role = Role(name="", count=count, minimum=0, request=request)
    return Gang(name="gang", roles=(role,), minimum=0)


def _left(nodes: Nodes, gang: Gang, score: Score) -> list[list[int]]:
    """What is free and total on each node once the gang is there, in an order without names."""
    packing = Packing(nodes, score=score)
    for role, where in zip(gang.roles, place_greedy(packing, gang) or (), strict=True):
        packing.take(role, where)
    return sorted(np.concatenate([packing.free, nodes.total], axis=1).tolist())
