"""INV18, no idle hole: what could have been started at an instant starts within a stated bound.

The referee sees everything at once and tries every place. Where it finds one for all the pods that a gang
waits for, and goes on finding one for the whole bound, nothing that went first can have needed that room.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from scheduler.invariants.history import GangRef, History, PodVersion, Violation
from scheduler.invariants.lives import Lives
from scheduler.invariants.room import Room, copy, fits, room_of, take, total
from scheduler.invariants.world import World, replay

#: How long something that fits may wait without trouble.
IDLE_S: Final = 60.0
Span = tuple[float, float]
#: A gang, or a pod that starts by itself by its UID.
Who = GangRef | str


def no_idle_hole(
    history: History,
    *,
    idle_s: float = IDLE_S,
    troubles: Sequence[Span] = (),
    strangers: Collection[str] = (),
) -> list[Violation]:
    """INV18. Nobody waits for longer than ``idle_s`` for whom there is room all the time.

    troubles: when the API server or the network kept everybody from acting; the time does not count.
    strangers: namespaces whose pods are refused for what they say, which is not for this judge to read.
    """
    since: dict[Who, tuple[float, int]] = {}
    found: list[Violation] = []
    blamed: set[Who] = set()
    lives = Lives()
    last: tuple[World, float, int] | None = None
    for world, change in replay(history):
        lives.take(world, change)
        now_s, revision = change.entry.at_s, change.entry.revision
        last = (world, now_s, revision)
        if not _matters(change.entry.kind, change.before, change.pod):
            continue
        startable = _startable(world, lives, strangers)
        for who in [who for who in since if who not in startable]:
            del since[who]
        for who in startable:
            since.setdefault(who, (now_s, revision))
        found += _overdue(since, now_s, idle_s, troubles, blamed)
    if last is not None:
        found += _overdue(since, history.until_s, idle_s, troubles, blamed)
    return found


def _matters(kind: str, before: PodVersion | None, pod: PodVersion | None) -> bool:
    if kind != "Pod":
        return kind in ("Node", "GPUNode", "Group")
    if before is None or pod is None:
        return True
    return _weighs(before) != _weighs(pod)


def _weighs(pod: PodVersion) -> tuple[object, ...]:
    return (pod.node, pod.phase, pod.is_deleting, pod.is_gated, pod.nominated, pod.is_plain, pod.minimum)


def _overdue(
    since: Mapping[Who, tuple[float, int]],
    now_s: float,
    idle_s: float,
    troubles: Sequence[Span],
    blamed: set[Who],
) -> Iterator[Violation]:
    for who, (from_s, revision) in since.items():
        if who not in blamed and _untroubled(from_s, now_s, troubles) > idle_s:
            blamed.add(who)
            text = f"{who} could have started from {from_s:.1f} s on and still waits at {now_s:.1f} s"
            yield Violation("INV18", revision, text)


def _untroubled(from_s: float, to_s: float, troubles: Sequence[Span]) -> float:
    """The longest stretch without trouble."""
    longest, at_s = 0.0, from_s
    for begin_s, end_s in sorted(troubles):
        if end_s <= at_s or begin_s >= to_s:
            continue
        longest, at_s = max(longest, begin_s - at_s), max(at_s, end_s)
    return max(longest, to_s - at_s)


def _startable(world: World, lives: Lives, strangers: Collection[str]) -> set[Who]:
    """Who fits beside all that runs, leaves and is promised to others."""
    waiting: defaultdict[Who, list[PodVersion]] = defaultdict(list)
    for pod in world.pods.values():
        if pod.scheduler == world.ours and pod.waits and pod.namespace not in strangers:
            waiting[pod.gang or pod.uid].append(pod)
    if not waiting:
        return set()
    free, holds = room_of(world), list(_holds(lives, waiting))
    return {
        who
        for who, pods in waiting.items()
        if (asked := _asked(world, lives, who, pods)) and fits(_beside(free, holds, who), asked)
    }


def _asked(world: World, lives: Lives, who: Who, pods: Sequence[PodVersion]) -> list[PodVersion]:
    """The pods with which a gang, or a pod, starts or goes on; none where it is not for this judge to say."""
    if not all(pod.is_plain and pod.share is None for pod in pods):
        return []
    if isinstance(who, str):
        return list(pods) if _is_due(world, pods) else []
    if world.minimum(who) is None:
        return []
    life = lives.of.get(who)
    if life is None or not life.minimum or not any(pod.holds for pod in world.there(who)):
        # Where members carry several sizes, whose word counts is not for this judge: none starts with less.
        most = max((pod.minimum for pod in world.there(who) if not pod.together), default=0)
        stand = sum(pod.stands for pod in world.there(who))
        need = max(1, world.missing(who, lambda pod: pod.stands) or 0, most - stand)
    else:
        need = max(1, lives.short_by(world, who))
    members = {pod.uid for pod in world.members(who)}
    ready = sorted((pod for pod in pods if pod.uid in members), key=lambda pod: sorted(pod.requests.items()))
    asked = ready[:need]
    return asked if len(ready) >= need and _is_due(world, asked) else []


def _is_due(world: World, pods: Sequence[PodVersion]) -> bool:
    """Whether the team has a right to it whatever others want: within its guarantee."""
    if not world.quotas:
        return True
    mine = [quota for quota in world.quotas.values() if pods[0].namespace in quota.namespaces]
    if len(mine) != 1 or not mine[0].is_plain:
        return False
    used = total(pod for pod in world.pods.values() if pod.namespace in mine[0].namespaces and pod.holds)
    asked = total(pods)
    return all(used[name] + asked[name] <= amount for name, amount in mine[0].guaranteed.items()) and bool(
        mine[0].guaranteed
    )


def _holds(
    lives: Lives, waiting: Mapping[Who, Sequence[PodVersion]]
) -> Iterator[tuple[Who, str, Mapping[str, int]]]:
    """Room kept for somebody: for whom it was made, and for members that are to come back."""
    for who, pods in waiting.items():
        for pod in pods:
            if pod.nominated:
                yield who, pod.nominated, pod.requests
    for ref, life in lives.of.items():
        if life.short_since is not None:
            for pod in life.lost:
                yield ref, pod.node, pod.requests


def _beside(free: Room, holds: Sequence[tuple[Who, str, Mapping[str, int]]], who: Who) -> Room:
    room = copy(free)
    for whose, node, requests in holds:
        if whose != who and node in room:
            take(room[node], requests)
    return room
