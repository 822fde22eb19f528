"""INV18, no idle hole: what could have been started at an instant starts within a stated bound.

The referee sees everything at once and tries every place. Where it finds one for all the pods that a gang
waits for, and goes on finding one for the whole bound, nothing that went first can have needed that room.

Room counts beside what is free in two cases. What is left of a gang that lost a member holds nothing for ever
that others wait for; and whoever has the highest priority of all that wait may have all that run below it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from scheduler.invariants.history import GangRef, History, PodVersion, Violation
from scheduler.invariants.lives import KEPT_S, Life, Lives
from scheduler.invariants.room import Room, copy, fits, give, room_of, take, total
from scheduler.invariants.world import Change, World, replay

#: How long something that fits may wait without trouble.
IDLE_S: Final = 60.0
#: What a look at it may be late.
LATE_S: Final = 6.0
#: Bindings so near to each other are one queue, and one so long keeps others waiting.
NEXT_S: Final = 3.0
BUSY_S: Final = 10.0
#: Dialects whose objects tell how many members did their work, whoever looks.
TELLING: Final = frozenset({"job", "jobset", "trainjob"})
Span = tuple[float, float]
#: A gang, or a pod that starts by itself by its UID.
Who = GangRef | str


@dataclass(slots=True, kw_only=True)
class _Referee:
    """strangers: namespaces whose pods are refused for what they say, which is not for this judge to read.

    is_firm: whether a disruption budget may keep a pod where it is, which a history does not tell.
    preempts: whether priority alone has others evicted. refused: when every eviction was refused, and
    nobody's room was for others. ``led_s``: since when the leader of today leads.
    ``once``: gangs that were evicted before, and may not be for the same beneficiary again.
    ``unwatched``: how many members of each did their work and were deleted while nobody led: who leads next
    cannot know.
    """

    strangers: Collection[str]
    is_firm: Callable[[PodVersion], bool]
    preempts: bool
    refused: Sequence[Span]
    lives: Lives = field(default_factory=Lives)
    once: set[GangRef] = field(default_factory=set)
    led_s: float = 0.0
    epoch: int = 0
    unwatched: Counter[GangRef] = field(default_factory=Counter)
    #: Those since the leader was heard of last.
    done: list[GangRef] = field(default_factory=list)

    def take(self, world: World, change: Change) -> None:
        self.lives.take(world, change)
        if change.pod is not None and change.pod.is_evicted and change.pod.gang is not None:
            self.once.add(change.pod.gang)
        gone = change.before if change.pod is None else None
        ref = gone.gang if gone is not None and gone.phase == "Succeeded" else None
        if ref is not None and ref.dialect not in TELLING:
            self.done.append(ref)
        epoch = world.lease.epoch if world.lease is not None else self.epoch
        if epoch != self.epoch:
            self.epoch, self.led_s = epoch, change.entry.at_s
            self.unwatched.update(self.done)
        if change.entry.kind == "Lease":
            self.done.clear()

    def turns_s(self, world: World, now_s: float) -> float:
        """When time alone next changes what there is room for."""
        ends = [
            at_s
            for life in self.lives.of.values()
            if life.short_since is not None or life.lost
            for at_s in (self._goes_s(life), *(self._kept_s(lost_s) for lost_s, _ in life.lost))
        ]
        return min((at_s for at_s in ends if at_s > now_s), default=float("inf"))

    def _kept_s(self, lost_s: float) -> float:
        """Until when a lost member's room is kept; a new leader keeps it anew."""
        return max(lost_s, self.led_s) + KEPT_S + LATE_S

    def _goes_s(self, life: Life) -> float:
        """From when on what is left of a gang without a member is for others."""
        began_s = life.short_since or 0.0
        return max(began_s, life.touched_s, life.bound_at_s, self.led_s) + KEPT_S + LATE_S

    def startable(self, world: World, now_s: float) -> dict[Who, str]:
        """Who fits beside all that runs, leaves and is promised to others, and in whose room if in any."""
        waiting: defaultdict[Who, list[PodVersion]] = defaultdict(list)
        for pod in world.pods.values():
            if pod.scheduler == world.ours and pod.waits and pod.namespace not in self.strangers:
                waiting[pod.gang or pod.uid].append(pod)
        if not waiting:
            return {}
        free, holds = room_of(world), list(self._holds(waiting, now_s))
        may_evict = not any(begin_s < now_s < end_s for begin_s, end_s in self.refused)
        left = list(self._left(world, now_s)) if may_evict else []
        first = self._first(world, waiting) if may_evict else None
        found: dict[Who, str] = {}
        for who, pods in waiting.items():
            unwatched = self.unwatched[who] if isinstance(who, GangRef) else 0
            asked = _asked(world, self.lives, who, pods, unwatched)
            if not asked:
                continue
            room = _beside(free, holds, who)
            more = [(f", where {ref} lost a member", rest) for ref, rest in left if ref != who]
            if who == first:
                more.append((", where lower priority runs", self._below(world, pods)))
            for where, extra in (("", []), *more):
                if fits(_with(room, extra), asked):
                    found[who] = where
                    break
        return found

    def _holds(
        self, waiting: Mapping[Who, Sequence[PodVersion]], now_s: float
    ) -> Iterator[tuple[Who, str, Mapping[str, int]]]:
        """Room kept for somebody: for whom it was made, and for members that are to come back."""
        for who, pods in waiting.items():
            for pod in pods:
                if pod.nominated:
                    yield who, pod.nominated, pod.requests
        for ref, life in self.lives.of.items():
            for lost_s, pod in life.lost:
                if now_s < self._kept_s(lost_s):
                    yield ref, pod.node, pod.requests

    def _left(self, world: World, now_s: float) -> Iterator[tuple[GangRef, list[PodVersion]]]:
        """What is left of each gang that lost a member and came no nearer to standing for so long."""
        for ref, life in self.lives.of.items():
            if life.short_since is None or not life.minimum or now_s < self._goes_s(life):
                continue
            kin = world.there(ref)
            if any(self.is_firm(pod) or (pod.is_deleting and pod.node) for pod in kin):
                continue
            yield ref, [pod for pod in kin if pod.holds]

    def _first(self, world: World, waiting: Mapping[Who, Sequence[PodVersion]]) -> Who | None:
        """Who has a higher priority than all others that wait, where that gives a right to room.

        For members beyond those that a gang stands on nobody is evicted.
        """
        if not self.preempts or world.quotas:
            return None
        levels = {who: max(pod.priority for pod in pods) for who, pods in waiting.items()}
        best = max(levels, key=lambda who: levels[who])
        is_alone = sum(level == levels[best] for level in levels.values()) == 1
        can = all(pod.can_preempt and not pod.nominated for pod in waiting[best])
        stands = isinstance(best, GangRef) and (
            any(pod.holds for pod in world.there(best)) or not world.missing(best, lambda pod: pod.stands)
        )
        return best if is_alone and can and not stands else None

    def _below(self, world: World, pods: Sequence[PodVersion]) -> list[PodVersion]:
        """All of ours that run with a lower priority, and whom no budget keeps."""
        level = max(pod.priority for pod in pods)
        mine = {pod.gang for pod in pods}
        return [
            pod
            for pod in world.pods.values()
            if pod.scheduler == world.ours
            and pod.holds
            and (pod.gang is None or pod.gang not in mine | self.once)
            and pod.priority < level
            and not self.is_firm(pod)
        ]


