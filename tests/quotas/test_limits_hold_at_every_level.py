"""quotas.books and quotas.entitlement: what may start, whatever started before."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings

from quotas.books import Books, open_books
from quotas.entitlement import Allowed, Denied, may_borrow, may_start
from tests.quotas.worlds import SEEDS, World, plus, some_amounts, worlds


def _started(world: World, rng: Random, rounds: int = 12) -> tuple[Books, dict[str, dict[str, int]]]:
    """Books after random work started wherever it was allowed, from nothing."""
    books = open_books(world.tree, world.capacity, {}, world.waiting)
    use: dict[str, dict[str, int]] = {}
    for _ in range(rounds):
        team = rng.choice(["", *books.tree.names])
        request = {r: a for r, a in some_amounts(rng, 15).items() if r in books.resources}
        if isinstance(may_start(books, team, request), Allowed):
            books.charge(team, request)
            use[team] = plus(use.get(team, {}), request)
    return books, use


@settings(deadline=None)
@given(worlds(), SEEDS)
def test_no_limit_is_ever_passed_by_what_was_allowed(world: World, seed: int) -> None:
    books, _ = _started(world, Random(seed))
    for i, node in enumerate(books.tree.nodes):
        for r, resource in enumerate(books.resources):
            assert books.used[i][r] <= node.most(resource)
            if i == 0:
                assert books.used[i][r] <= books.shares.size[r]


@settings(deadline=None)
@given(worlds(), SEEDS)
def test_what_is_kept_for_a_team_is_there_whenever_it_comes(world: World, seed: int) -> None:
    books, _ = _started(world, Random(seed))
    if any(h > s for h, s in zip(books.held[0], books.shares.size, strict=True)):
        return
    for name in books.tree.names:
        leaf = books.tree.leaf(name)
        if leaf != books.tree.at(name):
            continue
        node, used = books.tree.nodes[leaf], books.used[leaf]
        for r, resource in enumerate(books.resources):
            rest = node.reserve(resource) - used[r]
            answer = may_start(books, name, {resource: max(0, rest)})
            assert isinstance(answer, Allowed) or answer.by.kind in ("limit", "borrowing")


@settings(deadline=None)
@given(worlds(), SEEDS)
def test_what_may_be_borrowed_is_the_most_that_may_start(world: World, seed: int) -> None:
    books, _ = _started(world, Random(seed), rounds=4)
    for team in ("", *books.tree.names):
        for resource, most in may_borrow(books, team).items():
            assert isinstance(may_start(books, team, {resource: most}), Allowed)
            assert isinstance(may_start(books, team, {resource: most + 1}), Denied)


@settings(deadline=None)
@given(worlds(), SEEDS)
def test_a_refusal_names_a_limit_that_really_binds(world: World, seed: int) -> None:
    rng = Random(seed)
    books, _ = _started(world, rng, rounds=4)
    for team in ("", *books.tree.names):
        request = {r: a for r, a in some_amounts(rng, 60).items() if a}
        answer = may_start(books, team, request)
        if isinstance(answer, Denied):
            bound = answer.by
            assert bound.resource in request
            assert bound.reached > bound.most
            assert bound.resource in answer.reason
            if bound.kind in ("limit", "borrowing"):
                path = [books.tree.nodes[i].name for i in books.tree.path(books.tree.leaf(team))]
                assert bound.team in path
                used = books.usage(bound.team).get(bound.resource, 0)
                assert bound.reached == used + request[bound.resource]


@settings(deadline=None)
@given(worlds(), SEEDS)
def test_books_kept_up_equal_books_opened_anew(world: World, seed: int) -> None:
    rng = Random(seed)
    books, use = _started(world, rng)
    for team in rng.sample(sorted(use), len(use) // 2):
        freed = books.release(team, some_amounts(rng, 20))
        use[team] = {r: a - freed.get(r, 0) for r, a in use[team].items()}
    anew = open_books(world.tree, world.capacity, use, world.waiting)
    assert (books.used, books.held) == (anew.used, anew.held)
    for team in ("", *books.tree.names):
        request = {r: rng.randint(0, 20) for r in books.resources}
        assert may_start(books, team, request) == may_start(anew, team, request)


def test_a_resource_that_is_not_there_cannot_start() -> None:
    books = open_books(World(specs=(), capacity={}, usage={}, waiting={}).tree, {"gpu": 4}, {}, {})
    answer = may_start(books, "anybody", {"gpu": 1, "tpu": 1})
    assert isinstance(answer, Denied)
    assert (answer.by.kind, answer.by.resource) == ("capacity", "tpu")
