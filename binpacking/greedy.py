"""Place a whole gang in one pass: domain by domain, role by role, node by node.

Valid but not complete: where it gives up, ``prove`` and ``solve`` say whether a placement exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import RolePlacement
from binpacking.capacity import column_sums, demand, domain_codes, domain_sums, slots, unpinned
from binpacking.fill import Area, best_node, fill_role, has_room, is_one
from binpacking.problem import Gang, Nodes, Role, require, require_match, supply_of
from binpacking.score import Score

#: Domains in which a placement is attempted before the gang is left to the solver.
ATTEMPTS_MAX = 64

Counts = list[NDArray[np.int64]]


class Packing:
    """The nodes as one planning run changes them. ``take`` and ``give`` cost only what they touch."""

    def __init__(self, nodes: Nodes, *, score: Score) -> None:
        self.nodes = nodes
        self.score = score
        self.free = nodes.free.copy()
        self._codes: dict[tuple[int, ...], NDArray[np.int64]] = {}

    @property
    def total(self) -> NDArray[np.int64]:
        """int64[N, R], what empty nodes have."""
        return self.nodes.total

    def now(self) -> Nodes:
        """The nodes with what is free now, sharing this packing's array."""
        return self.nodes.with_free(self.free)

    def take(self, role: Role, placement: RolePlacement) -> None:
        """Occupy what the role's pods use."""
        self.free[placement.nodes] -= placement.counts[:, None] * role.request

    def give(self, role: Role, placement: RolePlacement) -> None:
        """Release what the role's pods used."""
        self.free[placement.nodes] += placement.counts[:, None] * role.request

    def take_all(self, gang: Gang, placement: Sequence[RolePlacement]) -> None:
        """Occupy what the gang's pods use, one placement a role."""
        for role, where in zip(gang.roles, placement, strict=True):
            self.take(role, where)

    def give_all(self, gang: Gang, placement: Sequence[RolePlacement]) -> None:
        """Release what the gang's pods used."""
        for role, where in zip(gang.roles, placement, strict=True):
            self.give(role, where)

    def codes(self, levels: tuple[int, ...]) -> NDArray[np.int64]:
        """int64[N] as ``capacity.domain_codes``, remembered."""
        known = self._codes.get(levels)
        if known is None:
            known = self._codes[levels] = domain_codes(self.nodes, levels)
        return known


_ONE = np.ones(1, dtype=np.int64)
_ONE.setflags(write=False)


@dataclass(frozen=True, slots=True)
class _Best:
    pods: int
    counts: Counts


def place_greedy(
    packing: Packing, gang: Gang, *, prefer: NDArray[np.int64] | None = None
) -> tuple[RolePlacement, ...] | None:
    """One entry per role, or None where no placement was found. Does not ``take`` it.

    The gang stands whole: each role's minimum and the gang's, and as many pods as fit up to ``count``.
    prefer: int64[N], higher is better; it comes before the score, since a tenant wrote it.
    A preferred topology level is kept where the gang then fits whole, innermost given up first.
    """
    require_match(packing.nodes, [gang])
    require(prefer is None or prefer.shape == (len(packing.nodes),), "prefer must be int64[N]")
    if packing.score.fills and is_lone(gang):
        return _place_one(packing, gang, prefer)
    best: _Best | None = None
    for levels in _levels_to_try(gang):
        found = _place_at(packing, gang, levels, prefer)
        if found is not None and (best is None or found.pods > best.pods):
            best = found
        if best is not None and best.pods == gang.count:
            break
    return None if best is None else as_placement(best.counts)


def is_lone(gang: Gang) -> bool:
    """Whether it is a single pod with no rule about others: it fits wherever a node has room for it."""
    return len(gang.roles) == 1 and is_one(gang.roles[0]) and not gang.topology


