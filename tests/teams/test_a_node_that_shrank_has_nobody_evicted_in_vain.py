"""Pods that ran on a node before it became smaller use no room that anybody else lacks."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.objects import Pod
from tests.builders import gang, node, pod
from tests.teams.worlds import START_S, World, cluster, quota

few = settings(max_examples=30, deadline=None)


def _ran(one: Pod, where: str) -> Pod:
    return replace(one, node_name=where, phase="Running", started_s=START_S - 10_000.0)


@few
@given(size=st.integers(1, 8), spare=st.integers(1, 7), giver=st.sampled_from(["a", "b"]), data=st.data())
def test_who_runs_on_more_than_its_node_has_stays(
    size: int, spare: int, giver: str, data: st.DataObject
) -> None:
    """Others make what is free enough: of a lower priority in the own team, or of a team that borrowed."""
    large = data.draw(st.integers(spare + 1, 8), label="large")
    left = data.draw(st.integers(0, min(size, large) - 1), label="left")
    world = World(cluster([size, 8], [quota("a", {"guaranteed": {"gpu": 8 + size}}), quota("b")]))
    world.submit(_ran(pod("above", gpu=size, namespace=giver), "n0"))
    world.submit(*(_ran(one, "n1") for one in gang("low", 8 - spare, gpu=1, namespace=giver)))
    world.state.set_node(node("n0", gpu=left))
    world.submit(pod("urgent", gpu=large, namespace="a", priority=10, created_s=START_S))
    (clearing,) = world.cycle().clearings
    assert {victim.gang.key.name for victim in clearing.victims} == {"low"}
    world.settle()
    assert "urgent" in world.running("a")


@few
@given(size=st.integers(1, 8), is_leaving=st.booleans(), spare=st.integers(0, 8), data=st.data())
def test_what_is_kept_for_others_is_kept_whoever_runs_on_more_than_its_node_has(
    size: int, is_leaving: bool, spare: int, data: st.DataObject
) -> None:
    """What is in use there is as much as is there: it takes nothing of what is kept, and adds nothing."""
    left = data.draw(st.integers(0, min(size - 1, 3)), label="left")
    kept = {"guaranteed": {"gpu": 4}, "lendingLimit": {"gpu": 0}}
    for more in (0, 1):
        world = World(cluster([size, 8 + spare], [quota("a"), quota("b", kept)]))
        world.submit(replace(_ran(pod("above", gpu=size, namespace="a"), "n0"), is_deleting=is_leaving))
        world.state.set_node(node("n0", gpu=left))
        able = 4 + spare + (left if is_leaving else 0)
        world.submit(*gang("wants", able + more, gpu=1, namespace="a", created_s=START_S))
        assert len(world.cycle().places) == 1 - more
