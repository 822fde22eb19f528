"""Of those who were chosen to leave for one gang stays whoever is not needed beside who leaves for others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduler.model.objects import Pod
from scheduler.model.plan import Plan, Victim
from scheduler.state import ClusterState
from tests.builders import gang, node, pod, shape
from tests.teams.worlds import cluster, planned, quota

GPUS = 8
#: Size, GPUs of a pod, priority, members beyond the minimum at most.
RUNNING = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from((1, 2, 4, 8)), st.sampled_from((0, 50)), st.integers(0, 3)),
    min_size=2,
    max_size=8,
)
WAITING = st.lists(st.tuples(st.integers(1, 4), st.sampled_from((1, 2, 4, 8))), min_size=2, max_size=3)


def _full(nodes: int, running: list[tuple[int, int, int, int]]) -> ClusterState:
    """These gangs, each pod on the first node that has room; who finds none is not there."""
    state = ClusterState("stowplan")
    free = {f"n{i}": GPUS for i in range(nodes)}
    for name in free:
        state.set_node(node(name, gpu=GPUS))
    for number, (size, gpus, priority, beyond) in enumerate(running):
        room = sum(left // gpus for left in free.values())
        minimum = max(1, size - beyond)
        for i in range(size if size <= room else 0):
            where = next(name for name, left in free.items() if left >= gpus)
            free[where] -= gpus
            words = {"stowplan.dev/gang": f"r{number}", "stowplan.dev/gang-min-member": str(minimum)}
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
        for part in (part for victim in clearing.victims for part in _parts(victim)):
            left = Counter(free)
            for uid, where in clearing.nominated.items():
                left[where] += _gpus(pods[uid])
            for one in part:
                left[one.node_name] -= _gpus(one)
            if min(left.values()) >= 0 and sum(room // asks[0] for room in left.values()) >= len(asks):
                found.append(f"{[one.name for one in part]} for {clearing.beneficiaries[0].key}")
    return found


def _parts(victim: Victim) -> list[Sequence[Pod]]:
    """What could stay for itself: what the gang stands on, or any one that is beyond that."""
    if victim.is_whole:
        return [victim.gang.pods[: victim.gang.base]]
    return [(one,) for one in victim.pods]


# Of the gang of three, which would leave whole, the third alone makes room enough.
@example(nodes=2, running=[(1, 8, 0, 0), (3, 2, 0, 1)], waiting=[(4, 2), (1, 4)])
@settings(max_examples=300, deadline=None)
@given(nodes=st.integers(2, 4), running=RUNNING, waiting=WAITING)
def test_each_victim_is_needed_beside_all_others(
    nodes: int, running: list[tuple[int, int, int, int]], waiting: list[tuple[int, int]]
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


@pytest.mark.parametrize("limit", [16, 24])
def test_a_victim_leaves_where_others_of_its_department_started_on_its_limit(limit: int) -> None:
    """Of a department with a limit one gang is taken back from, and another starts. Who leaves for a third
    would have had room for two: but then the department is above its limit for good.
    """
    quotas = [
        quota("both", {"limit": {"gpu": limit}}),
        quota("lent", {"parent": "both"}),
        quota("near", {"parent": "both"}),
        quota("owed", {"guaranteed": {"gpu": 8}}),
        quota("own", {"guaranteed": {"gpu": 8}}),
    ]
    state = cluster([], quotas)
    for i in range(5):
        state.set_node(node(f"n{i}", gpu=GPUS, labels={"pool": "b" if i == 4 else "a"}))
    # Team, priority, nodes of its pods.
    runs = {
        "cheap": ("lent", 0, ("n0",)),
        "fast": ("near", 100, ("n1",)),
        "large": ("own", 0, ("n2", "n3")),
    }
    for name, (team, priority, nodes) in runs.items():
        words = {"stowplan.dev/gang": name, "stowplan.dev/gang-min-member": str(len(nodes))}
        for i, where in enumerate(nodes):
            one = pod(f"{name}-{i}", gpu=8, namespace=team, priority=priority, annotations=words, node=where)
            state.set_pod(replace(one, phase="Running"))
    here, there = (shape(gpu=8, node_selector=(("pool", pool),)) for pool in "ab")
    state.set_pod(pod("comes", of=here, namespace="owed", priority=100))
    state.set_pod(pod("starts", of=there, namespace="near", priority=50))
    state.set_pod(pod("high", of=here, namespace="own", priority=20))
    _, done = planned(state)
    assert [place.gang.pods[0].name for place in done.places] == ["starts"]
    leave = {victim.gang.key.name for clearing in done.clearings for victim in clearing.victims}
    assert leave == ({"cheap", "large"} if limit == 16 else {"large"})
    assert [verdict.reason for verdict in done.verdicts] == ["WaitingForVictims"] * 2


@pytest.mark.parametrize("is_taken", [False, True])
def test_nobody_leaves_for_a_gang_that_is_to_leave_itself(is_taken: bool) -> None:
    """One of three was lost and waits anew; the others run where somebody urgent may go."""
    state = ClusterState("stowplan")
    state.set_node(node("n0", gpu=8))
    state.set_node(node("n1", gpu=1))
    short = gang("short", 3, gpu=4, priority=20)
    for one in short[:2]:
        state.set_pod(replace(one, node_name="n0", phase="Running"))
    state.set_pod(replace(short[2], shape=shape(gpu=1)))
    state.set_pod(pod("low", gpu=1, node="n1", phase="Running"))
    if is_taken:
        state.set_pod(pod("urgent", gpu=8, priority=100))
    _, done = planned(state)
    leave = sorted(one.name for clearing in done.clearings for v in clearing.victims for one in v.pods)
    assert leave == (["short-0", "short-1"] if is_taken else ["low"])
    assert {verdict.key.name: verdict.reason for verdict in done.verdicts}["short"] == (
        "Waiting" if is_taken else "WaitingForVictims"
    )
