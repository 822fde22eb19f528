"""ReadWriteOncePod: at most one pod of the cluster uses the claim, whoever scheduled it."""

from __future__ import annotations

from dataclasses import replace

from tests.builders import gang, pod
from tests.volumes.storage import World, claim, mounting


def test_who_comes_second_waits_for_the_first_and_is_told_for_whom() -> None:
    world = World({"n0": "a", "n1": "a"})
    world.claims(claim("data", is_exclusive=True))
    first = pod("first", of=mounting("data"), scheduler="default-scheduler", node="n0", phase="Running")
    world.pods(first, pod("second", of=mounting("data")))
    assert world.places() == {}
    assert 'persistentvolumeclaim "data" is ReadWriteOncePod and in use by pod "first"' in world.words()
    world.pods(replace(first, is_deleting=True))
    assert world.places() == {}
    world.state.remove_pod(first.uid)
    assert set(world.places()) == {"second"}


def test_one_of_many_starts_and_the_others_as_each_ends() -> None:
    world = World({"n0": "a", "n1": "a"})
    world.claims(claim("data", is_exclusive=True))
    pods = [pod(f"p{i}", of=mounting("data")) for i in range(4)]
    world.pods(*pods)
    served: list[str] = []
    for _ in pods:
        (name,) = world.places()
        served.append(name)
        (one,) = [p for p in pods if p.name == name]
        world.pods(replace(one, node_name="n0", phase="Succeeded"))
    assert sorted(served) == [p.name for p in pods]


def test_a_gang_that_needs_it_twice_never_starts_in_part() -> None:
    world = World({"n0": "a", "n1": "a"})
    world.claims(claim("data", is_exclusive=True))
    world.pods(*gang("g", 2, of=mounting("data")))
    assert world.places() == {}
    world.pods(*(replace(p, shape=mounting("data", gpu=i)) for i, p in enumerate(gang("h", 2))))
    assert world.places() == {}


def test_a_gang_of_which_one_pod_uses_it_starts_whole() -> None:
    world = World({"n0": "a", "n1": "a"})
    world.claims(claim("data", is_exclusive=True))
    members = gang("g", 3, gpu=4)
    world.pods(replace(members[0], shape=mounting("data", gpu=4)), *members[1:])
    assert len(world.places()) == 3
