"""What a team may take back, and from whom: only what is borrowed, only within its guarantee."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from quotas.amounts import Amounts, Row, add_to, amounts_of, row_of
from quotas.books import Books
from quotas.entitlement import Allowed, Bound, Denied, denied, may_start, shortfall


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A team's right to take back capacity for one request that is within its guarantee."""

    team: str
    request: Amounts
    #: What has to become free, at least. Empty: in sum there is enough, only not in the right places.
    lacking: Amounts
    #: Resources of which the request is within the guarantee: only these are taken back.
    resources: tuple[str, ...]


def claim(books: Books, team: str, request: Amounts) -> Claim | Denied:
    """The right to take back what this request lacks.

    Denied where it lacks a resource of which it would be above its guarantee, and where all that others
    borrowed would not be enough or a limit would still forbid it.
    """
    resources = books.resources
    row, leaf = row_of(request, resources), books.tree.leaf(team)
    lacking = shortfall(books, team, row)
    reached = [u + a for u, a in zip(books.used[leaf], row, strict=True)]
    within = [bool(a) and u <= o for a, u, o in zip(row, reached, books.owned[leaf], strict=True)]
    for r, name in enumerate(resources):
        if row[r] and not within[r] and (lacking[r] or not any(within)):
            most = books.owned[leaf][r]
            return denied(Bound(team=team, kind="guarantee", resource=name, most=most, reached=reached[r]))
    found = Claim(
        team=team,
        request=amounts_of(row, resources),
        lacking=amounts_of(lacking, resources),
        resources=tuple(name for name, is_within in zip(resources, within, strict=True) if is_within),
    )
    after = may_start_after(books, found, _most_freed(books, found))
    return after if isinstance(after, Denied) else found


def _most_freed(books: Books, claimed: Claim) -> dict[str, dict[str, int]]:
    """More than victims can free, by team: a gang leaves whole, so the last one of a team frees what the team
    had not borrowed as well.
    """
    at = {name: books.resources.index(name) for name in claimed.resources}
    return {
        team: {name: books.used[books.tree.leaf(team)][r] for name, r in at.items()}
        for team in sources(books, claimed)
    }


def may_start_after(books: Books, claimed: Claim, taken: Mapping[str, Amounts]) -> Allowed | Denied:
    """``may_start`` of the request as it will be when ``taken``, by team, is given back."""
    freed = {team: books.release(team, amounts) for team, amounts in taken.items()}
    answer = may_start(books, claimed.team, claimed.request)
    for team, amounts in freed.items():
        books.charge(team, amounts)
    return answer


def sources(books: Books, claimed: Claim) -> dict[str, dict[str, int]]:
    """All that may be taken for the claim, by team: first who has more than it is due, then the nearest."""
    exchange = Exchange(books=books, claim=claimed)
    found: dict[str, dict[str, int]] = {}
    teams = sorted(["", *books.tree.names], key=lambda team: _preference(books, claimed, team))
    is_more = True
    while is_more:
        is_more = False
        for team in teams:
            amounts = exchange.gives(team)
            if amounts:
                exchange.take(team, amounts)
                before = found.get(team, {})
                found[team] = before | {r: before.get(r, 0) + a for r, a in amounts.items()}
                is_more = True
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """So much of a resource has to come free below a node of the tree (0: anywhere), by index."""

    node: int
    resource: str
    amount: int


def lacks(books: Books, team: str, request: Amounts) -> list[Lack]:
    """What has to come free, and where, before no limit and nothing kept for others forbids the request."""
    row, tree = row_of(request, books.resources), books.tree
    missing = [(0, r, amount) for r, amount in enumerate(shortfall(books, team, row))]
    for i in tree.path(tree.leaf(team)):
        node = tree.nodes[i]
        for r, name in enumerate(books.resources):
            missing.append((i, r, books.used[i][r] + row[r] - node.most(name) if row[r] else 0))
    return [Lack(node=i, resource=books.resources[r], amount=lack) for i, r, lack in missing if lack > 0]


