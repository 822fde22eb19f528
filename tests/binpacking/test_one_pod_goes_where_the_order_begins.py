"""For a single pod only the best node is looked for; it is the first of the whole order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.greedy import Packing, place_greedy, place_single
from binpacking.problem import DomainLimit, Gang, Nodes, Role
from binpacking.score import PACK
from tests.binpacking.problems import random_gang, random_nodes


def everywhere(nodes: Nodes) -> DomainLimit:
    """A limit that forbids nothing to a single pod, for whose sake all nodes are put in order."""
    return DomainLimit(
        domain_of=np.arange(len(nodes), dtype=np.int32), most=np.ones(len(nodes), dtype=np.int64)
    )


def single(rng: np.random.Generator, nodes: Nodes) -> Role:
    drawn = random_gang(rng, nodes, roles=1, count=1).roles[0]
    return replace(drawn, count=1, minimum=int(rng.integers(0, 2)), limits=(), skews=())


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=1500, deadline=None)
def test_the_best_node_is_the_first_in_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nodes = random_nodes(rng, most=12)
    if rng.random() < 0.5:
        # Equal nodes: the keys that break ties decide.
        nodes = replace(nodes, free=nodes.free[[0] * len(nodes)], total=nodes.total[[0] * len(nodes)])
    role = single(rng, nodes)
    least = int(rng.integers(role.minimum, 2))
    prefer = rng.integers(0, 3, len(nodes)) if rng.random() < 0.3 else None
    short = place_greedy(
        Packing(nodes, score=PACK), Gang(name="g", roles=(role,), minimum=least), prefer=prefer
    )
    ordered = replace(role, limits=(everywhere(nodes),))
    long = place_greedy(
        Packing(nodes, score=PACK), Gang(name="g", roles=(ordered,), minimum=least), prefer=prefer
    )
    assert (short is None) == (long is None)
    for one, other in zip(short or (), long or (), strict=True):
        assert one.nodes.tolist() == other.nodes.tolist()
        assert one.counts.tolist() == other.counts.tolist()


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None)
def test_a_single_pod_goes_where_greedy_sends_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = random_nodes(rng, most=12)
    nodes = Nodes(free=drawn.free, total=drawn.total)
    role = replace(single(rng, nodes), minimum=1)
    placement = place_greedy(Packing(nodes, score=PACK), Gang(name="g", roles=(role,), minimum=1))
    row = place_single(nodes, role, PACK)
    assert (None if placement is None else int(placement[0].nodes[0])) == row
