"""However much waits, a cycle's work is bounded, everybody has a turn, and no input ends the planner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import convert

from binpacking.answer import Unknown
from scheduler.cycles import Cycles
from scheduler.gangs.healing import Healing
from scheduler.kube import wire
from scheduler.live.feeds import PodFeed
from scheduler.model.gang import GangKey
from scheduler.model.objects import Pod
from scheduler.model.plan import Budget, Plan, Policy
from scheduler.parse.shape import READINGS_MAX
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import GIB, gang, node, pod, shape

#: Enough for some tens of attempts.
SMALL = Budget(per_gang=0.5, total=2.0, work=0.05)


@dataclass
class Cluster:
    """A cluster with one GPU free on each node, and the cycles over it."""

    nodes: int = 20
    budget: Budget = SMALL
    policy: Policy = field(default_factory=Policy)
    at_s: float = 0.0

    def __post_init__(self) -> None:
        self.state = ClusterState("stowplan")
        self.cycles = Cycles(self.state, policy=self.policy, budget=self.budget, healing=Healing())
        for i in range(self.nodes):
            self.state.set_node(node(f"n{i}"))
            self.state.set_pod(pod(f"busy{i}", gpu=7, node=f"n{i}", phase="Running", namespace="busy"))

    def submit(self, pods: Sequence[Pod]) -> None:
        for one in pods:
            self.state.set_pod(one)

    def release(self) -> None:
        """Nothing that was found holds any more."""
        self.state.set_node(replace(self.state.columns.nodes[0], labels={"at": str(self.at_s)}))

    def cycle(self) -> Plan:
        self.at_s += 1.0
        begun = self.cycles.begin(self.at_s, self.at_s)
        planned = begun.plan()
        seen = Counter([place.gang.key for place in planned.places] + [v.key for v in planned.verdicts])
        assert seen == Counter(one.key for one in begun.snapshot.gangs), "each gang once"
        accepted, dropped = self.cycles.admit(planned.places, lambda _: False)
        assert not dropped
        for place in accepted:
            for assignment in place.assignments:
                self.state.set_pod(replace(assignment.pod, node_name=assignment.node, phase="Running"))
        self.cycles.remember(begun, planned)
        return planned


def flood(count: int, namespace: str = "flood") -> Iterator[Pod]:
    """Pods of as many shapes, none of which fits."""
    for i in range(count):
        yield pod(f"f{i}", of=shape(gpu=2, memory=GIB + i), namespace=namespace, created_s=float(i))


def other(name: str, size: int = 4) -> list[Pod]:
    return [replace(one, created_s=1e6) for one in gang(name, size, gpu=1, namespace="other")]


def is_placed(planned: Plan, name: str) -> bool:
    return any(place.gang.key.name == name for place in planned.places)


@pytest.mark.parametrize("is_busy", [False, True])
def test_another_tenants_gang_is_placed_in_the_next_cycle(is_busy: bool) -> None:
    cluster = Cluster()
    cluster.submit(list(flood(3_000)))
    for round_ in range(5):
        cluster.submit(other(f"o{round_}", 2))
        assert is_placed(cluster.cycle(), f"o{round_}")
        if is_busy:
            cluster.release()


def test_what_a_cycle_tries_is_bounded_whatever_waits() -> None:
    counts: list[int] = []
    for waiting in (500, 1_000, 4_000):
        cluster = Cluster()
        cluster.submit(list(flood(waiting)))
        planned = cluster.cycle()
        counts.append(waiting - planned.left_open)
    assert max(counts) < 200
    assert max(counts) - min(counts) < 10, "the more wait, the more are left open"


def test_who_was_left_open_is_told_so_and_has_a_turn() -> None:
    cluster = Cluster()
    cluster.submit(list(flood(400)))
    planned = cluster.cycle()
    told = [v for v in planned.verdicts if v.reason == "Waiting"]
    assert len(told) == planned.left_open > 0
    assert {v.message for v in told} == {
        "waits for its turn to be looked at: more of flood waits than one cycle can try"
    }
    cycles = 1
    while cluster.cycle().left_open:
        cycles += 1
        assert cycles < 50
    assert all(v.reason == "Unschedulable" for v in cluster.cycle().verdicts)


@given(waiting=st.integers(50, 250), late=st.integers(0, 249))
@settings(max_examples=15)
def test_in_a_busy_cluster_too_everybody_has_a_turn(waiting: int, late: int) -> None:
    """In each cycle all that was found before is void, and somewhere in the line waits one that fits."""
    cluster = Cluster()
    pods = list(flood(waiting))
    late = min(late, waiting - 1)
    pods[late] = replace(pods[late], shape=shape(gpu=1, memory=GIB + late))
    cluster.submit(pods)
    for _ in range(60):
        if any(place.gang.pods[0].name == f"f{late}" for place in cluster.cycle().places):
            return
        cluster.release()
    raise AssertionError("never tried")


@given(tenants=st.integers(5, 40), late=st.integers(0, 39))
@settings(max_examples=10)
def test_many_tenants_first_turns_leave_everybody_a_second_one(tenants: int, late: int) -> None:
    """What their first gangs cost is more than a cycle has; behind one of these waits one that fits."""
    cluster = Cluster(budget=Budget(per_gang=0.5, total=2.0, work=0.002))
    for tenant in range(tenants):
        pods = list(flood(3, f"t{tenant}"))
        if tenant == late % tenants:
            pods[2] = replace(pods[2], shape=shape(gpu=1, memory=GIB + 2))
        cluster.submit(pods)
    for _ in range(3 * tenants):
        if cluster.cycle().places:
            return
        cluster.release()
    raise AssertionError("never tried")


def test_hard_gangs_do_not_keep_the_solver_from_a_later_one() -> None:
    """There is solver for one of them in each cycle, and whatever was found is void in the next."""
    cluster = Cluster(nodes=0, budget=Budget(per_gang=0.01, total=0.01))
    for i in range(3):
        cluster.state.set_node(node(f"m{i}", gpu=0, cpu=10_000))
    for number in range(6):
        cluster.submit(_hard(number))
    solved: Counter[GangKey] = Counter()
    for _ in range(6):
        solved.update(v.key for v in cluster.cycle().verdicts if v.certificate not in (None, Unknown(0.0)))
        cluster.release()
    assert len(solved) == 6, solved


def _hard(number: int) -> list[Pod]:
    """A gang that sums and counts allow on three nodes of 10 CPUs, and no arrangement does."""
    words = {"stowplan.dev/gang": f"h{number}", "stowplan.dev/gang-min-member": "5"}
    asked = [("a", 6_000)] * 2 + [("b", 5_000)] * 3
    return [
        pod(
            f"h{number}-{i}",
            of=shape(cpu=cpu, memory=GIB + number),
            namespace=f"t{number % 2}",
            annotations={**words, "stowplan.dev/gang-role": role},
            created_s=float(number),
        )
        for i, (role, cpu) in enumerate(asked)
    ]


def test_more_equal_pods_than_one_batch_holds_are_planned() -> None:
    state = ClusterState("stowplan")
    state.set_node(node("n0"))
    one = shape(gpu=1)
    for i in range(25_001):
        state.set_pod(pod(f"p{i}", of=one))
    planned = plan(state.snapshot(), Policy(), Budget())
    assert len(planned.places) == 8
    assert len(planned.places) + len(planned.verdicts) == 25_001


@pytest.mark.parametrize("amount", [2**46, 2**62, 2**63 - 1])
@pytest.mark.parametrize("pods", [1, 14, 3_000])
def test_absurd_sums_on_a_node_end_nothing(amount: int, pods: int) -> None:
    state = ClusterState("stowplan")
    for i in range(3):
        state.set_node(node(f"n{i}", gpu=8))
    state.set_node(node("large", memory=2**46, gpu=0))
    absurd = replace(shape(), requests=(("cpu", 1), ("memory", min(amount, 2**46)), ("pods", 1)))
    for i in range(pods):
        state.set_pod(pod(f"x{i}", of=absurd, node="n0", phase="Running", scheduler="other"))
    state.set_pod(pod("honest", gpu=8))
    state.set_pod(pod("as-absurd", of=absurd))
    (place,) = [
        p for p in plan(state.snapshot(), Policy(), Budget()).places if p.gang.pods[0].name == "honest"
    ]
    assert place.assignments[0].node in ("n1", "n2")


def test_a_gang_of_too_many_kinds_of_pods_is_told_and_others_go_on() -> None:
    state = ClusterState("stowplan")
    state.set_node(node("n0"))
    words = {"stowplan.dev/gang": "g", "stowplan.dev/gang-min-member": "1001"}
    for i in range(1_001):
        state.set_pod(pod(f"g-{i}", of=shape(memory=GIB + i), annotations=words))
    state.set_pod(pod("honest", gpu=1))
    planned = plan(state.snapshot(), Policy(), Budget())
    assert [place.gang.pods[0].name for place in planned.places] == ["honest"]
    (verdict,) = planned.verdicts
    assert verdict.reason == "Rejected"
    assert "1,001 different" in verdict.message


def test_what_pods_of_many_shapes_are_told_is_no_news_to_the_plan() -> None:
    bodies = [
        {
            "metadata": {"uid": f"u{i}", "name": f"p{i}", "namespace": "flood", "resourceVersion": "1"},
            "spec": {
                "schedulerName": "stowplan",
                "containers": [{"name": "main", "resources": {"requests": {"cpu": f"{1 + i}m"}}}],
            },
        }
        for i in range(2 * READINGS_MAX + 1)
    ]
    state = ClusterState("stowplan")
    feed = PodFeed(state, lambda uid, pod: None, lambda key: None)
    feed.put([convert(body, wire.Pod) for body in bodies])
    told = {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}
    again = [body | {"status": told} for body in bodies]
    assert not feed.put([convert(body, wire.Pod) for body in again])