def no_idle_hole(
    history: History,
    *,
    idle_s: float = IDLE_S,
    troubles: Sequence[Span] = (),
    strangers: Collection[str] = (),
    is_firm: Callable[[PodVersion], bool] = lambda pod: False,
    preempts: bool = True,
    refused: Sequence[Span] = (),
) -> list[Violation]:
    """INV18. Nobody waits for longer than ``idle_s`` for whom there is room all the time.

    troubles: when the API server or the network kept everybody from acting; the time does not count, nor does
    that while a queue of Bindings is written.
    strangers, is_firm, preempts, refused: as the referee's.
    """
    since: dict[Who, tuple[float, int, str]] = {}
    found: list[Violation] = []
    blamed: set[Who] = set()
    troubles = (*troubles, *_busy(history))
    referee = _Referee(strangers=strangers, is_firm=is_firm, preempts=preempts, refused=refused)
    last, turns_s = False, float("inf")
    for world, change in replay(history):
        referee.take(world, change)
        now_s, revision, last = change.entry.at_s, change.entry.revision, True
        if now_s < turns_s and not _matters(change.entry.kind, change.before, change.pod):
            continue
        # Until this very change all was as it had been.
        found += _overdue(since, now_s, idle_s, troubles, blamed)
        turns_s = referee.turns_s(world, now_s)
        startable = referee.startable(world, now_s)
        for who in [who for who in since if who not in startable]:
            del since[who]
        for who, where in startable.items():
            since.setdefault(who, (now_s, revision, where))
    if last:
        found += _overdue(since, history.until_s, idle_s, troubles, blamed)
    return found


