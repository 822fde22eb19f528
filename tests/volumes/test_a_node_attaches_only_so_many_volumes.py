"""CSINode says how many volumes of a driver a node attaches: those of every pod there count, once each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import gang, node, pod
from tests.volumes.storage import DRIVER, World, claim, drivers, mounting, volume


def bound(world: World, *names: str) -> None:
    """Claims whose volumes are there, reachable from everywhere."""
    world.volumes(
        *(
            replace(
                volume(f"v-{n}", None, of="late"),
                claim=("team", n, ""),
                driver=DRIVER,
                handle=n,
                is_available=False,
            )
            for n in names
        )
    )
    world.claims(*(claim(n, volume=f"v-{n}") for n in names))


@pytest.mark.parametrize("is_there", [True, False])
def test_as_many_start_as_the_node_attaches(is_there: bool) -> None:
    world = World({"n0": "a"})
    world.limits(27)
    names = [f"c{i}" for i in range(30)]
    if is_there:
        bound(world, *names)
    else:
        world.claims(*map(claim, names))
    world.pods(*(pod(f"p{i}", of=mounting(name)) for i, name in enumerate(names)))
    assert len(world.places()) == 27
    told = world.plan().verdicts
    assert len(told) == 3
    assert f"1 node(s) exceed max volume count of {DRIVER}" in told[0].message


def test_pods_of_other_schedulers_count_and_their_end_makes_room() -> None:
    world = World({"n0": "a"})
    world.limits(2)
    bound(world, "c0", "c1", "c2")
    there = pod("there", of=mounting("c0", "c1"), scheduler="default-scheduler", node="n0", phase="Running")
    world.pods(there, pod("p", of=mounting("c2")))
    assert world.places() == {}
    world.pods(replace(there, phase="Succeeded"))
    assert world.places() == {"p": "n0"}


def test_a_volume_that_several_pods_mount_counts_once_a_node() -> None:
    world = World({"n0": "a", "n1": "a"})
    world.limits(1)
    bound(world, "shared", "other")
    world.pods(*gang("g", 16, of=mounting("shared", gpu=1)))
    assert sorted(set(world.places().values())) == ["n0", "n1"]
    world.pods(pod("p", of=mounting("other")))
    assert world.places() == {}
    world.pods(pod("q", of=mounting("shared")))
    assert set(world.places()) == {"q"}
    world.state.remove_pod("uid-team-q")
    for i in range(16):
        world.state.remove_pod(f"uid-team-g-{i}")
    assert set(world.places()) == {"p"}


def test_shared_and_own_volumes_are_counted_together() -> None:
    world = World({"n0": "a"})
    world.limits(3)
    bound(world, "shared", *(f"own{i}" for i in range(4)))
    world.pods(*(pod(f"p{i}", of=mounting("shared", f"own{i}")) for i in range(4)))
    assert len(world.places()) == 2


def test_roles_that_share_a_volume_leave_room_for_each_others_own() -> None:
    world = World({"n0": "a"})
    world.limits(2)
    bound(world, "shared", "own0", "own1")
    first, second = gang("g", 2)
    world.pods(
        replace(first, shape=mounting("shared", "own0")), replace(second, shape=mounting("own1", gpu=1))
    )
    world.pods(pod("p", of=mounting("shared")))
    assert set(world.places()) == {"p"}
    world.limits(3)
    assert set(world.places()) == {"g-0", "g-1"}


def test_a_node_without_a_word_has_no_limit_and_one_that_speaks_later_has() -> None:
    world = World({"n0": "a", "n1": "a"})
    world.state.set_storage("node_drivers", {"n0": drivers("n0", 0)})
    bound(world, "c0", "c1", "c2")
    world.pods(pod("p0", of=mounting("c0")))
    assert world.places() == {"p0": "n1"}
    world.state.set_storage("node_drivers", {"n1": drivers("n1", 1)})
    world.pods(pod("p1", of=mounting("c1")))
    assert world.places() == {}
    world.state.set_node(node("n2"))
    world.state.set_storage("node_drivers", {}, gone=["n0"])
    assert set(world.places()) == {"p1"}


def test_limits_do_not_decide_where_pods_are_packed() -> None:
    """What a node attaches is no part of its size: the tightest node is the one with the fewest devices."""
    world = World({})
    world.state.set_node(node("tight", gpu=4))
    world.state.set_node(node("wide", gpu=8))
    world.state.set_storage("node_drivers", {"tight": drivers("tight", 100), "wide": drivers("wide", 0)})
    world.pods(pod("p", gpu=4))
    assert world.places() == {"p": "tight"}
