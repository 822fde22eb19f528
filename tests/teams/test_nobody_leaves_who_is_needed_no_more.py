"""Of those who were chosen to leave for one gang stays whoever is not needed beside who leaves for others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.objects import Pod
from scheduler.model.plan import Plan
from scheduler.state import ClusterState
from tests.builders import gang, node, pod
from tests.teams.worlds import cluster, planned, quota

GPUS = 8
#: Size, GPUs of a pod, priority.
RUNNING = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from((1, 2, 4, 8)), st.sampled_from((0, 50))),
    min_size=2,
    max_size=8,
)
WAITING = st.lists(st.tuples(st.integers(1, 4), st.sampled_from((1, 2, 4, 8))), min_size=2, max_size=3)


def _full(nodes: int, running: list[tuple[int, int, int]]) -> ClusterState:
    """These gangs, each pod on the first node that has room; who finds none is not there."""
    state = ClusterState("stowplan")
    free = {f"n{i}": GPUS for i in range(nodes)}
    for name in free:
        state.set_node(node(name, gpu=GPUS))
    for number, (size, gpus, priority) in enumerate(running):
        minimum = sum(left // gpus for left in free.values())
        for i in range(size if size <= minimum else 0):
            where = next(name for name, left in free.items() if left >= gpus)
            free[where] -= gpus
            words = {"stowplan.dev/gang": f"r{number}", "stowplan.dev/gang-min-member": str(size)}
            state.set_pod(
                pod(
                    f"r{number}-{i}",
                    gpu=gpus,
                    priority=priority,
                    annotations=words,
                    node=where,
                    phase="Running",
                )
            )
    return state


def _gpus(one: Pod) -> int:
    return dict(one.shape.requests)["nvidia.com/gpu"]


def _needless(state: ClusterState, done: Plan) -> list[str]:
    """Victims without whom their beneficiary has room as well, beside what is held for everybody else."""
    free = Counter({f"n{i}": GPUS for i in range(len(state.columns.nodes))})
    for one, where in state.charged():
        free[where] -= _gpus(one)
    for place in done.places:
        for a in place.assignments:
            free[a.node] -= _gpus(a.pod)
    for clearing in done.clearings:
        for victim in clearing.victims:
            for one in victim.pods:
                free[one.node_name] += _gpus(one)
    pods = {one.uid: one for gang in state.snapshot(0.0).gangs for one in gang.pods}
    for verdict in done.verdicts:
        for uid, where in verdict.nominated.items():
            free[where] -= _gpus(pods[uid])
    assert min(free.values()) >= 0
    found: list[str] = []
    for clearing in done.clearings:
        asks = [_gpus(pods[uid]) for uid in clearing.nominated]
        for victim in clearing.victims:
            left = Counter(free)
            for uid, where in clearing.nominated.items():
                left[where] += _gpus(pods[uid])
            for one in victim.pods:
                left[one.node_name] -= _gpus(one)
            if min(left.values()) >= 0 and sum(room // asks[0] for room in left.values()) >= len(asks):
                found.append(f"{victim.gang.key} for {clearing.beneficiaries[0].key}")
    return found


@settings(max_examples=300, deadline=None)
@given(nodes=st.integers(2, 4), running=RUNNING, waiting=WAITING)
def test_each_victim_is_needed_beside_all_others(
    nodes: int, running: list[tuple[int, int, int]], waiting: list[tuple[int, int]]
) -> None:
    state = _full(nodes, running)
    for number, (size, gpus) in enumerate(waiting):
        for one in gang(f"w{number}", size, gpu=gpus, priority=200 - 10 * number):
            state.set_pod(one)
    _, done = planned(state)
    assert _needless(state, done) == []


@pytest.mark.parametrize("limit", [36, 44])
def test_a_victim_that_a_quota_needs_gone_leaves_all_the_same(limit: int) -> None:
    """What is taken back from a gang that borrowed has room for two teams. The limit that they share may want
    one of their own gone all the same.
    """
    quotas = [
        quota("both", {"limit": {"gpu": str(limit)}}),
        quota("a", {"parent": "both", "guaranteed": {"gpu": "16"}}),
        quota("b", {"parent": "both", "guaranteed": {"gpu": "28"}}),
        quota("c", {}),
    ]
    state = cluster([8, 8, 8, 8, 8, 4], quotas)
    # Who stays first, then who may leave: team, priority, nodes of its pods.
    runs = {
        "fast": ("b", 100, ("n0", "n0", "n4", "n4", "n5")),
        "low": ("a", 0, ("n1", "n1")),
        "lent": ("c", 0, ("n2", "n2", "n3", "n3")),
    }
    for name, (team, priority, nodes) in runs.items():
        words = {"stowplan.dev/gang": name, "stowplan.dev/gang-min-member": str(len(nodes))}
        for i, where in enumerate(nodes):
            one = pod(f"{name}-{i}", gpu=4, namespace=team, priority=priority, annotations=words, node=where)
            state.set_pod(replace(one, phase="Running"))
    state.set_pod(pod("high", gpu=8, namespace="a", priority=100))
    state.set_pod(pod("owed", gpu=8, namespace="b"))
    _, done = planned(state)
    leave = {victim.gang.key.name for clearing in done.clearings for victim in clearing.victims}
    assert leave == ({"low", "lent"} if limit == 36 else {"lent"})
    assert [verdict.reason for verdict in done.verdicts] == ["WaitingForVictims"] * 2
