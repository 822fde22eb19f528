"""quotas.order: the fair order, replayed step by step the plain way."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings

from quotas.books import Books, open_books
from quotas.order import NOTHING_DUE, Entry, Turns, order, order_fairly
from quotas.team import TeamSpec
from quotas.tree import grow
from tests.quotas.worlds import SEEDS, World, some_amounts, worlds


def _entries(rng: Random, books: Books) -> list[Entry]:
    teams = ["", *books.tree.names]
    return [
        Entry(
            is_started=rng.random() < 0.15,
            is_promised=rng.random() < 0.15,
            priority=rng.choice([0, 0, 100, 1_000]),
            created_s=float(rng.randint(0, 5)),
            name=f"g{i:02d}",
            team=rng.choice(teams),
            request=some_amounts(rng, 8),
        )
        for i in range(rng.randint(0, 20))
    ]


def _key(books: Books, node: int, entry: Entry) -> tuple[bool, int]:
    """Beyond the guarantee or not, and the dominant share over the due one, in millionths."""
    rows = range(len(books.resources))
    asked = [entry.request.get(name, 0) for name in books.resources]
    used, owned, due = books.used[node], books.owned[node], books.shares.due[node]
    about = [r for r in rows if asked[r] and owned[r]]
    is_guaranteed = bool(about) and all(used[r] + asked[r] <= owned[r] for r in about)
    holds = max((used[r] * 10**6 // books.shares.size[r] for r in rows), default=0)
    is_due = max((due[r] * 10**6 // books.shares.size[r] for r in rows), default=0)
    return not is_guaranteed, min(holds * 10**6 // is_due, NOTHING_DUE) if is_due else NOTHING_DUE


@settings(deadline=None)
@given(worlds(), SEEDS)
def test_each_turn_goes_to_the_sibling_with_the_least_of_what_it_is_due(world: World, seed: int) -> None:
    rng = Random(seed)
    books = world.books()
    tree, entries = books.tree, _entries(rng, books)
    used = [list(row) for row in books.used]
    positions = order_fairly(entries, books)
    assert books.used == used
    assert sorted(p.index for p in positions) == list(range(len(entries)))
    left = set(range(len(entries)))
    for position in positions:
        entry = entries[position.index]
        line = [i for i in left if entries[i].is_promised] or list(left)
        assert position.index in line
        for i, standing in zip(tree.path(tree.leaf(entry.team))[::-1], position.standings, strict=True):
            key = (not standing.is_guaranteed, standing.filled_ppm)
            assert (standing.team, key) == (tree.nodes[i].name, _key(books, i, entry))
            for sibling in tree.nodes[tree.nodes[i].parent].children:
                waits = [k for k in line if sibling in tree.path(tree.leaf(entries[k].team))]
                keys = [_key(books, sibling, entries[k]) for k in waits]
                # Which piece of its work a sibling brings is for its own children to say.
                assert not keys or key <= max(keys)
        books.charge(entry.team, entry.request)
        left.discard(position.index)


@settings(deadline=None)
@given(worlds(), SEEDS)
def test_within_a_team_priority_then_age_decide(world: World, seed: int) -> None:
    books = world.books()
    entries = _entries(Random(seed), books)
    placed = [p.index for p in order_fairly(entries, books)]
    for team in ("", *books.tree.names):
        own = [i for i, entry in enumerate(entries) if entry.team == team]
        expected = [own[k] for k in order([entries[i] for i in own])]
        assert [i for i in placed if entries[i].team == team] == expected


@settings(deadline=None)
@given(worlds(), SEEDS)
def test_the_order_of_entries_and_who_names_them_does_not_matter(world: World, seed: int) -> None:
    rng = Random(seed)
    books = world.books()
    entries = _entries(rng, books)
    before = [entries[p.index] for p in order_fairly(entries, books)]
    rng.shuffle(entries)
    assert [entries[p.index] for p in order_fairly(entries, books)] == before


@settings(deadline=None)
@given(SEEDS)
def test_equal_teams_with_equal_work_alternate(seed: int) -> None:
    rng = Random(seed)
    names = [f"t{i}" for i in range(rng.randint(2, 6))]
    books = open_books(
        grow(TeamSpec(name=n) for n in names), {"gpu": 1_000}, {}, {n: {"gpu": 1_000} for n in names}
    )
    entries = [
        Entry(is_started=False, priority=0, created_s=float(k), name=f"{n}-{k}", team=n, request={"gpu": 1})
        for n in names
        for k in range(5)
    ]
    rng.shuffle(entries)
    teams = [entries[p.index].team for p in order_fairly(entries, books)]
    for k in range(5):
        assert set(teams[k * len(names) : (k + 1) * len(names)]) == set(names)


def test_a_team_whose_work_does_not_start_keeps_its_turn() -> None:
    books = open_books(
        grow([TeamSpec(name="a"), TeamSpec(name="b")]), {"gpu": 8}, {}, {t: {"gpu": 8} for t in "ab"}
    )
    entries = [
        Entry(is_started=False, priority=0, created_s=k, name=f"{t}{k}", team=t, request={"gpu": 1})
        for t in "ab"
        for k in (0, 1)
    ]
    turns, served = Turns(entries, books), list[str]()
    while (position := turns.next()) is not None:
        served.append(entries[position.index].name)
        if not served[-1].startswith("a"):
            turns.charge(position)
    assert served == ["a0", "b0", "a1", "b1"]


def test_a_ceiling_holds_down_what_a_team_calls_urgent() -> None:
    tree = grow([TeamSpec(name="a", priority_ceiling=10), TeamSpec(name="b")])
    books = open_books(tree, {"gpu": 8}, {}, {t: {"gpu": 1} for t in "ab"})
    entries = [
        Entry(is_started=False, priority=p, created_s=0, name=t, team=t, request={"gpu": 1})
        for t, p in (("a", 1_000), ("b", 100))
    ]
    positions = order_fairly(entries, books)
    assert [(entries[p.index].team, p.priority) for p in positions] == [("b", 100), ("a", 10)]
