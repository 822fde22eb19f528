"""Pods of one gang that wish to be near or far from each other: each sees those before it.

The gang is placed first as if they did not, so that it stands wherever it can; then its pods are put one by
one where they wish, in the same domains of its topology. Where that places fewer of them, the first holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import RolePlacement
from binpacking.greedy import Packing, as_placement, place_greedy
from binpacking.problem import DomainLimit, Gang, Role
from scheduler.model.gang import PendingRole
from scheduler.model.plan import Assignment
from scheduler.predicates.preference import Wishes
from scheduler.translation import Translation

#: Looks at the nodes for one role; of more pods several at a time go to different nodes.
STEPS_MAX = 512
Mask = NDArray[np.bool_]
Placement = tuple[RolePlacement, ...]


def place_softly(
    translation: Translation, packing: Packing, roles: Sequence[PendingRole], gang: Gang
) -> Placement | None:
    """As ``place_greedy`` with the roles' preferences. ``roles`` are those of the gang, in its order."""
    wishes = [translation.wishes(role) for role in roles]
    placement = place_greedy(packing, gang, prefer=translation.preferred(roles, wishes))
    if placement is None or not _see_each_other(roles, wishes, placement):
        return placement
    inside = _domains_of(packing, gang, placement)
    mark, free = translation.mark(), packing.free.copy()
    try:
        return _one_by_one(translation, packing, roles, gang, placement, inside) or placement
    finally:
        translation.rewind(mark)
        packing.free[:] = free


def _see_each_other(
    roles: Sequence[PendingRole], wishes: Sequence[Wishes], placement: Sequence[RolePlacement]
) -> bool:
    if sum(int(where.counts.sum()) for where in placement) < 2:
        return False
    several = sum(bool(where.counts.sum()) for where in placement) > 1
    return any(own.see_each_other for own in wishes) or (
        several and any(role.shape.sees_pods for role in roles)
    )


def _domains_of(packing: Packing, gang: Gang, placement: Sequence[RolePlacement]) -> Mask | None:
    """bool[N]: the domains of the gang's topology in which all of it was placed; None for everywhere."""
    inside: Mask | None = None
    rows = np.concatenate([where.nodes for where in placement])
    for level in {topology.level for topology in gang.topology}:
        of = packing.nodes.domains[level]
        chosen = np.unique(of[rows])
        if len(chosen) == 1 and chosen[0] >= 0:
            here = of == chosen[0]
            inside = here if inside is None else inside & here
    return inside


def _one_by_one(
    translation: Translation,
    packing: Packing,
    roles: Sequence[PendingRole],
    gang: Gang,
    placement: Sequence[RolePlacement],
    inside: Mask | None,
) -> Placement | None:
    counts: list[NDArray[np.int64]] = []
    for pending, role, where in zip(roles, gang.roles, placement, strict=True):
        want = int(where.counts.sum())
        if inside is not None:
            role = replace(role, allowed=inside if role.allowed is None else role.allowed & inside)
        found = (
            _fill(translation, packing, pending, role, want)
            if want
            else np.zeros(len(packing.free), dtype=np.int64)
        )
        if found is None:
            return None
        counts.append(found)
        if len(roles) > 1:
            names = translation.node_names(as_placement([found])[0])
            translation.note([Assignment(pod=p, node=n) for p, n in zip(pending.pods, names, strict=False)])
    return as_placement(counts)


def _fill(
    translation: Translation, packing: Packing, pending: PendingRole, role: Role, want: int
) -> NDArray[np.int64] | None:
    """int64[N]: ``want`` pods of the role, taken, or None where they do not fit in this way."""
    wishes = translation.wishes(pending)
    counts = np.zeros(len(packing.free), dtype=np.int64)
    left = want
    step = -(-want // STEPS_MAX) if wishes.see_each_other else want
    while left:
        some = _next(role, counts, min(step, left), is_spread=wishes.see_each_other)
        prefer = translation.preferred([pending], [wishes])
        found = place_greedy(packing, some, prefer=prefer)
        if found is None:
            return None
        packing.take(some.roles[0], found[0])
        for row, pods in zip(found[0].nodes.tolist(), found[0].counts.tolist(), strict=True):
            counts[row] += pods
            left -= pods
            for _ in range(pods):
                wishes.placed(row)
    return counts


def _next(role: Role, counts: NDArray[np.int64], size: int, *, is_spread: bool) -> Gang:
    """The next pods of the role, under what its rules leave beside those placed."""
    limits = [
        DomainLimit(
            domain_of=limit.domain_of,
            most=np.maximum(limit.most - _sums(limit.domain_of, counts, len(limit.most)), 0),
        )
        for limit in role.limits
    ]
    if is_spread and size > 1:
        each = np.arange(len(counts), dtype=np.int32)
        limits.append(DomainLimit(domain_of=each, most=np.ones(len(counts), dtype=np.int64)))
    skews = tuple(
        replace(skew, have=skew.have + _sums(skew.domain_of, counts, len(skew.have))) for skew in role.skews
    )
    least = 1 if is_spread else size
    some = replace(role, count=size, minimum=least, limits=tuple(limits), skews=skews)
    return Gang(name=role.name, roles=(some,), minimum=least)


def _sums(domain_of: NDArray[np.int32], counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    inside = domain_of >= 0
    return np.bincount(domain_of[inside], weights=counts[inside], minlength=size).astype(np.int64)
