"""Room promised to who waits for others to leave is no hope of a broken gang; who waits long has its room."""

from __future__ import annotations

import pytest

from simulations.faults import server as api
from simulations.faults.virtual_time import elapse
from tests.healing.life import NAMESPACE, Life, lived

#: Longer than every limit that applies.
LONG_S = 150.0


async def _begun(life: Life, *, gpus: int) -> str:
    """A pod on n0, and a gang with members on n1 and n2: that on n1. Of n1's 8 GPUs it has so many."""
    life.nodes(1)
    life.pod("slow")
    await elapse(5)
    life._kubelets.add("n1", 8)
    if gpus < 8:
        life.pod("filler", gpus=8 - gpus)
        await elapse(5)
    life._kubelets.add("n2", gpus)
    life.gang("lame", 2, gpus=gpus)
    await elapse(10)
    if gpus < 8:
        life.succeeds("filler")
    by_node = {life.node_of(name): name for name in ("lame-0", "lame-1")}
    assert by_node.keys() == {"n1", "n2"}
    return by_node["n1"]


def _leaves(life: Life) -> None:
    """The pod on n0 is to go, and does not."""
    life._kubelets._silent.add("n0")
    life.server.leave((NAMESPACE, "slow"))


async def _loses(life: Life, left: str) -> None:
    lost = "lame-0" if left == "lame-1" else "lame-1"
    life.store.remove(api.NODES, ("", "n2"))
    life.fails(lost)
    await elapse(1)


@pytest.mark.parametrize(("lost_s", "goes_s"), [(70.0, 30.0), (0.0, LONG_S), (70.0, LONG_S)])
def test_who_waits_too_long_for_others_to_go_has_what_a_broken_gang_holds(
    lost_s: float, goes_s: float
) -> None:
    """The gang lost its member so long before somebody came to wait for n0."""
    left: list[str] = []

    async def course(life: Life) -> None:
        left.append(await _begun(life, gpus=8))
        await _loses(life, left[0])
        await elapse(lost_s)
        _leaves(life)
        life.pod("waits", priority=10)
        await elapse(goes_s)
        life._kubelets._silent.clear()
        await elapse(LONG_S)

    life = lived(course)
    assert life.evicted == (left if goes_s == LONG_S else [])
    assert life.node_of("waits") == ("n1" if goes_s == LONG_S else "n0")


def test_one_broken_gang_is_enough_for_who_waits_too_long() -> None:
    """The members of the first take their time to go as well."""

    async def course(life: Life) -> None:
        await _begun(life, gpus=8)
        for node in ("n3", "n4"):
            life._kubelets.add(node, 8)
        life.gang("weak", 2)
        await elapse(10)
        for node in ("n2", "n4"):
            life.store.remove(api.NODES, ("", node))
        for gang in ("lame", "weak"):
            lost = next(f"{gang}-{i}" for i in range(2) if life.node_of(f"{gang}-{i}") in ("n2", "n4"))
            life.fails(lost)
        await elapse(1)
        _leaves(life)
        life._kubelets._silent.update(("n1", "n3"))
        life.pod("waits", priority=10)
        await elapse(LONG_S)

    life = lived(course)
    assert len(life.evicted) == 1


@pytest.mark.parametrize("is_killed", [False, True])
def test_who_has_had_somebody_evicted_waits_for_that_one_under_the_next_leader_too(is_killed: bool) -> None:
    async def course(life: Life) -> None:
        left = await _begun(life, gpus=8)
        life._kubelets._silent.add("n0")
        life.pod("waits", priority=10)
        await elapse(5)
        assert life.evicted == ["slow"]
        await _loses(life, left)
        if is_killed:
            life.replica.crash()
        await elapse(LONG_S)
        life._kubelets._silent.clear()
        await elapse(10)

    life = lived(course)
    assert life.replica.lives == 1 + is_killed
    assert life.evicted == ["slow"]
    assert life.node_of("waits") == "n0"


@pytest.mark.parametrize("asks", [4, 8])
def test_room_that_is_promised_is_no_hope_of_a_broken_gang_nor_of_who_would_come_in_its_place(
    asks: int,
) -> None:
    """Four GPUs are free on n1, for a gang whose other member waits for n0."""
    left: list[str] = []

    async def course(life: Life) -> None:
        left.append(await _begun(life, gpus=4))
        _leaves(life)
        for number, gpus in enumerate((8, 4)):
            life.pod(f"wide-{number}", gpus=gpus, gang="wide", gang_min_member="2", priority=10)
        await elapse(5)
        await _loses(life, left[0])
        life.pod("lame-again", gpus=4, gang="lame", gang_min_member="2")
        await elapse(5)
        life.pod("other", gpus=asks)
        await elapse(LONG_S)

    life = lived(course)
    assert life.evicted == (left if asks == 4 else [])
    assert life.node_of("other") == ("n1" if asks == 4 else "")