def _busy(history: History) -> Iterator[Span]:
    """When one Binding came right after the other: whoever fits may have been next."""
    begin_s = last_s = -1e9
    for _, change in replay(history):
        if change.is_bind and change.pod is not None and change.pod.scheduler == history.ours:
            now_s = change.entry.at_s
            if now_s - last_s > NEXT_S:
                if last_s - begin_s > BUSY_S:
                    yield begin_s, last_s
                begin_s = now_s
            last_s = now_s
    if last_s - begin_s > BUSY_S:
        yield begin_s, last_s


def _matters(kind: str, before: PodVersion | None, pod: PodVersion | None) -> bool:
    if kind != "Pod":
        return kind in ("Node", "GPUNode", "Group")
    if before is None or pod is None:
        return True
    return _weighs(before) != _weighs(pod)


def _weighs(pod: PodVersion) -> tuple[object, ...]:
    return (pod.node, pod.phase, pod.is_deleting, pod.is_gated, pod.nominated, pod.is_plain, pod.minimum)


def _overdue(
    since: Mapping[Who, tuple[float, int, str]],
    now_s: float,
    idle_s: float,
    troubles: Sequence[Span],
    blamed: set[Who],
) -> Iterator[Violation]:
    for who, (from_s, revision, where) in since.items():
        if who not in blamed and _untroubled(from_s, now_s, troubles) > idle_s:
            blamed.add(who)
            text = f"{who} could have started from {from_s:.1f} s on{where} and still waits at {now_s:.1f} s"
            yield Violation("INV18", revision, text)


def _untroubled(from_s: float, to_s: float, troubles: Sequence[Span]) -> float:
    """The longest stretch without trouble."""
    longest, at_s = 0.0, from_s
    for begin_s, end_s in sorted(troubles):
        if end_s <= at_s or begin_s >= to_s:
            continue
        longest, at_s = max(longest, begin_s - at_s), max(at_s, end_s)
    return max(longest, to_s - at_s)


def _asked(
    world: World, lives: Lives, who: Who, pods: Sequence[PodVersion], unwatched: int
) -> list[PodVersion]:
    """The pods with which a gang, or a pod, starts or goes on; none where it is not for this judge to say."""
    if not all(pod.is_plain and pod.share is None for pod in pods):
        return []
    if isinstance(who, str):
        return list(pods) if _is_due(world, pods) else []
    minimum = world.minimum(who)
    if minimum is None:
        return []
    life, runs = lives.of.get(who), any(pod.holds for pod in world.there(who))
    if life is None or not life.minimum or not runs:
        # Where members carry several sizes, whose word counts is not for this judge: none starts with less.
        most = max((pod.minimum for pod in world.there(who) if not pod.together), default=0)
        stand = sum(pod.stands for pod in world.members(who))
        need = max(1, (world.missing(who, lambda pod: pod.stands) or 0) + unwatched, most - stand + unwatched)
    else:
        # Each that comes in the place of a lost member, or in addition, starts as it comes.
        need = 1
    members = {pod.uid for pod in world.members(who)}
    ready = sorted((pod for pod in pods if pod.uid in members), key=lambda pod: sorted(pod.requests.items()))
    if not runs and len(ready) >= minimum:
        # As many as a whole run: who did their work under this name were another one.
        need = max(need, minimum)
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


def _beside(free: Room, holds: Sequence[tuple[Who, str, Mapping[str, int]]], who: Who) -> Room:
    room = copy(free)
    for whose, node, requests in holds:
        if whose != who and node in room:
            take(room[node], requests)
    return room


def _with(room: Room, pods: Sequence[PodVersion]) -> Room:
    if not pods:
        return room
    more = copy(room)
    for pod in pods:
        if pod.node in more:
            give(more[pod.node], pod.requests)
    return more
