"""Placements are valid, refusals are true: every answer against an enumeration of all placements."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.answer import GangAnswer, Infeasible, Optimal, RolePlacement
from binpacking.check import check
from binpacking.greedy import Packing, place_greedy
from binpacking.problem import AMOUNT_MAX, DomainLimit, Gang, InvalidProblem, Nodes, Role, Skew, Topology
from binpacking.prove import prove_unfit
from binpacking.score import PACK, SPREAD
from binpacking.solve import solve_gang

BUDGET = 5.0


def instance(seed: int) -> tuple[Nodes, Gang]:
    """A small random instance with every kind of constraint now and then."""
    rng = random.Random(seed)
    n, r = rng.randint(1, 4), rng.randint(1, 2)
    free = np.array([[rng.randint(0, 6) for _ in range(r)] for _ in range(n)], dtype=np.int64)
    racks = np.array([rng.randint(-1, 1) for _ in range(n)], dtype=np.int32)
    nodes = Nodes(free=free, total=free + 2, domains=(racks,))
    roles = tuple(role(rng, n, r, i) for i in range(rng.randint(1, 2)))
    count = sum(one.count for one in roles)
    topology = (Topology(level=0, is_required=True),) if rng.random() < 0.3 else ()
    return nodes, Gang(name="g", roles=roles, minimum=rng.randint(1, count), topology=topology)


def role(rng: random.Random, n: int, r: int, index: int) -> Role:
    count = rng.randint(1, 3)
    domains = np.array([rng.randint(0, 1) for _ in range(n)], dtype=np.int32)
    limits = (
        (DomainLimit(domain_of=domains, most=np.array([rng.randint(0, 2) for _ in range(2)])),)
        if rng.random() < 0.3
        else ()
    )
    return Role(
        name=f"role{index}",
        count=count,
        minimum=rng.randint(0, count),
        request=np.array([rng.randint(0, 4) for _ in range(r)], dtype=np.int64),
        allowed=np.array([rng.random() < 0.8 for _ in range(n)]) if rng.random() < 0.5 else None,
        limits=limits,
    )


def most_pods(nodes: Nodes, gang: Gang) -> int:
    """The most pods of any valid placement, or -1 when there is none: all of them are tried."""
    n = len(nodes)
    best = -1
    spreads = [
        [c for c in itertools.product(range(one.count + 1), repeat=n) if one.minimum <= sum(c) <= one.count]
        for one in gang.roles
    ]
    for counts in itertools.product(*spreads):
        if is_valid(nodes, gang, counts):
            best = max(best, sum(map(sum, counts)))
    return best


def is_valid(nodes: Nodes, gang: Gang, counts: tuple[tuple[int, ...], ...]) -> bool:
    used = np.zeros_like(nodes.free)
    for one, per_node in zip(gang.roles, counts, strict=True):
        used += np.outer(per_node, one.request)
        if one.allowed is not None and any(c and not ok for c, ok in zip(per_node, one.allowed, strict=True)):
            return False
        for limit in one.limits:
            for d in range(len(limit.most)):
                if sum(c for c, of in zip(per_node, limit.domain_of, strict=True) if of == d) > limit.most[d]:
                    return False
    if sum(map(sum, counts)) < gang.minimum or not ((used <= nodes.free) | (used == 0)).all():
        return False
    holding = [i for i in range(len(nodes)) if any(per_node[i] for per_node in counts)]
    if gang.topology and len(holding) > 1:
        racks = [int(nodes.domains[0][i]) for i in holding]
        return -1 not in racks and len(set(racks)) == 1
    return True


def assert_accepted(nodes: Nodes, gang: Gang, answer: GangAnswer) -> None:
    assert check(nodes, [gang], [answer]) == []
    assert answer.placement is not None
    counts = []
    for where in answer.placement:
        dense = np.zeros(len(nodes), dtype=int)
        dense[where.nodes] = where.counts
        counts.append(tuple(dense.tolist()))
    assert is_valid(nodes, gang, tuple(counts))


@given(seed=st.integers(0, 2**32))
@settings(max_examples=1500, deadline=None)
def test_greedy_places_validly_and_a_proof_is_never_wrong(seed: int) -> None:
    nodes, gang = instance(seed)
    most = most_pods(nodes, gang)
    for score in (PACK, SPREAD):
        packing = Packing(nodes, score=score)
        placement = place_greedy(packing, gang)
        proof = prove_unfit(packing, gang)
        if placement is not None:
            assert_accepted(nodes, gang, GangAnswer(placement=placement, certificate=Optimal()))
            assert most >= 0
            assert proof is None
        if proof is not None:
            assert most == -1
            assert proof.core


@given(seed=st.integers(0, 2**32))
@settings(max_examples=1200, deadline=None)
def test_the_solver_finds_a_placement_exactly_when_there_is_one(seed: int) -> None:
    nodes, gang = instance(seed)
    answer = solve_gang(Packing(nodes, score=PACK), gang, budget=BUDGET, seed=0)
    if most_pods(nodes, gang) < 0:
        assert isinstance(answer.certificate, Infeasible)
        assert answer.placement is None
        assert answer.certificate.core
    else:
        assert_accepted(nodes, gang, answer)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_the_solver_repeats_bit_for_bit(seed: int) -> None:
    nodes, gang = instance(seed)
    first, second = (solve_gang(Packing(nodes, score=PACK), gang, budget=BUDGET, seed=3) for _ in range(2))
    assert type(first.certificate) is type(second.certificate)
    assert (first.placement is None) == (second.placement is None)
    for one, two in zip(first.placement or (), second.placement or (), strict=True):
        assert one.nodes.tolist() == two.nodes.tolist()
        assert one.counts.tolist() == two.counts.tolist()


@given(seed=st.integers(0, 2**32))
@settings(max_examples=600, deadline=None)
def test_more_capacity_never_hurts_and_node_order_never_matters(seed: int) -> None:
    nodes, gang = instance(seed)
    rng = random.Random(seed)
    order = rng.sample(range(len(nodes)), len(nodes))
    shuffled = Nodes(free=nodes.free[order], total=nodes.total[order], domains=(nodes.domains[0][order],))
    roles = tuple(
        Role(
            name=one.name,
            count=one.count,
            minimum=one.minimum,
            request=one.request,
            allowed=None if one.allowed is None else one.allowed[order],
            limits=tuple(DomainLimit(domain_of=x.domain_of[order], most=x.most) for x in one.limits),
        )
        for one in gang.roles
    )
    again = Gang(name="g", roles=roles, minimum=gang.minimum, topology=gang.topology)
    here, there = (
        place_greedy(Packing(nodes, score=PACK), gang),
        place_greedy(Packing(shuffled, score=PACK), again),
    )
    assert pods(here) == pods(there)
    roomier = Nodes(free=nodes.free + 4, total=nodes.total + 4, domains=nodes.domains)
    if prove_unfit(Packing(nodes, score=PACK), gang) is None:
        assert prove_unfit(Packing(roomier, score=PACK), gang) is None


def pods(placement: tuple[RolePlacement, ...] | None) -> int:
    return -1 if placement is None else sum(int(where.counts.sum()) for where in placement)


@pytest.mark.parametrize(
    ("field", "build"),
    [
        ("role.request", lambda: Role(name="r", count=1, minimum=0, request=np.array([-8], dtype=np.int64))),
        ("role.request", lambda: Role(name="r", count=1, minimum=0, request=np.array([AMOUNT_MAX + 1]))),
        ("role.count", lambda: Role(name="r", count=2**40, minimum=0, request=np.array([1]))),
        ("role.minimum", lambda: Role(name="r", count=1, minimum=2, request=np.array([1]))),
        ("nodes.free", lambda: Nodes(free=np.array([[2**60]]), total=np.array([[1]]))),
        ("nodes.free", lambda: Nodes(free=np.array([[0.5]]), total=np.array([[1]]))),
        (
            "skew.max_skew",
            lambda: Skew(domain_of=np.zeros(1, np.int32), have=np.zeros(1, np.int64), max_skew=0),
        ),
    ],
)
def test_absurd_numbers_are_refused_with_the_field_named(field: str, build: Callable[[], object]) -> None:
    with pytest.raises(InvalidProblem, match=field.replace(".", r"\.")):
        build()
