"""Nodes cut into pods leave nothing free: the joint solver puts them together again where greedy cannot."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.answer import Certificate, Infeasible, Optimal
from binpacking.check import check
from binpacking.greedy import Packing, as_placement
from binpacking.joint import Mode, solve_joint
from binpacking.least_slack import fill_least_slack
from binpacking.problem import Gang, Nodes, Role
from binpacking.score import PACK
from binpacking.solve import solve_gang
from tests.binpacking.problems import answer_of

SEEDS = st.integers(0, 2**32 - 1)


def cut(rng: np.random.Generator, nodes: int) -> tuple[Nodes, list[Role]]:
    """Full nodes of 8 by 30, and roles of the pods they were cut into."""
    amounts = np.tile(np.array([8, 30], dtype=np.int64), (nodes, 1))
    roles: list[Role] = []
    for _ in range(nodes):
        pieces = int(rng.integers(2, 5))
        first, second = (_parts(rng, total, pieces) for total in (8, 30))
        roles += [
            Role(name="", count=1, minimum=1, request=np.array(pair, dtype=np.int64))
            for pair in zip(first, second, strict=True)
        ]
    return Nodes(free=amounts, total=amounts), [roles[i] for i in rng.permutation(len(roles)).tolist()]


def _parts(rng: np.random.Generator, total: int, pieces: int) -> list[int]:
    cuts = sorted(rng.choice(np.arange(1, total), size=pieces - 1, replace=False).tolist())
    return [stop - start for start, stop in pairwise([0, *cuts, total])]


def settle(seed: int, mode: Mode) -> tuple[Certificate, ...]:
    """The certificates of gangs that fill five nodes exactly, once the checker has seen the placements."""
    nodes, roles = cut(np.random.default_rng(seed), 5)
    gangs = [
        Gang(name=f"gang{i}", roles=tuple(roles[i::4]), minimum=len(roles[i::4]))
        for i in range(min(4, len(roles)))
    ]
    answers = solve_joint(Packing(nodes, score=PACK), gangs, budget=5.0, seed=0, mode=mode)
    assert check(nodes, gangs, answers) == []
    return tuple(answer.certificate for answer in answers)


@given(seed=SEEDS, mode=st.sampled_from(("strict", "throughput")))
@settings(max_examples=100, deadline=None)
def test_gangs_that_fill_the_nodes_exactly_are_never_called_impossible(seed: int, mode: Mode) -> None:
    assert not any(isinstance(certificate, Infeasible) for certificate in settle(seed, mode))


@pytest.mark.parametrize("mode", ["strict", "throughput"])
def test_of_gangs_that_fill_the_nodes_exactly_hardly_any_instance_is_left_open(mode: Mode) -> None:
    """A bounded search may give up; of sixty instances it may on three at most."""
    whole = [all(isinstance(c, Optimal) for c in settle(seed, mode)) for seed in range(60)]
    assert sum(whole) >= 57


@given(seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_one_gang_that_fills_the_nodes_exactly_stands(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nodes, roles = cut(rng, 5)
    gang = Gang(name="gang", roles=tuple(roles), minimum=len(roles))
    answer = solve_gang(Packing(nodes, score=PACK), gang, budget=5.0, seed=0)
    assert answer.certificate == Optimal(float(len(roles)))


@given(seed=SEEDS)
@settings(max_examples=200, deadline=None)
def test_a_filling_is_valid_and_complete_or_there_is_none(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 6))
    free = rng.integers(-2, 12, (size, 2))
    roles = tuple(
        Role(
            name="",
            count=(count := int(rng.integers(0, 4))),
            minimum=count,
            request=rng.integers(0, 5, (2,)),
            allowed=rng.random((size,)) < 0.7 if rng.random() < 0.4 else None,
        )
        for _ in range(3)
    )
    filled = fill_least_slack(free, roles, budget=1.0, seed=seed, rounds=3)
    if filled.counts is not None:
        gang = Gang(name="", roles=roles, minimum=0)
        placement = as_placement(list(filled.counts))
        assert check(Nodes(free=free, total=np.maximum(free, 0)), [gang], [answer_of(placement)]) == []
        assert [int(c.sum()) for c in filled.counts] == [role.count for role in roles]
