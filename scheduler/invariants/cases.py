"""Evictions as an auditor sees them: which are one matter, what was so then, and who was bound since."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from scheduler.invariants.history import EventVersion, GangRef, GroupVersion, PodVersion
from scheduler.invariants.lives import KEPT_S, Life, Lives
from scheduler.invariants.room import Room, fits, give, is_missed, room_of, take
from scheduler.invariants.world import Change, World

#: How long a gang may be short before its others are given back, less what a look at it may be late.
SHORT_S: Final = 4.0
#: A gang that restarts as a whole does so within this of a member's going.
RESTART_S: Final = 60.0
#: A gang whose members were still being bound so short a time ago was getting on.
PROGRESS_S: Final = 10.0
#: Evictions of one gang so far apart are of two decisions.
DECISION_S: Final = 20.0
#: What happened so short a time before an eviction was written may not have been known when it was decided.
SEEN_S: Final = 2.0
#: How an eviction says for whom it is; one that does not gives a gang back.
FOR: Final = re.compile(r"\bfor (?:gang|pod) ")
Span = tuple[float, float]
Who = GangRef | str


@dataclass(slots=True, kw_only=True)
class Case:
    """The evictions of one gang (or single pod) at one time, and what was so at the first of them.

    ``fault``: why they were useless, where nobody starts on the room. ``is_broken``: the gang was short, so
    that it may leave for anybody who waits. ``waiting``: who waited then, by gang or UID. ``free``: room
    then, with those that were leaving gone. ``kept``: lost members of others, whose rooms no lower priority
    may take, and with teams nobody of another namespace. ``unseen``: who had begun to leave, or ended, only
    when the eviction was on its way. ``withdrawn``: who waited until then and may have had a place, whose
    Binding no history shows. ``words``: what was said of the reason.
    """

    who: Who
    revision: int
    at_s: float
    fault: str
    is_broken: bool
    free: Room
    waiting: Mapping[Who, list[PodVersion]]
    kept: Sequence[PodVersion] = ()
    unseen: Sequence[PodVersion] = ()
    withdrawn: Sequence[PodVersion] = ()
    has_teams: bool = False
    pods: dict[str, PodVersion] = field(default_factory=dict)
    #: Members that held their nodes then, and were not seen to go since.
    rest: dict[str, PodVersion] = field(default_factory=dict)
    words: str = ""
    #: Somebody held a part of a device, which no request counts.
    has_shares: bool = False
    #: Some of them were said to be for somebody else: more than one decision.
    is_mixed: bool = False
    starter: Who | None = None
    last_s: float = 0.0
    #: When the last of them was gone.
    gone_s: float = float("inf")

    def hear(self, words: str) -> None:
        """What was said of one of them."""
        self.is_mixed |= bool(self.words) and words != self.words
        if not self.words or (FOR.search(words) and not FOR.search(self.words)):
            # A gang that is given back because others of it left for somebody has no reason of its own.
            self.words = words

    @property
    def nodes(self) -> set[str]:
        return {pod.node for pod in self.pods.values()}

    @property
    def title(self) -> str:
        names = ", ".join(sorted(pod.name for pod in self.pods.values()))
        return f"{self.who if isinstance(self.who, GangRef) else 'pod'}: {names}"


class Cases:
    def __init__(self, troubles: Sequence[Span]) -> None:
        self.closed: list[Case] = []
        #: When and where a gang or single pod was bound first after a time.
        self.binds: list[tuple[float, Who, PodVersion]] = []
        #: When pods that waited were deleted, gated or gone: whose, and of which priority.
        self.ended: list[tuple[float, Who, int]] = []
        #: When a pod of somebody was seen first: a name may come again.
        self.came: list[tuple[float, Who]] = []
        #: When nodes or foreign pods changed the room, by node.
        self.moved: list[tuple[float, str]] = []
        #: When more was asked of a gang than before.
        self.grown: list[tuple[float, Who]] = []
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
        #: When somebody else than the scheduler made a pod of ours let go of its node, and the pod before.
        self._gone: list[tuple[float, PodVersion]] = []
        #: The same of pods that waited.
        self._withdrawn: list[tuple[float, Who, PodVersion]] = []
        #: When each pod was seen first.
        self._first: dict[str, float] = {}
        self._sizes: dict[GangRef, int] = {}

    def is_said(self, case: Case, who: Who) -> bool:
        """Whether the eviction was said to be for somebody."""
        return self.names.get(who, "") in case.words.replace(",", " ").split()

    def hoped_for(self, named: Iterable[Who]) -> set[str]:
        """Nodes to which any of these were nominated."""
        return {node for who in named for node in self.hopes.get(who, ())}

    def take(self, world: World, change: Change) -> None:
        now_s, pod, before = change.entry.at_s, change.pod, change.before
        match change.entry.version:
            case EventVersion(uid=uid, reason="Evicted", note=note) if uid in self._evicted:
                self._evicted[uid].hear(note)
            case GroupVersion(ref=ref, minimum=size):
                if size > self._sizes.get(ref, size):
                    self.grown.append((now_s, ref))
                self._sizes[ref] = size
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
        if either.uid not in self._first:
            self._first[either.uid] = now_s
            self.came.append((now_s, who))
        if either.nominated and not either.node:
            self.hopes.setdefault(who, set()).add(either.nominated)
        if pod is not None and pod.nominated and before is not None and not before.nominated:
            self.nominated.append((now_s, pod))
        stays = pod is not None and (pod.holds or pod.is_evicted)
        if before is not None and before.holds and not before.is_evicted and not stays:
            self._gone.append((now_s, before))
        if either.node and either.is_deleting:
            _, since_s, _ = self.leaving.get(either.uid, ("", now_s, 0.0))
            gone_s = now_s if pod is None else float("inf")
            self.leaving[either.uid] = (either.node, since_s, gone_s)
        self.names[who] = f"{either.namespace}/{who.name if isinstance(who, GangRef) else either.name}"
        if pod is not None and pod.evicted_for and (case := self._evicted.get(pod.uid)) is not None:
            case.hear(pod.evicted_for[1])
        case = self._open.get(who)
        if case is not None and (pod is None or not pod.holds):
            case.rest.pop(either.uid, None)
        if change.is_bind and pod is not None and before is not None:
            self.binds.append((now_s, who, pod))
            self._lately.append((now_s, pod))
        if pod is None and (case := self._evicted.get(either.uid)) is not None:
            case.gone_s = now_s if all(uid not in world.pods for uid in case.pods) else case.gone_s
        if (pod is None or pod.is_deleting or not pod.is_live or pod.is_gated) and not either.node:
            self.ended.append((now_s, who, either.priority))
            if before is not None and before.waits:
                self._withdrawn.append((now_s, who, before))

    def _evict(self, world: World, pod: PodVersion, now_s: float, revision: int) -> None:
        who = pod.gang or pod.uid
        case = self._open.get(who)
        if case is not None and (now_s - case.last_s > DECISION_S or self._stands_anew(world, who, case)):
            case = None
        if case is None:
            fault = self._fault(world, pod, now_s)
            case = self._open[who] = Case(
                who=who,
                revision=revision,
                at_s=now_s,
                fault=fault,
                is_broken=not fault and self._is_broken(world, pod, now_s),
                free=room_of(world, leaving_is_free=True),
                waiting=_waiting(world),
                kept=self._kept(who, now_s),
                unseen=self._unseen(world, now_s),
                withdrawn=self._planned(world, now_s),
                has_teams=bool(world.quotas),
                has_shares=any(one.share is not None and one.holds for one in world.pods.values()),
            )
            case.rest = {member.uid: member for member in self._kin(world, pod) if member.holds}
            self.closed.append(case)
        # Of a gang that restarts whole the others go for the first, whatever that went for.
        if not case.pods or not any(member.on_loss == "restart" for member in self._kin(world, pod)):
            case.last_s = now_s
        case.pods[pod.uid] = pod
        case.gone_s = float("inf")  # Whoever went before was not the last of them.
        self._evicted[pod.uid] = case

    def _kin(self, world: World, pod: PodVersion) -> list[PodVersion]:
        return [] if pod.gang is None else world.there(pod.gang)

    def _kept(self, who: Who, now_s: float) -> list[PodVersion]:
        """Members that other gangs lost lately, as they were on their nodes."""
        return [
            pod
            for ref, life in self._lives.of.items()
            for lost_s, pod in life.lost
            if ref != who and now_s < lost_s + KEPT_S
        ]

    def _unseen(self, world: World, now_s: float) -> list[PodVersion]:
        """Whose room is free, with those that leave gone, and may not have been when it was decided."""
        found: list[PodVersion] = []
        for at_s, pod in self._gone:
            there = world.pods.get(pod.uid)
            stays = there is not None and there.is_live and is_missed(world, there)
            if at_s > now_s - SEEN_S and not stays:
                found.append(pod)
        return found

    def _planned(self, world: World, now_s: float) -> list[PodVersion]:
        """Who waited until just before, for nobody to leave, and had room: it may have been on its way."""
        lately = [case for case in self.closed[-50:] if case.last_s > now_s - RESTART_S]
        late: dict[Who, list[PodVersion]] = {}
        for at_s, who, pod in reversed(self._withdrawn):
            if at_s <= now_s - SEEN_S:
                break
            if not pod.nominated and not any(self.is_said(case, who) for case in lately):
                late.setdefault(who, []).append(pod)
        free = room_of(world)
        return [pod for pods in late.values() if fits(free, pods) for pod in pods]

    def _stands_anew(self, world: World, who: Who, case: Case) -> bool:
        """Whether the gang started again since, so that this is another matter: with a pod made since then,
        for the Binding of another may have been on its way.
        """
        return any(
            at_s > case.last_s and whose == who and self._made(pod) > case.at_s
            for at_s, whose, pod in reversed(self.binds[-50:])
        )

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
            if self._lives.lacks(world, pod.gang, now_s):
                return ""
            return f"the gang stood, with at least {life.minimum} members"
        short_s = now_s - life.short_since
        if short_s < SHORT_S:
            return f"the gang was short for {short_s:.1f} s only"
        return self._given_away(world, pod.gang, now_s)

    def _is_broken(self, world: World, pod: PodVersion, now_s: float) -> bool:
        """Whether the gang stood and lost a member, and nothing makes it restart: it may leave for others."""
        life = self._lives.of.get(pod.gang) if pod.gang is not None else None
        if life is None or pod.gang is None or not life.minimum or _is_sick(world, pod):
            return False
        if life.short_since is None and not self._lives.lacks(world, pod.gang, now_s):
            return False
        kin = world.members(pod.gang) if pod.gang is not None else []
        return not any(m.on_loss == "restart" for m in kin) and not self._is_troubled(now_s)

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
        room, made_s = room_of(world), min(self._made(member) for member in ready)
        for pod in world.pods.values():
            if pod.waits and pod.gang != ref and pod.nominated in room and pod.priority >= ready[0].priority:
                take(room[pod.nominated], pod.requests)
        if fits(room, ready[:need]):
            return f"those made anew fit, for {now_s - since_s:.0f} s"
        takers = [
            pod
            for at_s, pod in self._lately
            if at_s >= since_s
            and (at_s >= made_s + SEEN_S or _is_of_the_lost(life, pod.node, at_s))
            and pod.gang != ref
            and pod.node in room
            and world.pods.get(pod.uid)
            and pod.priority <= ready[0].priority
            # What another team is owed is not for this judge to say.
            and (not world.quotas or pod.namespace == ref.namespace)
            and not self._was_made_for(pod, since_s)
        ]
        for pod in takers:
            give(room[pod.node], pod.requests)
        if takers and fits(room, ready[:need]):
            names = ", ".join(sorted(pod.name for pod in takers))
            return f"the room of a lost member was given to {names}"
        return ""

    def _was_made_for(self, pod: PodVersion, since_s: float) -> bool:
        """Whether somebody left the pod's node for it, so that it took nobody else's room."""
        who = pod.gang or pod.uid
        return any(
            case.at_s >= since_s and pod.node in case.nodes and self.is_said(case, who)
            for case in self.closed
        )

    def _made(self, pod: PodVersion) -> float:
        return self._first.get(pod.uid, 0.0)

    def _is_troubled(self, now_s: float) -> bool:
        return any(begin_s < now_s < end_s + 60.0 for begin_s, end_s in self._troubles)


def _is_of_the_lost(life: Life, node: str, at_s: float) -> bool:
    """Whether room on the node was kept for a lost member then."""
    return any(lost.node == node and lost_s <= at_s <= lost_s + KEPT_S for lost_s, lost in life.lost)


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
