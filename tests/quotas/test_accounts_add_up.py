"""quotas.accounts, quotas.units and quotas.membership: figures and belongings that people read."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from quotas.accounts import accounts
from quotas.entitlement import Allowed, may_start
from quotas.membership import Belonging, settle
from quotas.reclaim import Claim, claim
from quotas.units import UnitTable
from tests.quotas.worlds import SEEDS, World, sound_worlds


@settings(deadline=None)
@given(sound_worlds())
def test_what_is_borrowed_is_spare_or_lent_by_somebody(world: World) -> None:
    books = world.books()
    told, tree = accounts(books), books.tree
    for resource in books.resources:
        top = [tree.nodes[i].name for i in tree.nodes[0].children]
        owned = sum(told[n].guaranteed.get(resource, 0) for n in top if n)
        borrowed = sum(
            max(0, books.used[i][books.resources.index(resource)] - tree.nodes[i].guaranteed.get(resource, 0))
            for i in tree.nodes[0].children
        )
        lent = sum(told[n].lent.get(resource, 0) for n in top if n)
        assert lent == max(0, borrowed - (world.capacity[resource] - owned))
    for account in told.values():
        for resource, amount in account.lent.items():
            idle = account.guaranteed.get(resource, 0) - account.used.get(resource, 0)
            assert 0 < amount <= idle


@settings(deadline=None)
@given(sound_worlds(), SEEDS)
def test_what_teams_owe_is_what_those_below_their_guarantee_miss(world: World, seed: int) -> None:
    books = world.books()
    told = accounts(books)
    for resource in books.resources:
        r = books.resources.index(resource)
        leaves = [i for i, node in enumerate(books.tree.nodes) if not node.children]
        missing = sum(
            max(0, min(books.owned[i][r], books.shares.due[i][r]) - books.used[i][r]) for i in leaves
        )
        idle = books.shares.size[r] - books.used[0][r]
        assert told[""].owes.get(resource, 0) == max(0, missing - idle)
        for i in leaves:
            name = books.tree.nodes[i].name
            if i == books.tree.at(name):
                owes = told[name].owes.get(resource, 0)
                assert owes <= max(0, books.used[i][r] - max(books.shares.due[i][r], books.owned[i][r]))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["", "a", "b"]), st.integers(0, 10**6), max_size=3), st.integers(1, 9))
def test_a_split_gpu_is_never_cheaper(gpus: dict[str, int], parts: int) -> None:
    table = UnitTable(by_model={"a": 3_300, "b": 457})
    whole = table.amounts(gpus)
    pieces = [table.amounts({m: n // parts for m, n in gpus.items()}) for _ in range(parts - 1)]
    pieces.append(table.amounts({m: n - n // parts * (parts - 1) for m, n in gpus.items()}))
    for resource, amount in whole.items():
        total = sum(piece.get(resource, 0) for piece in pieces)
        assert total == amount if resource != "gpu" else amount <= total <= amount + 3 * parts


def test_a_model_counts_by_the_table_and_by_itself() -> None:
    table = UnitTable(by_model={"h100-80gb": 2_000})
    assert table.amounts({"h100-80gb": 8_000, "": 500}) == {"gpu": 16_500, "gpu/h100-80gb": 8_000}
    assert table.amounts({"unknown": 1_000, "h100-80gb": 0}) == {"gpu": 1_000, "gpu/unknown": 1_000}
    assert table.amounts({}) == {}


@settings(deadline=None)
@given(SEEDS)
def test_a_new_team_takes_no_member_from_an_older_one_that_names_it(seed: int) -> None:
    rng = Random(seed)
    said = [
        Belonging(
            team=f"t{rng.randint(0, 4)}",
            member=f"ns{rng.randint(0, 4)}",
            is_named=rng.random() < 0.5,
            created_s=float(rng.randint(0, 3)),
        )
        for _ in range(rng.randint(0, 15))
    ]
    owners, conditions = settle(said)
    assert set(owners) == {b.member for b in said}
    for member, team in owners.items():
        best = min((not b.is_named, b.created_s) for b in said if b.member == member)
        assert any(
            (not b.is_named, b.created_s) == best for b in said if (b.team, b.member) == (team, member)
        )
    losers = {b.team for b in said if owners[b.member] != b.team}
    assert {condition.team for condition in conditions} == losers
    newer = Belonging(team="new", member="ns0", is_named=False, created_s=9.0)
    after, _ = settle([*said, newer])
    assert after == {"ns0": "new"} | owners
    rng.shuffle(said)
    assert settle(said) == (owners, conditions)


@settings(deadline=None)
@given(sound_worlds(), SEEDS)
def test_who_owes_nothing_keeps_others_from_claiming(world: World, seed: int) -> None:
    books = world.books()
    if "gpu" in accounts(books)[""].owes:
        return
    r = books.resources.index("gpu")
    for name in books.tree.names:
        leaf = books.tree.leaf(name)
        wants = min(books.owned[leaf][r], books.shares.due[leaf][r]) - books.used[leaf][r]
        if wants > 0:
            right = claim(books, name, {"gpu": wants})
            assert isinstance(right, Claim)
            assert not right.lacking
            assert isinstance(may_start(books, name, {"gpu": wants}), Allowed)
