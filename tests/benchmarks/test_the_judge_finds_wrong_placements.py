"""A benchmark may only time placements that are right, so what judges them must see what is wrong."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.watching import Sighting, faults

GPUS = 8


@st.composite
def placements(draw: st.DrawFn) -> dict[str, Sighting]:
    """At least one node, each full to the last GPU, by UID of the pods."""
    pods: dict[str, Sighting] = {}
    for node in range(draw(st.integers(1, 5))):
        left = GPUS
        while left:
            gpus = draw(st.integers(1, left))
            uid = f"uid-{len(pods)}"
            pods[uid] = Sighting(name=f"p{len(pods)}", gpus=gpus, nodes=[f"node-{node}"], bound_at_s=1.0)
            left -= gpus
    return pods


@given(placements())
def test_a_right_placement_has_no_fault(pods: dict[str, Sighting]) -> None:
    assert faults(pods, gpus_a_node=GPUS, wanted=len(pods)) == []


@given(placements(), st.data())
def test_every_wrong_pod_is_named(pods: dict[str, Sighting], data: st.DataObject) -> None:
    wrong = deepcopy(pods)
    chosen = wrong[data.draw(st.sampled_from(sorted(wrong)))]
    chosen.nodes = data.draw(st.sampled_from([[], [*chosen.nodes, "node-other"], [*chosen.nodes, "node-0"]]))
    found = faults(wrong, gpus_a_node=GPUS, wanted=len(wrong))
    assert any(f"pod {chosen.name} " in fault for fault in found)


@given(placements(), st.data())
def test_a_node_that_holds_too_much_is_named(pods: dict[str, Sighting], data: st.DataObject) -> None:
    node = data.draw(st.sampled_from(sorted({pod.nodes[0] for pod in pods.values()})))
    pods["one-more"] = Sighting(name="one-more", gpus=1, nodes=[node], bound_at_s=1.0)
    assert faults(pods, gpus_a_node=GPUS, wanted=len(pods)) == [f"node {node} holds 9 GPUs of 8"]


@given(placements(), st.integers(-3, 3).filter(bool))
def test_a_pod_too_few_or_too_many_is_a_fault(pods: dict[str, Sighting], off: int) -> None:
    assert faults(pods, gpus_a_node=GPUS, wanted=len(pods) + off) == [
        f"{len(pods)} pods instead of {len(pods) + off}"
    ]
