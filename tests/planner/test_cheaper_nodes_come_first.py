"""``policy.prices``: of nodes that a pod likes equally, the cheapest come first; never a must."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.live.config import parse
from scheduler.model.objects import Node, Pod
from scheduler.model.plan import Budget, Policy
from scheduler.model.selection import NodeTerm, Requirement, WeightedNodeTerm
from scheduler.planner import plan
from scheduler.record import record, replay
from scheduler.state import ClusterState
from tests.builders import gang, node, pod, shape

TYPE = "node.kubernetes.io/instance-type"
CAPACITY = "karpenter.sh/capacity-type"
HEAD = "apiVersion: stowplan.dev/v1alpha1\nkind: SchedulerConfiguration\n"
DEAR, MIDDLE, CHEAP, UNKNOWN = "p5.48xlarge", "p4d.24xlarge", "g5.48xlarge", "x9.metal"
BY_TYPE = f"{{label: {TYPE}, values: {{{DEAR}: 12.29, {MIDDLE}: 4.1, {CHEAP}: 2}}}}"
NODES = [
    node(f"{name}-{i}", labels={TYPE: name}) for i in range(2) for name in (UNKNOWN, DEAR, CHEAP, MIDDLE)
]


def policy(*prices: str, strategy: Literal["pack", "spread"] = "pack") -> Policy:
    """As ``stowplan run`` reads it."""
    text = f"{HEAD}policy: {{strategy: {strategy}, prices: [{', '.join(prices)}]}}\n"
    return parse(text.encode(), "stowplan.yaml").policy.as_policy()


def placed(nodes: Sequence[Node], pods: Sequence[Pod], by: Policy) -> list[str]:
    """The nodes of newly placed pods, sorted."""
    state = ClusterState("stowplan")
    for one in nodes:
        state.set_node(one)
    for each in pods:
        state.set_pod(each)
    result = plan(state.snapshot(), by, Budget(per_gang=1.0, total=4.0))
    return sorted(a.node for place in result.places for a in place.assignments)


@pytest.mark.parametrize("strategy", ["pack", "spread"])
@pytest.mark.parametrize("is_gang", [True, False])
def test_the_cheapest_nodes_are_taken_and_then_the_next(
    strategy: Literal["pack", "spread"], is_gang: bool
) -> None:
    by = policy(BY_TYPE, strategy=strategy)
    for size, kinds in (
        (2, (CHEAP,)),
        (4, (CHEAP, MIDDLE)),
        (6, (CHEAP, MIDDLE, DEAR)),
        (8, (CHEAP, MIDDLE, DEAR, UNKNOWN)),
    ):
        pods = gang("g", size, gpu=8) if is_gang else [pod(f"s{i}", gpu=8) for i in range(size)]
        wanted = sorted(f"{kind}-{i}" for kind in kinds for i in range(2))
        assert placed(NODES, pods, by) == wanted
        assert placed(NODES[::-1], pods, by) == wanted


def test_without_prices_packing_decides_and_with_them_the_price_does() -> None:
    begun = pod("begun", gpu=4, node=f"{DEAR}-0", phase="Running")
    work = [begun, pod("new", gpu=4)]
    assert placed(NODES, work, Policy()) == [f"{DEAR}-0"]
    assert placed(NODES, work, policy(BY_TYPE))[0].startswith(CHEAP)


def test_among_nodes_of_one_price_packing_decides() -> None:
    begun = pod("begun", gpu=4, node=f"{CHEAP}-1", phase="Running")
    assert placed(NODES, [begun, pod("new", gpu=4)], policy(BY_TYPE)) == [f"{CHEAP}-1"]


def liking(weight: int, *kinds: str) -> WeightedNodeTerm:
    term = NodeTerm(expressions=(Requirement(key=TYPE, operator="In", values=kinds),))
    return WeightedNodeTerm(weight=weight, term=term)


def test_what_a_pod_prefers_comes_before_the_price() -> None:
    fond = shape(gpu=8, preferred_nodes=(liking(1, DEAR, MIDDLE),))
    assert placed(NODES, gang("g", 2, of=fond), policy(BY_TYPE)) == [f"{MIDDLE}-0", f"{MIDDLE}-1"]
    # The smallest difference of wishes outweighs the largest of prices.
    torn = shape(gpu=8, preferred_nodes=(liking(100, UNKNOWN), liking(99, CHEAP)))
    assert placed(NODES, gang("g", 2, of=torn), policy(BY_TYPE)) == [f"{UNKNOWN}-0", f"{UNKNOWN}-1"]
    avoiding = shape(gpu=8, spot="avoid")
    nodes = [
        node("spot", labels={TYPE: CHEAP, CAPACITY: "spot"}),
        node("kept", labels={TYPE: DEAR, CAPACITY: "on-demand"}),
    ]
    assert placed(nodes, [pod("p", of=avoiding)], policy(BY_TYPE)) == ["kept"]


def test_the_first_entry_that_knows_a_node_tells_its_price() -> None:
    nodes = [
        node("a-spot", labels={TYPE: DEAR, CAPACITY: "spot"}),
        node("b-kept", labels={TYPE: CHEAP, CAPACITY: "on-demand"}),
    ]
    spot = f"{{label: {CAPACITY}, values: {{spot: 1.5}}}}"
    assert placed(nodes, [pod("p", gpu=8)], policy(spot, BY_TYPE)) == ["a-spot"]
    assert placed(nodes, [pod("p", gpu=8)], policy(BY_TYPE, spot)) == ["b-kept"]


@given(st.lists(st.sampled_from([DEAR, MIDDLE, CHEAP, UNKNOWN]), min_size=1, max_size=6), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_prices_change_where_pods_go_and_never_how_many(kinds: list[str], size: int) -> None:
    """Against a plain count: one pod a node, the cheapest nodes first."""
    nodes = [node(f"n{i}", labels={TYPE: kind}) for i, kind in enumerate(kinds)]
    found = placed(nodes, [pod(f"s{i}", gpu=8) for i in range(size)], policy(BY_TYPE))
    order = [CHEAP, MIDDLE, DEAR, UNKNOWN]
    expected = sorted(kinds, key=order.index)[:size]
    assert Counter(kinds[int(name[1:])] for name in found) == Counter(expected)
    assert len(set(found)) == len(found)
    assert len(placed(nodes, gang("g", size, gpu=8), policy(BY_TYPE))) == (size if size <= len(kinds) else 0)


def test_a_decision_by_price_is_recorded_and_replayed() -> None:
    state = ClusterState("stowplan")
    for one in NODES:
        state.set_node(one)
    for each in gang("g", 3, of=shape(gpu=8, spot="prefer")):
        state.set_pod(each)
    snapshot, by, budget = state.snapshot(), policy(BY_TYPE), Budget()
    line = record(snapshot, by, budget, {}, plan(snapshot, by, budget))
    before, now, is_same = replay(line)
    assert is_same
    assert before.places == now.places
    assert {a.node for a in now.places[0].assignments} >= {f"{CHEAP}-0", f"{CHEAP}-1"}
