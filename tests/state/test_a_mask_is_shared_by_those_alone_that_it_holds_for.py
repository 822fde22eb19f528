"""Shapes share a mask only where no static rule tells them apart."""

from __future__ import annotations

from dataclasses import replace

from scheduler.state import ClusterState
from tests.builders import node, shape


def test_who_needs_a_feature_does_not_get_the_mask_of_who_does_not() -> None:
    state = ClusterState("stowplan")
    state.set_node(node("plain"))
    state.set_node(node("able", features=frozenset({"GuaranteedQoSPodCPUResize"})))
    bare = shape(gpu=1)
    asking = replace(bare, features=("GuaranteedQoSPodCPUResize",))
    assert state.mask(bare).tolist() == [True, True]
    assert state.mask(asking).tolist() == [False, True]
