"""What a team may start now, and by which limit not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quotas.amounts import AMOUNT_MAX, Amounts, Row, row_of
from quotas.books import Books

LimitKind = Literal["limit", "borrowing", "lending", "capacity", "guarantee"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The limit that says no. ``team`` is where in the tree it is set; empty for the cluster."""

    team: str
    kind: LimitKind
    resource: str
    most: int
    #: What would be in use with the request.
    reached: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Nothing in the tree forbids it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    reason: str
    by: Bound


def may_start(books: Books, team: str, request: Amounts) -> Allowed | Denied:
    """Whether limits, at every level, and what is kept for others leave room for this request.

    Says nothing of nodes, and nothing of turns: who is first is ``quotas.order``'s. A resource the books
    do not keep has no capacity; leave out of ``request`` what no quota is about.
    """
    odd = sorted(name for name, amount in request.items() if amount > 0 and name not in books.resources)
    if odd:
        return denied(Bound(team="", kind="capacity", resource=odd[0], most=0, reached=request[odd[0]]))
    row = row_of(request, books.resources)
    bound = passed_limit(books, team, row) or _room(books, team, row)
    return Allowed() if bound is None else denied(bound)


def may_borrow(books: Books, team: str) -> dict[str, int]:
    """The most a team may start now on top of what it uses, each resource by itself, if it were alone."""
    tree, leaf = books.tree, books.tree.leaf(team)
    found = {}
    for r, name in enumerate(books.resources):
        room = AMOUNT_MAX
        for i in tree.path(leaf):
            room = min(room, tree.nodes[i].most(name) - books.used[i][r])
        low, high = 0, max(0, min(room, books.shares.size[r]))
        while low < high:
            middle = (low + high + 1) // 2
            row = [middle if k == r else 0 for k in range(len(books.resources))]
            low, high = (middle, high) if _room(books, team, row) is None else (low, middle - 1)
        found[name] = low
    return found


def passed_limit(books: Books, team: str, row: Row) -> Bound | None:
    """The first limit or borrowing limit on the way up that the request would pass."""
    tree = books.tree
    for i in tree.path(tree.leaf(team)):
        node = tree.nodes[i]
        for r, name in enumerate(books.resources):
            reached = books.used[i][r] + row[r]
            if row[r] and reached > node.most(name):
                kind: LimitKind = "limit" if node.limit.get(name, AMOUNT_MAX) < reached else "borrowing"
                return Bound(team=node.name, kind=kind, resource=name, most=node.most(name), reached=reached)
    return None


def shortfall(books: Books, team: str, row: Row) -> Row:
    """How much of what is asked is missing in the cluster: in use, or kept for others; 0 where nothing is.

    Where more is kept than there is (impossible guarantees), a team may still use what is kept for it.
    """
    held = books.held_after(team, row)
    missing = []
    for r, size in enumerate(books.shares.size):
        over = books.used[0][r] + row[r] - size
        if held[r] > books.held[0][r]:
            over = max(over, held[r] - size)
        missing.append(min(row[r], max(0, over)))
    return missing


def _room(books: Books, team: str, row: Row) -> Bound | None:
    """The capacity, where what is in use or kept for others leaves no room."""
    missing = shortfall(books, team, row)
    for r, name in enumerate(books.resources):
        if missing[r]:
            size, reached = books.shares.size[r], books.used[0][r] + row[r]
            if reached > size:
                return Bound(team="", kind="capacity", resource=name, most=size, reached=reached)
            held = books.held_after(team, row)[r]
            return Bound(team="", kind="lending", resource=name, most=size, reached=held)
    return None


def denied(bound: Bound) -> Denied:
    """The refusal in words."""
    where = f"team {bound.team}" if bound.team else "the cluster"
    why = {
        "limit": f"the limit of {where} is {bound.most}",
        "borrowing": f"with its borrowing limit {where} may use {bound.most}",
        "lending": f"the cluster has {bound.most} and part of it is kept for other teams",
        "capacity": f"the cluster has {bound.most}",
        "guarantee": f"{where} is guaranteed {bound.most} and may take back only within that",
    }[bound.kind]
    return Denied(reason=f"{bound.resource}: {bound.reached} would be in use; {why}", by=bound)
