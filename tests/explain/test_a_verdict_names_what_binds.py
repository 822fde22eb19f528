"""The verdict's reason, its numbers and its words follow from the state, and from nothing else."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.answer import Infeasible
from scheduler.explain.units import amount
from scheduler.explain.verdict import MESSAGE_MAX
from scheduler.model.objects import CPU, MEMORY, Node, Pod
from scheduler.model.plan import Budget, Policy, Verdict
from scheduler.model.selection import Taint
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import GIB, gang, node, pod, shape

BUDGET = Budget(per_gang=1.0, total=4.0)


def verdicts(nodes: list[Node], pods: list[Pod], policy: Policy | None = None) -> list[Verdict]:
    state = ClusterState("stowplan")
    for one in nodes:
        state.set_node(one)
    for each in pods:
        state.set_pod(each)
    return list(plan(state.snapshot(), policy or Policy(), BUDGET).verdicts)


def test_a_gang_larger_than_the_cluster_never_fits_and_says_the_sum() -> None:
    nodes = [node(f"n{i}") for i in range(4)]
    (verdict,) = verdicts(nodes, gang("g", 5, gpu=8))
    assert verdict.reason == "NeverFits"
    assert isinstance(verdict.certificate, Infeasible)
    assert "needs 40 nvidia.com/gpu, 32 can be had" in verdict.message


def test_a_gang_that_waits_for_others_to_end_is_unschedulable_with_what_is_free() -> None:
    nodes = [node(f"n{i}") for i in range(4)]
    holders = [pod(f"h{i}", gpu=8, node=f"n{i}", phase="Running") for i in range(3)]
    (verdict,) = verdicts(nodes, holders + gang("g", 2, gpu=8))
    assert verdict.reason == "Unschedulable"
    assert isinstance(verdict.certificate, Infeasible)
    assert "needs 16 nvidia.com/gpu, 8 can be had" in verdict.message
    assert "(1/4 nodes have room for one such pod: 3 Insufficient nvidia.com/gpu)" in verdict.message


def test_scattered_capacity_is_told_from_missing_capacity() -> None:
    nodes = [node(f"n{i}") for i in range(8)]
    holders = [pod(f"h{i}", gpu=7, node=f"n{i}", phase="Running") for i in range(8)]
    (verdict,) = verdicts(nodes, holders + gang("g", 1, minimum=1, gpu=8))
    assert verdict.reason == "Unschedulable"
    assert isinstance(verdict.certificate, Infeasible)
    assert verdict.certificate.core[0].what == "fragmentation"


def test_capacity_behind_a_selector_is_told_from_missing_capacity() -> None:
    nodes = [node(f"n{i}", labels={"pool": "a" if i < 2 else "b"}) for i in range(6)]
    (verdict,) = verdicts(nodes, gang("g", 3, of=shape(gpu=8, node_selector=(("pool", "a"),))))
    assert isinstance(verdict.certificate, Infeasible)
    assert [(b.what, b.need, b.have) for b in verdict.certificate.core] == [("mask", 3, 2)]
    assert "4 node(s) didn't match Pod's node affinity/selector" in verdict.message


def test_nodes_are_counted_by_the_rule_that_keeps_the_pod_off() -> None:
    tainted = [node(f"t{i}", taints=(Taint(key="team", value="red", effect="NoSchedule"),)) for i in range(2)]
    cordoned = [node("c", is_unschedulable=True)]
    full = [node("f", gpu=0)]
    (verdict,) = verdicts(tainted + cordoned + full, [pod("p", gpu=1)])
    assert "2 node(s) had untolerated taint" in verdict.message
    assert "1 node(s) were unschedulable" in verdict.message
    assert "1 Insufficient nvidia.com/gpu" in verdict.message


def test_without_backfill_whoever_comes_behind_a_blocked_gang_waits_for_it() -> None:
    nodes = [node("n", gpu=8)]
    runs = pod("runs", gpu=4, node="n", phase="Running", priority=9)
    pods = [runs, pod("big", gpu=8, priority=5), pod("small", gpu=1)]
    found = {v.key.name: v for v in verdicts(nodes, pods, Policy(backfill=False))}
    assert found["uid-team-big"].reason == "Unschedulable"
    assert "waits behind" in found["uid-team-small"].message
    assert [v.key.name for v in verdicts(nodes, pods)] == ["uid-team-big"]


def test_without_backfill_too_nobody_waits_behind_a_gang_that_can_never_start() -> None:
    pods = [pod("big", gpu=8, priority=5), pod("small", gpu=1)]
    found = verdicts([node("n", gpu=4)], pods, Policy(backfill=False))
    assert [(v.key.name, v.reason) for v in found] == [("uid-team-big", "NeverFits")]


def test_pods_of_one_shape_share_the_words_of_their_verdict() -> None:
    found = verdicts([node("n", gpu=2)], [pod(f"p{i}", gpu=1) for i in range(6)])
    assert len(found) == 4
    assert len({v.message for v in found}) == 1


@given(seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_words_do_not_depend_on_the_order_in_which_nodes_came(seed: int) -> None:
    rng = random.Random(seed)
    nodes = [node(f"n{i}", gpu=rng.randint(0, 8)) for i in range(6)]
    pods = [*gang("g", 12, gpu=rng.randint(1, 8)), pod("s", gpu=8)]
    first = {v.key: (v.reason, v.message) for v in verdicts(nodes, pods)}
    shuffled = rng.sample(nodes, len(nodes))
    second = {v.key: (v.reason, v.message) for v in verdicts(shuffled, rng.sample(pods, len(pods)))}
    assert first == second
    assert all(len(message) <= MESSAGE_MAX for _, message in first.values())


def test_a_huge_request_stays_one_short_sentence() -> None:
    asked = shape(gpu=16, cpu=10**12, memory=2**52)
    (verdict,) = verdicts([node("n")], [pod("p", of=asked)])
    assert verdict.reason == "NeverFits"
    assert len(verdict.message) <= MESSAGE_MAX
    assert "\n" not in verdict.message


@pytest.mark.parametrize(
    ("resource", "value", "text"),
    [
        (CPU, 1500, "1500m"),
        (CPU, 96_000, "96"),
        (MEMORY, 64 * GIB, "64Gi"),
        (MEMORY, 3 * 2**20, "3Mi"),
        (MEMORY, 0, "0"),
        ("nvidia.com/gpu", 8, "8"),
    ],
)
def test_amounts_read_as_kubernetes_quantities(resource: str, value: int, text: str) -> None:
    assert amount(resource, value) == text
