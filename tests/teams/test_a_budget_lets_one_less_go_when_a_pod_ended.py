"""A pod that ended is seen before its disruption budget counts that: until then nobody relies on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.disruption import DisruptionBudget
from scheduler.model.objects import Pod
from scheduler.model.plan import Budget, Policy
from scheduler.model.selection import Selector
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import node, pod

few = settings(max_examples=30, deadline=None)
NOW_S = 10_000.0


def _budget(allowed: int, disrupted: frozenset[str] = frozenset()) -> DisruptionBudget:
    return DisruptionBudget(
        namespace="team", name="web", selector=Selector(), allowed=allowed, disrupted=disrupted
    )


def _full(count: int, allowed: int) -> tuple[ClusterState, list[Pod]]:
    """A node full of pods, so many of which may go, by what their budget says."""
    state = ClusterState("stowplan")
    state.follows = True
    state.set_node(node("n0", gpu=count))
    running = [
        replace(pod(f"web-{index}", gpu=1, created_s=float(index)), node_name="n0", phase="Running")
        for index in range(count)
    ]
    for one in running:
        state.set_pod(replace(one, started_s=0.0))
    state.disruption.put(_budget(allowed))
    return state, running


def _leave(state: ClusterState, at_s: float) -> int:
    done = plan(state.snapshot(at_s), Policy(displaces=True), Budget())
    return sum(len(victim.pods) for clearing in done.clearings for victim in clearing.victims)


@few
@given(
    count=st.integers(2, 8),
    how=st.sampled_from(["Failed", "Succeeded", "leaves", "gone"]),
    after_s=st.floats(0.0, 4.0),
    is_said=st.booleans(),
)
def test_who_ended_is_taken_off_what_a_budget_allows(
    count: int, how: Literal["Failed", "Succeeded", "leaves", "gone"], after_s: float, is_said: bool
) -> None:
    """All others are asked for, as many as the budget let go while that one ran."""
    state, (ended, *_) = _full(count, count - 1)
    state.set_pod(pod("urgent", gpu=count, priority=100, created_s=50.0))
    match how:
        case "gone":
            state.remove_pod(ended.uid)
        case "leaves":
            state.set_pod(replace(ended, is_deleting=True))
        case phase:
            state.set_pod(replace(ended, phase=phase))
    assert _leave(state, NOW_S) == 0
    assert _leave(state, NOW_S + after_s) == 0
    if is_said:  # That many may go with that one counted.
        state.disruption.put(_budget(count - 1))
    assert _leave(state, NOW_S + (after_s if is_said else 5.0)) == count - 1


@few
@given(count=st.integers(2, 8), namespace=st.sampled_from(["team", "other"]), is_named=st.booleans())
def test_who_is_none_of_it_or_is_counted_by_name_is_taken_off_no_budget(
    count: int, namespace: str, is_named: bool
) -> None:
    state, _ = _full(count, count)
    state.set_node(node("n1", gpu=1))
    stranger = replace(pod("stranger", gpu=1, namespace=namespace), node_name="n1", phase="Running")
    state.set_pod(stranger)
    state.disruption.put(_budget(count, frozenset({"stranger"} if is_named else ())))
    state.set_pod(replace(stranger, is_deleting=True))
    state.set_pod(pod("urgent", gpu=count, priority=100, created_s=50.0))
    is_counted = namespace == "other" or is_named
    assert _leave(state, NOW_S) == (count if is_counted else 0)
