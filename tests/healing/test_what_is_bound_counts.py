"""What stands and what is being bound counts at once, in whatever order the watch tells it."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.cycles import Cycles
from scheduler.gangs.groups import CoschedulingPodGroup
from scheduler.gangs.healing import LEAVING_S, PARTIAL_S, REPLACE_S, Healing
from scheduler.model.gang import GangKey
from scheduler.model.objects import Pod
from scheduler.model.plan import Budget, Policy
from scheduler.state import ClusterState
from tests.builders import gang, node, pod

SHUFFLE = st.randoms(use_true_random=False)


class Core:
    """State and cycles over nodes of 8 GPUs each; nothing is carried out but what a test does."""

    def __init__(self, nodes: int) -> None:
        self.state = ClusterState("stowplan")
        for i in range(nodes):
            self.state.set_node(node(f"n{i}"))
        self.cycles = Cycles(self.state, policy=Policy(), budget=Budget(), healing=Healing())
        self.now_s = 0.0

    def run(self, pods: list[Pod]) -> list[Pod]:
        """They run, one on each node, and nobody has looked at them yet."""
        running = [replace(one, node_name=f"n{i}", phase="Running") for i, one in enumerate(pods)]
        for one in running:
            self.state.set_pod(one)
        return running

    def bind(self) -> list[Pod]:
        """Plan and charge what fits, as a shell does; the pods as their Bindings will show them."""
        planned = self.cycles.begin(self.now_s, self.now_s).plan()
        accepted, _ = self.cycles.admit(planned.places, lambda key: False)
        return [
            replace(a.pod, node_name=a.node, resource_version="2")
            for place in accepted
            for a in place.assignments
        ]

    def passes(self, for_s: float) -> list[str]:
        """Names of the pods that are evicted meanwhile."""
        evicted: list[str] = []
        end_s = self.now_s + for_s
        while self.now_s < end_s:
            self.now_s += 1.0
            self.cycles.begin(self.now_s, self.now_s)
            for found in self.cycles.overdue(self.now_s, lambda key: False):
                evicted += [one.name for one in found.pods]
        return evicted


@settings(max_examples=30, deadline=None)
@given(size=st.integers(2, 6), shuffle=SHUFFLE)
def test_a_member_that_comes_back_leaves_nothing_to_take_back(size: int, shuffle: random.Random) -> None:
    core = Core(size)
    running = core.run(gang("g", size, gpu=8))
    for round_ in range(3):
        lost = running.pop(shuffle.randrange(size))
        core.state.remove_pod(lost.uid)
        again = replace(lost, uid=f"again-{round_}", name=f"again-{round_}", node_name="", phase="Pending")
        core.state.set_pod(again)
        (bound,) = core.bind()
        assert core.state.partial() == {}
        assert core.passes(PARTIAL_S + 5) == []
        core.state.set_pod(bound)
        running.append(replace(bound, phase="Running", resource_version="3"))
        core.state.set_pod(running[-1])
        assert core.passes(100) == []


@settings(max_examples=30, deadline=None)
@given(size=st.integers(2, 6), seen=st.integers(0, 5), shuffle=SHUFFLE)
def test_one_more_that_is_seen_among_the_confirmations_harms_nobody(
    size: int, seen: int, shuffle: random.Random
) -> None:
    core = Core(size)
    pods = gang("g", size + 1, gpu=8, minimum=size)
    for one in pods[:size]:
        core.state.set_pod(one)
    bound = core.bind()
    shuffle.shuffle(bound)
    for one in bound[: min(seen, size - 1)]:
        core.state.set_pod(one)
    core.state.set_pod(pods[size])
    core.passes(1)
    for one in bound[min(seen, size - 1) :]:
        core.state.set_pod(one)
    assert core.passes(200) == []


@settings(max_examples=20, deadline=None)
@given(bound=st.integers(1, 3))
def test_a_gang_that_was_never_whole_is_given_back_when_nothing_more_is_bound(bound: int) -> None:
    core = Core(4)
    pods = gang("g", 4, gpu=8)
    running = [replace(one, node_name=f"n{i}", phase="Running") for i, one in enumerate(pods[:bound])]
    for one in running:
        core.state.set_pod(one)
        assert core.passes(PARTIAL_S - 5) == []
    assert sorted(core.passes(10)) == sorted(one.name for one in running)


@settings(max_examples=20, deadline=None)
@given(bound=st.integers(1, 3))
def test_what_a_leader_left_half_bound_and_the_next_one_bound_stays(bound: int) -> None:
    """The watch shows the rest late: what is assumed counts meanwhile."""
    core = Core(4)
    pods = gang("g", 4, gpu=8)
    for i, one in enumerate(pods):
        core.state.set_pod(replace(one, node_name=f"n{i}", phase="Running") if i < bound else one)
    rest = core.bind()
    assert len(rest) == 4 - bound
    assert core.passes(PARTIAL_S + 10) == []
    for one in rest:
        core.state.set_pod(one)
    assert core.passes(100) == []


def test_a_member_takes_its_time_to_go_and_the_others_stay() -> None:
    core = Core(3)
    running = core.run(gang("ring", 3, gpu=8))
    core.state.set_pod(pod("other", gpu=8))
    core.state.set_pod(replace(running[1], is_deleting=True))
    core.state.set_pod(pod("wide", gpu=4))
    assert core.passes(REPLACE_S + 10) == []
    assert core.passes(LEAVING_S) != []


def test_a_gang_that_grew_before_anybody_looked_is_known_to_have_stood() -> None:
    core = Core(4)

    def group(minimum: int) -> CoschedulingPodGroup:
        return CoschedulingPodGroup(
            api_version="scheduling.x-k8s.io/v1alpha1",
            namespace="team",
            name="pg",
            uid="u",
            generation=minimum,
            min_member=minimum,
        )

    core.state.set_group(group(4))
    core.run([pod(f"w-{i}", gpu=8, labels={"scheduling.x-k8s.io/pod-group": "pg"}) for i in range(4)])
    core.state.set_group(group(6))
    assert core.passes(200) == []
    (key,) = core.state.gang_keys()
    assert core.state.gangs.stood(key) == 4


def test_what_was_written_of_a_gang_is_believed_while_some_of_it_runs() -> None:
    core = Core(4)
    key = GangKey(namespace="team", dialect="own", name="g")
    core.run(gang("g", 5, gpu=8)[:4])
    core.state.gangs.recall(key, 4, {}, lambda node, shape: True)
    assert core.passes(200) == []
    assert core.state.partial() == {}


@settings(max_examples=20, deadline=None)
@given(size=st.integers(3, 6), shuffle=SHUFFLE)
def test_lost_members_are_replaced_one_at_a_time_where_they_are_made_so(
    size: int, shuffle: random.Random
) -> None:
    """As by a StatefulSet, which makes the next pod when the one before runs."""
    core = Core(size)
    running = core.run(gang("g", size, gpu=8))
    lost = shuffle.sample(running, shuffle.randint(2, size - 1))
    for one in lost:
        core.state.remove_pod(one.uid)
    for one in lost:
        core.passes(1)
        core.state.set_pod(replace(one, uid=f"again-{one.uid}", node_name="", phase="Pending"))
        (bound,) = core.bind()
        core.state.set_pod(bound)
    assert core.state.partial() == {}
    assert core.passes(200) == []
