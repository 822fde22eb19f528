"""Who uses, wants and is due what, kept up as work starts and ends.

The one mutable thing of the library: a planner opens the books on a snapshot and charges what it decides,
so that every next question is answered as if it had been done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from quotas.amounts import NOTHING, Amounts, Row, add_to, amounts_of, row_of
from quotas.share import NO_HISTORY, Shares, charged, share
from quotas.tree import Tree


@dataclass(slots=True, kw_only=True)
class Books:
    """Rows by node of the tree, by resource of ``shares.resources``. Made by ``open_books``.

    What waits does not change when it is charged: shares are over use and waiting together, so starting
    work moves no share.
    """

    shares: Shares
    used: list[Row]
    waiting: list[Row]
    #: In use, or kept for the node or for nodes below it by a lending limit.
    held: list[Row]
    owned: list[Row]
    #: Of a node's children together.
    _held_below: list[Row] = field(repr=False)
    _reserves: list[Row] = field(repr=False)

    @property
    def tree(self) -> Tree:
        return self.shares.tree

    @property
    def resources(self) -> tuple[str, ...]:
        return self.shares.resources

    def usage(self, team: str) -> dict[str, int]:
        """In use by a team and all below it; by everybody for an empty name."""
        return amounts_of(self.used[self.tree.at(team)], self.resources)

    def charge(self, team: str, amounts: Amounts) -> None:
        """Work of a team started."""
        self._change(team, row_of(amounts, self.resources), 1)

    def release(self, team: str, amounts: Amounts) -> dict[str, int]:
        """Work of a team ended, or is to end; what that freed, which is no more than was in use."""
        leaf = self.used[self.tree.leaf(team)]
        row = [min(a, u) for a, u in zip(row_of(amounts, self.resources), leaf, strict=True)]
        self._change(team, row, -1)
        return amounts_of(row, self.resources)

    def held_after(self, team: str, row: Row) -> Row:
        """What would be in use or kept in the whole cluster if a team used that much more."""
        return self._walk(self.tree.leaf(team), row)[0][1]

    def _change(self, team: str, row: Row, sign: int) -> None:
        leaf = self.tree.leaf(team)
        row = [sign * amount for amount in row]
        for index, held in self._walk(leaf, row):
            below = self._held_below[self.tree.nodes[index].parent]
            if index:
                add_to(below, [new - old for new, old in zip(held, self.held[index], strict=True)])
            self.held[index] = held
            add_to(self.used[index], row)

    def _walk(self, leaf: int, row: Row) -> list[tuple[int, Row]]:
        """The nodes from the cluster to a leaf with what each would hold, if the leaf used ``row`` more."""
        steps: list[tuple[int, Row]] = []
        inside = [u + amount for u, amount in zip(self.used[leaf], row, strict=True)]
        index = leaf
        while True:
            held = list(map(max, inside, self._reserves[index]))
            steps.append((index, held))
            if not index:
                return steps[::-1]
            parent = self.tree.nodes[index].parent
            inside = [
                below + new - old
                for below, new, old in zip(self._held_below[parent], held, self.held[index], strict=True)
            ]
            index = parent


def open_books(
    tree: Tree,
    capacity: Amounts,
    usage: Mapping[str, Amounts],
    waiting: Mapping[str, Amounts],
    history: Mapping[str, Amounts] = NO_HISTORY,
) -> Books:
    """Books on what is in use and what waits, by team, of each team's own work; see ``share``.

    Resources of which the capacity has nothing are not kept. Work of unknown teams counts as work of none.
    """
    names = [*usage, *(team for team in waiting if team not in usage)]
    wanted = {team: _sum(usage.get(team, NOTHING), waiting.get(team, NOTHING)) for team in names}
    shares = share(tree, capacity, wanted, history)
    resources, nodes = shares.resources, tree.nodes
    books = Books(
        shares=shares,
        used=charged(tree, resources, usage),
        waiting=charged(tree, resources, waiting),
        held=[],
        owned=[row_of(node.guaranteed, resources) for node in nodes],
        _held_below=[],
        _reserves=[[node.reserve(name) for name in resources] for node in nodes],
    )
    books.held, books._held_below = held_rows(tree, resources, books.used)
    for i in range(len(nodes) - 1, 0, -1):
        add_to(books.used[nodes[i].parent], books.used[i])
        add_to(books.waiting[nodes[i].parent], books.waiting[i])
    return books


def held_rows(tree: Tree, resources: Sequence[str], used: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """By node: in use or kept; and of its children together. ``used`` is read at the leaves only."""
    held: list[Row] = [[] for _ in tree.nodes]
    below = [[0] * len(resources) for _ in tree.nodes]
    for i in range(len(tree.nodes) - 1, -1, -1):
        node = tree.nodes[i]
        inside = below[i] if node.children else used[i]
        held[i] = [max(amount, node.reserve(name)) for amount, name in zip(inside, resources, strict=True)]
        if i:
            add_to(below[node.parent], held[i])
    return held, below


def _sum(one: Amounts, other: Amounts) -> dict[str, int]:
    return {name: max(0, one.get(name, 0)) + max(0, other.get(name, 0)) for name in one.keys() | other.keys()}