def closed(books: Books, claimed: Claim) -> list[Lack]:
    """What has to come free inside each department over the claimant before others outside of it give.

    From the inside out; see ``Exchange.gives``.
    """
    exchange, found = Exchange(books=books, claim=claimed), []
    for i in books.tree.path(books.tree.leaf(claimed.team)):
        for name in claimed.resources:
            lack = exchange.exceeds(i, name)
            if lack > 0:
                found.append(Lack(node=i, resource=name, amount=lack))
    return found


def owing(books: Books, claimed: Claim, team: str) -> list[tuple[int, dict[str, int]]]:
    """Nodes over a team and not over the claimant, its own first, with what each uses above its guarantee."""
    tree = books.tree
    mine = set(tree.path(tree.leaf(claimed.team)))
    at = [(name, books.resources.index(name)) for name in claimed.resources]
    return [
        (i, {name: max(0, books.used[i][r] - books.owned[i][r]) for name, r in at})
        for i in tree.path(tree.leaf(team))
        if i not in mine
    ]


def _preference(books: Books, claimed: Claim, team: str) -> tuple[bool, int, Fraction, int, str]:
    """Who owes, who is near, who has most of what is due to it, who weighs least: names decide last."""
    tree, leaf = books.tree, books.tree.leaf(team)
    wanted = [books.resources.index(name) for name in claimed.lacking or claimed.resources]
    owes = any(books.used[leaf][r] > books.shares.due[leaf][r] for r in wanted)
    shared = set(tree.path(leaf)) & set(tree.path(tree.leaf(claimed.team)))
    due, used = books.shares.due[leaf], books.used[leaf]
    most = max((Fraction(used[r], max(due[r], 1)) for r in wanted), default=Fraction(0))
    return not owes, -len(shared), -most, tree.nodes[leaf].weight, team


@dataclass(slots=True, kw_only=True)
class Exchange:
    """What may still be taken while victims for one claim are being chosen. Changes no books.

    What is taken inside a department can open the level over it, so a team that gave nothing may later.
    """

    books: Books
    claim: Claim
    _taken: dict[int, Row] = field(default_factory=dict)

    def take(self, team: str, amounts: Amounts) -> None:
        """A victim of this team was chosen."""
        row = row_of(amounts, self.books.resources)
        for i in self.books.tree.path(self.books.tree.leaf(team)):
            add_to(self._taken.setdefault(i, [0] * len(row)), row)

    def gives(self, team: str) -> dict[str, int]:
        """What a team still uses above guarantees; empty for a team that nothing may be taken from.

        A gang may be a victim while this has some of a resource that it would free. The last one may
        bring its team below the guarantee by less than that gang. It cannot take back in its turn:
        started again, it would bring its team above the guarantee again.

        The levels that count are those below where the two paths meet. On the giving side each must be
        above its guarantee. On the taking side the team itself must be within its guarantee with the
        request, and each level over it within what it is guaranteed or due, whichever is more.
        """
        tree, owned = self.books.tree, self.books.owned
        mine = tree.path(tree.leaf(self.claim.team))
        theirs = tree.path(tree.leaf(team))
        meet = set(mine) & set(theirs)
        takers = [i for i in mine if i not in meet]
        givers = [i for i in theirs if i not in meet]
        found = {}
        for name in self.claim.resources if takers and givers else ():
            r = self.books.resources.index(name)
            spare = min(self._used(i, r) - owned[i][r] for i in givers)
            if spare > 0 and all(self.exceeds(i, name) <= 0 for i in takers):
                found[name] = spare
        return found

    def exceeds(self, index: int, resource: str) -> int:
        """By how much a node over the claimant would be above what it may take back from outside of it."""
        r = self.books.resources.index(resource)
        return self._used(index, r) + self.claim.request[resource] - self._most(index, r)

    def _most(self, index: int, r: int) -> int:
        owned = self.books.owned[index][r]
        is_leaf = not self.books.tree.nodes[index].children
        return owned if is_leaf else max(owned, self.books.shares.due[index][r])

    def _used(self, index: int, r: int) -> int:
        taken = self._taken.get(index)
        return self.books.used[index][r] - (taken[r] if taken else 0)
