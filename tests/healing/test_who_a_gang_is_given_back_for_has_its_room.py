"""What is left of a gang leaves so that somebody who waits starts: nobody else takes the room meanwhile."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.faults import server as api
from simulations.faults.virtual_time import elapse
from tests.healing.life import NAMESPACE, Life, lived

NODES, GPUS = 2, 4
FEW = settings(max_examples=6, deadline=None)
#: Nobody is evicted for anybody but by what is left of the gang.
ABOVE = 10


def _member(life: Life, gang: str, number: int, *, gpus: int, priority: int) -> None:
    life.pod(f"{gang}-{number}", gang=gang, gang_min_member=str(NODES), gpus=gpus, priority=priority)


async def _breaks(life: Life, *waiting: tuple[str, int]) -> None:
    """A gang with a member on each node loses one, and these wait for all nodes, each with its priority."""
    life.nodes(NODES, gpus=GPUS)
    for i in range(NODES):
        _member(life, "lame", i, gpus=1, priority=ABOVE)
    await elapse(30)
    for name, priority in waiting:
        for i in range(NODES):
            _member(life, name, i, gpus=GPUS, priority=priority)
        await elapse(2)
    await elapse(20)
    life.fails("lame-0")
    while not life.evicted:
        await elapse(0.1)


def _is_there(life: Life, name: str) -> bool:
    return (NAMESPACE, name) in life.store.at(api.PODS).objects


@FEW
@given(after_s=st.floats(0.0, 2.0), gpus=st.integers(1, GPUS), late=st.integers(1, 3))
def test_who_comes_while_it_leaves_does_not_take_it(after_s: float, gpus: int, late: int) -> None:
    async def course(life: Life) -> None:
        await _breaks(life, ("wide", 0))
        await elapse(after_s)
        assert _is_there(life, "lame-1")
        for i in range(late):
            life.pod(f"late-{i}", gpus=gpus)
        await elapse(90)

    life = lived(course)
    assert life.evicted == ["lame-1"]
    assert sorted(life.bound) == ["lame-0", "lame-1", "wide-0", "wide-1"]


@FEW
@given(priorities=st.permutations(range(3)))
def test_of_those_who_ask_for_the_same_the_first_has_it(priorities: list[int]) -> None:
    names = [f"wide{priority}" for priority in priorities]

    async def course(life: Life) -> None:
        await _breaks(life, *zip(names, priorities, strict=True))
        told = life.store.at(api.PODS).objects
        await elapse(3)
        nominated = {
            key[1] for key, pod in told.items() if pod.read()["status"].get("nominatedNodeName") is not None
        }
        assert nominated == {"wide2-0", "wide2-1"}
        await elapse(90)

    life = lived(course)
    assert sorted(life.bound) == ["lame-0", "lame-1", "wide2-0", "wide2-1"]
