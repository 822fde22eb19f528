"""Topology spread judges each newcomer where it lands, as kube-scheduler does, not what stood before."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.answer import Infeasible
from binpacking.check import check
from binpacking.greedy import Packing, place_greedy
from binpacking.model import Model
from binpacking.problem import Gang, Nodes, Role, Skew
from binpacking.prove import prove_unfit
from binpacking.score import PACK, SPREAD
from binpacking.solve import solve_gang

SEEDS = st.integers(0, 2**32 - 1)


def most_in_turn(have: tuple[int, ...], room: tuple[int, ...], max_skew: int, pods: int) -> int:
    """The most pods that can land one after the other, each within the skew at that moment."""

    @cache
    def more(held: tuple[int, ...], left: int) -> int:
        best = 0
        for domain in range(len(held)) if left else ():
            is_level = held[domain] + 1 - min(held) <= max_skew
            if is_level and held[domain] - have[domain] < room[domain]:
                after = (*held[:domain], held[domain] + 1, *held[domain + 1 :])
                best = max(best, 1 + more(after, left - 1))
        return best

    return more(have, pods)


def spread_role(have: list[int], max_skew: int, pods: int) -> Role:
    domains = np.arange(len(have), dtype=np.int32)
    skew = Skew(domain_of=domains, have=np.array(have, dtype=np.int64), max_skew=max_skew)
    return Role(name="w", count=pods, minimum=pods, request=np.ones(1, dtype=np.int64), skews=(skew,))


@given(seed=SEEDS)
@settings(max_examples=400, deadline=None)
def test_a_gang_stands_exactly_when_its_pods_can_land_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size, pods, max_skew = int(rng.integers(1, 4)), int(rng.integers(1, 7)), int(rng.integers(1, 4))
    have, room = rng.integers(0, 8, (size,)), rng.integers(0, 6, (size, 1))
    most = most_in_turn(tuple(have.tolist()), tuple(room[:, 0].tolist()), max_skew, pods)
    gang = Gang(name="g", roles=(spread_role(have.tolist(), max_skew, pods),), minimum=pods)
    nodes = Nodes(free=room, total=room)
    for score in (PACK, SPREAD):
        packing = Packing(nodes, score=score)
        answer = solve_gang(packing, gang, budget=2.0, seed=seed)
        assert (answer.placement is not None) == (most == pods)
        assert check(nodes, [gang], [answer]) == []
        if most == pods:
            assert prove_unfit(packing, gang) is None
        else:
            assert isinstance(answer.certificate, Infeasible)
            assert place_greedy(packing, gang) is None


@given(seed=SEEDS)
@settings(max_examples=200, deadline=None)
def test_the_exact_model_alone_says_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size, pods, max_skew = int(rng.integers(1, 4)), int(rng.integers(1, 7)), int(rng.integers(1, 4))
    have, room = rng.integers(0, 8, (size,)), rng.integers(0, 6, (size, 1))
    most = most_in_turn(tuple(have.tolist()), tuple(room[:, 0].tolist()), max_skew, pods)
    model = Model(room, [spread_role(have.tolist(), max_skew, pods)], np.arange(size))
    model.cp.add(model.totals[0] == pods)
    assert (model.solve(budget=2.0, seed=0).counts is not None) == (most == pods)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_domain_that_is_far_ahead_keeps_no_pod_from_the_others(size: int) -> None:
    room = np.full((size, 1), 9, dtype=np.int64)
    role = spread_role([7] + [0] * (size - 1), 1, size - 1)
    gang = Gang(name="g", roles=(role,), minimum=size - 1)
    placement = place_greedy(Packing(Nodes(free=room, total=room), score=PACK), gang)
    assert placement is not None
    assert 0 not in placement[0].nodes.tolist()
