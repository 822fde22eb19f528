"""The planner itself on random teams, nodes and gangs: what quotas promise holds in every plan."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduler.model.gang import GangKey
from scheduler.model.plan import Budget, Clearing, Plan
from tests.teams.drawn import copied, drawn, work
from tests.teams.oracle import Item, Oracle
from tests.teams.worlds import BUDGET, World

SEEDS = st.integers(0, 2**48)
BENEFICIARY = "comes"


def _comes(world: World, teams: Sequence[str], rng: Random) -> tuple[Oracle, Plan, GangKey]:
    """A gang of some team comes to a settled cluster, and one plan is made."""
    largest = max(world.state.columns.nodes, key=lambda n: n.allocatable["nvidia.com/gpu"])
    world.submit(*work(rng, BENEFICIARY, rng.choice(teams), largest=largest.allocatable["nvidia.com/gpu"]))
    oracle = Oracle(snapshot=world.state.snapshot(world.now_s))
    (comes,) = oracle.snapshot.gangs
    return oracle, world.cycle(), comes.key


# One gang leaves whole, and with what it had not borrowed the newcomer may start.
@example(8340)
@settings(max_examples=120, deadline=None)
@given(SEEDS)
def test_after_one_plan_no_gang_waits_that_may_start_or_is_owed_its_room(seed: int) -> None:
    rng = Random(seed)
    world, teams = drawn(rng)
    oracle, done, key = _comes(world, teams, rng)
    (comes,) = oracle.snapshot.gangs
    is_helped = any(key == gang.key for clearing in done.clearings for gang in clearing.beneficiaries)
    if oracle.would_start(comes):
        assert [place.gang.key for place in done.places] == [key]
        assert not done.clearings
    else:
        assert not done.places
        assert is_helped == oracle.has_victims(comes)


@settings(max_examples=120, deadline=None)
@given(SEEDS)
def test_victims_are_owed_and_no_proper_subset_would_do(seed: int) -> None:
    rng = Random(seed)
    world, teams = drawn(rng)
    # Without a solver the set may cost more than it must, but none of it is needless.
    world.budget = rng.choice((BUDGET, Budget(per_gang=0.0, total=0.0)))
    oracle, done, _ = _comes(world, teams, rng)
    for clearing in done.clearings:
        (comes,) = clearing.beneficiaries
        gone = _items(oracle, clearing)
        assert oracle.would_start(comes, gone)
        team = oracle.team(comes.key.namespace)
        if clearing.rule == "reclaim":
            assert oracle.is_owed(team, oracle.asks(comes), gone)
        else:
            assert {item.team for item in gone} == {team}
            assert max(item.priority for item in gone) < comes.priority
        assert len(clearing.nominated) == max(1, comes.need)
        assert oracle.snapshot.teams is not None
        pods = {pod.uid: pod for gang in oracle.snapshot.teams.running for pod in gang.pods}
        out = {pod.uid for item in gone for pod in item.pods}
        for kept in _kept(clearing):
            stays = [pod for uid, pod in pods.items() if uid not in out - kept]
            fewer = copied(world, [*stays, *comes.pods])
            assert not fewer.cycle().places, f"{sorted(kept)} need not have gone"


def _items(oracle: Oracle, clearing: Clearing) -> list[Item]:
    return [
        Item(victim.gang.key, oracle.team(victim.gang.key.namespace), victim.gang.priority, victim.pods)
        for victim in clearing.victims
    ]


def _kept(clearing: Clearing) -> list[set[str]]:
    """Ways to let the least of the victims stay: what a gang stands on, or a pod above its minimum."""
    found: list[set[str]] = []
    for victim in clearing.victims:
        base = victim.gang.pods[: victim.gang.base] if victim.is_whole else ()
        found += [{pod.uid for pod in base}] if base else [{pod.uid} for pod in victim.pods]
    return found


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_when_nothing_moves_any_more_nothing_is_owed_and_nothing_idle(seed: int) -> None:
    """Rounds of plans with several waiting gangs: no limit is ever passed, and in the end all is kept."""
    rng = Random(seed)
    world, teams = drawn(rng)
    largest = max(n.allocatable["nvidia.com/gpu"] for n in world.state.columns.nodes)
    held = Oracle(snapshot=world.state.snapshot(world.now_s)).held()
    for k in range(rng.randint(2, 4)):
        world.submit(*work(rng, f"x{k}", rng.choice(teams), largest=largest))
    for _ in range(40):
        done = world.cycle()
        world.now_s += 1.0
        oracle = Oracle(snapshot=world.state.snapshot(world.now_s))
        held = max(oracle.size * 1000, min(held, oracle.held()))
        assert oracle.held() <= held
        for i, node in enumerate(oracle.tree.nodes):
            assert oracle.used[i] <= node.most("gpu") or i == 0
        if not done.places and not done.clearings and not world.leaving:
            break
    else:
        raise AssertionError("the rounds never end")
    for waits in oracle.snapshot.gangs:
        assert not oracle.would_start(waits), f"{waits.key} waits although it may start and fits"
        evicted = oracle.snapshot.teams.evicted_for if oracle.snapshot.teams else {}
        if not any(waits.key in for_whom for for_whom in evicted.values()):
            assert not oracle.has_victims(waits), f"{waits.key} is owed room"
