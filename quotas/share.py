"""What each team is due now: guarantees first, then what is left by weight, level by level.

At every node, from the cluster down, what the node gets is divided among its children:
1. each gets what it wants within its guarantee; where that is more than there is, guarantees are cut in
   proportion to each other;
2. what is left goes by dominant resource and weight to those who want more (``quotas.filling``).
A want is what is in use and what waits, within the limits. Past use shifts the weights of step 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from quotas.amounts import Amounts, Row, add_to, amounts_of, row_of
from quotas.filling import fill
from quotas.tree import Tree

NO_HISTORY: Mapping[str, Amounts] = MappingProxyType({})
_SCALE = 2**64
#: Shifted weights are brought back to this, so that levels stay exact.
_SHIFTED_MAX = 2**24


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Rows by node of the tree, by resource. ``due + kept`` is what a node was given by its parent."""

    tree: Tree
    resources: tuple[str, ...]
    #: What is there, by resource, all > 0.
    size: Row
    #: What the node may have in use now. A parent's is the sum of its children's.
    due: list[Row]
    #: Kept for the node although it does not want it, by its lending limit.
    kept: list[Row]

    def of(self, team: str) -> dict[str, int]:
        """What a team is due now; the cluster as a whole for an empty name."""
        return amounts_of(self.due[self.tree.at(team)], self.resources)


def share(
    tree: Tree, capacity: Amounts, wanted: Mapping[str, Amounts], history: Mapping[str, Amounts] = NO_HISTORY
) -> Shares:
    """Divide the capacity. ``wanted`` is in use plus waiting, by team, of the team's own work.

    history: decayed use by team (``quotas.history``), of a team with everything below it. Of every
    resource of the capacity exactly min(wanted within limits or kept, capacity) is divided, at every level.
    """
    resources = tuple(sorted(name for name, amount in capacity.items() if amount > 0))
    size = row_of(capacity, resources)
    wants, claims = _claims(tree, resources, wanted)
    past = {tree.at(team): row_of(amounts, resources) for team, amounts in history.items()}
    given = [[0] * len(size) for _ in tree.nodes]
    given[0] = [min(claim, there) for claim, there in zip(claims[0], size, strict=True)]
    for i, node in enumerate(tree.nodes):
        if node.children:
            parts = _divide(tree, node.children, resources, given[i], claims, size, past)
            for child, part in zip(node.children, parts, strict=True):
                given[child] = part
    due = _summed(tree, [list(map(min, g, w)) for g, w in zip(given, wants, strict=True)])
    kept = [[g - d for g, d in zip(*pair, strict=True)] for pair in zip(given, due, strict=True)]
    return Shares(tree=tree, resources=resources, size=size, due=due, kept=kept)


def _claims(
    tree: Tree, resources: Sequence[str], wanted: Mapping[str, Amounts]
) -> tuple[list[Row], list[Row]]:
    """By node: what it wants within limits, and the same with what is kept for it in any case."""
    wants = charged(tree, resources, wanted)
    claims = [list(row) for row in wants]
    for i in range(len(tree.nodes) - 1, -1, -1):
        node = tree.nodes[i]
        for r, resource in enumerate(resources):
            most = node.most(resource)
            wants[i][r] = min(wants[i][r], most)
            claims[i][r] = max(min(claims[i][r], most), node.reserve(resource))
        if i:
            add_to(wants[node.parent], wants[i])
            add_to(claims[node.parent], claims[i])
    return wants, claims


def charged(tree: Tree, resources: Sequence[str], amounts: Mapping[str, Amounts]) -> list[Row]:
    """Rows by node in which every team's own amounts stand at its leaf, and nothing elsewhere."""
    rows = [[0] * len(resources) for _ in tree.nodes]
    for team, own in amounts.items():
        add_to(rows[tree.leaf(team)], row_of(own, resources))
    return rows


def _summed(tree: Tree, rows: list[Row]) -> list[Row]:
    """The rows of the leaves, and for every other node the sum of its children's."""
    for i in range(len(tree.nodes) - 1, -1, -1):
        children = tree.nodes[i].children
        if children:
            rows[i] = [sum(column) for column in zip(*(rows[child] for child in children), strict=True)]
    return rows


def _divide(
    tree: Tree,
    children: Sequence[int],
    resources: Sequence[str],
    given: Row,
    claims: list[Row],
    size: Row,
    past: Mapping[int, Row],
) -> list[Row]:
    names = [(0, 0, tree.nodes[i].name) for i in children]
    owned = [row_of(tree.nodes[i].guaranteed, resources) for i in children]
    bases = [list(map(min, claims[i], own)) for i, own in zip(children, owned, strict=True)]
    left = list(given)
    for r, there in enumerate(given):
        if sum(base[r] for base in bases) > there:
            wants, weights = [[base[r]] for base in bases], [own[r] for own in owned]
            ties = [(-tree.nodes[i].weight, -claims[i][r], tree.nodes[i].name) for i in children]
            cut = fill([there], wants, weights, [size[r]], ties)
            for base, part in zip(bases, cut, strict=True):
                base[r] = part[0]
        left[r] -= sum(base[r] for base in bases)
    rests = [
        [c - b for c, b in zip(claims[i], base, strict=True)] for i, base in zip(children, bases, strict=True)
    ]
    parts = fill(left, rests, _weights(tree, children, rests, size, past), size, names)
    for part, base in zip(parts, bases, strict=True):
        add_to(part, base)
    return parts


def _weights(
    tree: Tree, children: Sequence[int], rests: list[Row], size: Row, past: Mapping[int, Row]
) -> list[int]:
    """Weights, shifted against those who used more than their part of late.

    With p a team's part of its rivals' weights and u its part of their decayed use, the weight becomes
    p + (p - u), not below 0 (KAI's time-based fair share at k = 1). Only those who want more are rivals.
    """
    plain = [tree.nodes[i].weight for i in children]
    uses = [_fraction(past[i], size) if i in past and tree.nodes[i].half_life_s else 0 for i in children]
    rivals = [k for k, rest in enumerate(rests) if any(rest)]
    weights, used = sum(plain[k] for k in rivals), sum(uses[k] for k in rivals)
    if not used:
        return plain
    shifted = [max(0, 2 * plain[k] * used - uses[k] * weights) for k in range(len(plain))]
    most = max([shifted[k] for k in rivals] + [1])
    return [min(-(-weight * _SHIFTED_MAX // most), _SHIFTED_MAX) for weight in shifted]


def _fraction(row: Row, size: Row) -> int:
    """The largest part of any resource, in units of 2^-64."""
    return max((amount * _SCALE // there for amount, there in zip(row, size, strict=True)), default=0)
