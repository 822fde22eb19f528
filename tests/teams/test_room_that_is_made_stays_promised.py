"""Whoever room is made for is looked at until it is there, whatever else is known of it and who runs."""

from __future__ import annotations

import pytest

from tests.teams.living import Living, live


@pytest.mark.parametrize("size", [1, 2])
def test_the_last_of_a_lower_priority_to_go_takes_no_promise_with_it(size: int) -> None:
    """By then nobody runs with a lower priority, so that nobody could be evicted for it any more."""

    async def story() -> None:
        living = Living(namespaces=("a",))
        living.nodes(2)
        living.gang("same", "a", 1, 8, priority=10, grace_s=30)
        living.gang("low", "a", size, 8 // size)
        await living.passes(5)
        assert len(living.running("a")) == 1 + size
        living.gang("wide", "a", 2, 8, priority=10)
        await living.passes(5)
        assert living.evicted == [], "one of equal priority stays, so that nobody is evicted in vain"
        living.silence(2)
        living.server.leave(("a", "same-0"))
        living.gang("later", "a", size, 8 // size)
        await living.passes(40)
        assert not living.running("a"), "room is made, and nobody takes a part of it"
        living.delete("same-0", "a")
        await living.passes(20)
        assert sorted(living.running("a")) == ["wide-0", "wide-1"]
        await living.end()

    live(story())


@pytest.mark.parametrize("guaranteed", [0, 8])
def test_a_member_that_comes_later_has_nobody_else_evicted(guaranteed: int) -> None:
    """Its quota lets one of the two start. That is the one for which others leave, whatever their ranks."""

    async def story() -> None:
        living = Living(namespaces=("a",))
        living.nodes(2)
        living.team("a", guaranteed={"gpu": guaranteed}, limit={"gpu": 16})
        living.pod("low-0", "a", 8, grace_s=30)
        living.pod("low-1", "a", 8, grace_s=30)
        await living.passes(5)
        assert len(living.running("a")) == 2
        living.silence(2)
        living.pod("wide-5", "a", 8, priority=10, gang=("wide", 1))
        await living.passes(5)
        living.pod("wide-1", "a", 8, priority=10, gang=("wide", 1))
        await living.passes(10)
        assert len(living.evicted) == 1
        living.delete(living.evicted[0], "a")
        await living.passes(10)
        assert "wide-5" in living.running("a")
        assert len(living.evicted) == 1
        await living.end()

    live(story())


@pytest.mark.parametrize("comes", [1, 2])
@pytest.mark.parametrize("grace_s", [10, 300])
def test_who_comes_while_others_leave_takes_only_what_delays_nobody(comes: int, grace_s: int) -> None:
    """On one of two nodes room is there by now, and others on it begin to leave, sooner or later than the
    last victim on the other node.
    """

    async def story() -> None:
        living = Living(namespaces=("a",))
        living.nodes(2)
        for low, high in (("first", "beside"), ("slow", "stays")):
            living.pod(low, "a", 4, grace_s=120)
            living.pod(high, "a", 4, priority=10, grace_s=grace_s)
            await living.passes(5)
        assert living.node_of("first", "a") == living.node_of("beside", "a") != living.node_of("slow", "a")
        living.silence(2)
        living.gang("wide", "a", 2, 4, priority=10)
        await living.passes(5)
        assert sorted(living.evicted) == ["first", "slow"]
        living.delete("first", "a")
        living.server.leave(("a", "beside"))
        for number in range(comes):
            living.pod(f"low-{number}", "a", 4 // comes)
        await living.passes(20)
        started = sum(name.startswith("low") for name in living.running("a"))
        assert started == (comes if grace_s == 10 else 0)
        if grace_s == 10:
            living.delete("beside", "a")
        living.delete("slow", "a")
        await living.passes(10)
        assert {"wide-0", "wide-1"} <= set(living.running("a"))
        await living.end()

    live(story())
