"""Whatever the cluster and the queue: gangs whole or not at all, nothing overcommitted, same plan twice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.objects import GPU, Pod
from scheduler.model.plan import Budget, Plan, Policy, Snapshot
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import gang, node, pod

BUDGET = Budget(per_gang=0.5, total=2.0)


def cluster(seed: int) -> tuple[ClusterState, dict[str, int]]:
    """A random cluster, random work some of which runs, fed in random order; and what each gang needs."""
    rng = random.Random(seed)
    state = ClusterState("stowplan")
    pods: list[Pod] = []
    minimum: dict[str, int] = {}
    nodes = [node(f"node{i}", gpu=rng.randint(0, 8)) for i in range(rng.randint(0, 8))]
    for i in range(rng.randint(0, 12)):
        size = rng.randint(1, 6)
        least = rng.randint(1, size)
        name = f"gang{i}"
        minimum[name] = least
        members = gang(
            name,
            size,
            minimum=least,
            gpu=rng.randint(0, 8),
            priority=rng.randint(0, 2),
            created_s=float(rng.randint(0, 5)),
        )
        if nodes and rng.random() < 0.3:
            stand = rng.randint(1, size)
            on = rng.choice(nodes).name
            members[:stand] = [replace(p, node_name=on, phase="Running") for p in members[:stand]]
            minimum[name] = max(1, least - stand)
        pods += members
    for i in range(rng.randint(0, 10)):
        pods.append(pod(f"single{i}", gpu=rng.randint(0, 4), created_s=float(rng.randint(0, 5))))
    feeds: list[Callable[[], object]] = [partial(state.set_node, n) for n in nodes]
    feeds += [partial(state.set_pod, p) for p in pods]
    rng.shuffle(feeds)
    for feed in feeds:
        feed()
    return state, minimum


def answer(planned: Plan) -> list[tuple[str, str]]:
    return sorted((a.pod.name, a.node) for place in planned.places for a in place.assignments)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_every_gang_is_placed_whole_or_gets_a_verdict_and_no_node_is_overcommitted(seed: int) -> None:
    state, minimum = cluster(seed)
    snapshot = state.snapshot()
    planned = plan(snapshot, Policy(), BUDGET)
    answered = Counter([p.gang.key for p in planned.places] + [v.key for v in planned.verdicts])
    assert answered == Counter(g.key for g in snapshot.gangs)
    for place in planned.places:
        assert len(place.assignments) >= minimum.get(place.gang.key.name, 1)
    assert_fits(snapshot, planned)


def assert_fits(snapshot: Snapshot, planned: Plan) -> None:
    used = {n.name: Counter[str]() for n in snapshot.nodes}
    for place in planned.places:
        for a in place.assignments:
            used[a.node].update(dict(a.pod.shape.requests))
    for row, n in enumerate(snapshot.nodes):
        for resource, amount in used[n.name].items():
            assert amount <= max(0, int(snapshot.free[row, snapshot.resources.index(resource)]))


@given(seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_the_same_snapshot_gives_the_same_plan(seed: int) -> None:
    state, _ = cluster(seed)
    snapshot = state.snapshot()
    first, second = (plan(snapshot, Policy(), BUDGET) for _ in range(2))
    assert answer(first) == answer(second)
    assert first.verdicts == second.verdicts


@given(seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_the_plan_leaves_the_snapshot_untouched(seed: int) -> None:
    state, _ = cluster(seed)
    snapshot = state.snapshot()
    before = snapshot.free.copy()
    plan(snapshot, Policy(), BUDGET)
    assert np.array_equal(before, snapshot.free)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_snapshot_does_not_change_when_the_state_does(seed: int) -> None:
    state, _ = cluster(seed)
    snapshot = state.snapshot()
    free, gangs, masks = snapshot.free.copy(), snapshot.gangs, dict(snapshot.masks)
    for place in plan(snapshot, Policy(), BUDGET).places:
        for assignment in place.assignments:
            state.assume(assignment)
    state.set_node(node("late", gpu=8))
    state.snapshot()
    assert np.array_equal(free, snapshot.free)
    assert gangs is snapshot.gangs
    assert all(masks[shape] is snapshot.masks[shape] for shape in masks)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_assuming_a_plan_charges_exactly_what_it_uses(seed: int) -> None:
    state, _ = cluster(seed)
    snapshot = state.snapshot()
    planned = plan(snapshot, Policy(), BUDGET)
    for place in planned.places:
        assert state.objection(place) is None
        for assignment in place.assignments:
            state.assume(assignment)
    after = state.snapshot()
    column = after.resources.index(GPU)
    spent = sum(dict(a.pod.shape.requests).get(GPU, 0) for p in planned.places for a in p.assignments)
    assert int(snapshot.free[:, column].sum()) - int(after.free[:, column].sum()) == spent
    for place in planned.places:
        for assignment in place.assignments:
            state.forget(assignment.pod.uid)
    assert np.array_equal(state.snapshot().free[:, column], snapshot.free[:, column])
