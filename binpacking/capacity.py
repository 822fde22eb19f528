"""How many pods of a role a node, or a domain of nodes, could hold: exact per node, bounds above."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from binpacking.problem import Gang, Nodes, Role


def slots(free: NDArray[np.int64], role: Role) -> NDArray[np.int64]:
    """int64[N]: pods of the role that each node could hold were it alone there, at most ``count``.

    Counts resources, the mask and what each limit allows the node by itself.
    """
    most = np.full(len(free), role.count, dtype=np.int64)
    for column, amount in role.asks:
        np.minimum(most, free[:, column] // amount, out=most)
    np.maximum(most, 0, out=most)
    if role.limits or role.skews:
        return np.minimum(most, ceiling(role, len(free)))
    if role.allowed is not None:
        most *= role.allowed
    return most


def ceiling(role: Role, nodes: int) -> NDArray[np.int64]:
    """int64[N]: what the rules alone let each node hold, whatever its resources."""
    most = np.full(nodes, role.count, dtype=np.int64)
    if role.allowed is not None:
        most[~role.allowed] = 0
    for limit in role.limits:
        inside = limit.domain_of >= 0
        most[~inside] = 0
        most[inside] = np.minimum(most[inside], limit.most[limit.domain_of[inside]])
    for skew in role.skews:
        most[skew.domain_of < 0] = 0
    return most


def bounded(role: Role, most: NDArray[np.int64]) -> int:
    """An upper bound on the pods of the role that fit when node i alone could hold ``most[i]``."""
    whole = int(most.sum())
    for limit in role.limits:
        held = domain_sums(limit.domain_of, most, len(limit.most))
        whole = min(whole, int(np.minimum(held, limit.most).sum()))
    for skew in role.skews:
        held = domain_sums(skew.domain_of, most, len(skew.have))
        # The minimum at the end is at most what every eligible domain could reach.
        lowest = skew.floor(skew.have + held, skew.eligible())
        room = np.maximum(lowest + skew.max_skew - skew.have, 0)
        whole = min(whole, int(np.minimum(held, room).sum()))
    return min(whole, role.count)


def domain_sums(domain_of: NDArray[np.int32], amounts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """int64[D]: amounts summed by domain; nodes outside (-1) count nowhere. Exact, unlike ``bincount``."""
    sums = np.zeros(size, dtype=np.int64)
    inside = domain_of >= 0
    np.add.at(sums, domain_of[inside], amounts[inside])
    return sums


def domain_codes(nodes: Nodes, levels: Sequence[int]) -> NDArray[np.int64]:
    """int64[N]: nodes with the same code share a domain at every one of the levels; codes count from 0."""
    codes = np.zeros(len(nodes), dtype=np.int64)
    for level in levels:
        domain = nodes.domains[level].astype(np.int64)
        lacking = domain < 0
        domain[lacking] = int(domain.max(initial=-1)) + 1 + np.arange(int(lacking.sum()))
        codes = codes * (int(domain.max(initial=0)) + 1) + domain
        codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    return codes


def unpinned(nodes: Nodes, gang: Gang, levels: Sequence[int]) -> NDArray[np.bool_]:
    """bool[N]: nodes in the domains that running members of the gang already chose."""
    inside = np.ones(len(nodes), dtype=np.bool_)
    for topology in gang.topology:
        if topology.pinned >= 0 and topology.level in levels:
            inside &= nodes.domains[topology.level] == topology.pinned
    return inside


def demand(gang: Gang) -> NDArray[np.int64]:
    """int64[R]: what every pod of the gang asks together."""
    return column_sums([role.request * role.count for role in gang.roles])


def column_sums(rows: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """int64[M], the sum of at least one array of that length."""
    total = rows[0].copy()
    for row in rows[1:]:
        total += row
    return total
