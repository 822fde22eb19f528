"""INV17, no useless eviction: each of ours has a cause in the API's own history, and is one that it needs.

Causes are: the gang truly fell below the minimum under which it started, and stayed there; it could not be
completed; its node or a device of it is gone; or somebody starts on the room, and could not have without it.
What the scheduler says of its reasons counts only to find for whom it was.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from scheduler.invariants.history import EventVersion, GangRef, History, PodVersion, Violation
from scheduler.invariants.lives import Lives
from scheduler.invariants.room import GPU, Room, copy, fits, give, room_of, take
from scheduler.invariants.world import Change, World, replay

#: How long a gang may be short before its others are given back, less what a look at it may be late.
SHORT_S: Final = 4.0
#: A gang that restarts as a whole does so within this of a member's going.
RESTART_S: Final = 60.0
#: A gang whose members were still being bound so short a time ago was getting on.
PROGRESS_S: Final = 10.0
#: Whoever others left for starts within this, once they are gone.
START_S: Final = 120.0
#: A write that was on its way when its cause went.
VIEW_S: Final = 5.0
#: Evictions for the same end so near to each other are one decision.
ROUND_S: Final = 5.0
#: How an eviction speaks of pods that are planned together with the one it names.
MORE: Final = re.compile(r"\band (\d+) more\b")
Span = tuple[float, float]
Who = GangRef | str


@dataclass(slots=True, kw_only=True)
class Case:
    """The evictions of one gang (or single pod) at one time, and what was so at the first of them.

    ``fault``: why they were useless, where nobody starts on the room. ``waiting``: who waited then, by gang
    or UID. ``free``: room then, with those that were leaving gone. ``words``: what was said of the reason.
    """

    who: Who
    revision: int
    at_s: float
    fault: str
    free: Room
    waiting: Mapping[Who, list[PodVersion]]
    pods: dict[str, PodVersion] = field(default_factory=dict)
    words: str = ""
    starter: Who | None = None
    last_s: float = 0.0
    #: When the last of them was gone.
    gone_s: float = float("inf")

    @property
    def nodes(self) -> set[str]:
        return {pod.node for pod in self.pods.values()}

    @property
    def title(self) -> str:
        names = ", ".join(sorted(pod.name for pod in self.pods.values()))
        return f"{self.who if isinstance(self.who, GangRef) else 'pod'}: {names}"


def no_useless_eviction(
    history: History, *, start_s: float = START_S, troubles: Sequence[Span] = ()
) -> list[Violation]:
    """INV17. troubles: when the API server or the network kept everybody from acting."""
    cases = _Cases(troubles)
    for world, change in replay(history):
        cases.take(world, change)
    found = [*cases.found]
    for case in cases.closed:
        found += _judge(case, cases, history.until_s, start_s)
    found += _needless(cases)
    return found


class _Cases:
    def __init__(self, troubles: Sequence[Span]) -> None:
        self.closed: list[Case] = []
        self.found: list[Violation] = []
        #: When and where a gang or single pod was bound first after a time.
        self.binds: list[tuple[float, Who, PodVersion]] = []
        #: When pods that waited were deleted, gated or gone: whose, and of which priority.
        self.ended: list[tuple[float, Who, int]] = []
        #: When nodes or foreign pods changed the room, by node.
        self.moved: list[tuple[float, str]] = []
        self.names: dict[Who, str] = {}
        #: By UID, pods that were seen to leave: node, since when, and when they were gone.
        self.leaving: dict[str, tuple[str, float, float]] = {}
        #: Pods that were nominated to a node, and when.
        self.nominated: list[tuple[float, PodVersion]] = []
        #: Nodes to which somebody was nominated.
        self.hopes: dict[Who, set[str]] = {}
        self._troubles = troubles
        self._lives = Lives()
        self._open: dict[Who, Case] = {}
        self._evicted: dict[str, Case] = {}
        #: Pods of ours bound lately: (second, pod).
        self._lately: list[tuple[float, PodVersion]] = []
        #: When each pod was seen first.
        self._first: dict[str, float] = {}

    def take(self, world: World, change: Change) -> None:
        now_s, pod, before = change.entry.at_s, change.pod, change.before
        match change.entry.version:
            case EventVersion(uid=uid, reason="Evicted", note=note) if uid in self._evicted:
                self._evicted[uid].words = self._evicted[uid].words or note
            case _:
                pass
        if change.entry.kind == "Node":
            self.moved.append((now_s, change.entry.key))
        either = pod or before
        if either is None:
            self._lives.take(world, change)
            return
        if either.scheduler != world.ours:
            self._lives.take(world, change)
            if either.node:
                self.moved.append((now_s, either.node))
            return
        is_new = pod is not None and pod.is_evicted and not (before is not None and before.is_evicted)
        if is_new and pod is not None and before is not None:
            self._evict(world, before, now_s, change.entry.revision)
        self._lives.take(world, change)
        self._note(world, change, either)

    def _note(self, world: World, change: Change, either: PodVersion) -> None:
        now_s, pod, before = change.entry.at_s, change.pod, change.before
        who = either.gang or either.uid
        self._first.setdefault(either.uid, now_s)
        if either.nominated and not either.node:
            self.hopes.setdefault(who, set()).add(either.nominated)
        if pod is not None and pod.nominated and before is not None and not before.nominated:
            self.nominated.append((now_s, pod))
        if either.node and either.is_deleting:
            _, since_s, _ = self.leaving.get(either.uid, ("", now_s, 0.0))
            gone_s = now_s if pod is None else float("inf")
            self.leaving[either.uid] = (either.node, since_s, gone_s)
        self.names[who] = f"{either.namespace}/{who.name if isinstance(who, GangRef) else either.name}"
        if pod is not None and pod.evicted_for and (case := self._evicted.get(pod.uid)) is not None:
            case.words = case.words or pod.evicted_for[1]
        if change.is_bind and pod is not None and before is not None:
            self.binds.append((now_s, who, pod))
            self._lately.append((now_s, pod))
        if pod is None and (case := self._evicted.get(either.uid)) is not None:
            case.gone_s = now_s if all(uid not in world.pods for uid in case.pods) else case.gone_s
        if (pod is None or pod.is_deleting or not pod.is_live or pod.is_gated) and not either.node:
            self.ended.append((now_s, who, either.priority))

    def _evict(self, world: World, pod: PodVersion, now_s: float, revision: int) -> None:
        who = pod.gang or pod.uid
        case = self._open.get(who)
        if case is not None and (now_s - case.last_s > 60.0 or self._stands_anew(world, who, case)):
            case = None
        if case is None:
            case = self._open[who] = Case(
                who=who,
                revision=revision,
                at_s=now_s,
                fault=self._fault(world, pod, now_s),
                free=room_of(world, leaving_is_free=True),
                waiting=_waiting(world),
            )
            self.closed.append(case)
        # Of a gang that restarts whole the others go for the first, whatever that went for.
        if not case.pods or not any(member.on_loss == "restart" for member in self._kin(world, pod)):
            case.last_s = now_s
        case.pods[pod.uid] = pod
        self._evicted[pod.uid] = case

    def _kin(self, world: World, pod: PodVersion) -> list[PodVersion]:
        return [] if pod.gang is None else world.there(pod.gang)

    def _stands_anew(self, world: World, who: Who, case: Case) -> bool:
        """Whether the gang started again since, so that this is another matter."""
        return any(at_s > case.last_s and whose == who for at_s, whose, _ in reversed(self.binds[-50:]))

    # -- causes that are there already -----------------------------------------------------------

    def _fault(self, world: World, pod: PodVersion, now_s: float) -> str:
        """Why the gang itself gave no cause; empty where it did."""
        if _is_sick(world, pod):
            return ""
        if pod.gang is None:
            return "" if self._is_troubled(now_s) else "it ran"
        life = self._lives.of.get(pod.gang)
        if life is None:
            return ""
        restarts = any(member.on_loss == "restart" for member in world.members(pod.gang))
        if restarts and (life.short_since is not None or life.touched_s > now_s - RESTART_S):
            return ""
        if not life.minimum:
            return self._incomplete(world, pod.gang, now_s)
        if life.short_since is None:
            return f"the gang stood, with at least {life.minimum} members"
        short_s = now_s - life.short_since
        if short_s < SHORT_S:
            return f"the gang was short for {short_s:.1f} s only"
        return self._given_away(world, pod.gang, now_s)

    def _incomplete(self, world: World, ref: GangRef, now_s: float) -> str:
        """Of a gang that never stood yet."""
        life = self._lives.of[ref]
        since_s = min(life.begun_s, now_s - 60.0)
        if self._is_troubled(now_s) or life.touched_s > now_s - 60.0:
            return ""
        if any(at_s > now_s - 60.0 for at_s, _ in self.moved):
            return ""
        missing = world.missing(ref, lambda member: member.stands or member.waits)
        if missing:
            return ""
        if now_s - life.bound_at_s < PROGRESS_S and since_s <= now_s:
            text = "the gang was being bound, and its last member was"
            return f"{text} {now_s - life.bound_at_s:.1f} s before"
        return ""

    def _given_away(self, world: World, ref: GangRef, now_s: float) -> str:
        """Of a gang that lost members: whether those made anew had room, or would have had."""
        life = self._lives.of[ref]
        since_s = life.short_since or now_s
        need = self._lives.short_by(world, ref)
        ready = [m for m in world.members(ref) if m.waits and m.is_plain and self._made(m) < now_s - 5.0]
        if len(ready) < need or not need:
            return ""
        room = room_of(world)
        if fits(room, ready[:need]):
            return f"those made anew fit, for {now_s - since_s:.0f} s"
        takers = [
            pod
            for at_s, pod in self._lately
            if at_s >= since_s
            and pod.gang != ref
            and pod.node in room
            and world.pods.get(pod.uid)
            and pod.priority <= ready[0].priority
        ]
        for pod in takers:
            give(room[pod.node], pod.requests)
        if takers and fits(room, ready[:need]):
            names = ", ".join(sorted(pod.name for pod in takers))
            return f"the room of a lost member was given to {names}"
        return ""

    def _made(self, pod: PodVersion) -> float:
        return self._first.get(pod.uid, 0.0)

    def _is_troubled(self, now_s: float) -> bool:
        return any(begin_s < now_s < end_s + 60.0 for begin_s, end_s in self._troubles)


def _is_sick(world: World, pod: PodVersion) -> bool:
    """Whether a node or a device of the gang is gone."""
    members = world.members(pod.gang) if pod.gang is not None else [pod]
    for member in members:
        if not member.node:
            continue
        if member.node not in world.nodes:
            return True
        told = world.gpu_nodes.get(member.node)
        if told is not None and any(uuid not in told.usable for uuid in member.devices):
            return True
    return False


def _waiting(world: World) -> dict[Who, list[PodVersion]]:
    found: dict[Who, list[PodVersion]] = {}
    for pod in world.pods.values():
        if pod.scheduler == world.ours and pod.waits:
            found.setdefault(pod.gang or pod.uid, []).append(pod)
    return found


# -- for whom ------------------------------------------------------------------------------------------


def _judge(case: Case, cases: _Cases, until_s: float, start_s: float) -> Iterator[Violation]:
    """Of an eviction without a cause of its own: who started on the room, if anybody."""
    if not case.fault:
        return
    named = _named(case, cases)
    due_s = _gone_s(case, cases, named) + start_s
    case.starter = _starter(case, cases, named, due_s)
    if case.starter is not None:
        return
    late = [at_s for at_s, who, level in cases.ended if _gave_up(case, named, at_s, who, level, due_s)]
    if late:
        over_s = case.last_s - min(late)
        if named and over_s > VIEW_S:
            text = f"{case.title} evicted for {case.words}, {over_s:.1f} s after that had ended"
            yield Violation("INV17", case.revision, text)
        return
    if due_s > until_s or any(at_s > case.at_s and node in case.nodes for at_s, node in cases.moved):
        return  # Nobody can know yet, or the room went to somebody who asks nobody.
    text = f"{case.title} evicted at {case.at_s:.1f} s: {case.fault}, and nobody started on the room"
    yield Violation("INV17", case.revision, f"{text} ({case.words or 'no word why'})")


def _named(case: Case, cases: _Cases) -> set[Who]:
    """Whom the eviction was said to be for; of pods that are planned together only the first is named."""
    said = case.words.replace(",", " ").split()
    named = {who for who, name in cases.names.items() if name in said}
    if not MORE.search(case.words):
        return named
    return named | {mate for who in named for mate in _mates(case, who)}


def _mates(case: Case, who: Who) -> list[Who]:
    """Single pods that waited then and are like this one."""
    if isinstance(who, GangRef) or who not in case.waiting:
        return []
    (pod,) = case.waiting[who]
    return [
        other
        for other, (first, *_) in case.waiting.items()
        if not isinstance(other, GangRef)
        and (first.namespace, first.priority, first.requests) == (pod.namespace, pod.priority, pod.requests)
        and other != who
    ]


def _gone_s(case: Case, cases: _Cases, named: Collection[Who]) -> float:
    """When the last of the victims of one decision was gone, and of others that had begun to leave by then
    nodes to which the beneficiary is nominated: whoever they leave for waits for all of them.
    """
    beside = [other for other in cases.closed if other.fault and abs(other.at_s - case.at_s) <= ROUND_S]
    hopes = {node for who in named for node in cases.hopes.get(who, ())}
    leaving = (
        gone_s for node, begun_s, gone_s in cases.leaving.values() if node in hopes and begun_s <= case.last_s
    )
    return max(*(other.gone_s for other in beside), *(s for s in leaving if s >= case.at_s), 0.0)


def _starter(case: Case, cases: _Cases, named: Collection[Who], due_s: float) -> Who | None:
    """For whom it was: who is named, else who starts with the most on the nodes of the victims."""
    started: dict[Who, int] = {}
    for at_s, who, pod in cases.binds:
        # Who is named may start on room that came by chance before the victims were gone.
        is_it = who in named if named else pod.node in case.nodes
        if is_it and who != case.who and who in case.waiting and case.at_s < at_s <= due_s:
            started[who] = started.get(who, 0) + pod.requests.get(GPU, 0) + 1
    return max(started, key=lambda who: started[who], default=None)


def _gave_up(case: Case, named: Collection[Who], at_s: float, who: Who, level: int, due_s: float) -> bool:
    """Whether somebody who may have been the beneficiary was deleted before it could start."""
    if not case.at_s - VIEW_S <= at_s <= due_s or who == case.who:
        return False
    return who in named if named else level >= max(pod.priority for pod in case.pods.values())


def _needless(cases: _Cases) -> Iterator[Violation]:
    """Victims without whom the one that started would have had its places at once."""
    rounds: dict[Who, list[Case]] = {}
    for case in cases.closed:
        if case.fault and case.starter is not None:
            rounds.setdefault(case.starter, []).append(case)
    for who, group in rounds.items():
        while group:
            first = group[0]
            together = [case for case in group if case.at_s - first.at_s <= ROUND_S]
            group = [case for case in group if case not in together]
            yield from _spared(cases, who, together)


def _spared(cases: _Cases, who: Who, together: Sequence[Case]) -> Iterator[Violation]:
    first = together[0]
    started = [(whose, pod) for at_s, whose, pod in cases.binds if at_s > first.at_s]
    told = MORE.search(first.words)
    alike = set(_mates(first, who)) if told is not None else set()
    mates = [whose for whose, _ in started if whose in alike][: 0 if told is None else int(told[1])]
    mine = {who, *mates}
    bound = {pod.uid for whose, pod in started if whose in mine}
    need = [
        pod
        for one in (who, *mates)
        for pod in first.waiting[one]
        if pod.uid in bound or _was_cut_short(cases, one, first)
    ]
    if not need or not all(pod.is_plain and pod.share is None for pod in need):
        return
    rivals = _others_that_start(cases, mine, together)
    for spared in together:
        room = copy(first.free)
        for node, requests in _promised(first, mine, cases):
            take(room[node], requests)
        for case in together:
            for pod in case.pods.values() if case is not spared else ():
                if pod.node in room:
                    give(room[pod.node], pod.requests)
        for pod in rivals:
            if pod.node in room:
                take(room[pod.node], pod.requests)
        if fits(room, need):
            text = f"{spared.title} evicted for {cases.names[who]}, which needed {len(need)} places"
            yield Violation("INV17", spared.revision, f"{text} and had them without")


def _was_cut_short(cases: _Cases, who: Who, first: Case) -> bool:
    """Whether some of it was deleted while it started: then it had asked for more than what was bound."""
    return any(whose == who and 0.0 <= at_s - first.at_s <= START_S for at_s, whose, _ in cases.ended)


def _promised(case: Case, mine: Collection[Who], cases: _Cases) -> Iterator[tuple[str, Mapping[str, int]]]:
    """Room that others had been nominated to before, or were in the same decision and never took."""
    others = [pod for who, pods in case.waiting.items() for pod in pods if who not in mine]
    yield from ((pod.nominated, pod.requests) for pod in others if pod.nominated in case.free)
    asking = {pod.uid for pod in others if not pod.nominated}
    asking -= {pod.uid for _, _, pod in cases.binds}
    for at_s, pod in cases.nominated:
        if pod.uid in asking and abs(at_s - case.at_s) <= VIEW_S and pod.nominated in case.free:
            yield pod.nominated, pod.requests


def _others_that_start(cases: _Cases, mine: Collection[Who], together: Sequence[Case]) -> list[PodVersion]:
    """Pods bound between: their room was theirs. Where it had been promised to them, it counts once."""
    begin_s = together[0].at_s
    ends = [at_s for at_s, whose, _ in cases.binds if whose in mine and at_s > begin_s]
    waiting = together[0].waiting
    promised = {pod.uid for pods in waiting.values() for pod in pods if pod.nominated}
    return [
        pod
        for at_s, whose, pod in cases.binds
        if whose not in mine and begin_s < at_s <= max(ends, default=begin_s) and pod.uid not in promised
    ]
