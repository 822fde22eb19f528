"""Nodes that a model need not tell apart, merged: one set of variables a group instead of one a node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from binpacking.capacity import ceiling, slots
from binpacking.problem import DomainLimit, Role

#: Ways to fill one node of a group beyond which its nodes are modelled one by one.
PATTERNS_MAX = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Nodes in the same state for every role.

    nodes: int64[M]. free: int64[R], never negative. most: int64[J], pods of each role that one node
    could hold alone. patterns: int64[P, J], every maximal way to fill one node; None where too many.
    """

    nodes: NDArray[np.int64]
    free: NDArray[np.int64]
    most: NDArray[np.int64]
    patterns: NDArray[np.int64] | None


def group_nodes(
    free: NDArray[np.int64],
    roles: Sequence[Role],
    rows: NDArray[np.int64],
    apart: Sequence[NDArray[np.int64]] = (),
) -> list[Group]:
    """The ``rows`` that can hold some pod, grouped; what no role can use tells no nodes apart.

    Nodes in different domains of a limit that spans nodes, of a skew, or of one of ``apart`` (each
    int64[N] of domain codes) are never in one group.
    """
    most = np.stack([slots(free, role)[rows] for role in roles], axis=1)
    useful = most.any(axis=1)
    rows, most = rows[useful], most[useful]
    keys = [most, _visible(free[rows], roles, most), *(codes[rows, None] for codes in apart)]
    for role in roles:
        keys.append(ceiling(role, len(free))[rows, None])
        keys += [limit.domain_of[rows, None].astype(np.int64) for limit in role.limits if spans_nodes(limit)]
        keys += [skew.domain_of[rows, None].astype(np.int64) for skew in role.skews]
    if not len(rows):
        return []
    _, first, group_of = np.unique(
        np.concatenate(keys, axis=1), axis=0, return_index=True, return_inverse=True
    )
    requests = np.stack([role.request for role in roles])
    order = np.argsort(group_of, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group_of[order])) + 1)
    visible = keys[1]
    return [
        Group(
            nodes=rows[part],
            free=visible[at],
            most=most[at],
            patterns=_patterns(visible[at], most[at], requests) if len(part) > 1 else None,
        )
        for at, part in zip(first.tolist(), parts, strict=True)
    ]


def spans_nodes(limit: DomainLimit) -> bool:
    """Whether some domain of the limit has several nodes, so that ``slots`` alone does not keep it."""
    domains = limit.domain_of[limit.domain_of >= 0]
    return len(np.unique(domains)) < len(domains)


def _visible(free: NDArray[np.int64], roles: Sequence[Role], most: NDArray[np.int64]) -> NDArray[np.int64]:
    """What of the free amounts can matter: at most what the roles could use, in steps that they can use."""
    requests = np.stack([role.request for role in roles])
    seen = np.clip(free, 0, most @ requests)
    for column in range(free.shape[1]):
        step = int(np.gcd.reduce(requests[:, column]))
        if step > 1:
            seen[:, column] -= seen[:, column] % step
    return seen


def _patterns(
    free: NDArray[np.int64], most: NDArray[np.int64], requests: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Every maximal count vector that fits ``free``, or None where more than ``PATTERNS_MAX``."""
    found: list[tuple[int, ...]] = []
    budget = 20 * PATTERNS_MAX

    def extend(role: int, left: NDArray[np.int64], chosen: tuple[int, ...]) -> bool:
        nonlocal budget
        budget -= 1
        if budget < 0 or len(found) > PATTERNS_MAX:
            return False
        if role == len(requests):
            if not _can_grow(left, chosen, most, requests):
                found.append(chosen)
            return True
        top = _fits(left, requests[role], int(most[role]))
        least = top if role == len(requests) - 1 else 0
        return all(
            extend(role + 1, left - n * requests[role], (*chosen, n)) for n in range(top, least - 1, -1)
        )

    return np.array(found, dtype=np.int64) if extend(0, free, ()) else None


def _fits(left: NDArray[np.int64], request: NDArray[np.int64], most: int) -> int:
    asks = request > 0
    return min(most, int((left[asks] // request[asks]).min())) if asks.any() else most


def _can_grow(
    left: NDArray[np.int64], chosen: tuple[int, ...], most: NDArray[np.int64], requests: NDArray[np.int64]
) -> bool:
    return any(
        count < most[role] and bool((requests[role] <= left).all()) for role, count in enumerate(chosen)
    )
