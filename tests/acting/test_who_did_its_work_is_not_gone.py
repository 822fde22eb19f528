"""A member that succeeds while others are being bound did its work: nothing is taken back for it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.faults.virtual_time import elapse
from tests.acting.alive import Alive, played

SIZE = 14
KEYS = {"stowplan.dev/gang": "g", "stowplan.dev/gang-min-member": str(SIZE)}


@pytest.mark.parametrize("is_deleted", [False, True])
@settings(max_examples=6, deadline=None)
@given(first=st.integers(1, 6), delay=st.sampled_from([0.3, 0.6, 1.0]))
def test_quick_members_of_a_gang_that_is_bound_slowly(is_deleted: bool, first: int, delay: float) -> None:
    async def story() -> None:
        alive = Alive(nodes=2, delay_s=delay)
        for i in range(SIZE):
            alive.pod(f"g-{i:02}", annotations=KEYS)
        while not alive.bound:
            await elapse(0.1)
        for name in list(alive.bound)[:first]:
            alive.succeed(name)
            if is_deleted:
                await elapse(0.05)
                alive.delete(name)
        await elapse(60.0)
        assert len(alive.bound) == SIZE
        assert alive.evicted == []
        await alive.end()

    played(story)


def test_a_member_above_the_rest_joins_while_one_that_stood_is_done_and_cleaned_up() -> None:
    """The attempt counts on who stood before it; one of them succeeds and is deleted while it goes on."""

    async def story() -> None:
        alive = Alive(nodes=2, delay_s=0.5)
        for i in range(4):
            alive.pod(f"g-{i}", annotations={**KEYS, "stowplan.dev/gang-min-member": "4"})
        await elapse(30.0)
        assert len(alive.bound) == 4
        alive.pod("g-4", annotations={**KEYS, "stowplan.dev/gang-min-member": "4"})
        await elapse(1.0)
        alive.succeed("g-0")
        await asyncio.sleep(0)
        alive.delete("g-0")
        await elapse(60.0)
        assert alive.bound[-1] == "g-4"
        assert alive.evicted == []
        await alive.end()

    played(story)
