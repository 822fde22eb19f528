"""quotas.tree: total for any file, and what is sound in it stays as written."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from quotas.accounts import accounts
from quotas.amounts import AMOUNT_MAX
from quotas.books import open_books
from quotas.team import TeamSpec
from quotas.tree import DEPTH_MAX, Tree, grow
from tests.quotas.worlds import SEEDS, World, careless_specs, some_specs, worlds


def _kinds(tree: Tree) -> set[tuple[str, str]]:
    return {(condition.team, condition.kind) for condition in tree.conditions}


def _heights(tree: Tree) -> list[int]:
    heights = [0] * len(tree.nodes)
    for i, node in enumerate(tree.nodes):
        assert node.parent < i or i == 0
        heights[i] = heights[node.parent] + 1 if i else 0
    return heights


@settings(max_examples=40, deadline=None)
@given(careless_specs(), SEEDS)
def test_any_file_gives_a_bounded_tree_with_every_team_once(specs: tuple[TeamSpec, ...], seed: int) -> None:
    tree = grow(specs)
    assert set(tree.names) == {spec.name for spec in specs if spec.name}
    assert max(_heights(tree)) <= DEPTH_MAX + 1
    assert sorted(c for node in tree.nodes for c in node.children) == list(range(1, len(tree.nodes)))
    for node in tree.nodes[1:]:
        for found in (node.guaranteed, node.limit, node.borrowing_limit, node.lending_limit):
            assert all(0 <= amount <= AMOUNT_MAX for amount in found.values())
    rng = Random(seed)
    shuffled = list(specs)
    rng.shuffle(shuffled)
    assert grow(shuffled) == tree
    capacity = {"gpu": rng.choice([0, 1, 2**62]), "cpu": rng.randint(0, 9)}
    use = {name: {"gpu": rng.choice([-1, 0, 5, 2**70]), "cpu": 3} for name in ("a", "nobody", "e")}
    books = open_books(tree, capacity, use, use)
    assert set(accounts(books)) == {"", *tree.names}


@settings(max_examples=40, deadline=None)
@given(worlds(), careless_specs())
def test_what_is_wrong_elsewhere_changes_no_sound_team(world: World, careless: tuple[TeamSpec, ...]) -> None:
    sound, whole = world.tree, grow([*world.specs, *careless])
    for name in sound.names:
        before, after = sound.nodes[sound.at(name)], whole.nodes[whole.at(name)]
        assert sound.nodes[before.parent].name == whole.nodes[after.parent].name
        assert replace(before, parent=0, children=()) == replace(after, parent=0, children=())
    assert _kinds(sound) <= _kinds(whole)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(0, 9))
def test_a_cycle_is_cut_at_each_of_its_members_and_nowhere_else(ring: int, tail: int) -> None:
    specs = [TeamSpec(name=f"r{i}", parent=f"r{(i + 1) % ring}") for i in range(ring)]
    specs += [TeamSpec(name=f"x{i}", parent=f"x{i - 1}" if i else "r0") for i in range(tail)]
    tree = grow(specs)
    assert _kinds(tree) == {(f"r{i}", "Cycle") for i in range(ring)}
    assert {tree.nodes[i].name for i in tree.nodes[0].children} == {"", *(f"r{i}" for i in range(ring))}


def test_each_mistake_is_named_on_its_team() -> None:
    tree = grow(
        [
            TeamSpec(name="lost", parent="nowhere"),
            TeamSpec(name="twice", weight=2),
            TeamSpec(name="twice", weight=3),
            TeamSpec(name="odd", weight=-1, guaranteed={"gpu": -5, "cpu": 2**80}),
            TeamSpec(name="tight", guaranteed={"gpu": 9}, limit={"gpu": 4}),
            TeamSpec(name="small", guaranteed={"gpu": 3}),
            TeamSpec(name="one", parent="small", guaranteed={"gpu": 2}),
            TeamSpec(name="two", parent="small", guaranteed={"gpu": 2}),
            TeamSpec(name=""),
        ]
    )
    assert _kinds(tree) == {
        ("", "Orphan"),
        ("lost", "Orphan"),
        ("twice", "Duplicate"),
        ("odd", "OutOfRange"),
        ("tight", "GuaranteeAboveLimit"),
        ("small", "ChildrenExceedGuarantee"),
    }
    assert tree.nodes[tree.at("odd")].guaranteed == {"cpu": AMOUNT_MAX, "gpu": 0}
    assert tree.nodes[tree.at("tight")].guaranteed == {"gpu": 4}


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3 * DEPTH_MAX))
def test_a_chain_is_flattened_at_the_last_level(length: int) -> None:
    tree = grow(TeamSpec(name=f"t{i:02d}", parent=f"t{i - 1:02d}" if i else "") for i in range(length))
    assert {team for team, _ in _kinds(tree)} == {f"t{i:02d}" for i in range(DEPTH_MAX, length)}
    assert max(_heights(tree)) <= DEPTH_MAX + 1


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_ceilings_times_and_sums_come_down_and_go_up_the_tree(seed: int) -> None:
    rng = Random(seed)
    asked = {
        spec.name: replace(
            spec,
            priority_ceiling=rng.choice([None, -5, 10, 10**9]),
            min_runtime_s=rng.choice([None, 0, 600]),
            half_life_s=rng.choice([None, 0, 3_600]),
        )
        for spec in some_specs(rng, limited=False)
    }
    tree = grow(asked.values())
    for name, spec in asked.items():
        line = [spec]
        while line[-1].parent:
            line.append(asked[line[-1].parent])
        node = tree.nodes[tree.leaf(name)]
        ceilings = [s.priority_ceiling for s in line if s.priority_ceiling is not None]
        assert tree.priority(name, 500) == min([500, *ceilings])
        assert node.min_runtime_s == next((s.min_runtime_s for s in line if s.min_runtime_s is not None), 0)
        assert node.half_life_s == next((s.half_life_s for s in line if s.half_life_s is not None), 0)
        team = tree.nodes[tree.at(name)]
        below = [asked[n.name] for n in (tree.nodes[c] for c in team.children) if n.name != name]
        for resource in ("cpu", "gpu", "memory"):
            if resource not in spec.guaranteed:
                owned = sum(tree.nodes[tree.at(s.name)].guaranteed.get(resource, 0) for s in below)
                assert team.guaranteed.get(resource, 0) == owned
