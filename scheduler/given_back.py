"""Whether it helps anybody that a gang which lost a member is given back: planned as if it were gone."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.objects import Pod, Shape
from scheduler.model.plan import Budget, Place, Policy, Snapshot
from scheduler.planner import plan
from scheduler.planning.equals import asked

#: Gangs that wait and are tried, of those that ask for different things.
TRIED_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A gang that does not stand any more, and its members that hold capacity."""

    key: GangKey
    pods: tuple[Pod, ...]
    #: The gang as if all its members waited, None while too few of them exist.
    whole: PendingGang | None


def of_use(
    snapshot: Snapshot,
    policy: Policy,
    broken: Sequence[Broken],
    lacking: Container[GangKey] | None,
    masks: Mapping[Shape, NDArray[np.bool_]],
) -> list[GangKey]:
    """Of these gangs, those on whose nodes somebody starts once all of them are gone, and nobody before.

    The gangs themselves are among those who may start, whole. ``lacking`` are the others that lack room,
    None for all that wait; ``masks`` those of the gangs' shapes. Quotas were asked when the verdicts of
    ``lacking`` were made, so they are not asked here.
    """
    keys = {one.key for one in broken}
    bare = replace(
        snapshot,
        masks={**snapshot.masks, **masks},
        teams=None,
        devices=None,
        room=None,
        vacancies=tuple(room for room in snapshot.vacancies if room.gang not in keys),
    )
    own = [replace(gang, blocked=None) for gang in snapshot.gangs if gang.key in keys]
    waiting = _picked(snapshot.gangs, keys, lacking)
    able = {place.gang.key for place in _tried(bare, policy, [*own, *waiting])}
    left = [one for one in broken if one.key not in able]
    wholes = [one.whole for one in left if one.whole is not None]
    freed = replace(bare, free=_freed(snapshot, left))
    nodes = {
        assignment.node
        for place in _tried(freed, policy, [*(g for g in waiting if g.key not in able), *wholes])
        for assignment in place.assignments
    }
    return [one.key for one in left if any(pod.node_name in nodes for pod in one.pods)]


def _picked(
    gangs: Sequence[PendingGang], broken: Collection[GangKey], lacking: Container[GangKey] | None
) -> list[PendingGang]:
    """Some that wait for room, no two that ask for the same."""
    found: dict[object, PendingGang] = {}
    for gang in gangs:
        if gang.blocked is None and gang.key not in broken and (lacking is None or gang.key in lacking):
            found.setdefault(asked(gang) or gang.key, gang)
        if len(found) == TRIED_MAX:
            break
    return list(found.values())


def _tried(snapshot: Snapshot, policy: Policy, gangs: Sequence[PendingGang]) -> tuple[Place, ...]:
    tried = replace(snapshot, gangs=tuple(gangs))
    return plan(
        tried, replace(policy, displaces=False, backfill=True), Budget(per_gang=0.0, total=0.0)
    ).places


def _freed(snapshot: Snapshot, broken: Sequence[Broken]) -> NDArray[np.int64]:
    """int64[N, R]: what is free without these gangs."""
    row = {node.name: i for i, node in enumerate(snapshot.nodes)}
    column = {name: i for i, name in enumerate(snapshot.resources)}
    free = snapshot.free.copy()
    for pod in (pod for one in broken for pod in one.pods if pod.node_name in row):
        for name, amount in pod.shape.requests:
            if name in column:
                free[row[pod.node_name], column[name]] += amount
    free.setflags(write=False)
    return free
