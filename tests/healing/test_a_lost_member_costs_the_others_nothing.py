"""Who is replaced, even late, and who stops slowly: the others run on, and nobody takes the room."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.gangs.healing import REPLACE_S
from simulations.faults import server as api
from simulations.faults.store import Json
from simulations.faults.virtual_time import elapse
from tests.healing.life import NAMESPACE, Life, lived

#: Longer than every limit that applies.
LONG_S = 150.0


@pytest.mark.parametrize("waiting", [0, 2])
@pytest.mark.parametrize("after_s", [0.0, 2.0, 50.0])
def test_the_room_is_the_replacements_whoever_waits(waiting: int, after_s: float) -> None:
    async def course(life: Life) -> None:
        life.nodes(4)
        life.gang("train", 4)
        await elapse(60)
        for i in range(waiting):
            life.pod(f"other-{i}")
        await elapse(60)
        life.fails("train-2")
        await elapse(after_s)
        life.pod("train-again", gang="train", gang_min_member="4")
        await elapse(LONG_S)

    life = lived(course)
    assert life.evicted == []
    assert sorted(life.bound) == ["train-0", "train-1", "train-2", "train-3", "train-again"]
    assert life.node_of("train-again")


def test_the_room_of_a_member_that_is_done_is_kept_for_nobody() -> None:
    """While the room of one that was lost is: the gang is short, and asks for that one alone."""

    async def course(life: Life) -> None:
        life.nodes(4)
        life.gang("train", 4)
        await elapse(60)
        for i in range(2):
            life.pod(f"other-{i}")
        await elapse(10)
        life.fails("train-2")
        life.succeeds("train-1")
        await elapse(10)

    life = lived(course)
    assert life.evicted == []
    assert len([name for name in life.bound if name.startswith("other")]) == 1


@pytest.mark.parametrize("waiting", [0, 1])
def test_a_gang_whose_member_never_comes_back_leaves_for_those_who_wait_and_for_nobody_else(
    waiting: int,
) -> None:
    told: list[int] = []

    async def course(life: Life) -> None:
        life.nodes(3)
        life.gang("train", 3)
        await elapse(60)
        # One room is the lost member's, so that two are needed from the others.
        for i in range(3 * waiting):
            life.pod(f"other-{i}", gang="other", gang_min_member="3")
        await elapse(10)
        life.fails("train-1")
        await elapse(REPLACE_S - 5)
        told.append(len(life.evicted))
        await elapse(LONG_S)

    life = lived(course)
    assert told == [0]
    assert sorted(life.evicted) == (["train-0", "train-2"] if waiting else [])
    assert all(life.node_of(f"other-{i}") for i in range(3 * waiting))


def test_when_the_hold_lapses_who_fits_takes_the_room_and_nobody_is_evicted_for_it() -> None:
    told: list[str] = []

    async def course(life: Life) -> None:
        life.nodes(3)
        life.gang("train", 3)
        await elapse(60)
        life.pod("other")
        await elapse(10)
        life.fails("train-1")
        await elapse(REPLACE_S - 5)
        told.append(life.node_of("other"))
        await elapse(LONG_S)

    life = lived(course)
    assert told == [""]
    assert life.node_of("other") == "n1" or life.node_of("other")
    assert life.evicted == []


def test_a_member_that_takes_its_grace_to_go_is_waited_for() -> None:
    async def course(life: Life) -> None:
        life.nodes(3)
        life.gang("ring", 3)
        await elapse(60)
        life.pod("other")
        node = life.node_of("ring-1")
        life._kubelets._silent.add(node)
        life.server.leave(("red", "ring-1"))
        await elapse(100)
        life._kubelets._silent.discard(node)
        await elapse(5)
        life.pod("ring-again", gang="ring", gang_min_member="3")
        await elapse(LONG_S)

    life = lived(course)
    assert life.evicted == []
    assert life.node_of("ring-again")
    assert not life.node_of("other")


@pytest.mark.parametrize("after_s", [100.0, 250.0])
def test_each_member_that_takes_its_grace_to_go_is_waited_for(after_s: float) -> None:
    """The second begins to go while the first still does; its own time counts, and not that of the first."""

    async def course(life: Life) -> None:
        life.nodes(3)
        life.gang("ring", 3)
        await elapse(60)
        life.pod("other")
        for member in (1, 2):
            life._kubelets._silent.add(life.node_of(f"ring-{member}"))
            life.server.leave(("red", f"ring-{member}"))
            await elapse(after_s)
        # The first has taken 350 s by then.
        await elapse(max(5.0, 350.0 - 2 * after_s))
        life._kubelets._silent.clear()
        await elapse(5)
        for member in (1, 2):
            life.pod(f"ring-{member}-again", gang="ring", gang_min_member="3")
        await elapse(LONG_S)

    life = lived(course)
    assert life.evicted == []
    assert life.node_of("ring-1-again")
    assert life.node_of("ring-2-again")


def test_a_room_is_kept_across_a_change_of_leaders() -> None:
    async def course(life: Life) -> None:
        life.nodes(4)
        life.gang("train", 4)
        await elapse(60)
        life.pod("other")
        await elapse(10)
        life.replica.crash()
        life.fails("train-2")
        await elapse(40)
        life.pod("train-again", gang="train", gang_min_member="4")
        await elapse(LONG_S)

    life = lived(course)
    assert life.evicted == []
    assert life.node_of("train-again")
    assert not life.node_of("other")


@pytest.mark.parametrize("first", ["before", "after"])
def test_a_new_leader_keeps_the_room_of_a_gang_that_took_another_member_in_before(first: str) -> None:
    """What the leader writes of one attempt says as well where the others are, and whose room it keeps."""

    async def course(life: Life) -> None:
        life.nodes(4)
        life.gang("train", 4)
        await elapse(60)
        if first == "after":
            life.fails("train-2")
        life.fails("train-1")
        life.pod("train-1-again", gang="train", gang_min_member="4")
        await elapse(20)
        life.pod("other")
        await elapse(10)
        if first == "before":
            life.fails("train-2")
        life.replica.crash()
        await elapse(45)
        life.pod("train-2-again", gang="train", gang_min_member="4")
        await elapse(LONG_S)

    life = lived(course)
    assert life.replica.lives == 2
    assert life.evicted == []
    assert life.node_of("train-1-again")
    assert life.node_of("train-2-again")
    assert not life.node_of("other")


def test_a_new_leader_keeps_the_room_of_who_was_lost_and_not_of_who_was_scaled_away_before() -> None:
    async def course(life: Life) -> None:
        life.nodes(4)
        for i in range(4):
            life.pod(f"train-{i}", gang="train", gang_min_member="2")
        await elapse(60)
        for i in range(2):
            life.store.remove(api.PODS, (NAMESPACE, f"train-{i}"))
        for i in range(3):
            life.pod(f"other-{i}")
        await elapse(30)
        life.fails("train-2")
        await elapse(3)
        life.replica.crash()
        await elapse(30)
        life.pod("train-again", gang="train", gang_min_member="2")
        await elapse(60)

    life = lived(course)
    assert life.replica.lives == 2
    assert life.node_of("train-again")
    assert not life.node_of("other-2")


@pytest.mark.parametrize("dialect", ["own", "coscheduling"])
def test_the_room_of_a_member_that_went_between_two_leaders_is_kept_by_who_saw_it_go(dialect: str) -> None:
    """The next leader was started while the gang was short already, and never saw it stand."""

    def member(life: Life, name: str) -> None:
        if dialect == "own":
            life.pod(name, gang="train", gang_min_member="4")
        else:
            life.pod(name, labels={"scheduling.x-k8s.io/pod-group": "train"})

    async def course(life: Life) -> None:
        life.nodes(4)
        group = {"metadata": {"namespace": NAMESPACE, "name": "train"}, "spec": {"minMember": 4}}
        life.store.create(api.COSCHEDULING_GROUPS, group)
        for i in range(4):
            member(life, f"train-{i}")
        await elapse(60)
        # The gang's last attempt, which the Gang object tells of, is of this one alone.
        life.fails("train-3")
        member(life, "train-3-again")
        await elapse(30)
        life.pod("other")
        life._kubelets._silent.add(life.node_of("train-2"))
        life.server.leave(("red", "train-2"))
        await elapse(5)
        life.replica.crash()
        await elapse(8)
        assert not life.replica.is_leading
        life._kubelets._silent.clear()
        await elapse(60)
        member(life, "train-2-again")
        await elapse(LONG_S)

    life = lived(course)
    assert life.evicted == []
    assert life.node_of("train-2-again")
    assert not life.node_of("other")


@pytest.mark.parametrize("on_loss", ["replace", "restart"])
def test_who_may_not_be_evicted_goes_on_with_the_pod_made_anew(on_loss: str) -> None:
    """A disruption budget refuses what would give the gang back."""

    async def course(life: Life) -> None:
        life.server.may_evict = lambda pod: False
        life.nodes(3)
        for i in range(3):
            life.pod(f"train-{i}", gang="train", gang_min_member="3", gang_on_loss=on_loss)
        await elapse(60)
        for i in range(3):
            life.pod(f"other-{i}", gang="other", gang_min_member="3")
        await elapse(10)
        life.fails("train-1")
        await elapse(REPLACE_S + 5)
        life.pod("train-again", gang="train", gang_min_member="3", gang_on_loss=on_loss)
        await elapse(REPLACE_S)

    life = lived(course)
    assert life.evicted == []
    assert life.node_of("train-again")


@settings(max_examples=4, deadline=None)
@given(after_s=st.floats(0.0, 0.3))
def test_who_did_its_work_may_be_cleared_away_while_another_is_bound(after_s: float) -> None:
    async def course(life: Life) -> None:
        life.nodes(3)
        life.gang("job", 3)
        await elapse(60)
        for name, phase in (("job-1", "Failed"), ("job-0", "Succeeded"), ("job-2", "Succeeded")):
            life.store.change(api.PODS, ("red", name), partial(_ends, phase))
        await elapse(10)
        life.pod("job-again", gang="job", gang_min_member="3")
        while life.status("job")["phase"] != "Binding":
            await elapse(0.02)
        await elapse(after_s)
        life.store.remove(api.PODS, ("red", "job-0"))
        await elapse(20)

    life = lived(course, delay_s=0.3)
    assert life.evicted == []
    assert life.node_of("job-again")


def _ends(phase: str, pod: Json) -> None:
    pod["status"]["phase"] = phase
