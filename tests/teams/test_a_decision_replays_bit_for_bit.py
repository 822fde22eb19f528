"""A decision record holds all that a plan was made of: planned again from it, the decision is the same."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.devices import WHOLE_GPU, DeviceAsk, Inventory, Slot
from scheduler.model.plan import Policy
from scheduler.planner import plan
from scheduler.record import UnreadableRecord, record, replay
from tests.builders import gang, pod, shape
from tests.planner.test_plans_are_whole_valid_and_repeatable import cluster as random_cluster
from tests.teams.worlds import BUDGET, START_S, World, cluster, planned, quota


def _reclaiming() -> World:
    state = cluster([8, 8], [quota("a", {"guaranteed": {"gpu": 8}}), quota("b", {"guaranteed": {"gpu": 8}})])
    world = World(state)
    world.submit(*(pod(f"a{i}", gpu=1, namespace="a") for i in range(16)))
    world.settle()
    world.submit(*gang("big", 2, gpu=4, namespace="b"), pod("b0", gpu=9, namespace="b"))
    return world


def test_a_reclaim_replays_from_its_record() -> None:
    snapshot, decided = planned(_reclaiming().state)
    assert decided.clearings
    line = record(snapshot, Policy(), BUDGET, {}, decided)
    assert b"\n" not in line
    before, now, is_same = replay(line)
    assert is_same
    assert [v.pods for c in before.clearings for v in c.victims] == [
        v.pods for c in now.clearings for v in c.victims
    ]


@given(seed=st.integers(0, 2**48))
@settings(max_examples=25, deadline=None)
def test_a_reclaim_on_nodes_with_agents_replays(seed: int) -> None:
    rng = Random(seed)
    nodes = [rng.choice((2, 4)) for _ in range(rng.randint(1, 3))]
    shape_of = [shape(ask=DeviceAsk(milli=milli)) for milli in (250, 500)]
    state = cluster(nodes, [quota("a"), quota("b", {"guaranteed": {"gpu": sum(nodes)}})])
    for index, gpus in enumerate(nodes):
        slots = tuple(
            Slot(uuid=f"n{index}-{i}", resource=WHOLE_GPU, memory_bytes=2**36, is_usable=True)
            for i in range(gpus)
        )
        state.set_inventory(Inventory(node=f"n{index}", is_ready=True, probed_s=START_S, slots=slots))
    state.at(START_S)
    for index, gpus in enumerate(nodes):
        for i in range(rng.randint(0, gpus)):
            state.set_pod(pod(f"a{index}-{i}", gpu=1, namespace="a", node=f"n{index}", phase="Running"))
    for each in (*gang("big", 2, gpu=1, namespace="b"), pod("b0", of=rng.choice(shape_of), namespace="b")):
        state.set_pod(each)
    snapshot, decided = planned(state)
    assert snapshot.devices is not None
    assert replay(record(snapshot, Policy(), BUDGET, {}, decided))[2]


def test_another_decision_is_told_apart() -> None:
    world = _reclaiming()
    snapshot, decided = planned(world.state)
    world.submit(pod("b9", gpu=1, namespace="b"))
    other, _ = planned(world.state)
    assert not replay(record(other, Policy(), BUDGET, {}, decided))[2]
    assert replay(record(snapshot, Policy(), BUDGET, {}, decided))[2]


@given(seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_whatever_was_decided_replays(seed: int) -> None:
    state, _ = random_cluster(seed)
    snapshot = state.snapshot()
    first = plan(snapshot, Policy(), BUDGET)
    settled = {v.key: v for v in first.verdicts if v.certificate is not None}
    decided = plan(snapshot, Policy(), BUDGET, settled)
    assert replay(record(snapshot, Policy(), BUDGET, settled, decided))[2]


@given(line=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@settings(max_examples=100, deadline=None)
def test_what_is_no_record_is_refused(line: bytes) -> None:
    with pytest.raises(UnreadableRecord):
        replay(line)


def test_a_record_names_no_type_but_the_models() -> None:
    with pytest.raises(UnreadableRecord):
        replay(b'{"version":1,"objects":[["Popen","x"]],"inputs":["o",0],"decision":["o",0]}')