def _place_one(
    packing: Packing, gang: Gang, prefer: NDArray[np.int64] | None
) -> tuple[RolePlacement, ...] | None:
    """As the long way places a single pod, for which there is no need to order more than the best nodes."""
    role = gang.roles[0]
    nodes = has_room(packing.free, role)
    if not len(nodes):
        return None if gang.need else as_placement([np.zeros(len(packing.nodes), dtype=np.int64)])
    codes = [packing.codes((level,)) for level in range(len(packing.nodes.domains))]
    best = best_node(
        packing.free, packing.nodes, role.request, nodes, score=packing.score, prefer=prefer, codes=codes
    )
    return (RolePlacement(nodes=best, counts=_ONE),)


def place_single(nodes: Nodes, role: Role, score: Score) -> int | None:
    """The row to which ``place_greedy`` sends a single pod that has no rule about other pods, where the nodes
    have no levels; None where it does not fit. The score must be one that fills.
    """
    rows = has_room(nodes.free, role)
    if not len(rows):
        return None
    return int(best_node(nodes.free, nodes, role.request, rows, score=score)[0])


def as_placement(counts: Sequence[NDArray[np.int64]]) -> tuple[RolePlacement, ...]:
    """One int64[N] of pods per role as sparse placements."""
    chosen = [np.flatnonzero(c) for c in counts]
    return tuple(RolePlacement(nodes=at, counts=c[at]) for at, c in zip(chosen, counts, strict=True))


def dense(placement: Sequence[RolePlacement], nodes: int) -> NDArray[np.int64]:
    """int64[J, N] of sparse placements: the inverse of ``as_placement``."""
    counts = np.zeros((len(placement), nodes), dtype=np.int64)
    for role, where in enumerate(placement):
        counts[role, where.nodes] = where.counts
    return counts


def _levels_to_try(gang: Gang) -> Iterator[tuple[int, ...]]:
    """Required levels with all preferred ones, then with fewer of them."""
    required = gang.required_levels
    preferred = [t.level for t in gang.topology if not t.is_required and t.level not in required]
    preferred = sorted(set(preferred))
    for kept in range(len(preferred), -1, -1):
        yield (*required, *preferred[:kept])


def _place_at(
    packing: Packing, gang: Gang, levels: tuple[int, ...], prefer: NDArray[np.int64] | None
) -> _Best | None:
    """Inside one domain of the levels: the tightest that holds all, else the one that holds most."""
    inside = unpinned(packing.nodes, gang, levels)
    holds = [np.where(inside, slots(packing.free, role), 0) for role in gang.roles]
    if not levels:
        return _place_within(packing, gang, None, holds, prefer)
    codes = packing.codes(levels)
    best: _Best | None = None
    for domain in _domains_in_order(packing, gang, codes, holds)[:ATTEMPTS_MAX]:
        rows = np.flatnonzero((codes == domain) & inside)
        found = _place_within(packing, gang, rows, [h[rows] for h in holds], prefer)
        if found is not None and (best is None or found.pods > best.pods):
            best = found
        if best is not None and best.pods == gang.count:
            break
    return best


def _domains_in_order(packing: Packing, gang: Gang, codes: NDArray[np.int64], holds: Counts) -> list[int]:
    """Domains that may hold the gang by their sums: whole ones first, tightest first for a filling score."""
    size = int(codes.max(initial=-1)) + 1
    narrow = codes.astype(np.int32)
    room = [np.minimum(domain_sums(narrow, h, size), r.count) for h, r in zip(holds, gang.roles, strict=True)]
    pods = column_sums(room)
    stands = pods >= gang.minimum
    for role, most in zip(gang.roles, room, strict=True):
        stands &= most >= role.minimum
    asked = demand(gang)
    free = [domain_sums(narrow, np.maximum(packing.free[:, r], 0), size) for r in range(len(asked))]
    fewest = column_sums([role.request * role.minimum for role in gang.roles])
    fits_whole = pods == gang.count
    for column, left in enumerate(free):
        stands &= left >= fewest[column]
        fits_whole &= left >= asked[column]
    sign = 1 if packing.score.fills else -1
    keys = [sign * free[column] for column in _by_scarcity(packing.free, asked)[::-1]]
    order = np.lexsort((*keys, -np.where(fits_whole, gang.count, pods), ~fits_whole))
    return [d for d in order.tolist() if stands[d]]


