"""More is asked of a gang that runs in a full cluster: what was added waits, and nobody leaves for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.cycles import Cycles
from scheduler.gangs import words
from scheduler.gangs.groups import CoschedulingPodGroup, Group, GroupKind, Job, Replicas, Workload
from scheduler.gangs.healing import Healing
from scheduler.model.objects import Node, Owner, Pod
from scheduler.model.plan import Budget, Policy
from scheduler.state import ClusterState
from simulations.faults import server as api
from simulations.faults.virtual_time import elapse
from tests.builders import node, pod
from tests.healing.life import NAMESPACE, Life, lived

Maker = tuple[Callable[[int], Group], Callable[[int], Pod]]
SIZE = 4


def workload(
    kind: GroupKind, version: str, of: Callable[[int], tuple[Replicas, ...]]
) -> Callable[[int], Group]:
    return lambda n: Workload(
        kind=kind, api_version=version, namespace="team", name="w", uid="u", generation=n, roles=of(n)
    )


def member(
    kind: str, version: str, labels: Callable[[int], dict[str, str]], **said: str
) -> Callable[[int], Pod]:
    owner = Owner(api_version=version, kind=kind, name="w", uid="u")
    return lambda i: pod(f"w-{i}", gpu=8, owner=owner, labels=labels(i), annotations=said)


RAY: tuple[GroupKind, str] = ("RayCluster", "ray.io/v1")
TORCH: tuple[GroupKind, str] = ("PyTorchJob", "kubeflow.org/v1")
MAKERS: dict[str, Maker] = {
    "RayCluster": (
        workload(*RAY, lambda n: (Replicas(name="head", count=1), Replicas(name="g", count=n - 1))),
        member(
            *RAY,
            lambda i: {
                "ray.io/node-type": "worker" if i else "head",
                "ray.io/group": "g" if i else "headgroup",
            },
        ),
    ),
    "PyTorchJob": (
        workload(*TORCH, lambda n: (Replicas(name="worker", count=n),)),
        member(*TORCH, lambda i: {"training.kubeflow.org/replica-type": "worker"}),
    ),
    "Job": (
        lambda n: Job(
            api_version="batch/v1",
            namespace="team",
            name="w",
            uid="u",
            generation=n,
            parallelism=n,
            completions=100,
        ),
        member("Job", "batch/v1", lambda i: {}, **{words.POLICY: words.ALL_OR_NOTHING}),
    ),
    "PodGroup": (
        lambda n: CoschedulingPodGroup(
            api_version="scheduling.x-k8s.io/v1alpha1",
            namespace="team",
            name="w",
            uid="u",
            generation=n,
            min_member=n,
        ),
        lambda i: pod(f"w-{i}", gpu=8, labels={"scheduling.x-k8s.io/pod-group": "w"}),
    ),
}


class Course:
    """A gang of four that runs on four nodes of its size, and time that passes over it."""

    def __init__(self, maker: Maker) -> None:
        self.describe, self.make = maker
        self.now_s = 100.0
        self.start([node(f"n{i}") for i in range(SIZE)], [self.describe(SIZE)])
        for i in range(SIZE):
            self.state.set_pod(replace(self.make(i), node_name=f"n{i}", phase="Running", started_s=1.0))
        self.passes(1.0)

    def start(self, nodes: Sequence[Node], groups: Sequence[Group]) -> None:
        self.state = ClusterState("stowplan")
        for one in nodes:
            self.state.set_node(one)
        for group in groups:
            self.state.set_group(group)
        self.cycles = Cycles(self.state, policy=Policy(), budget=Budget(), healing=Healing())

    def passes(self, for_s: float) -> tuple[list[str], list[str]]:
        """Names of pods that are placed and of those that are evicted meanwhile; nothing is carried out."""
        placed: dict[str, None] = {}
        evicted: list[str] = []
        for _ in range(int(for_s)):
            self.now_s += 1.0
            cycle = self.cycles.begin(self.now_s, self.now_s)
            planned = cycle.plan()
            placed |= {a.pod.name: None for place in planned.places for a in place.assignments}
            self.cycles.remember(cycle, planned)
            for found in self.cycles.overdue(self.now_s, lambda key: False):
                evicted += [one.name for one in found.pods]
        return list(placed), evicted


@pytest.mark.parametrize("kind", MAKERS)
@settings(max_examples=10, deadline=None)
@given(more=st.integers(1, 4), pods_first=st.booleans(), others=st.integers(0, 2))
def test_what_is_added_waits_for_room(kind: str, more: int, pods_first: bool, others: int) -> None:
    course = Course(MAKERS[kind])
    for i in range(others):
        course.state.set_pod(pod(f"other-{i}", gpu=8))
    if not pods_first:
        course.state.set_group(course.describe(SIZE + more))
    for i in range(SIZE, SIZE + more):
        course.state.set_pod(course.make(i))
    course.state.set_group(course.describe(SIZE + more))
    assert course.passes(200) == ([], [])
    for room in range(1, more + others + 1):
        course.state.set_node(node(f"late-{room}"))
        placed, evicted = course.passes(1)
        assert evicted == []
        assert len(placed) == room


@pytest.mark.parametrize("kind", MAKERS)
def test_a_member_lost_meanwhile_leaves_its_room_to_those_who_wait(kind: str) -> None:
    course = Course(MAKERS[kind])
    course.state.set_group(course.describe(SIZE + 2))
    for i in (SIZE, SIZE + 1):
        course.state.set_pod(course.make(i))
    course.passes(10)
    course.state.remove_pod(course.make(2).uid)
    placed, evicted = course.passes(1)
    assert (len(placed), evicted) == (1, [])


@pytest.mark.parametrize("kind", MAKERS)
def test_a_gang_made_smaller_stands_by_that_at_once(kind: str) -> None:
    course = Course(MAKERS[kind])
    course.state.set_group(course.describe(SIZE - 1))
    course.state.remove_pod(course.make(3).uid)
    assert course.passes(100) == ([], [])
    assert course.state.partial() == {}


@pytest.mark.parametrize("restarts", [False, True])
def test_who_leads_next_knows_by_which_minimum_a_gang_stands(restarts: bool) -> None:
    async def course(life: Life) -> None:
        life.nodes(4)
        group = {
            "metadata": {"name": "pg", "namespace": NAMESPACE, "generation": 1},
            "spec": {"minMember": 4},
        }
        life.store.create(api.COSCHEDULING_GROUPS, group)
        for i in range(4):
            life.pod(f"w{i}", labels={"scheduling.x-k8s.io/pod-group": "pg"})
        await elapse(60)
        life.store.change(api.COSCHEDULING_GROUPS, (NAMESPACE, "pg"), _of_five)
        life.pod("w4", labels={"scheduling.x-k8s.io/pod-group": "pg"})
        if restarts:
            life.replica.crash()
        await elapse(200)

    life = lived(course)
    assert life.replica.lives == 1 + restarts
    assert life.evicted == []
    assert sorted(life.bound) == ["w0", "w1", "w2", "w3"]
    (status,) = (one.read()["status"] for one in life.store.at(api.GANGS).objects.values())
    assert status["startedMinMember"] == 4


def _of_five(group: dict[str, dict[str, object]]) -> None:
    group["spec"]["minMember"] = 5
    group["metadata"]["generation"] = 2
