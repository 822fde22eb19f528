"""Members that succeed are deleted while others go on: whoever leads goes on counting on them."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.faults import server as api
from simulations.faults.store import Json
from simulations.faults.virtual_time import elapse
from tests.healing.life import NAMESPACE, Life, lived

SIZE = 4
#: What a gang may be short for, and more than enough for a sweep and a look at what others need.
LONG_S = 130.0
FEW = settings(max_examples=6, deadline=None)
GROUP = {"scheduling.x-k8s.io/pod-group": "pg"}


def _group(life: Life) -> None:
    meta = {"name": "pg", "namespace": NAMESPACE, "generation": 1}
    life.store.create(api.COSCHEDULING_GROUPS, {"metadata": meta, "spec": {"minMember": SIZE}})


def _member(life: Life, dialect: str, name: str, *, maker: str = "", gpus: int = 8) -> None:
    if dialect == "coscheduling":
        life.pod(name, labels=GROUP, maker=maker, gpus=gpus)
    else:
        life.pod(name, maker=maker, gpus=gpus, gang="pg", gang_min_member=str(SIZE))


def _written(life: Life) -> list[str]:
    """Who is written down to have done its work, by name."""
    (gang,) = (
        one.read()
        for one in life.store.at(api.GANGS).objects.values()
        if one.read()["metadata"]["name"].startswith("pg")
    )
    return sorted(one["pod"] for one in gang["status"].get("succeeded") or ())


async def _run(life: Life, dialect: str, done: int, *, maker: str = "") -> None:
    """A gang of four of which so many do their work and are deleted."""
    life.nodes(SIZE)
    _group(life)
    for i in range(SIZE):
        _member(life, dialect, f"w{i}", maker=maker)
    await elapse(60)
    for i in range(done):
        life.succeeds(f"w{i}")
    await elapse(5)
    for i in range(done):
        life.store.remove(api.PODS, (NAMESPACE, f"w{i}"))
    await elapse(60)


@pytest.mark.parametrize("dialect", ["own", "coscheduling"])
@FEW
@given(done=st.integers(1, SIZE - 1), more=st.booleans(), after_s=st.floats(0.0, 60.0))
def test_a_new_leader_takes_nobody_back_for_it(dialect: str, done: int, more: bool, after_s: float) -> None:
    """more: one beyond the minimum waits for room that there is not."""

    async def course(life: Life) -> None:
        await _run(life, dialect, done)
        if more:
            _member(life, dialect, "more", gpus=16)
            await elapse(10)
        assert _written(life) == [f"w{i}" for i in range(done)]
        await elapse(after_s)
        life.replica.crash()
        await elapse(60)
        for i in range(SIZE):
            life.pod(f"behind-{i}", gang="behind", gang_min_member=str(SIZE))
        await elapse(LONG_S)

    life = lived(course)
    assert life.replica.lives == 2
    assert life.evicted == []
    assert _written(life) == [f"w{i}" for i in range(done)]


@pytest.mark.parametrize("dialect", ["own", "coscheduling"])
@FEW
@given(done=st.integers(1, SIZE - 1))
def test_who_comes_in_the_place_of_the_last_ones_starts_under_a_new_leader(dialect: str, done: int) -> None:
    """All that was left failed while nobody led: what is made anew is the whole gang that is still needed."""

    async def course(life: Life) -> None:
        await _run(life, dialect, done)
        life.replica.crash()
        for i in range(done, SIZE):
            life.store.change(api.PODS, (NAMESPACE, f"w{i}"), partial(_ends, "Failed"))
            _member(life, dialect, f"w{i}-again")
        await elapse(LONG_S)

    life = lived(course)
    assert life.replica.lives == 2
    assert all(life.node_of(f"w{i}-again") for i in range(done, SIZE))


@pytest.mark.parametrize("makers", [("", ""), ("first", "second")])
@FEW
@given(done=st.integers(2, SIZE - 1), is_cleared=st.booleans())
def test_nobody_of_an_earlier_run_counts(makers: tuple[str, str], done: int, is_cleared: bool) -> None:
    """The rest of it ended, and another run of the name is made, while nobody leads. is_cleared: nobody of
    the earlier one is there any more.
    """

    async def course(life: Life) -> None:
        await _run(life, "coscheduling", done, maker=makers[0])
        life.replica.crash()
        for i in range(done, SIZE):
            life.store.change(api.PODS, (NAMESPACE, f"w{i}"), partial(_ends, "Succeeded"))
        await elapse(5)
        for i in range(SIZE - 1):
            _member(life, "coscheduling", f"next-{i}", maker=makers[1])
        for i in range(done, SIZE if is_cleared else 0):
            life.store.remove(api.PODS, (NAMESPACE, f"w{i}"))
        await elapse(LONG_S)
        assert not any(life.node_of(f"next-{i}") for i in range(SIZE - 1))
        _member(life, "coscheduling", f"next-{SIZE - 1}", maker=makers[1])
        await elapse(10)

    life = lived(course)
    assert all(life.node_of(f"next-{i}") for i in range(SIZE))
    assert _written(life) == []


def test_nothing_is_written_of_a_gang_that_is_over() -> None:
    """Each of its pods is deleted in turn, and nobody asks any more."""

    async def course(life: Life) -> None:
        await _run(life, "own", 0)
        for i in range(SIZE):
            life.succeeds(f"w{i}")
        await elapse(5)
        version = life.store.at(api.GANGS).objects[NAMESPACE, "pg"].read()["metadata"]["resourceVersion"]
        for i in range(SIZE - 1):
            life.store.remove(api.PODS, (NAMESPACE, f"w{i}"))
            await elapse(40)
        now = life.store.at(api.GANGS).objects[NAMESPACE, "pg"].read()["metadata"]["resourceVersion"]
        assert now == version

    lived(course)


def test_who_did_its_work_leaves_no_room_that_a_new_leader_would_keep_in_the_place_of_a_lost_ones() -> None:
    """Others have what the first two left. The room of the third, which failed, is its replacement's."""

    async def course(life: Life) -> None:
        await _run(life, "own", 0)
        for i in range(2):
            life.succeeds(f"w{i}")
            await elapse(3)
            life.store.remove(api.PODS, (NAMESPACE, f"w{i}"))
        for i in range(3):
            life.pod(f"other-{i}")
        await elapse(10)
        life.fails("w2")
        await elapse(3)
        life.replica.crash()
        await elapse(30)
        _member(life, "own", "w2-again")
        await elapse(60)

    life = lived(course)
    assert life.replica.lives == 2
    assert life.node_of("w2-again")
    assert not life.node_of("other-2")


@FEW
@given(after_s=st.floats(2.7, 4.0))
def test_who_ends_before_it_is_evicted_keeps_nobody_waiting(after_s: float) -> None:
    """All are to restart for one that failed; meanwhile the others do their work. Who is made anew starts."""

    async def course(life: Life) -> None:
        life.nodes(3)
        for i in range(3):
            life.pod(f"job-{i}", gang="job", gang_min_member="3", gang_on_loss="restart")
        await elapse(60)
        life.store.change(api.PODS, (NAMESPACE, "job-0"), partial(_ends, "Failed"))
        await elapse(after_s)
        for name in ("job-1", "job-2"):
            life.succeeds(name)
        await elapse(10)
        assert life.evicted == []
        assert life.status("job")["message"].startswith("only 2 of 3")
        life.pod("job-again", gang="job", gang_min_member="3", gang_on_loss="restart")
        await elapse(60)

    life = lived(course, delay_s=1.0)
    assert life.node_of("job-again")


def _ends(phase: str, pod: Json) -> None:
    pod["status"]["phase"] = phase
