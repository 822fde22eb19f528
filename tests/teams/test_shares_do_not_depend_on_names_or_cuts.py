"""What a team gets depends on what it asks for: not on names, not on how its work is cut, and in the long run
not on who came first.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotas.accounts import accounts
from scheduler.model.objects import Pod
from scheduler.teams.allowance import Allowance
from tests.builders import gang, pod
from tests.teams.worlds import START_S, World, cluster, quota

SEEDS = st.integers(0, 2**48)
HALF_LIFE_S = 3_600


def _due(world: World) -> dict[str, dict[str, int]]:
    snapshot = world.state.snapshot(world.now_s)
    assert snapshot.teams is not None
    found = accounts(Allowance(snapshot, snapshot.teams).books)
    return {team: account.due for team, account in found.items()}


def _quotas(rng: Random) -> dict[str, dict[str, Any]]:
    """By a team's number. Weights differ, so that nothing is left for names to decide."""
    found: dict[str, dict[str, Any]] = {}
    for k, weight in enumerate(rng.sample(range(2, 20), rng.randint(2, 4))):
        found[f"{k}"] = {"weight": weight, "guaranteed": {"gpu": rng.choice((0, 0, 1, 2, 4))}}
        if k and rng.random() < 0.3:
            found[f"{k}"]["parent"] = f"{rng.randrange(k)}"
    parents = {spec.get("parent") for spec in found.values()}
    for name in parents & found.keys():
        del found[str(name)]["guaranteed"]
    return found


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_renaming_teams_and_work_changes_nothing(seed: int) -> None:
    rng = Random(seed)
    specs = _quotas(rng)
    nodes = [rng.choice((2, 4, 8)) for _ in range(rng.randint(1, 3))]
    jobs = [
        (str(rng.randrange(len(specs))), rng.randint(1, 3), rng.randint(1, 3), rng.choice((0, 0, 10)))
        for _ in range(rng.randint(4, 14))
    ]

    def outcome(order: Random) -> Counter[int]:
        """How many pods of each job start, under names of this order."""
        fresh = [f"n{i}" for i in range(len(specs))]
        words = [f"w{i}" for i in range(len(jobs))]
        order.shuffle(fresh)
        order.shuffle(words)
        name = dict(zip(specs, fresh, strict=True))
        made = [
            quota(name[k], spec | ({"parent": name[spec["parent"]]} if "parent" in spec else {}))
            for k, spec in specs.items()
        ]
        order.shuffle(made)
        world = World(cluster(nodes, made))
        pods = [
            replace(each, priority=priority, created_s=START_S + index)
            for index, (team, size, gpus, priority) in enumerate(jobs)
            for each in gang(words[index], size, minimum=1 + index % size, gpu=gpus, namespace=name[team])
        ]
        order.shuffle(pods)
        world.submit(*pods)
        # One plan on an empty cluster: nobody can be evicted, where equal victims would leave a choice.
        assert not world.cycle().clearings
        running = [p.name.rpartition("-")[0] for p in world.pods.values() if p.node_name]
        return Counter(words.index(word) for word in running)

    assert outcome(Random(1)) == outcome(rng)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_cutting_work_into_smaller_gangs_moves_no_share(seed: int) -> None:
    rng = Random(seed)
    specs = _quotas(rng)
    # Each gang fits by itself, so that something starts.
    nodes = [8, rng.choice((4, 8))]
    wholes = [(f"{rng.randrange(len(specs))}", rng.randint(2, 6), rng.randint(1, 2)) for _ in range(5)]

    def world(*, is_cut: bool) -> World:
        found = World(cluster(nodes, [quota(k, spec) for k, spec in specs.items()]))
        for index, (team, size, gpus) in enumerate(wholes):
            cut = rng.randint(1, size - 1) if is_cut else size
            for part, count in (("x", cut), ("y", size - cut)):
                pods: list[Pod] = gang(f"g{index}{part}", count, gpu=gpus, namespace=team) if count else []
                found.submit(*pods)
        return found

    one, other = world(is_cut=False), world(is_cut=True)
    before = _due(one)
    assert _due(other) == before
    # Nor does it matter which of it runs already.
    for each in (one, other):
        assert each.cycle().places
        assert _due(each) == before


@pytest.mark.parametrize("seed", [1, 2])
def test_equal_teams_come_to_equal_decayed_use(seed: int) -> None:
    """One team had the cluster for itself; then all want all of it, with work of random length."""
    rng = Random(seed)
    teams = [f"t{i}" for i in range(rng.randint(2, 3))]
    rng.shuffle(teams)
    world = World(cluster([8, 4], [quota(t, {"historyHalfLifeSeconds": HALF_LIFE_S}) for t in teams]))
    ends: dict[str, float] = {}
    serial = 0
    for step in range(150):
        for uid in [uid for uid, at_s in ends.items() if at_s <= world.now_s]:
            world.end(uid)
            del ends[uid]
        for team in teams if step > 30 else teams[:1]:
            waiting = sum(p.namespace == team and not p.node_name for p in world.pods.values())
            for _ in range(12 - waiting):
                serial += 1
                world.submit(pod(f"p{serial}", gpu=1, namespace=team, created_s=START_S + serial))
        for place in world.cycle().places:
            for a in place.assignments:
                ends[a.pod.uid] = world.now_s + rng.expovariate(1 / (HALF_LIFE_S / 4))
        if step == 30:
            uses = _history(world, teams)
            assert max(uses) > 10 * max(1, min(uses))
        world.now_s += HALF_LIFE_S / 12
    uses = _history(world, teams)
    assert sum(uses) > 6_000
    assert max(uses) - min(uses) < 0.25 * max(uses)


def _history(world: World, teams: list[str]) -> list[int]:
    snapshot = world.state.snapshot(world.now_s)
    assert snapshot.teams is not None
    return [snapshot.teams.history.get(team, {}).get("gpu", 0) for team in teams]
