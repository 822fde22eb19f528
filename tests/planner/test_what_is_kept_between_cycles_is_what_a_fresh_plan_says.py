"""Verdicts that are kept, also for equals that come later, are those of a plan that starts afresh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduler.cycles import Cycles
from scheduler.gangs.healing import Healing
from scheduler.model.objects import Owner, Pod, Shape
from scheduler.model.plan import Budget, Plan, Policy
from scheduler.planner import plan
from scheduler.service import ATTAINED
from scheduler.state import ClusterState
from tests.builders import gang, node, pod, shape

SHAPES = tuple(shape(gpu=gpu, cpu=cpu) for gpu in (1, 3, 8) for cpu in (1_000, 40_000))
RACK = "topology.stowplan.dev/rack"


@dataclass
class Cluster:
    """A state and its cycles; what is planned is bound at once.

    Those are asked in a next cycle, at once, who wait beside room that was kept and came free in a plan, or
    behind an equal that may not go where there is room.
    """

    policy: Policy
    state: ClusterState = field(default_factory=lambda: ClusterState("stowplan"))
    waiting: list[list[Pod]] = field(default_factory=list)
    bound: list[Pod] = field(default_factory=list)
    kept: int = 0

    def __post_init__(self) -> None:
        self.cycles = Cycles(self.state, policy=self.policy, budget=Budget(), healing=Healing())
        for i in range(3):
            self.state.set_node(node(f"n{i}", labels={RACK: f"r{i % 2}"}))

    def submit(self, pods: list[Pod]) -> None:
        self.waiting.append(pods)
        for one in pods:
            self.state.set_pod(one)

    def cycle(self, at_s: float) -> bool:
        """Whether there is more to do at once."""
        begun = self.cycles.begin(at_s, at_s)
        apart = tuple(self.cycles.apart.verdicts())
        planned, fresh = begun.plan(), plan(self.state.snapshot(at_s), self.policy, Budget())
        told = replace(planned, verdicts=(*planned.verdicts, *apart))
        self.kept += len(begun.settled) + len(apart)
        accepted, dropped = self.cycles.admit(planned.places, lambda key: False)
        assert not dropped
        for place in accepted:
            for assignment in place.assignments:
                landed = replace(assignment.pod, node_name=assignment.node, phase="Running")
                self.state.set_pod(landed)
                self.bound.append(landed)
        self.cycles.remember(begun, planned)
        goes_on = self.cycles.due_s(at_s) == at_s
        assert goes_on or _decided(told, self.policy) == _decided(fresh, self.policy)
        return goes_on

    def settle(self, at_s: float) -> None:
        """Cycles until there is nothing more to do; that takes no more than there are pods that wait."""
        for _ in range(2 + sum(len(pods) for pods in self.waiting)):
            if not self.cycle(at_s):
                return
        raise AssertionError("cycles follow each other without end")

    def end(self, draw: int) -> None:
        if self.bound:
            self.state.remove_pod(self.bound.pop(draw % len(self.bound)).uid)

    def give_up(self, draw: int) -> None:
        if self.waiting:
            for one in self.waiting.pop(draw % len(self.waiting)):
                if not any(one.uid == landed.uid for landed in self.bound):
                    self.state.remove_pod(one.uid)


def _decided(found: Plan, policy: Policy) -> tuple[object, ...]:
    """Everything but the numbers in the words: those are as of when the verdict was found.

    In strict order a gang that was found not to fit may also be said to wait behind another: both are true.
    """
    verdicts = sorted(
        (v.key, v.reason if policy.backfill else "", type(v.certificate).__name__ if policy.backfill else "")
        for v in found.verdicts
    )
    return tuple(place.assignments for place in found.places), tuple(verdicts)


submissions = st.tuples(st.integers(1, 3), st.sampled_from(SHAPES), st.integers(0, 2), st.booleans())
steps = st.lists(
    st.one_of(
        submissions.map(lambda drawn: ("submit", drawn)),
        st.tuples(st.sampled_from(["end", "give up", "node", "label"]), st.integers(0, 9)),
    ),
    min_size=5,
    max_size=40,
)
policies = st.builds(
    Policy,
    strategy=st.sampled_from(["pack", "spread"]),
    backfill=st.booleans(),
    order=st.sampled_from(["oldest", "least-service"]),
)


def _run(found: Sequence[tuple[str, object]], policy: Policy) -> Cluster:
    cluster = Cluster(policy)
    for number, (what, drawn) in enumerate(found):
        match what, drawn:
            case "submit", (int(size), Shape() as of, int(priority), bool(is_racked)):
                extra = {"stowplan.dev/topology-required": RACK} if is_racked and size > 1 else {}
                made = gang(f"g{number}", size) if size > 1 else [pod(f"g{number}")]
                cluster.submit(
                    [
                        replace(
                            one,
                            shape=of,
                            priority=priority,
                            created_s=float(number),
                            annotations=tuple(sorted((*one.annotations, *extra.items()))),
                        )
                        for one in made
                    ]
                )
            case "end", int(draw):
                cluster.end(draw)
            case "give up", int(draw):
                cluster.give_up(draw)
            case "node", int(draw):
                cluster.state.set_node(node(f"m{draw}", gpu=draw % 9))
            case _, int(draw):
                cluster.state.set_node(node(f"n{draw % 3}", labels={RACK: f"r{draw}"}))
            case _:
                raise AssertionError(what)
        cluster.settle(float(number))
    return cluster


#: A gang loses a member, and a higher priority takes a part of the room that was kept for it.
ROBBED = [
    ("submit", (3, shape(gpu=8), 0, False)),
    ("submit", (1, shape(gpu=1), 0, False)),
    ("end", 0),
    ("submit", (1, shape(gpu=1), 0, False)),
    ("submit", (1, shape(gpu=1), 1, False)),
]


@example(found=ROBBED, policy=Policy(backfill=False))
@example(found=ROBBED, policy=Policy())
@settings(max_examples=80, deadline=None)
@given(found=steps, policy=policies)
def test_kept_verdicts_are_those_of_a_fresh_plan(found: list[tuple[str, object]], policy: Policy) -> None:
    _run(found, policy)


#: Nearly all ask for the same: far more wait than there is room for, and what ends lets one or two start.
crowds = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 2), st.sampled_from(SHAPES[2:4]), st.integers(0, 1), st.just(False)).map(
            lambda drawn: ("submit", drawn)
        ),
        st.tuples(st.sampled_from(["end", "end", "give up"]), st.integers(0, 9)),
    ),
    min_size=20,
    max_size=60,
)


#: A gang has lost a member whose room is kept; with that room, one that is free and the gang evicted another
#: of a higher priority would start that was found not to fit before.
BESIDE_KEPT_ROOM = [
    ("submit", (1, SHAPES[2], 1, False)),
    ("submit", (2, SHAPES[2], 0, False)),
    ("end", 1),
    ("end", 1),
    ("submit", (2, SHAPES[2], 1, False)),
    ("submit", (2, SHAPES[2], 0, False)),
    ("end", 3),
    ("submit", (1, SHAPES[2], 0, False)),
    ("submit", (1, SHAPES[2], 1, False)),
    ("submit", (2, SHAPES[2], 1, False)),
    ("submit", (2, SHAPES[2], 1, False)),
    ("end", 4),
    ("end", 0),
    ("end", 1),
]


@example(found=BESIDE_KEPT_ROOM)
@settings(max_examples=60, deadline=None)
@given(found=crowds)
def test_of_many_equals_those_start_that_a_fresh_plan_would_start(found: list[tuple[str, object]]) -> None:
    _run(found, Policy())


def test_one_end_is_news_for_one_of_many_equals() -> None:
    """Three nodes of 8 GPUs are full; forty wait for 8 each, and each that ends lets the oldest in."""
    cluster = _run([("submit", (1, SHAPES[4], 0, False))] * 43, Policy())
    for number in range(40):
        cluster.end(0)
        begun = cluster.cycles.begin(100.0, 100.0)
        assert [waiting.pods[0].name for waiting in begun.snapshot.gangs] == [f"g{3 + number}"]
        cluster.cycle(100.0)


def test_among_equals_who_had_the_least_service_is_asked_first() -> None:
    """Two wait for the one node; the older one has done an hour's work already in an earlier life."""
    cluster = Cluster(Policy(order="least-service"))
    for name in ("n1", "n2"):
        cluster.state.remove_node(name)
    had = {ATTAINED: "3600"}
    for one in (
        pod("runs", gpu=8, created_s=0.0),
        pod("older", gpu=8, created_s=1.0, annotations=had),
        pod("younger", gpu=8, created_s=2.0),
    ):
        cluster.submit([one])
        cluster.settle(10.0)
    cluster.end(0)
    cluster.settle(11.0)
    assert [one.name for one in cluster.bound] == ["younger"]


