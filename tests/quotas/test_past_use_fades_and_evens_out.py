"""quotas.history, and what it does to shares."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from quotas.history import decayed, kept_part
from quotas.share import share
from quotas.team import TeamSpec
from quotas.tree import grow

HALF_LIFE_S = 86_400


@settings(deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 10**7))
def test_half_is_left_after_a_half_life(elapsed_s: int, half_life_s: int) -> None:
    assert abs(kept_part(elapsed_s, half_life_s) / 2**64 - 2 ** (-elapsed_s / half_life_s)) < 1e-12
    assert kept_part(elapsed_s + half_life_s, half_life_s) == kept_part(elapsed_s, half_life_s) >> 1


@settings(deadline=None)
@given(st.integers(0, 2**50), st.integers(0, 2**50), st.lists(st.integers(0, 10**6), min_size=1, max_size=6))
def test_many_steps_come_to_the_same_as_one(before: int, used: int, steps_s: list[int]) -> None:
    average = {"gpu": before}
    for step_s in steps_s:
        average = decayed(average, {"gpu": used}, elapsed_s=step_s, half_life_s=HALF_LIFE_S)
    at_once = decayed({"gpu": before}, {"gpu": used}, elapsed_s=sum(steps_s), half_life_s=HALF_LIFE_S)
    assert abs(average["gpu"] - at_once["gpu"]) <= len(steps_s)
    assert min(before, used) <= average["gpu"] <= max(before, used)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(-5, 0))
def test_without_a_half_life_only_the_present_counts(elapsed_s: int, half_life_s: int) -> None:
    found = decayed({"gpu": 9, "cpu": 4}, {"gpu": 2}, elapsed_s=elapsed_s, half_life_s=half_life_s)
    assert found == {"cpu": 0, "gpu": 2}


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 100_000), min_size=2, max_size=5),
    st.integers(1, 5),
    st.integers(1, 24),
)
def test_equal_teams_come_to_equal_decayed_use(past: list[int], weight: int, steps_each: int) -> None:
    names = [f"t{i}" for i in range(len(past))]
    tree = grow(TeamSpec(name=n, weight=weight, half_life_s=HALF_LIFE_S) for n in names)
    history = {n: {"gpu": use} for n, use in zip(names, past, strict=True)}
    capacity, wanted = {"gpu": 100_000}, {n: {"gpu": 100_000} for n in names}
    apart = [max(past) - min(past)]
    for _ in range(12 * steps_each):
        shares = share(tree, capacity, wanted, history)
        assert sum(shares.of(n).get("gpu", 0) for n in names) == 100_000
        history = {
            n: decayed(history[n], shares.of(n), elapsed_s=HALF_LIFE_S // steps_each, half_life_s=HALF_LIFE_S)
            for n in names
        }
        uses = [history[n].get("gpu", 0) for n in names]
        apart.append(max(uses) - min(uses))
    assert apart[-1] <= max(5, apart[0] // 100)


def test_only_rivals_and_only_teams_with_a_half_life_count() -> None:
    idle = TeamSpec(name="idle", half_life_s=HALF_LIFE_S)
    teams = [TeamSpec(name=n, half_life_s=HALF_LIFE_S) for n in ("a", "b")]
    history = {"a": {"gpu": 30}, "b": {"gpu": 10}, "idle": {"gpu": 500}}
    wanted = {"a": {"gpu": 100}, "b": {"gpu": 100}}
    shares = share(grow([*teams, idle]), {"gpu": 80}, wanted, history)
    # 3/4 of the past use is a's, so it gets 1/2 + (1/2 - 3/4).
    assert (shares.of("a"), shares.of("b")) == ({"gpu": 20}, {"gpu": 60})
    forgetful = [TeamSpec(name=n, half_life_s=0) for n in ("a", "b")]
    even = share(grow(forgetful), {"gpu": 80}, wanted, history)
    assert even.of("a") == even.of("b") == {"gpu": 40}
