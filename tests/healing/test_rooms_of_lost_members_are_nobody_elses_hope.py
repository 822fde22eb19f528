"""Room that a gang will keep is nobody else's hope: while its member leaves, and when one of two is back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.model.objects import Pod
from scheduler.state import ClusterState
from tests.builders import gang, node, pod
from tests.teams.worlds import World

RING = {"stowplan.dev/gang": "ring", "stowplan.dev/gang-min-member": "3"}


def _world(gpus: int) -> World:
    state = ClusterState("stowplan")
    state.set_node(node("n0", gpu=gpus))
    world = World(state, grace_s=5.0)
    world.submit(*gang("ring", 3, gpu=1, priority=10))
    world.settle()
    return world


def _ring(world: World) -> list[Pod]:
    return sorted((one for one in world.pods.values() if one.name.startswith("ring")), key=lambda p: p.name)


@pytest.mark.parametrize(("priority", "leave"), [(10, []), (9, []), (11, ["low"])])
def test_who_may_not_have_the_room_of_one_who_is_leaving_does_not_count_on_it(
    priority: int, leave: list[str]
) -> None:
    world = _world(8)
    world.submit(pod("low", gpu=3))
    world.settle()
    world.submit(replace(_ring(world)[0], is_deleting=True))
    # Two are free, three come from the low one, and one is the leaving member's.
    world.submit(pod("needs", gpu=6, priority=priority))
    done = world.cycle()
    gone = [one.name for clearing in done.clearings for victim in clearing.victims for one in victim.pods]
    assert gone == leave


def test_who_leaves_with_all_its_gang_leaves_room_for_anybody() -> None:
    world = _world(8)
    world.submit(pod("low", gpu=3))
    world.settle()
    world.submit(*(replace(one, is_deleting=True) for one in _ring(world)))
    world.submit(pod("needs", gpu=5, priority=10))
    done = world.cycle()
    assert not done.clearings
    assert [verdict.reason for verdict in done.verdicts] == ["WaitingForVictims"]


@pytest.mark.parametrize("lost", [1, 2])
def test_the_room_of_the_second_is_kept_when_the_first_comes_back(lost: int) -> None:
    world = _world(3)
    world.end(*(one.uid for one in _ring(world)[:lost]))
    world.submit(pod("ring-again", gpu=1, priority=10, annotations=RING), pod("other", gpu=1, priority=10))
    world.cycle()
    assert [one.name for one in _ring(world) if one.node_name][-1:] == ["ring-again"]
    assert "other" not in world.running("team")