def _full(*names: str) -> Cluster:
    """Three nodes, of which half a one is free, and pods that wait for a whole one each, the oldest first."""
    cluster = Cluster(Policy())
    sizes = (("stays", 8), ("half", 4), ("other half", 4), ("ends", 8), *((name, 8) for name in names))
    for at_s, (name, gpu) in enumerate(sizes):
        cluster.submit([pod(name, gpu=gpu, priority=1, created_s=float(at_s))])
        cluster.settle(10.0)
    cluster.end(1)
    cluster.settle(10.0)
    return cluster


def test_room_that_went_to_another_is_found_when_that_one_ends() -> None:
    """The first of the equals was asked again beside room that a more urgent pod took; it starts next."""
    cluster = _full("first", "second", "third")
    cluster.end(2)
    cluster.submit([pod("urgent", of=shape(gpu=8, cpu=2_000), priority=2, created_s=9.0)])
    cluster.settle(11.0)
    assert [one.name for one in cluster.bound] == ["stays", "other half", "urgent"]
    cluster.end(2)
    cluster.settle(12.0)
    assert [one.name for one in cluster.bound] == ["stays", "other half", "first"]


def test_who_went_back_in_the_line_is_asked_after_those_before() -> None:
    """The oldest is of a lower priority by now."""
    cluster = _full("first", "second", "third")
    cluster.state.set_pod(replace(cluster.waiting[4][0], priority=0))
    cluster.settle(11.0)
    cluster.end(2)
    cluster.settle(12.0)
    assert [one.name for one in cluster.bound] == ["stays", "other half", "second"]


