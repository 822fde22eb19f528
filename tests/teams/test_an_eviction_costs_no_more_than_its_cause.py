"""Whatever becomes of an eviction, the beneficiary is served, by no more victims than it needs."""

from __future__ import annotations

import asyncio

import pytest

from scheduler.live.config import PolicySection, SchedulerConfiguration
from tests.teams.living import Living, Trouble, live


def _lent(namespaces: tuple[str, ...] = ("a", "b")) -> Living:
    """Team ``a`` may lend to ``b`` what it borrowed."""
    living = Living(namespaces=namespaces)
    for name in namespaces:
        living.team(name, guaranteed={"gpu": "8"})
    return living


def test_a_budget_that_says_no_for_ten_seconds_is_asked_again() -> None:
    async def story() -> None:
        living = _lent()
        living.nodes(2)
        living.gang("borrower", "a", 2, 8)
        await living.passes(30)
        until_s = asyncio.get_running_loop().time() + 10
        living.server.may_evict = lambda pod: asyncio.get_running_loop().time() > until_s
        living.pod("needs", "b", 8)
        await living.passes(9)
        assert living.running("a") == {"borrower-0", "borrower-1"}
        await living.passes(60)
        assert living.running("b") == {"needs"}
        await living.end()

    live(story())


@pytest.mark.parametrize("trouble", ["error", "unheard"])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_answer_that_is_lost_costs_no_second_gang(trouble: Trouble, after: int) -> None:
    async def story() -> None:
        living = _lent()
        living.nodes(3)
        for index in range(3):
            living.gang(f"g{index}", "a", 4, 2)
        await living.passes(30)
        assert len(living.running("a")) == 12
        quiet: list[Trouble] = ["none"]
        living.troubles = [*quiet * after, trouble]
        living.pod("needs", "b", 8)
        await living.passes(60)
        assert living.running("b") == {"needs"}
        assert len(living.evicted) == 4
        assert living.events("Evicted") == sorted(living.evicted)
        await living.end()

    live(story())


def test_victims_that_take_long_to_go_are_waited_for() -> None:
    async def story() -> None:
        living = _lent()
        living.nodes(3)
        for index in range(3):
            living.gang(f"g{index}", "a", 2, 4, grace_s=30)
        await living.passes(30)
        living.silence(3)
        living.pod("needs", "b", 8)
        await living.passes(1_500)
        assert len(living.evicted) == 2
        assert len(living.running("a")) == 4
        await living.end()

    live(story())


def test_a_beneficiary_that_is_gone_has_nobody_else_evicted() -> None:
    async def story() -> None:
        living = Living(namespaces=("a",))
        living.nodes(20)
        living.gang("large", "a", 160, 1, grace_s=30)
        await living.passes(30)
        assert len(living.running("a")) == 160
        living.on_evicted = lambda name: living.delete("urgent", "a") if len(living.evicted) == 1 else None
        living.pod("urgent", "a", 8, priority=100)
        await living.passes(20)
        # Those that were on their way when the scheduler saw it.
        assert len(living.evicted) <= 7
        await living.end()

    live(story())


def test_the_first_of_a_gang_that_is_refused_costs_it_nobody() -> None:
    async def story() -> None:
        living = Living(namespaces=("a",))
        living.nodes(2)
        living.gang("ring", "a", 16, 1)
        await living.passes(30)
        asked: list[str] = []

        def refuses(pod: dict[str, dict[str, str]]) -> bool:
            asked.append(pod["metadata"]["name"])
            return False

        living.server.may_evict = refuses
        living.pod("urgent", "a", 8, priority=100)
        await living.passes(15)
        assert len(asked) == 1
        assert len(living.running("a")) == 16
        await living.end()

    live(story())


def test_nobody_comes_in_the_place_of_a_victim_while_others_of_its_gang_are_to_leave() -> None:
    """The controller makes each anew as soon as it is gone; a new one that is bound would be evicted too."""

    async def story() -> None:
        living = Living(namespaces=("a",))
        living.nodes(2)
        living.gang("ring", "a", 15, 1)
        await living.passes(30)
        made: set[str] = set()

        def anew(name: str) -> None:
            made.add(f"{name}-anew")
            living.pod(f"{name}-anew", "a", 1, gang=("ring", 15))

        living.on_evicted = anew
        living.gang("urgent", "a", 8, 1, priority=100)
        seen: set[str] = set()
        for _ in range(100):
            await living.passes(0.05)
            seen |= living.running("a") & made
        await living.passes(30)
        assert len(living.evicted) == 15
        assert not seen
        assert living.running("a") == {f"urgent-{index}" for index in range(8)}
        await living.end()

    live(story())


