"""What is called optimal, infeasible or unfit is so when everything is tried."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from binpacking.answer import Feasible, Infeasible, Optimal
from binpacking.greedy import Packing, place_greedy
from binpacking.prove import prove_unfit
from binpacking.score import PACK, SPREAD
from binpacking.solve import solve_gang
from tests.binpacking.problems import most_pods, pods, random_gang, random_nodes, valid

SEEDS = st.integers(0, 2**32 - 1)


# Two roles that fit one by one but not together where they may go.
@example(seed=14074)
@given(seed=SEEDS)
@settings(max_examples=700, deadline=None)
def test_a_solved_gang_has_as_many_pods_as_any_placement_and_an_infeasible_one_has_none(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nodes = random_nodes(rng, most=3)
    gang = random_gang(rng, nodes)
    truth = most_pods(nodes, gang)
    answer = solve_gang(Packing(nodes, score=PACK), gang, budget=5.0, seed=seed)
    match answer.certificate:
        case Optimal(value=value):
            assert truth == value == pods(answer.placement)
        case Infeasible(core=core):
            assert truth == -1
            assert core
            assert all(item.have < item.need for item in core)
        case Feasible(value=value, bound=bound):
            assert value <= truth <= bound
        case _:
            raise AssertionError("a problem this small is decided within the budget")


@given(seed=SEEDS)
@settings(max_examples=700, deadline=None)
def test_a_cheap_proof_is_never_wrong_and_greedy_never_places_what_it_refutes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nodes = random_nodes(rng, most=3)
    gang = random_gang(rng, nodes)
    packing = Packing(nodes, score=PACK if seed % 2 else SPREAD)
    proof = prove_unfit(packing, gang)
    placement = place_greedy(packing, gang)
    truth = most_pods(nodes, gang)
    assert proof is None or truth == -1
    assert placement is None or valid(nodes, gang, placement)
    assert pods(placement) <= truth
