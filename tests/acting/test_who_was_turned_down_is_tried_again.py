"""A kubelet turned a pod down: what replaces it gets the node again when that is over, and nobody leaves."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.faults import server as api
from simulations.faults.store import Json
from simulations.faults.virtual_time import elapse
from tests.acting.alive import NAMESPACE, Alive, played

REASONS = ("OutOfcpu", "UnexpectedAdmissionError", "NodeAffinity")
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "d", "uid": "d-uid", "controller": True}


@pytest.mark.parametrize("is_gang", [False, True])
@settings(max_examples=8, deadline=None)
@given(
    nodes=st.integers(2, 4),
    reason=st.sampled_from(REASONS),
    after_s=st.sampled_from([0.0, 2.0]),
    times=st.integers(1, 3),
)
def test_the_only_node_that_is_left_is_tried_again(
    is_gang: bool, nodes: int, reason: str, after_s: float, times: int
) -> None:
    async def story() -> None:
        alive = Alive(nodes=nodes)
        keys = {"stowplan.dev/gang": "g", "stowplan.dev/gang-min-member": str(nodes)} if is_gang else {}

        def make(name: str) -> None:
            alive.pod(name, gpus=8, annotations=keys, owner=OWNER)

        def turned_down(pod: Json) -> None:
            pod["status"].update(phase="Failed", reason=reason)

        for i in range(nodes):
            make(f"d-{i}")
        while len(alive.bound) < nodes:
            await elapse(0.1)
        lost = alive.bound[0]
        for number in range(times):
            alive.store.change(api.PODS, (NAMESPACE, lost), turned_down)
            alive.delete(lost)
            await elapse(after_s)
            lost = f"d-again-{number}"
            make(lost)
            await elapse(5.0)
            assert lost not in alive.bound
            await elapse(10.0 * 2**number)
            assert lost in alive.bound
        assert alive.evicted == []
        await alive.end()

    played(story)


@settings(max_examples=8, deadline=None)
@given(reason=st.sampled_from(REASONS), times=st.integers(1, 2))
def test_nobody_is_evicted_for_who_was_turned_down_once(reason: str, times: int) -> None:
    """One node refuses the urgent pod, on the other something cheap runs: twice in a row, and that goes."""

    async def story() -> None:
        alive = Alive(nodes=2)
        alive.pod("low", gpus=8)
        while "low" not in alive.bound:
            await elapse(0.1)
        name = "d-0"
        alive.pod(name, gpus=8, priority=10, owner=OWNER)
        for number in range(times):
            while name not in alive.bound:
                await elapse(0.1)
            assert alive.evicted == []
            alive.store.change(
                api.PODS, (NAMESPACE, name), lambda pod: pod["status"].update(phase="Failed", reason=reason)
            )
            alive.delete(name)
            name = f"d-again-{number}"
            alive.pod(name, gpus=8, priority=10, owner=OWNER)
        while name not in alive.bound:
            await elapse(0.1)
        assert alive.evicted == (["low"] if times == 2 else [])
        await alive.end()

    played(story)
