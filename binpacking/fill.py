"""Choose nodes for the pods of one role, in bulk where each node is filled, else pod by pod."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from binpacking.capacity import domain_sums
from binpacking.problem import Nodes, Role, Supply
from binpacking.score import Score

#: Irrational-like weights: states that differ get keys that differ, whatever the nodes are called.
_MIX = (0.7548776662466927, 0.5698402909980532, 0.4301597090019468, 0.3247179572447460)


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """The nodes that one attempt may use, M of N.

    free, total: int64[M, R]. supply: what the total comes to.
    rows: int64[M], their rows in the problem, or None for all.
    flexibility: int64[M], for how many roles of the gang a node is good: the less versatile goes first.
    prefer: int64[M] or None. codes: per topology level int64[M], the domain of each node.
    """

    free: NDArray[np.int64]
    total: NDArray[np.int64]
    supply: Supply
    rows: NDArray[np.int64] | None
    score: Score
    flexibility: NDArray[np.int64]
    prefer: NDArray[np.int64] | None
    codes: tuple[NDArray[np.int64], ...]


def fill_role(
    area: Area, free: NDArray[np.int64], role: Role, already: NDArray[np.int64], want: int
) -> NDArray[np.int64]:
    """int64[M]: up to ``want`` more pods of the role on what is ``free`` now, beside ``already``."""
    rules = _Rules(role, area.rows, already)
    most = np.minimum(np.minimum(_resource_slots(free, role, want), rules.ceiling), want)
    if area.score.fills and not role.skews:
        return _fill_nodes(area, free, role.request, rules, most, want)
    return _fill_pods(area, free, role.request, rules, most, want)


class _Rules:
    """What mask, limits and skews still allow on the area's nodes while the role grows."""

    def __init__(self, role: Role, rows: NDArray[np.int64] | None, already: NDArray[np.int64]) -> None:
        def here(array: NDArray[np.int32]) -> NDArray[np.int32]:
            return array if rows is None else array[rows]

        self.limits = [(here(x.domain_of), x.most.copy()) for x in role.limits]
        self.skews = [(here(s.domain_of), s.have.copy(), s) for s in role.skews]
        self.bind = bool(self.limits or self.skews)
        self._eligible = [s.eligible() for s in role.skews]
        self.ceiling = np.full(len(already), role.count, dtype=np.int64)
        if role.allowed is not None:
            self.ceiling[~(role.allowed if rows is None else role.allowed[rows])] = 0
        for domain, _, _ in self.skews:
            self.ceiling[domain < 0] = 0
        self.note(already)
        for domain, left in self.limits:
            self.ceiling[domain < 0] = 0
            inside = domain >= 0
            self.ceiling[inside] = np.minimum(self.ceiling[inside], left[domain[inside]])

    def note(self, placed: NDArray[np.int64]) -> None:
        """Charge int64[M] pods to their domains."""
        for domain, left in self.limits:
            left -= domain_sums(domain, placed, len(left))
        for domain, held, _ in self.skews:
            held += domain_sums(domain, placed, len(held))

    def clip(self, nodes: NDArray[np.int64], pods: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pods on nodes taken in this order, cut where a limit's domain is full."""
        for domain, left in self.limits:
            pods = _clip_to_domains(domain[nodes], pods, left)
        return pods

    def open_nodes(self) -> NDArray[np.bool_]:
        """bool[M]: nodes on which limits and skews allow one more pod now."""
        is_open = np.ones(len(self.ceiling), dtype=np.bool_)
        for domain, left in self.limits:
            is_open &= (domain >= 0) & (left[np.maximum(domain, 0)] > 0)
        for (domain, held, skew), eligible in zip(self.skews, self._eligible, strict=True):
            is_low = held + 1 - skew.floor(held, eligible) <= skew.max_skew
            is_open &= (domain >= 0) & is_low[np.maximum(domain, 0)]
        return is_open

    def note_one(self, node: int) -> None:
        """Charge one pod on the node."""
        for domain, left in self.limits:
            left[domain[node]] -= 1
        for domain, held, _ in self.skews:
            held[domain[node]] += 1


def _resource_slots(free: NDArray[np.int64], role: Role, want: int) -> NDArray[np.int64]:
    most = np.full(len(free), want, dtype=np.int64)
    for column, amount in role.asks:
        np.minimum(most, free[:, column] // amount, out=most)
    return np.maximum(most, 0)


def _clip_to_domains(
    domain: NDArray[np.int32], pods: NDArray[np.int64], left: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Cut pods, in order, so that no domain receives more than ``left``."""
    order = np.argsort(domain, kind="stable")
    sorted_pods, sorted_domain = pods[order], domain[order]
    running = np.cumsum(sorted_pods)
    first = np.flatnonzero(np.diff(sorted_domain, prepend=-2))
    before = np.repeat(running[first] - sorted_pods[first], np.diff(first, append=len(order)))
    held = np.minimum(running - before, np.where(sorted_domain >= 0, left[sorted_domain], 0))
    cut = np.diff(held, prepend=0)
    cut[first] = held[first]
    clipped = np.empty_like(pods)
    clipped[order] = cut
    return clipped


def _fill_nodes(
    area: Area,
    free: NDArray[np.int64],
    request: NDArray[np.int64],
    rules: _Rules,
    most: NDArray[np.int64],
    want: int,
) -> NDArray[np.int64]:
    """Cheapest node first, each filled; the last pods choose again among nodes that suit so few."""
    taken = np.zeros_like(most)
    ties = _tie_keys(area, free)
    while want > 0:
        pods = np.minimum(most, want)
        nodes = np.flatnonzero(pods)
        if not len(nodes):
            break
        nodes = nodes[_order(area, free, request, pods, nodes, ties)]
        fits = rules.clip(nodes, pods[nodes])
        within = np.cumsum(fits) <= want
        nodes, fits = nodes[within], fits[within]
        taken[nodes] += fits
        most[nodes] = 0
        step = np.zeros_like(most)
        step[nodes] = fits
        rules.note(step)
        want -= int(fits.sum())
    return taken


def is_one(role: Role) -> bool:
    """Whether it is a single pod with no rule about others of its role."""
    return role.count == 1 and not role.limits and not role.skews


def has_room(free: NDArray[np.int64], role: Role) -> NDArray[np.int64]:
    """int64[*]: the nodes that could hold one pod of the role, which has no rule about others of it."""
    fits = np.ones(len(free), dtype=np.bool_) if role.allowed is None else role.allowed
    for column, amount in role.asks:
        fits = fits & (free[:, column] >= amount)
    return np.flatnonzero(fits)


def best_node(
    free: NDArray[np.int64],
    nodes: Nodes,
    request: NDArray[np.int64],
    rows: NDArray[np.int64],
    *,
    score: Score,
    prefer: NDArray[np.int64] | None = None,
    codes: Sequence[NDArray[np.int64]] = (),
) -> NDArray[np.int64]:
    """int64[1]: of these rows, each of which holds one pod of the request, the first of ``_order``.

    With one role they are all good for the same, so flexibility tells none from another.
    """
    if prefer is not None:
        liked = prefer[rows].astype(np.float64)
        rows = rows[liked == liked.max()]
    weights = score.weigh(free, nodes.supply, request)
    one = np.ones(len(rows), dtype=np.int64)
    cost = score.cost(free[rows], nodes.total[rows], request, one, weights)
    rows = rows[cost == cost.min()]
    for own in codes:
        if len(rows) > 1:
            share = _fullness(free, own)[own[rows]]
            rows = rows[share == share.min()]
    if len(rows) > 1:
        state = _state(free[rows], nodes.total[rows])
        rows = rows[state == state.min()]
    return rows[:1]


def _order(
    area: Area,
    free: NDArray[np.int64],
    request: NDArray[np.int64],
    pods: NDArray[np.int64],
    nodes: NDArray[np.int64],
    ties: list[NDArray[np.float64]],
) -> NDArray[np.int64]:
    """Positions in ``nodes``, best first: preference, cost, then keys that know no names."""
    weights = area.score.weigh(free, area.supply, request)
    cost = area.score.cost(free, area.total, request, pods, weights)[nodes]
    keys = [key[nodes] for key in ties]
    keys.append(cost)
    if area.prefer is not None:
        keys.append(-area.prefer[nodes].astype(np.float64))
    return np.lexsort(keys)


def _tie_keys(area: Area, free: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Last key first, as ``lexsort`` wants: less versatile nodes, fuller domains, then the state itself."""
    keys = [_state(free, area.total)]
    keys += [_fullness(free, codes)[codes] for codes in reversed(area.codes)]
    keys.append(area.flexibility.astype(np.float64))
    return keys


def _state(free: NDArray[np.int64], total: NDArray[np.int64]) -> NDArray[np.float64]:
    state = np.zeros(len(free), dtype=np.float64)
    for column in range(free.shape[1]):
        weight = _MIX[column % len(_MIX)] * (1 + column)
        state += weight * free[:, column] + weight * weight * total[:, column]
    return state


def _fullness(free: NDArray[np.int64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[D]: what is free in each domain, in shares of all that is free."""
    size = int(codes.max(initial=-1)) + 1
    narrow = codes.astype(np.int32)
    held = [domain_sums(narrow, np.maximum(free[:, r], 0), size) for r in range(free.shape[1])]
    share = np.zeros(size, dtype=np.float64)
    for amounts in held:
        share += amounts / max(int(amounts.sum()), 1)
    return share


def _fill_pods(
    area: Area,
    free: NDArray[np.int64],
    request: NDArray[np.int64],
    rules: _Rules,
    most: NDArray[np.int64],
    want: int,
) -> NDArray[np.int64]:
    """Pod by pod, each where it costs least now; without rules all equally cheap nodes at once."""
    taken = np.zeros_like(most)
    rank = np.empty(len(most), dtype=np.int64)
    rank[np.lexsort(_tie_keys(area, free))] = np.arange(len(most))
    left = free.copy()
    one = np.ones_like(most)
    weights = area.score.weigh(free, area.supply, request)
    cost = area.score.cost(left, area.total, request, one, weights)
    while want > 0:
        nodes = _cheapest(area, np.flatnonzero((taken < most) & rules.open_nodes()), cost, rank)
        nodes = nodes[: 1 if rules.bind else want]
        if not len(nodes):
            break
        taken[nodes] += 1
        want -= len(nodes)
        for node in nodes.tolist() if rules.bind else ():
            rules.note_one(node)
        left[nodes] -= request
        cost[nodes] = area.score.cost(left[nodes], area.total[nodes], request, one[nodes], weights)
    return taken


def _cheapest(
    area: Area, nodes: NDArray[np.int64], cost: NDArray[np.float64], rank: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Of these nodes the best liked, of those the cheapest, in an order that knows no names."""
    if not len(nodes):
        return nodes
    if area.prefer is not None:
        liked = area.prefer[nodes]
        nodes = nodes[liked == liked.max()]
    price = cost[nodes]
    nodes = nodes[price == price.min()]
    return nodes[np.argsort(rank[nodes])]
