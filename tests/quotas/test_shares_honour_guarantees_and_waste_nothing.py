"""quotas.share: exact sums at every level, guarantees, nothing idle, and what must not matter."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from quotas.amounts import AMOUNT_MAX
from quotas.share import Shares, share
from quotas.team import TeamSpec
from quotas.tree import grow, overcommitted
from tests.quotas.worlds import SEEDS, World, plus, some_amounts, some_specs, sound_worlds, worlds


def _given(shares: Shares, i: int, r: int) -> int:
    return shares.due[i][r] + shares.kept[i][r]


@settings(deadline=None)
@given(worlds())
def test_sums_are_exact_at_every_level(world: World) -> None:
    shares = world.shares()
    for i, node in enumerate(shares.tree.nodes):
        for r, resource in enumerate(shares.resources):
            assert shares.due[i][r] >= 0
            assert shares.kept[i][r] >= 0
            assert _given(shares, i, r) <= max(node.most(resource), node.reserve(resource))
            if node.children:
                assert shares.due[i][r] == sum(shares.due[c][r] for c in node.children)
                assert _given(shares, i, r) >= sum(_given(shares, c, r) for c in node.children)


@settings(deadline=None)
@given(worlds(limited=False))
def test_without_limits_all_that_is_wanted_and_there_is_divided(world: World) -> None:
    wanted = world.wanted.values()
    shares = world.shares()
    for resource in shares.resources:
        total = sum(own.get(resource, 0) for own in wanted)
        assert shares.of("").get(resource, 0) == min(total, world.capacity[resource])


@settings(deadline=None)
@given(worlds())
def test_nothing_is_idle_that_a_team_may_use(world: World) -> None:
    shares = world.shares()
    for team, own in world.wanted.items():
        leaf = shares.tree.leaf(team)
        for r, resource in enumerate(shares.resources):
            if shares.due[leaf][r] < own.get(resource, 0):
                at_limit = any(
                    _given(shares, i, r) >= shares.tree.nodes[i].most(resource)
                    for i in shares.tree.path(leaf)
                )
                assert at_limit or _given(shares, 0, r) == shares.size[r]


@settings(deadline=None)
@given(sound_worlds())
def test_guarantees_are_met_whenever_there_is_demand(world: World) -> None:
    shares = world.shares()
    assert not overcommitted(shares.tree, world.capacity)
    for name in shares.tree.names:
        i = shares.tree.leaf(name)
        for resource, amount in shares.tree.nodes[i].guaranteed.items():
            wanted = world.wanted.get(name, {}).get(resource, 0)
            assert shares.of(name).get(resource, 0) >= min(amount, wanted)


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(1, 200))
def test_impossible_guarantees_are_cut_in_proportion(owned: list[int], there: int) -> None:
    tree = grow(TeamSpec(name=f"t{i}", guaranteed={"gpu": g}) for i, g in enumerate(owned))
    shares = share(tree, {"gpu": there}, {f"t{i}": {"gpu": 1_000} for i in range(len(owned))})
    parts = [shares.of(f"t{i}").get("gpu", 0) for i in range(len(owned))]
    assert sum(parts) == there
    if sum(owned) > there:
        assert {c.team for c in overcommitted(tree, {"gpu": there})} == {f"t{i}" for i in range(len(owned))}
        assert all(part <= g for part, g in zip(parts, owned, strict=True))
        for p, g in zip(parts, owned, strict=True):
            for q, h in zip(parts, owned, strict=True):
                # No unit could move from one to the other and leave the two more alike.
                assert (p + 1) * h >= q * g
    else:
        assert not overcommitted(tree, {"gpu": there})
        assert all(part >= g for part, g in zip(parts, owned, strict=True))


@settings(deadline=None)
@given(worlds(), SEEDS)
def test_renaming_teams_moves_nothing(world: World, seed: int) -> None:
    rng = Random(seed)
    # Weights all different, also from 1, the weight of a parent's own work: names decide nothing.
    teams = [replace(spec, weight=i + 2) for i, spec in enumerate(world.specs)]
    fresh = [f"n{i}" for i in range(len(teams))]
    rng.shuffle(fresh)
    new = {"": ""} | {spec.name: name for spec, name in zip(teams, fresh, strict=True)}
    renamed = [replace(spec, name=new[spec.name], parent=new[spec.parent]) for spec in teams]
    rng.shuffle(renamed)
    before = share(grow(teams), world.capacity, world.wanted)
    after = share(grow(renamed), world.capacity, {new[team]: own for team, own in world.wanted.items()})
    for spec in teams:
        assert before.of(spec.name) == after.of(new[spec.name])


@settings(deadline=None)
@given(SEEDS)
def test_equal_teams_differ_by_nothing_but_who_gets_the_odd_unit(seed: int) -> None:
    rng = Random(seed)
    wants = [(rng.randint(0, 3), some_amounts(rng, 40)) for _ in range(rng.randint(0, 7))]
    names = [f"t{i}" for i in range(len(wants))]
    capacity = {"cpu": 60, "gpu": 40, "memory": 50}

    def outcome() -> list[tuple[int, list[tuple[str, int]], list[tuple[str, int]]]]:
        tree = grow(TeamSpec(name=n, weight=w) for n, (w, _) in zip(names, wants, strict=True))
        shares = share(tree, capacity, {n: own for n, (_, own) in zip(names, wants, strict=True)})
        return sorted(
            (w, sorted(own.items()), sorted(shares.of(n).items()))
            for n, (w, own) in zip(names, wants, strict=True)
        )

    before = outcome()
    rng.shuffle(names)
    after = outcome()
    assert [(w, own) for w, own, _ in before] == [(w, own) for w, own, _ in after]
    for resource in capacity:
        totals = [sum(dict(part).get(resource, 0) for _, _, part in found) for found in (before, after)]
        assert totals[0] == totals[1]


@settings(deadline=None)
@given(worlds(), st.integers(0, 5))
def test_splitting_work_moves_no_share(world: World, cut: int) -> None:
    pieces = {
        team: ({r: a * cut // 5 for r, a in own.items()}, {r: a - a * cut // 5 for r, a in own.items()})
        for team, own in world.waiting.items()
    }
    books = world.books()
    for team, (one, _) in pieces.items():
        books.charge(team, one)
    rest = {team: other for team, (_, other) in pieces.items()}
    usage = {team: plus(world.usage.get(team, {}), pieces.get(team, ({}, {}))[0]) for team in world.wanted}
    split = replace(world, usage=usage, waiting=rest)
    assert split.shares().due == world.shares().due == books.shares.due


@settings(deadline=None)
@given(SEEDS)
def test_the_order_of_what_is_given_does_not_matter(seed: int) -> None:
    rng = Random(seed)
    teams = list(some_specs(rng, most=AMOUNT_MAX))
    wanted = {spec.name: some_amounts(rng, AMOUNT_MAX) for spec in teams}
    capacity = some_amounts(rng, AMOUNT_MAX)
    one = share(grow(teams), capacity, wanted)
    rng.shuffle(teams)
    again = dict(rng.sample(list(capacity.items()), len(capacity)))
    assert share(grow(teams), again, dict(rng.sample(list(wanted.items()), len(wanted)))) == one
