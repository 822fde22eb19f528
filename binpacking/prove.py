"""Cheap proofs that a gang cannot stand: sums and counts that any placement would have to respect.

Each test is a necessary condition, so its failure is a proof; passing all of them proves nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import Binding, Infeasible
from binpacking.capacity import bounded, ceiling, column_sums, domain_sums, slots, unpinned
from binpacking.greedy import Packing
from binpacking.problem import Gang, Role, require_match

Holds = list[NDArray[np.int64]]


def prove_unfit(packing: Packing, gang: Gang) -> Infeasible | None:
    """The core that makes the gang impossible on these nodes, most telling first, or None if none is found.

    Tried in turn: each role alone, all roles together, each resource in sum, each topology domain.
    """
    require_match(packing.nodes, [gang])
    holds = [slots(packing.free, role) for role in gang.roles]
    core = _unfit(packing, gang, holds)
    if core:
        return Infeasible(tuple(core))
    levels = gang.required_levels
    if not levels:
        return None
    inside = unpinned(packing.nodes, gang, levels)
    pods = _most_in_one_domain(gang, packing, levels, [np.where(inside, h, 0) for h in holds])
    if pods >= gang.need:
        return None
    name = ", ".join(packing.nodes.level(level) for level in levels)
    return Infeasible((Binding(what="topology", name=name, need=gang.need, have=pods),))


def _unfit(packing: Packing, gang: Gang, holds: Holds) -> list[Binding]:
    """What binds whatever the topology."""
    core: list[Binding] = []
    bounds = [bounded(role, most) for role, most in zip(gang.roles, holds, strict=True)]
    for role, most, bound in zip(gang.roles, holds, bounds, strict=True):
        if bound < role.minimum:
            core += _why_role(packing, role, most, bound, role.minimum)
    if core:
        return core
    core = _short_resources(packing, gang, holds)
    if not core and sum(bounds) < gang.minimum:
        short = max(range(len(bounds)), key=lambda i: gang.roles[i].count - bounds[i])
        role = gang.roles[short]
        others = sum(bounds) - bounds[short]
        core += _why_role(packing, role, holds[short], bounds[short], gang.minimum - others)
    return core


def _why_role(packing: Packing, role: Role, most: NDArray[np.int64], bound: int, need: int) -> list[Binding]:
    """What keeps the role below ``need`` pods, found by relaxing one thing after the other."""
    by_rules = ceiling(role, len(most))
    where = by_rules > 0
    for column in np.flatnonzero(role.request > 0).tolist():
        asked = int(role.request[column]) * need
        have = int(np.maximum(packing.free[where, column], 0).sum())
        if have < asked and not _enough_elsewhere(packing, column, asked, where):
            name = packing.nodes.resource(column)
            return [Binding(what="resource", name=name, need=asked, have=have)]
    if int(most.sum()) >= need:
        relaxed = Role(
            name=role.name,
            count=role.count,
            minimum=role.minimum,
            request=role.request,
            allowed=role.allowed,
            limits=role.limits,
        )
        what = "limit" if bounded(relaxed, most) < need else "skew"
        return [Binding(what=what, name=role.name, need=need, have=bound)]
    if role.allowed is not None or role.limits or role.skews:
        anywhere = Role(name=role.name, count=role.count, minimum=role.minimum, request=role.request)
        if int(slots(packing.free, anywhere).sum()) >= need:
            return [
                Binding(what=_rule_that_binds(packing, role, need), name=role.name, need=need, have=bound)
            ]
    return [Binding(what="fragmentation", name=_scattered(packing, role, where), need=need, have=bound)]


def _enough_elsewhere(packing: Packing, column: int, asked: int, where: NDArray[np.bool_]) -> bool:
    return not where.all() and int(np.maximum(packing.free[:, column], 0).sum()) >= asked


def _rule_that_binds(packing: Packing, role: Role, need: int) -> str:
    """Whether the mask alone already keeps the role below ``need``, or only with limits and skews."""
    masked = Role(
        name=role.name, count=role.count, minimum=role.minimum, request=role.request, allowed=role.allowed
    )
    if int(slots(packing.free, masked).sum()) < need:
        return "mask"
    return "limit" if role.limits else "skew"


def _scattered(packing: Packing, role: Role, where: NDArray[np.bool_]) -> str:
    """The resource whose remainders hold the fewest pods node by node."""
    fewest = [
        (int(np.maximum(packing.free[where, column] // role.request[column], 0).sum()), column)
        for column in np.flatnonzero(role.request > 0).tolist()
    ]
    return packing.nodes.resource(min(fewest)[1]) if fewest else role.name


def _short_resources(packing: Packing, gang: Gang, holds: Holds) -> list[Binding]:
    """Resources of which the least that the gang must use exceeds all that is free where it may go.

    Counted over every node that some role allows, and only if nothing is short there over those that
    hold a pod now: otherwise a node full of one resource would make all its others look short.
    """
    everywhere = np.ones(len(packing.free), dtype=np.bool_)
    allowed = [everywhere if role.allowed is None else role.allowed for role in gang.roles]
    where = np.logical_or.reduce(allowed)
    short = _short_on(packing, gang, where)
    if short and not _short_on(packing, gang, everywhere):
        fit = sum(min(int(most.sum()), role.count) for most, role in zip(holds, gang.roles, strict=True))
        names = ", ".join(role.name for role in gang.roles)
        # Roles counted apart may seem to fit where they share what is short: fewer than all do.
        return [Binding(what="mask", name=names, need=gang.need, have=min(fit, gang.need - 1))]
    useful = column_sums([np.minimum(most, 1) for most in holds]) > 0
    return short if short or not useful.any() else _short_on(packing, gang, useful)


def _short_on(packing: Packing, gang: Gang, where: NDArray[np.bool_]) -> list[Binding]:
    have = np.maximum(packing.free[where], 0).sum(axis=0)
    core: list[Binding] = []
    for column in range(packing.free.shape[1]):
        need = _least_use(gang, column)
        if need > int(have[column]):
            name = packing.nodes.resource(column)
            core.append(Binding(what="resource", name=name, need=need, have=int(have[column])))
    return sorted(core, key=lambda b: b.have / b.need)


def _least_use(gang: Gang, column: int) -> int:
    """The least of one resource that any standing placement uses: minimums, then the cheapest pods."""
    used = sum(int(role.request[column]) * role.minimum for role in gang.roles)
    left = gang.minimum - sum(role.minimum for role in gang.roles)
    for price, spare in sorted((int(role.request[column]), role.count - role.minimum) for role in gang.roles):
        if left <= 0:
            break
        used += price * min(left, spare)
        left -= spare
    return used


def _most_in_one_domain(gang: Gang, packing: Packing, levels: tuple[int, ...], holds: Holds) -> int:
    """An upper bound on the pods of the gang that any one domain holds, below ``need`` where none will do."""
    codes = packing.codes(levels).astype(np.int32)
    size = int(codes.max(initial=-1)) + 1
    if not size:
        return 0
    sums = [domain_sums(codes, h, size) for h in holds]
    pods = np.zeros(size, dtype=np.int64)
    stands = np.ones(size, dtype=np.bool_)
    for role, held in zip(gang.roles, sums, strict=True):
        capped = np.minimum(held, role.count)
        pods += capped
        stands &= capped >= role.minimum
    stands &= pods >= gang.minimum
    fitting = pods.copy()
    useful = column_sums([np.minimum(most, 1) for most in holds]) > 0
    for column in range(packing.free.shape[1]):
        need = _least_use(gang, column)
        if not need:
            continue
        have = domain_sums(codes, np.where(useful, np.maximum(packing.free[:, column], 0), 0), size)
        stands &= have >= need
        np.minimum(fitting, _most_pods(gang, column, have), out=fitting)
    return gang.need if stands.any() else min(int(fitting.max()), gang.need - 1)


def _most_pods(gang: Gang, column: int, have: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[D]: pods, cheapest first, that ``have`` of one resource pays for."""
    pods = np.zeros_like(have)
    left = have.copy()
    for price, count in sorted((int(role.request[column]), role.count) for role in gang.roles):
        bought = np.minimum(left // price, count) if price else np.full_like(left, count)
        pods += bought
        left -= bought * price
    return pods
