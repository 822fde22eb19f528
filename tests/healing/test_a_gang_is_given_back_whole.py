"""Who gives a gang back lets all of it go or none: half of one helps nobody, and what is coming is known."""

from __future__ import annotations

from collections import Counter

import pytest

from scheduler.gangs.healing import REPLACE_S
from scheduler.live.config import PolicySection, SchedulerConfiguration
from simulations.faults import server as api
from simulations.faults.virtual_time import elapse
from tests.healing.life import Life, lived, slow

LONG_S = 130.0


@pytest.mark.parametrize("on_loss", ["replace", "restart"])
@pytest.mark.parametrize("least", [0, 1, 3])
def test_a_budget_lets_all_of_a_gang_go_or_none(least: int, on_loss: str) -> None:
    """Of four that lost one a budget keeps so many; others wait for the room all the time."""

    async def course(life: Life) -> None:
        life.nodes(4)
        life.budget("train", least)
        labels = {"app": "train"}
        for i in range(4):
            life.pod(f"train-{i}", labels=labels, gang="train", gang_min_member="4", gang_on_loss=on_loss)
        await elapse(60)
        life.gang("other", 4)
        await elapse(10)
        life.fails("train-1")
        await elapse(REPLACE_S + LONG_S)

    life = lived(course)
    assert sorted(life.evicted) == ([] if least else ["train-0", "train-2", "train-3"])
    assert bool(life.node_of("other-0")) == (least == 0)


@pytest.mark.parametrize("size", [4, 5])
def test_nobody_leaves_while_the_room_of_a_gang_that_is_given_back_will_do(size: int) -> None:
    """Urgent work comes while its members are evicted, one after the other, and finds what it needs."""

    async def course(life: Life) -> None:
        life.nodes(size + 1)
        life.gang("ring", size)
        await elapse(60)
        life.pod("single")
        await elapse(60)
        life.gang("other", size)
        await elapse(10)
        life.fails("ring-1")
        while not life.evicted:
            await elapse(0.05)
        for i in range(3):
            life.pod(f"urgent-{i}", priority=10, gang="urgent", gang_min_member="3")
        await elapse(LONG_S)

    life = lived(course, slow(1), delay_s=0.3)
    assert life.node_of("urgent-0")
    assert "single" not in life.evicted


def test_the_room_of_who_may_not_be_evicted_is_not_waited_for() -> None:
    async def course(life: Life) -> None:
        life.server.may_evict = lambda pod: not pod["metadata"]["name"].startswith("ring")
        life.nodes(4)
        life.gang("ring", 3)
        await elapse(60)
        life.pod("single")
        await elapse(60)
        life.gang("other", 3)
        await elapse(10)
        life.fails("ring-1")
        # The evictions are asked for, and refused for good.
        await elapse(REPLACE_S + 30)
        for i in range(2):
            life.pod(f"urgent-{i}", priority=10, gang="urgent", gang_min_member="2")
        await elapse(60)

    life = lived(course)
    assert life.evicted == ["single"]
    assert life.node_of("urgent-0")
    assert life.node_of("urgent-1")


@pytest.mark.parametrize("gangs", [2, 3])
def test_of_several_gangs_that_lost_a_node_no_more_leave_than_lets_the_others_stand(gangs: int) -> None:
    """Half of each was on the node that is gone; by the end of one the members made anew of another fit."""

    async def course(life: Life) -> None:
        life.nodes(2, gpus=2 * gangs)
        for number in range(gangs):
            life.gang(f"g{number}", 4, gpus=1)
        await elapse(60)
        gone = [name for name in life.bound if life.node_of(name) == "n1"]
        assert len(gone) == 2 * gangs, "they are spread"
        life.store.remove(api.NODES, ("", "n1"))
        for name in gone:
            life.fails(name)
        await elapse(2)
        for name in gone:
            life.pod(f"{name}-again", gpus=1, gang=name[:2], gang_min_member="4")
        await elapse(400)

    life = lived(course, SchedulerConfiguration(policy=PolicySection(strategy="spread")))
    stand = Counter(name[:2] for name in life.bound if life.node_of(name))
    assert len(life.evicted) == 2
    assert sorted(stand.values()) == [*[2] * (gangs - 2), 4]
