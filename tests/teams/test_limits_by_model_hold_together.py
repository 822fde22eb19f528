"""A team with a limit on each of several GPU models: a gang that any of them would do for takes of each."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotas.units import UnitTable
from scheduler.model.plan import Plan, Policy
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import gang, pod
from tests.teams.worlds import BUDGET, H100, START_S, cluster, quota

A100 = "NVIDIA-A100-SXM4-80GB"
MODELS = {H100: "h100-80gb", A100: "a100-80gb"}


def world(gpus: dict[str, int], limits: dict[str, int], **limit: int) -> ClusterState:
    """One node a model; a team limited on each."""
    by_model = {MODELS[model]: most for model, most in limits.items()}
    spec = {"limit": {"gpuModels": by_model, **limit}}
    return cluster(list(gpus.values()), [quota("a", spec)], models=list(gpus))


def decide(state: ClusterState) -> Plan:
    return plan(state.snapshot(START_S), Policy(), BUDGET)


def counts(done: Plan) -> Counter[str]:
    return Counter(a.node for place in done.places for a in place.assignments)


def test_eight_are_placed_four_and_four() -> None:
    state = world({H100: 8, A100: 8}, {H100: 4, A100: 4})
    for one in gang("g", 8, gpu=1, namespace="a"):
        state.set_pod(one)
    assert counts(decide(state)) == {"n0": 4, "n1": 4}


def test_nine_are_refused_by_name() -> None:
    state = world({H100: 8, A100: 8}, {H100: 4, A100: 4})
    for one in gang("g", 9, gpu=1, namespace="a"):
        state.set_pod(one)
    (verdict,) = decide(state).verdicts
    assert verdict.reason == "QuotaExceeded"
    assert "at its limit of 4" in verdict.message


def test_of_an_elastic_gang_as_many_start_as_the_limits_allow() -> None:
    state = world({H100: 8, A100: 8}, {H100: 2, A100: 3})
    for one in gang("g", 8, minimum=4, gpu=1, namespace="a"):
        state.set_pod(one)
    assert counts(decide(state)) == {"n0": 2, "n1": 3}


def test_what_runs_counts() -> None:
    state = world({H100: 8, A100: 8}, {H100: 4, A100: 4})
    state.set_pod(pod("runs", gpu=3, namespace="a", node="n0", phase="Running"))
    for one in gang("g", 5, gpu=1, namespace="a"):
        state.set_pod(one)
    assert counts(decide(state)) == {"n0": 1, "n1": 4}


def test_roles_share_the_limits() -> None:
    state = world({H100: 8, A100: 8}, {H100: 4, A100: 4})
    members = gang("g", 6, gpu=1, namespace="a")
    for i, one in enumerate(members):
        wide = pod(one.name, gpu=2, namespace="a", annotations=dict(one.annotations))
        state.set_pod(wide if i < 2 else one)
    done = decide(state)
    assert sum(counts(done).values()) == 6
    used: Counter[str] = Counter()
    for place in done.places:
        for a in place.assignments:
            used[a.node] += dict(a.pod.shape.requests)["nvidia.com/gpu"]
    assert used == {"n0": 4, "n1": 4}


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_a_gang_starts_if_and_only_if_some_division_is_allowed_and_there(seed: int) -> None:
    """Against every division of the gang over the models, by count."""
    rng = Random(seed)
    room = {model: rng.randint(0, 6) for model in (H100, A100)}
    limits = {model: rng.randint(0, 6) for model in (H100, A100)}
    total, size = rng.randint(0, 10), rng.randint(2, 8)
    state = world(room, limits, gpu=total)
    for one in gang("g", size, gpu=1, namespace="a"):
        state.set_pod(one)
    possible = size <= total and any(
        first <= min(room[H100], limits[H100]) and size - first <= min(room[A100], limits[A100])
        for first in range(size + 1)
    )
    done = decide(state)
    assert bool(done.places) == possible
    placed = counts(done)
    assert placed["n0"] <= limits[H100]
    assert placed["n1"] <= limits[A100]


@pytest.mark.parametrize(("limit", "starts"), [(12, True), (9, True), (8, False)])
def test_models_that_count_double_are_taken_last(limit: int, starts: bool) -> None:
    """Six pods, an H100 counting for two: three on each count for nine units, the least there is."""
    quotas = [quota("a", {"limit": {"gpu": limit, "gpuModels": {"h100-80gb": 4, "a100-80gb": 3}}})]
    state = ClusterState("stowplan", UnitTable(by_model={"h100-80gb": 2_000}))
    small = cluster([8, 8], quotas, models=[H100, A100])
    for node in small.columns.nodes:
        state.set_node(node)
    state.set_namespace("a", {})
    state.set_team_quota(quotas[0])
    for one in gang("g", 6, gpu=1, namespace="a"):
        state.set_pod(one)
    assert bool(decide(state).places) == starts
