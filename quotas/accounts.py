"""Every team's figures in one place: what ``kubectl get teamquotas`` and ``stowplan teams`` show."""

from __future__ import annotations

from dataclasses import dataclass

from quotas.amounts import Row, amounts_of
from quotas.books import Books, held_rows
from quotas.filling import fill

PARTS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Amounts of a team with everything below it, without zeros."""

    team: str
    guaranteed: dict[str, int]
    used: dict[str, int]
    waiting: dict[str, int]
    #: What it may have in use now.
    due: dict[str, int]
    #: In use above the guarantee.
    borrowed: dict[str, int]
    #: Guaranteed, idle, and in use by others. Over the top teams: what is borrowed and not spare capacity.
    lent: dict[str, int]
    #: In use above what is due, as far as teams below their guarantee wait for it.
    owes: dict[str, int]
    #: The largest part of any resource of the cluster in use, in millionths; and what is due of it.
    holds_ppm: int
    due_ppm: int


def accounts(books: Books) -> dict[str, Account]:
    """By team name; the cluster as a whole under the empty name."""
    lent, owes = _lent(books), _owed(books)
    size = books.shares.size

    def told(row: Row) -> dict[str, int]:
        return amounts_of(row, books.resources)

    found = {}
    for name in ("", *books.tree.names):
        i = books.tree.at(name)
        used, owned, due = books.used[i], books.owned[i], books.shares.due[i]
        found[name] = Account(
            team=name,
            guaranteed=told(owned),
            used=told(used),
            waiting=told(books.waiting[i]),
            due=told(due),
            borrowed=told(_above(used, owned)) if i else {},
            lent=told(lent[i]),
            owes=told(owes[i]),
            holds_ppm=largest_part(used, size),
            due_ppm=largest_part(due, size),
        )
    return found


def largest_part(row: Row, size: Row) -> int:
    """The dominant share: the largest part of any resource, in millionths, rounded down."""
    return max((amount * PARTS // there for amount, there in zip(row, size, strict=True)), default=0)


def _above(row: Row, other: Row) -> Row:
    return [max(0, a - b) for a, b in zip(row, other, strict=True)]


def _lent(books: Books) -> list[Row]:
    """By node. What siblings, or teams outside the parent, borrow beyond what nobody is guaranteed is lent.

    It is split over idle guarantees in proportion to them.
    """
    nodes, resources = books.tree.nodes, range(len(books.resources))
    lent = [[0] * len(books.resources) for _ in nodes]
    for i, node in enumerate(nodes):
        ties = [(-nodes[c].weight, 0, nodes[c].name) for c in node.children]
        for r in resources if node.children else ():
            idle = [max(0, books.owned[c][r] - books.used[c][r]) for c in node.children]
            borrowed = sum(max(0, books.used[c][r] - books.owned[c][r]) for c in node.children)
            roof = books.shares.size[r] if i == 0 else max(books.owned[i][r], books.used[i][r])
            spare = max(0, roof - sum(books.owned[c][r] for c in node.children))
            out = max(0, min(borrowed + lent[i][r] - spare, sum(idle)))
            parts = fill([out], [[x] for x in idle], idle, [books.shares.size[r]], ties)
            for c, part in zip(node.children, parts, strict=True):
                lent[c][r] = part[0]
    return lent


def _owed(books: Books) -> list[Row]:
    """By node: what must be given back for those who wait below their guarantee, split by excess."""
    nodes, width = books.tree.nodes, len(books.resources)
    leaves = [i for i, node in enumerate(nodes) if not node.children]
    owed = [[0] * width for _ in nodes]
    ties = [(-nodes[i].weight, 0, nodes[i].name) for i in leaves]
    met = [
        list(map(max, used, map(min, owned, due)))
        for used, owned, due in zip(books.used, books.owned, books.shares.due, strict=True)
    ]
    reached = held_rows(books.tree, books.resources, met)[0][0]
    for r, size in enumerate(books.shares.size):
        missing = sum(met[i][r] - books.used[i][r] for i in leaves)
        excess = [max(0, books.used[i][r] - books.shares.due[i][r]) for i in leaves]
        need = max(0, min(missing, reached[r] - size, sum(excess)))
        parts = fill([need], [[x] for x in excess], excess, [size], ties)
        for i, part in zip(leaves, parts, strict=True):
            owed[i][r] = part[0]
    for i in range(len(nodes) - 1, 0, -1):
        parent = owed[nodes[i].parent]
        for r in range(width):
            parent[r] += owed[i][r]
    return owed
