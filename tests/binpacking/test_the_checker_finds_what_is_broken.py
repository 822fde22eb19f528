"""The checker refuses each kind of damage done to a valid placement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.answer import RolePlacement
from binpacking.check import check
from binpacking.greedy import Packing, place_greedy
from binpacking.problem import DomainLimit, Gang, Nodes, Role, Skew, Topology
from binpacking.score import PACK
from tests.binpacking.problems import Placement, answer_of, random_gang, random_nodes

SEEDS = st.integers(0, 2**32 - 1)


def placed(seed: int) -> tuple[Nodes, Gang, Placement]:
    """The first of this seed's random problems in which pods that ask something are placed."""
    rng = np.random.default_rng(seed)
    while True:
        nodes = random_nodes(rng, most=5)
        gang = random_gang(rng, nodes, count=6)
        placement = place_greedy(Packing(nodes, score=PACK), gang)
        if placement is not None and any(len(role.nodes) for role in placement):
            assert not check(nodes, [gang], [answer_of(placement)])
            if gang.roles[used_role(placement)].request.any():
                return nodes, gang, placement


def used_role(placement: Placement) -> int:
    return next(i for i, role in enumerate(placement) if len(role.nodes))


@given(seed=SEEDS)
@settings(max_examples=150, deadline=None)
def test_a_node_with_less_than_is_used_there_is_found(seed: int) -> None:
    nodes, gang, placement = placed(seed)
    index = used_role(placement)
    column = int(gang.roles[index].request.argmax())
    used = sum(
        int(role.request[column] * where.counts[where.nodes == placement[index].nodes[0]].sum())
        for role, where in zip(gang.roles, placement, strict=True)
    )
    free = nodes.free.copy()
    free[placement[index].nodes[0], column] = used - 1
    short = Nodes(free=free, total=nodes.total, domains=nodes.domains)
    assert any("of" in text for text in check(short, [gang], [answer_of(placement)]))


@given(seed=SEEDS)
@settings(max_examples=150, deadline=None)
def test_a_pod_too_few_and_a_pod_too_many_are_found(seed: int) -> None:
    nodes, gang, placement = placed(seed)
    index = used_role(placement)
    count = int(placement[index].counts.sum())
    for role in (
        replace(gang.roles[index], minimum=count + 1, count=count + 1),
        replace(gang.roles[index], minimum=0, count=count - 1),
    ):
        roles = tuple(role if i == index else r for i, r in enumerate(gang.roles))
        other = replace(gang, roles=roles, minimum=0)
        assert check(nodes, [other], [answer_of(placement)])
    pods = sum(int(role.counts.sum()) for role in placement)
    grown = replace(gang, roles=tuple(replace(r, count=r.count + 1) for r in gang.roles), minimum=pods + 1)
    assert check(nodes, [grown], [answer_of(placement)])


@given(seed=SEEDS)
@settings(max_examples=150, deadline=None)
def test_a_broken_rule_is_found(seed: int) -> None:
    nodes, gang, placement = placed(seed)
    index, size = used_role(placement), len(nodes)
    at = int(placement[index].nodes[0])
    role = gang.roles[index]
    allowed = np.ones(size, dtype=np.bool_)
    allowed[at] = False
    one_domain = np.zeros(size, dtype=np.int32)
    outside = one_domain.copy()
    outside[at] = -1
    none = np.zeros(1, dtype=np.int64)
    own = np.arange(size, dtype=np.int32)
    spread = Skew(domain_of=own, have=np.where(own == at, 9, 0).astype(np.int64), max_skew=1)
    broken: list[Role] = [
        replace(role, allowed=allowed),
        replace(role, limits=(DomainLimit(domain_of=one_domain, most=none),)),
        replace(role, limits=(DomainLimit(domain_of=outside, most=none + 99),)),
        replace(role, skews=(Skew(domain_of=outside, have=none, max_skew=99),)),
    ]
    if size > 1:
        broken.append(replace(role, skews=(spread,)))
    for worse in broken:
        roles = tuple(worse if i == index else r for i, r in enumerate(gang.roles))
        assert check(nodes, [replace(gang, roles=roles)], [answer_of(placement)])


@given(seed=SEEDS)
@settings(max_examples=100, deadline=None)
def test_pods_outside_their_domain_are_found(seed: int) -> None:
    nodes, gang, placement = placed(seed)
    at = {int(n) for role in placement for n in role.nodes}
    apart = np.arange(len(nodes), dtype=np.int32)
    split = Nodes(free=nodes.free, total=nodes.total, domains=(apart,))
    required = (Topology(level=0, is_required=True),)
    assert bool(check(split, [replace(gang, topology=required)], [answer_of(placement)])) == (len(at) > 1)
    elsewhere = (Topology(level=0, is_required=True, pinned=len(nodes)),)
    assert check(split, [replace(gang, topology=elsewhere)], [answer_of(placement)])


def test_placements_without_form_are_found() -> None:
    nodes = Nodes(free=np.full((2, 1), 9), total=np.full((2, 1), 9))
    gang = Gang(
        name="g", roles=(Role(name="r", count=4, minimum=0, request=np.ones(1, dtype=np.int64)),), minimum=0
    )
    for at, counts in (([0, 0], [1, 1]), ([1, 0], [1, 1]), ([2], [1]), ([-1], [1]), ([0], [0]), ([0], [-1])):
        role = RolePlacement(nodes=np.array(at, dtype=np.int64), counts=np.array(counts, dtype=np.int64))
        assert check(nodes, [gang], [answer_of((role,))])
    assert check(nodes, [gang], [answer_of(())])
    assert check(nodes, [gang], [])
