"""GPUs that are lent out in shares come back whole: those who free a device together leave, nobody else."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.plan import Clearing
from tests.builders import gang, pod
from tests.teams.test_shares_of_gpus_count_in_quotas import share, with_devices
from tests.teams.worlds import H100, World, cluster, quota

TWO = {"guaranteed": {"gpu": 2}}


def lent(gpus: int = 4, *, grace_s: float = 0.0) -> World:
    """One node; ``a`` shares all its devices by halves, twice as much as it is guaranteed."""
    state = with_devices(cluster([gpus], [quota("a", TWO), quota("b", TWO)], models=[H100]), gpus)
    world = World(state, grace_s=grace_s)
    world.submit(*(pod(f"half{i}", of=share(500), namespace="a") for i in range(2 * gpus)))
    world.settle()
    assert len(world.running("a")) == 2 * gpus
    return world


def run(world: World, cycles: int) -> list[Clearing]:
    """What was cleared in so many seconds."""
    found: list[Clearing] = []
    for _ in range(cycles):
        found += world.cycle().clearings
        world.now_s += 1.0
    return found


@pytest.mark.parametrize("grace_s", [0.0, 6.0])
def test_two_whole_gpus_cost_the_four_who_share_two(grace_s: float) -> None:
    world = lent(grace_s=grace_s)
    before = {uid: dict(one.annotations)["stowplan.dev/devices"] for uid, one in world.pods.items()}
    world.submit(pod("whole", gpu=2, namespace="b"))
    cleared = run(world, 12)
    assert [(c.rule, c.team) for c in cleared] == [("reclaim", "b")]
    left = {one.uid for victim in cleared[0].victims for one in victim.pods}
    assert len(left) == 4
    freed = {before[uid] for uid in left}
    assert len(freed) == 2
    assert not freed & {device for uid, device in before.items() if uid not in left}
    assert world.running("b") == ["whole"]
    assert len(world.running("a")) == 4


@pytest.mark.parametrize("grace_s", [0.0, 6.0])
def test_two_who_wait_for_whole_gpus_each_have_their_own_leave(grace_s: float) -> None:
    """What frees a device only together is not counted as free when one of them would stay."""
    world = lent(6, grace_s=grace_s)
    world.state.set_team_quota(quota("b", {"guaranteed": {"gpu": 3}}))
    world.submit(pod("two", gpu=2, namespace="b"), pod("one", gpu=1, namespace="b"))
    assert sorted(len(c.victims) for c in run(world, 1)) == [2, 4]
    assert run(world, 12) == []
    assert world.running("b") == ["one", "two"]
    assert len(world.running("a")) == 6


def test_nobody_leaves_for_more_than_the_guarantee() -> None:
    world = lent()
    world.submit(*gang("wide", 3, gpu=1, namespace="b"))
    assert run(world, 4) == []
    assert len(world.running("a")) == 8


def test_a_device_shared_with_work_that_stays_is_let_alone() -> None:
    """Half of each device is the beneficiary's own team's: no device can be freed by the others' leaving."""
    state = with_devices(cluster([2], [quota("a"), quota("b", TWO)], models=[H100]), 2)
    world = World(state)
    world.submit(*(pod(f"b{i}", of=share(600), namespace="b") for i in range(2)))
    world.settle()
    world.submit(*(pod(f"a{i}", of=share(400), namespace="a") for i in range(2)))
    world.settle()
    assert len(world.running("a")) == 2
    world.submit(pod("whole", gpu=1, namespace="b"))
    assert run(world, 4) == []


@pytest.mark.parametrize(("wanted", "leave"), [(1, 3), (2, 4)])
def test_a_gang_that_shares_two_devices_frees_neither_alone(wanted: int, leave: int) -> None:
    """It leaves whole, from both devices; free are those alone that all others left too."""
    state = with_devices(cluster([2], [quota("a"), quota("b", TWO)], models=[H100]), 2)
    world = World(state)
    world.submit(*(pod(f"large{i}", of=share(600), namespace="a") for i in range(2)))
    world.settle()
    world.submit(*(replace(one, shape=share(400)) for one in gang("pair", 2, namespace="a")))
    world.settle()
    held = {one.name: dict(one.annotations)["stowplan.dev/devices"] for one in world.pods.values()}
    assert sorted(held.values()) == ["n0-0", "n0-0", "n0-1", "n0-1"]
    assert held["pair-0"] != held["pair-1"]
    world.submit(pod("whole", gpu=wanted, namespace="b"))
    # Who leaves is known in one plan: what it promised is not found to be short in the next.
    [cleared] = run(world, 4)
    assert sum(len(victim.pods) for victim in cleared.victims) == leave
    assert world.running("b") == ["whole"]
    assert len(world.running("a")) == 4 - leave


@given(seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_whoever_leaves_makes_room_for_whom_it_was_and_nobody_leaves_in_vain(seed: int) -> None:
    chance = Random(seed)
    nodes = [chance.randint(1, 4) for _ in range(chance.randint(1, 3))]
    teams = [quota("a"), quota("b", {"guaranteed": {"gpu": sum(nodes)}})]
    state = with_devices(cluster(nodes, teams, models=[H100] * len(nodes)), *nodes)
    world = World(state, grace_s=float(chance.choice([0, 3])))
    sizes = [chance.choice([200, 333, 400, 500, 700, 999]) for _ in range(4 * sum(nodes))]
    world.submit(*(pod(f"a{i}", of=share(size), namespace="a") for i, size in enumerate(sizes)))
    world.settle()
    held = {uid: dict(p.annotations).get("stowplan.dev/devices", "") for uid, p in world.pods.items()}
    wanted = chance.randint(1, max(nodes))
    world.submit(pod("whole", gpu=wanted, namespace="b"))
    cleared = run(world, 8)
    assert world.running("b") == ["whole"]
    victims = {one.uid for c in cleared for victim in c.victims for one in victim.pods}
    freed = {held[uid] for uid in victims}
    assert len({device.split("-")[0] for device in freed}) <= 1, "room on another node is of no use"
    assert len(freed) <= wanted
    assert {uid for uid, device in held.items() if device in freed} == victims
