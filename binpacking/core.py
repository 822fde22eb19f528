"""Name what binds when only the solver could prove that a gang cannot stand: relax one thing at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import Binding
from binpacking.greedy import Packing
from binpacking.model import Model
from binpacking.problem import Gang, Role

#: Share of the budget that each relaxation may use.
SHARE = 0.1

Rows = NDArray[np.int64]


def name_core(packing: Packing, gang: Gang, budget: float, seed: int) -> tuple[tuple[Binding, ...], float]:
    """What, taken away, would let the gang stand; and the work spent. Never empty.

    need is the pods that must stand; have is the most that stand together where any number may.
    """
    spent = 0.0
    rows = np.arange(len(packing.nodes))
    levels = gang.required_levels
    have, used = _most_pods(packing, gang, rows, budget * SHARE, seed)
    spent += used
    if levels and have >= gang.need:
        name = ", ".join(packing.nodes.level(level) for level in levels)
        return (Binding(what="topology", name=name, need=gang.need, have=gang.need - 1),), spent
    have = min(have, gang.need - 1)
    for what, name, relaxed in _relaxations(packing, gang):
        fits, used = _stands(packing, relaxed, rows, budget * SHARE, seed)
        spent += used
        if fits:
            return (Binding(what=what, name=name, need=gang.need, have=have),), spent
    name = max(gang.roles, key=lambda role: role.count).name
    return (Binding(what="fragmentation", name=name, need=gang.need, have=have),), spent


def _relaxations(packing: Packing, gang: Gang) -> Iterator[tuple[str, str, Gang]]:
    names = ", ".join(role.name for role in gang.roles if role.name)
    if any(role.limits for role in gang.roles):
        yield "limit", names, _with(gang, [replace(role, limits=()) for role in gang.roles])
    if any(role.skews for role in gang.roles):
        yield "skew", names, _with(gang, [replace(role, skews=()) for role in gang.roles])
    if any(role.allowed is not None for role in gang.roles):
        yield "mask", names, _with(gang, [replace(role, allowed=None) for role in gang.roles])
    for column in range(packing.free.shape[1]):
        if any(role.request[column] for role in gang.roles):
            kept = np.arange(packing.free.shape[1]) != column
            roles = [replace(role, request=role.request * kept) for role in gang.roles]
            yield "fragmentation", packing.nodes.resource(column), _with(gang, roles)


def _with(gang: Gang, roles: list[Role]) -> Gang:
    return replace(gang, roles=tuple(roles), topology=())


def _stands(packing: Packing, gang: Gang, rows: Rows, budget: float, seed: int) -> tuple[bool, float]:
    """Whether a placement of the gang is found, and the work spent."""
    model = Model(packing.free, gang.roles, rows)
    for role, total in zip(gang.roles, model.totals, strict=True):
        model.cp.add(total >= role.minimum)
        model.cp.add(total <= role.count)
    model.cp.add(sum(model.totals) >= gang.minimum)
    outcome = model.solve(budget=budget, seed=seed)
    return outcome.counts is not None, outcome.spent


def _most_pods(packing: Packing, gang: Gang, rows: Rows, budget: float, seed: int) -> tuple[int, float]:
    """A bound on the pods that fit when any number may, whatever the topology, and the work spent."""
    model = Model(packing.free, gang.roles, rows)
    for role, total in zip(gang.roles, model.totals, strict=True):
        model.cp.add(total <= role.count)
    model.cp.maximize(sum(model.totals))
    outcome = model.solve(budget=budget, seed=seed)
    bound = int(outcome.bound + 1e-6) if outcome.status != "unknown" else gang.count
    return bound, outcome.spent
