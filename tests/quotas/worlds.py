"""Trees, capacities and use as Hypothesis finds them: sound ones, and what a careless admin writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

from hypothesis import strategies as st

from quotas.books import Books, open_books
from quotas.share import Shares, share
from quotas.team import TeamSpec
from quotas.tree import Tree, grow

RESOURCES = ("cpu", "gpu", "memory")
Amounts = Mapping[str, int]
ByTeam = Mapping[str, Amounts]


@dataclass(frozen=True, kw_only=True)
class World:
    specs: tuple[TeamSpec, ...]
    capacity: Amounts
    usage: ByTeam
    waiting: ByTeam

    @property
    def tree(self) -> Tree:
        return grow(self.specs)

    @property
    def wanted(self) -> dict[str, dict[str, int]]:
        names = {*self.usage, *self.waiting}
        return {n: plus(self.usage.get(n, {}), self.waiting.get(n, {})) for n in names}

    def shares(self) -> Shares:
        return share(self.tree, self.capacity, self.wanted)

    def books(self) -> Books:
        return open_books(self.tree, self.capacity, self.usage, self.waiting)


def plus(one: Amounts, other: Amounts) -> dict[str, int]:
    return {r: one.get(r, 0) + other.get(r, 0) for r in {*one, *other}}


SEEDS = st.integers(0, 2**48)
#: Drawing teams field by field costs ten times the test, so they come from a seed; edges are frequent.


def _amount(rng: Random, most: int) -> int:
    return rng.choice((0, 1, most, rng.randint(0, most), rng.randint(0, most), rng.randint(0, most)))


def some_amounts(rng: Random, most: int) -> dict[str, int]:
    names = rng.sample(RESOURCES, rng.randint(0, len(RESOURCES)))
    return {name: _amount(rng, most) for name in names}


def some_specs(rng: Random, *, limited: bool = True, most: int = 30) -> tuple[TeamSpec, ...]:
    """Up to eight teams, parents before children, so that nothing is wrong with the tree's shape."""
    made: list[TeamSpec] = []
    for i in range(rng.randint(1, 8)):
        made.append(
            TeamSpec(
                name=f"t{i}",
                parent=rng.choice(["", *(spec.name for spec in made)]),
                weight=rng.choice([0, 1, 1, 1, 2, 3, 10]),
                guaranteed=some_amounts(rng, most),
                limit=some_amounts(rng, 3 * most) if limited else {},
                borrowing_limit=some_amounts(rng, most) if limited else {},
                lending_limit=some_amounts(rng, most) if limited else {},
            )
        )
    return tuple(made)


def some_world(rng: Random, *, limited: bool = True) -> World:
    teams = some_specs(rng, limited=limited)
    names = ["", *(spec.name for spec in teams)]
    return World(
        specs=teams,
        capacity={r: _amount(rng, 100) for r in RESOURCES},
        usage={n: some_amounts(rng, 20) for n in rng.sample(names, rng.randint(0, len(names)))},
        waiting={n: some_amounts(rng, 60) for n in rng.sample(names, rng.randint(0, len(names)))},
    )


def worlds(*, limited: bool = True) -> st.SearchStrategy[World]:
    return SEEDS.map(lambda seed: some_world(Random(seed), limited=limited))


def sound_worlds() -> st.SearchStrategy[World]:
    """Guarantees of leaves only, which the capacity covers; nobody uses more than there is."""
    return SEEDS.map(lambda seed: some_sound_world(Random(seed)))


def some_sound_world(rng: Random) -> World:
    made = some_world(rng, limited=False)
    parents = {spec.parent for spec in made.specs}
    kept = tuple(
        replace(spec, guaranteed={} if spec.name in parents else spec.guaranteed) for spec in made.specs
    )
    needed, used = dict.fromkeys(RESOURCES, 1), dict.fromkeys(RESOURCES, 0)
    for spec in kept:
        needed = plus(needed, spec.guaranteed)
    for own in made.usage.values():
        used = plus(used, own)
    spare = _amount(rng, 20)
    return replace(made, specs=kept, capacity={r: max(needed[r], used[r]) + spare for r in RESOURCES})


@st.composite
def careless_specs(draw: st.DrawFn) -> tuple[TeamSpec, ...]:
    """Any names and parents, any numbers: cycles, orphans, doubles, huge and negative amounts."""
    names = st.sampled_from(["", "a", "b", "c", "d", "e", "\x00", "nobody"])
    numbers = st.sampled_from([-(2**70), -1, 0, 1, 7, 2**62, 2**63, 10**40])
    odd = st.dictionaries(st.sampled_from([*RESOURCES, ""]), numbers, max_size=3)
    optional = st.none() | numbers
    team = st.builds(
        TeamSpec,
        name=names,
        parent=names,
        weight=numbers,
        guaranteed=odd,
        limit=odd,
        borrowing_limit=odd,
        lending_limit=odd,
        priority_ceiling=optional,
        min_runtime_s=optional,
        half_life_s=optional,
    )
    return tuple(draw(st.lists(team, max_size=10)))
