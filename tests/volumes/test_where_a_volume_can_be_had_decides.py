"""Claims that wait for their first consumer: topology, capacity and the volumes that there are, for gangs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import gang, node, pod
from tests.volumes.storage import (
    HOST,
    LATE,
    ZONE,
    World,
    capacity,
    claim,
    mounting,
    near,
    volume,
)

TWO_ZONES = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}


def own_claims(world: World, name: str, size: int, *, gpu: int = 8, **fields: object) -> None:
    """A gang each of whose pods has a claim of its own."""
    world.claims(*(claim(f"{name}-{i}-data", **fields) for i in range(size)))  # type: ignore[arg-type] # fields given by name
    members = gang(name, size)
    world.pods(*(replace(p, shape=mounting(f"{p.name}-data", gpu=gpu)) for p in members))


def test_a_gang_with_a_claim_each_is_one_role_and_starts() -> None:
    world = World(TWO_ZONES)
    own_claims(world, "g", 4)
    (seen,) = world.state.snapshot().gangs
    assert [len(role.pods) for role in seen.roles] == [4]
    assert sorted(world.places().values()) == ["a1", "a2", "b1", "b2"]


def test_what_the_class_allows_keeps_the_gang_in_one_zone() -> None:
    world = World(TWO_ZONES)
    world.state.set_storage("classes", {"late": replace(LATE, allowed_terms=near(ZONE, "b"))})
    own_claims(world, "g", 2)
    assert sorted(world.places().values()) == ["b1", "b2"]
    own_claims(world, "h", 1, gpu=1)
    assert "2 node(s) didn't find available persistent volumes to bind" in world.words()


def test_a_claim_that_pods_share_keeps_them_in_one_zone() -> None:
    world = World({"a1": "a", "b1": "b", "b2": "b", "c1": "c"})
    world.limits(None)
    world.claims(claim("shared"))
    world.pods(*gang("g", 2, of=mounting("shared", gpu=8)))
    assert sorted(world.places().values()) == ["b1", "b2"]


@pytest.mark.parametrize(("gib", "places"), [(2, ["b1", "b2"]), (1, [])])
def test_capacity_is_counted_for_the_whole_gang(gib: int, places: list[str]) -> None:
    world = World(TWO_ZONES)
    world.capacities(capacity("a", "a", 0), capacity("b", "b", gib))
    own_claims(world, "g", 2)
    assert sorted(world.places().values()) == places
    if not places:
        assert "2 node(s) did not have enough free storage" in world.words()


def test_capacity_that_is_spoken_for_is_not_given_twice_and_comes_back() -> None:
    world = World({"a1": "a"})
    world.capacities(capacity("a", "a", 3))
    own_claims(world, "g", 2, gpu=1)
    assert len(world.places()) == 2
    own_claims(world, "h", 2, gpu=1)
    assert world.places() == {}
    for i in range(2):
        world.state.forget(f"uid-team-g-{i}")
        world.state.remove_pod(f"uid-team-g-{i}")
    assert len(world.places()) == 2


def test_the_largest_volume_bounds_each_claim() -> None:
    world = World({"a1": "a", "b1": "b"})
    world.capacities(capacity("a", "a", 100, largest=5), capacity("b", "b", None, largest=10))
    own_claims(world, "g", 1, gib=8)
    assert world.places() == {"g-0": "b1"}


def test_local_disks_are_had_one_by_one() -> None:
    world = World({f"n{i}": "a" for i in range(3)})
    world.volumes(*(volume(f"v{i}", near(HOST, f"n{i % 2}")) for i in range(3)))
    own_claims(world, "g", 3, gpu=1, of="local")
    assert sorted(world.places().values()) == ["n0", "n0", "n1"]
    own_claims(world, "h", 1, gpu=1, of="local")
    assert world.places() == {}
    world.volumes(volume("v9", near(HOST, "n2")))
    assert world.places() == {"h-0": "n2"}


def test_a_gang_of_more_pods_than_volumes_waits_whole() -> None:
    world = World({f"n{i}": "a" for i in range(3)})
    world.volumes(volume("v0", near(HOST, "n0")), volume("v1", near(HOST, "n1")))
    own_claims(world, "g", 3, gpu=1, of="local")
    assert world.places() == {}
    assert world.plan().verdicts[0].reason == "Unschedulable"


def test_claims_of_several_sizes_get_the_volumes_that_suit_them() -> None:
    world = World({"n0": "a"})
    world.volumes(volume("small", near(HOST, "n0")), volume("large", near(HOST, "n0"), gib=9))
    world.claims(claim("little", of="local"), claim("much", of="local", gib=5))
    world.pods(pod("p", of=mounting("little", "much")))
    assert world.places() == {"p": "n0"}


def test_two_roles_do_not_count_on_the_same_volumes() -> None:
    world = World({"n0": "a", "n1": "a"})
    world.volumes(volume("v0", near(HOST, "n0")), volume("v1", near(HOST, "n1")))
    own_claims(world, "g", 2, gpu=1, of="local")
    world.pods(replace(gang("g", 2)[1], shape=mounting("g-1-data", gpu=4)))
    assert sorted(world.places().values()) == ["n0", "n1"]


def test_a_claim_for_which_a_node_is_chosen_goes_nowhere_else() -> None:
    world = World(TWO_ZONES)
    world.claims(claim("data", selected_node="b2"))
    world.pods(pod("p", of=mounting("data")))
    assert world.places() == {"p": "b2"}


def test_a_volume_that_came_decides_from_then_on() -> None:
    world = World(TWO_ZONES)
    own_claims(world, "g", 2)
    at = replace(volume("v0", near(ZONE, "b"), of="late"), claim=("team", "g-0-data", "uid-g-0-data"))
    world.volumes(at)
    world.claims(claim("g-0-data", volume="v0"))
    assert world.places()["g-0"] in ("b1", "b2")


def test_where_provisioning_failed_lately_others_come_first() -> None:
    world = World(TWO_ZONES)
    own_claims(world, "g", 2)
    (mount,) = world.state.volumes.wanted("uid-team-g-0").values()
    world.state.avoid({mount: dict.fromkeys(("a1", "a2"), "its provisioner gave it up")})
    assert sorted(world.places().values()) == ["b1", "b2"]
    world.state.avoid({})
    own_claims(world, "h", 2)
    assert sorted(world.places().values()) == ["a1", "a2"]


def test_an_ephemeral_volume_waits_for_its_claim_and_is_its_pods_own() -> None:
    world = World({"n0": "a"})
    mine = pod("p", of=mounting("p-scratch", is_ephemeral=True))
    world.pods(mine)
    assert (
        'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-scratch"'
        in world.words()
    )
    world.claims(claim("p-scratch", owner_uid="another"))
    assert "pod is not owner" in world.words()
    world.claims(claim("p-scratch", owner_uid=mine.uid))
    assert world.places() == {"p": "n0"}


def test_nodes_that_come_later_are_asked_too() -> None:
    world = World({"n0": "a"})
    world.state.set_storage("classes", {"late": replace(LATE, allowed_terms=near(ZONE, "b"))})
    own_claims(world, "g", 1)
    assert world.places() == {}
    world.state.set_node(node("n1", labels={ZONE: "b"}))
    assert world.places() == {"g-0": "n1"}


def test_who_can_reach_one_disk_only_gets_it() -> None:
    world = World({"n0": "a", "n1": "a"}, gpu=1)
    world.volumes(volume("both", near(HOST, "n0", "n1")), volume("one", near(HOST, "n0"), gib=2))
    own_claims(world, "g", 2, gpu=1, of="local")
    assert sorted(world.places().values()) == ["n0", "n1"]
