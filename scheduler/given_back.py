"""Whether it helps anybody that a gang which lost a member is given back: planned as if it were gone."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.objects import Pod, Shape
from scheduler.model.plan import Budget, Place, Policy, Snapshot
from scheduler.planner import plan
from scheduler.planning.equals import asked
from scheduler.planning.turns import in_order

#: Gangs that wait and are tried, of those that ask for different things.
TRIED_MAX = 64
#: Gangs that are tried alone at a time, the smallest ones, and how often in one look at all of them.
ALONE_MAX = 8
ALONE_TRIES_MAX = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A gang that does not stand any more, and its members that hold capacity."""

    key: GangKey
    pods: tuple[Pod, ...]
    #: The gang as if all its members waited, None while too few of them exist.
    whole: PendingGang | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A gang to be given back, and who then start on its nodes, itself among them: node by pod UID."""

    key: GangKey
    starts: Mapping[GangKey, Mapping[str, str]]


def of_use(
    snapshot: Snapshot,
    policy: Policy,
    broken: Sequence[Broken],
    lacking: Container[GangKey] | None,
    promised: Mapping[str, str],
    masks: Mapping[Shape, NDArray[np.bool_]],
) -> list[Given]:
    """Of these gangs, those on whose nodes somebody starts once they are gone, and nobody before.

    Each time the one is taken whose room makes most of the others stand again, and of those the smallest.
    Only where none is of use alone it is all that are left. The gangs themselves are among those who start.
    ``lacking`` are the others that lack room, None for all that wait; ``masks`` those of the gangs' shapes.
    ``promised``, node by pod UID, is what is held for some: it is nobody else's.
    Quotas were asked when the verdicts of ``lacking`` were made, so they are not asked here.
    """
    keys = {one.key for one in broken}
    bare = replace(
        snapshot,
        free=_beside(snapshot, promised),
        masks={**snapshot.masks, **masks},
        teams=None,
        devices=None,
        room=None,
        vacancies=tuple(room for room in snapshot.vacancies if room.gang not in keys),
    )
    own = [replace(gang, blocked=None) for gang in snapshot.gangs if gang.key in keys]
    waiting = _picked(in_order(snapshot.gangs, policy.order, snapshot.at_s), keys, lacking)
    able = {place.gang.key for place in _tried(bare, policy, [*own, *waiting])}
    look = _Look(
        bare=bare,
        policy=policy,
        broken=[one for one in broken if one.key not in able],
        waiting=[gang for gang in waiting if gang.key not in able],
        own=[gang for gang in own if gang.key not in able],
    )
    given: list[Given] = []
    while len(look.broken) > 1 and (found := look.best_alone()) is not None:
        given.append(found)
    return given + look.together()


@dataclass(slots=True, kw_only=True)
class _Look:
    """What is left to be decided: broken gangs, and who waits, those gangs' own members as ``own``."""

    bare: Snapshot
    policy: Policy
    broken: list[Broken]
    waiting: list[PendingGang]
    own: list[PendingGang]
    tries: int = 0

    def best_alone(self) -> Given | None:
        """One gang by whose end alone somebody starts on its nodes; from here on it is gone."""
        best: tuple[int, int, Broken, Snapshot, tuple[Place, ...]] | None = None
        for one in sorted(self.broken, key=lambda each: len(each.pods))[:ALONE_MAX]:
            if self.tries == ALONE_TRIES_MAX:
                break
            self.tries += 1
            freed = replace(self.bare, free=_freed(self.bare, [one]))
            others = [gang for gang in self.own if gang.key != one.key]
            places = _tried(freed, self.policy, [*others, *self.waiting, *_wholes([one])])
            if not _meet(places, one):
                continue
            score = (sum(map(_stands_again, places)), -len(one.pods))
            if best is None or score > best[:2]:
                best = (*score, one, freed, places)
        if best is None:
            return None
        _, _, gone, freed, places = best
        placed = {place.gang.key for place in places}
        self.bare = replace(freed, free=_taken(freed, places))
        self.broken = [one for one in self.broken if one is not gone and one.key not in placed]
        self.waiting = [gang for gang in self.waiting if gang.key not in placed]
        self.own = [gang for gang in self.own if gang.key not in placed and gang.key != gone.key]
        return _given(places, gone)

    def together(self) -> list[Given]:
        """All on whose nodes somebody starts once all that are left are gone."""
        freed = replace(self.bare, free=_freed(self.bare, self.broken))
        places = _tried(freed, self.policy, [*self.waiting, *_wholes(self.broken)])
        return [_given(places, one) for one in self.broken if _meet(places, one)]


def _wholes(broken: Sequence[Broken]) -> list[PendingGang]:
    return [one.whole for one in broken if one.whole is not None]


def _meet(places: Iterable[Place], gone: Broken) -> list[Place]:
    """Those who start on its nodes."""
    nodes = {pod.node_name for pod in gone.pods}
    return [place for place in places if any(a.node in nodes for a in place.assignments)]


def _given(places: Iterable[Place], gone: Broken) -> Given:
    starts = {place.gang.key: {a.pod.uid: a.node for a in place.assignments} for place in _meet(places, gone)}
    return Given(key=gone.key, starts=starts)


def _stands_again(place: Place) -> bool:
    return place.gang.is_broken and place.stands


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
    return _moved(snapshot, ((pod.node_name, pod.shape, +1) for one in broken for pod in one.pods))


def _taken(snapshot: Snapshot, places: Sequence[Place]) -> NDArray[np.int64]:
    """int64[N, R]: what is free beside those who start."""
    return _moved(snapshot, ((a.node, a.pod.shape, -1) for place in places for a in place.assignments))


def _beside(snapshot: Snapshot, promised: Mapping[str, str]) -> NDArray[np.int64]:
    """int64[N, R]: what is free beside what is promised to pods, as far as that is free by now."""
    held = (pod for gang in snapshot.gangs for pod in gang.pods if pod.uid in promised)
    left = _moved(snapshot, ((promised[pod.uid], pod.shape, -1) for pod in held))
    return np.where(left < snapshot.free, np.maximum(left, np.minimum(snapshot.free, 0)), left)


def _moved(snapshot: Snapshot, pods: Iterable[tuple[str, Shape, int]]) -> NDArray[np.int64]:
    row = {node.name: i for i, node in enumerate(snapshot.nodes)}
    column = {name: i for i, name in enumerate(snapshot.resources)}
    free = snapshot.free.copy()
    for node, shape, sign in pods:
        for name, amount in shape.requests if node in row else ():
            if name in column:
                free[row[node], column[name]] += sign * amount
    free.setflags(write=False)
    return free