def test_one_gang_leaves_for_one_pod_where_the_order_displaces() -> None:
    async def story() -> None:
        policy = SchedulerConfiguration(policy=PolicySection(displaces=True))
        living = Living(policy, namespaces=("a",))
        living.nodes(8)
        for index in range(8):
            living.gang(f"low{index}", "a", 2, 4, grace_s=30)
        await living.passes(30)
        living.pod("urgent", "a", 8, priority=100)
        await living.passes(60)
        assert len(living.evicted) == 2
        assert "urgent" in living.running("a")
        await living.end()

    live(story())


def test_room_that_was_promised_to_who_is_gone_is_for_the_others() -> None:
    async def story() -> None:
        living = _lent()
        living.nodes(2)
        # 8 of its own and 4 that it borrowed; 4 are free.
        living.gang("own", "a", 1, 8, grace_s=600)
        living.pod("borrowed", "a", 4, grace_s=600)
        await living.passes(30)
        living.silence(2)
        living.pod("needs", "b", 8)
        await living.passes(5)
        assert living.evicted == ["borrowed"]
        # The four free ones are held for it, as long as it waits.
        living.pod("small", "a", 4, priority=-1)
        await living.passes(10)
        assert "small" not in living.running("a")
        living.delete("needs", "b")
        await living.passes(10)
        assert "small" in living.running("a")
        await living.end()

    live(story())


def test_who_waits_for_victims_takes_what_comes_free_elsewhere() -> None:
    async def story() -> None:
        living = _lent()
        living.nodes(2)
        living.pod("own", "a", 8, grace_s=600)
        living.pod("borrowed", "a", 8, grace_s=600)
        await living.passes(30)
        living.silence(2)
        living.pod("needs", "b", 8)
        await living.passes(60)
        assert len(living.evicted) == 1
        (stays,) = living.running("a")
        living.delete(stays, "a")
        await living.passes(10)
        assert living.running("b") == {"needs"}
        await living.end()

    live(story())


def test_whoever_is_given_back_is_told_so() -> None:
    async def story() -> None:
        living = Living(namespaces=("a",))
        living.nodes(4)
        living.gang("ring", "a", 24, 1)
        await living.passes(30)
        assert len(living.running("a")) == 24
        living.delete("ring-0", "a")  # Nobody makes it anew, and others have use of what the rest holds.
        living.gang("wants", "a", 4, 8)
        await living.passes(150)
        assert living.running("a") == {f"wants-{i}" for i in range(4)}
        assert living.events("Evicted") == sorted(f"ring-{i}" for i in range(1, 24))
        await living.end()

    live(story())


@pytest.mark.parametrize("teams", [False, True])
@pytest.mark.parametrize("evicted", [1, 2, 3])
def test_a_leader_killed_between_two_evictions_costs_no_second_gang(evicted: int, teams: bool) -> None:
    """Its successor goes on with the rest of the gang, and not with a younger pod that would cost less."""

    async def story() -> None:
        living = Living(namespaces=("a", "b"))
        if teams:
            living.team("a")
            living.team("b", guaranteed={"gpu": "32"})
        living.nodes(5)
        living.gang("old", "a", 4, 8, grace_s=30)
        await living.passes(600)
        living.pod("young", "a", 8, grace_s=30)
        await living.passes(20)

        def kill(_: str) -> None:
            if len(living.evicted) == evicted:
                living.replica.crash()

        living.on_evicted = kill
        living.gang("comes", "b", 4, 8, priority=90)
        await living.passes(120)
        assert living.replica.lives == 2
        assert sorted(living.evicted) == [f"old-{i}" for i in range(4)]
        assert living.running("a") == {"young"}
        assert len(living.running("b")) == 4
        await living.end()

    live(story())
