"""The vectorised masks against the rules taken one node at a time, on random clusters."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scheduler.predicates.preference import preference
from scheduler.predicates.registry import STATIC, allows, mask, why
from tests.predicates.cluster import Cluster, cluster_of, rules_of
from tests.predicates.generate import case

seeds = st.integers(0, 2**32)
few = settings(max_examples=25, deadline=None)


def cluster(seed: int) -> Cluster:
    return cluster_of(case(Random(seed)))


@few
@given(seeds)
def test_mask_is_the_rule_applied_to_each_node(seed: int) -> None:
    found = cluster(seed)
    shape = found.newcomer.shape
    every = mask(shape, found.nodes, found.claims)
    assert every.tolist() == [allows(shape, node, found.claims) for node in found.nodes]
    for rule in STATIC:
        own = rule.mask(shape, found.nodes, found.claims)
        expected = [rule.why(shape, node, found.claims) is None for node in found.nodes]
        assert expected == ([True] * len(found.nodes) if own is None else own.tolist()), rule.name


@few
@given(seeds)
def test_a_node_is_ruled_out_if_and_only_if_there_is_a_reason(seed: int) -> None:
    found = cluster(seed)
    for node in found.nodes:
        reason = why(found.newcomer.shape, node, found.claims)
        assert (reason is None) == allows(found.newcomer.shape, node, found.claims)
        assert reason is None or 0 < len(reason) <= 512


@few
@given(seeds, st.randoms(use_true_random=False))
def test_the_order_of_nodes_and_pods_changes_nothing(seed: int, rng: Random) -> None:
    found = cluster(seed)
    order = list(range(len(found.nodes)))
    rng.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    moved = [replace(pod, node=place[pod.node]) for pod in found.placed]
    rng.shuffle(moved)
    other = Cluster(
        nodes=tuple(found.nodes[i] for i in order),
        placed=tuple(moved),
        newcomer=found.newcomer,
        namespaces=found.namespaces,
        claims=found.claims,
    )
    shape = found.newcomer.shape
    assert (
        mask(shape, other.nodes, found.claims).tolist()
        == mask(shape, found.nodes, found.claims)[order].tolist()
    )
    one, two = rules_of(found), rules_of(other)
    assert (one.mask is None) == (two.mask is None)
    if one.mask is not None and two.mask is not None:
        assert two.mask.tolist() == one.mask[order].tolist()
    assert one.same_domain == two.same_domain
    for a, b in zip(one.skews, two.skews, strict=True):
        assert [_have(b.domain_of, b.have, i) for i in range(len(order))] == [
            _have(a.domain_of, a.have, i) for i in order
        ]
    before, after = (
        preference(shape, c.newcomer.namespace, c.nodes, c.placed, c.namespaces) for c in (found, other)
    )
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert after.tolist() == before[order].tolist()


def _have(domain_of: NDArray[np.int32], have: NDArray[np.int64], node: int) -> int:
    domain = int(domain_of[node])
    return -1 if domain < 0 else int(have[domain])