def test_who_may_not_go_where_room_is_does_not_keep_it_from_its_equals() -> None:
    """The only node turns a pod of a Job down, and the Job's next one is the first in line: the second
    starts, though nothing more happens.
    """
    cluster = Cluster(Policy())
    for name in ("n1", "n2"):
        cluster.state.remove_node(name)
    job = Owner(api_version="batch/v1", kind="Job", name="j", uid="job")
    runs, waits = (
        pod(name, gpu=8, owner=job, created_s=at_s) for name, at_s in (("runs", 0.0), ("waits", 1.0))
    )
    for one in (runs, waits, pod("other", gpu=8, created_s=2.0)):
        cluster.submit([one])
        cluster.cycle(10.0)
    failed = replace(cluster.bound.pop(), phase="Failed", reason="OutOfcpu", ended_s=11.0)
    assert failed.uid == runs.uid
    cluster.state.set_pod(failed)
    cluster.settle(12.0)
    assert [one.name for one in cluster.bound] == ["other"]


def test_an_equal_newcomer_is_told_without_being_planned() -> None:
    large = (4, SHAPES[4], 0, False)
    cluster = _run([("submit", large), ("submit", large), ("submit", large)], Policy())
    assert cluster.kept == 2 + 3


def test_room_that_a_dropped_place_leaves_is_found() -> None:
    """The first was planned and is gone before it is charged; the second was refused because of it."""
    state = ClusterState("stowplan")
    state.set_node(node("n0"))
    cycles = Cycles(state, policy=Policy(), budget=Budget(), healing=Healing())
    first, second = pod("a", gpu=8, created_s=1.0), pod("b", gpu=5, created_s=2.0)
    for one in (first, second):
        state.set_pod(one)
    begun = cycles.begin(0.0, 0.0)
    planned = begun.plan()
    state.remove_pod(first.uid)
    accepted, dropped = cycles.admit(planned.places, lambda key: False)
    assert not accepted
    assert len(dropped) == 1
    cycles.remember(begun, planned)
    again = cycles.begin(1.0, 1.0).plan()
    assert [place.gang.pods[0].name for place in again.places] == ["b"]


@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 3), idle=st.integers(0, 3), ends=st.integers(0, 9))
def test_what_nobody_asks_for_any_more_is_not_known_to_be_missing(size: int, idle: int, ends: int) -> None:
    """Who waited gives up, room comes free while nobody of the kind waits, and an equal one comes."""
    cluster = Cluster(Policy())

    def submit(name: str, count: int) -> None:
        made = gang(name, count, gpu=8) if count > 1 else [pod(name, gpu=8)]
        cluster.submit([replace(one, created_s=0.0) for one in made])

    for number in range(3):
        submit(f"runs-{number}", 1)
    cluster.cycle(0.0)
    submit("waits", size)
    cluster.cycle(1.0)
    cluster.give_up(3)
    for number in range(idle):
        cluster.cycle(2.0 + number)
    for _ in range(size):
        cluster.end(ends)
    cluster.cycle(10.0)
    submit("equal", size)
    cluster.cycle(11.0)
    assert sum(one.name.startswith("equal") for one in cluster.bound) == size


@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 3), idle=st.integers(0, 2), gpus=st.integers(5, 8))
def test_who_waits_apart_starts_when_there_is_room(size: int, idle: int, gpus: int) -> None:
    """One that runs ends after the other; until the last of them has, the sum is too small."""
    cluster = Cluster(Policy())
    for number in range(3):
        cluster.submit([replace(pod(f"runs-{number}", gpu=8), created_s=0.0)])
    cluster.cycle(0.0)
    made = gang("waits", size, gpu=gpus) if size > 1 else [pod("waits", gpu=gpus)]
    cluster.submit([replace(one, created_s=1.0) for one in made])
    for number in range(1 + idle):
        cluster.cycle(1.0 + number)
    for left in range(size, 0, -1):
        assert sum(one.name.startswith("waits") for one in cluster.bound) == 0
        assert len(cluster.cycles.apart) == 1
        cluster.end(0)
        cluster.cycle(10.0 - left)
    assert sum(one.name.startswith("waits") for one in cluster.bound) == size


@settings(max_examples=10, deadline=None)
@given(idle=st.integers(0, 2), size=st.integers(1, 3))
def test_a_cluster_without_nodes_waits_for_one(idle: int, size: int) -> None:
    state = ClusterState("stowplan")
    cycles = Cycles(state, policy=Policy(), budget=Budget(), healing=Healing())
    for one in gang("waits", size) if size > 1 else [pod("waits")]:
        state.set_pod(one)
    for number in range(1 + idle):
        begun = cycles.begin(float(number), float(number))
        cycles.remember(begun, begun.plan())
    state.set_node(node("n0"))
    assert len(cycles.begin(9.0, 9.0).plan().places) == 1