def _by_scarcity(free: NDArray[np.int64], asked: NDArray[np.int64]) -> list[int]:
    """Resource columns, the one of which the largest share is asked first."""
    left = np.maximum(free, 0).sum(axis=0).tolist()
    shares = [a / max(have, 1) for a, have in zip(asked.tolist(), left, strict=True)]
    return sorted(range(len(shares)), key=lambda column: -shares[column])


def _place_within(
    packing: Packing,
    gang: Gang,
    rows: NDArray[np.int64] | None,
    holds: Counts,
    prefer: NDArray[np.int64] | None,
) -> _Best | None:
    """The gang on these rows (None: all): every pod at once, else the minimum first and then more."""
    for role, most in zip(gang.roles, holds, strict=True):
        if int(most.sum()) < role.minimum:
            return None
    area = Area(
        free=packing.free if rows is None else packing.free[rows],
        total=packing.total if rows is None else packing.total[rows],
        supply=packing.nodes.supply if rows is None else supply_of(packing.total[rows]),
        rows=rows,
        score=packing.score,
        flexibility=column_sums([np.minimum(most, 1) for most in holds]),
        prefer=prefer if prefer is None or rows is None else prefer[rows],
        codes=tuple(
            packing.codes((level,)) if rows is None else packing.codes((level,))[rows]
            for level in range(len(packing.nodes.domains))
        ),
    )
    best: _Best | None = None
    for order in _role_orders(packing, gang, holds):
        for in_one_go in (True, False):
            counts = _fill(area, gang, order, in_one_go)
            pods = sum(int(c.sum()) for c in counts)
            stands = pods >= gang.minimum and all(
                int(c.sum()) >= role.minimum for c, role in zip(counts, gang.roles, strict=True)
            )
            if stands and (best is None or pods > best.pods):
                best = _Best(pods, [_widen(c, rows, len(packing.nodes)) for c in counts])
            if best is not None and best.pods == gang.count:
                return best
    return best


def _fill(area: Area, gang: Gang, order: Sequence[int], in_one_go: bool) -> Counts:
    """Roles in order up to their count; or all minimums first, then more."""
    free = area.free.copy()
    counts = [np.zeros(len(free), dtype=np.int64) for _ in gang.roles]
    targets = [[r.count for r in gang.roles]]
    if not in_one_go:
        targets.insert(0, [r.minimum for r in gang.roles])
    for target in targets:
        for index in order:
            want = target[index] - int(counts[index].sum())
            if want > 0:
                more = fill_role(area, free, gang.roles[index], counts[index], want)
                counts[index] += more
                free -= more[:, None] * gang.roles[index].request
    return counts


def _role_orders(packing: Packing, gang: Gang, holds: Counts) -> list[tuple[int, ...]]:
    """Largest pods first; fewest choices first; as given. Repeats are dropped."""
    indices = range(len(gang.roles))
    if len(gang.roles) == 1:
        return [(0,)]
    left = np.maximum(packing.free, 0).sum(axis=0).tolist()
    size = [
        max((a / max(have, 1) for a, have in zip(role.request.tolist(), left, strict=True)), default=0.0)
        for role in gang.roles
    ]
    choices = [int(h.sum()) / max(r.count, 1) for h, r in zip(holds, gang.roles, strict=True)]
    orders = (
        tuple(sorted(indices, key=lambda i: (-size[i], choices[i]))),
        tuple(sorted(indices, key=lambda i: (choices[i], -size[i]))),
        tuple(indices),
    )
    return list(dict.fromkeys(orders))


def _widen(counts: NDArray[np.int64], rows: NDArray[np.int64] | None, nodes: int) -> NDArray[np.int64]:
    if rows is None:
        return counts
    wide = np.zeros(nodes, dtype=np.int64)
    wide[rows] = counts
    return wide
