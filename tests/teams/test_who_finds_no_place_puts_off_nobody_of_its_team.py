"""A gang that finds no place is not counted as if it had: the next of its team has the turn that is due."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import gang, pod
from tests.teams.worlds import World, cluster, planned, quota

FOUR = {"guaranteed": {"gpu": 4}}
few = settings(max_examples=30, deadline=None)


def _lent(size: int) -> World:
    """16 GPUs of which ``size`` are free; ``b`` has borrowed all that ``a`` does not use, and wants more."""
    world = World(cluster([16], [quota("a", FOUR), quota("b", FOUR)]))
    world.submit(*(pod(f"a{i}", gpu=1, namespace="a") for i in range(4 - size)))
    world.submit(*gang("trains", 4, gpu=3, namespace="b"))
    world.settle()
    assert len(world.running("b")) == 4
    return world


@few
@given(
    size=st.sampled_from([1, 2, 3]),
    large=st.integers(5, 16),
    is_gang=st.booleans(),
    count=st.integers(1, 3),
    others=st.integers(1, 3),
)
def test_what_is_free_goes_to_whom_it_is_guaranteed_before_it_is_lent(
    size: int, large: int, is_gang: bool, count: int, others: int
) -> None:
    world = _lent(size)
    if is_gang:
        world.submit(*gang("large", large, gpu=1, namespace="a", created_s=1.0))
    else:
        world.submit(pod("large", gpu=large, namespace="a", created_s=1.0))
    world.submit(*(pod(f"more{i}", gpu=size, namespace="b", created_s=2.0) for i in range(others)))
    world.submit(*(pod(f"small{i}", gpu=size, namespace="a", created_s=3.0 + i) for i in range(count)))
    _, done = planned(world.state)
    assert [place.assignments[0].pod.name for place in done.places] == ["small0"]
    assert done.clearings == ()
