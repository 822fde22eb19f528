"""What teams change about a planning run: the order, who may start, and what happens to who finds no room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from binpacking.greedy import Packing
from quotas.entitlement import Denied
from scheduler.model.gang import GangKey, PendingGang, PendingRole
from scheduler.model.plan import Assignment, Budget, Clearing, Snapshot, Verdict
from scheduler.model.team import Teams
from scheduler.teams.allowance import Allowance
from scheduler.teams.clearing import Clearer
from scheduler.translation import Translation

MESSAGE_MAX = 1024
HELD = "waits for pods that are leaving: their room is held for it"
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Of some gangs those that their teams allow to start now, on the nodes of ``within`` (None: all)."""

    gangs: list[PendingGang]
    within: Mask | None
    verdicts: list[Verdict]


class Desk:
    def __init__(self, snapshot: Snapshot, teams: Teams, translation: Translation, packing: Packing) -> None:
        self.allowance = Allowance(snapshot, teams)
        self._translation = translation
        self._clearer = Clearer(translation, packing, self.allowance)
        self._hopeless: set[tuple[str, int, int, bool]] = set()
        self.clearings: list[Clearing] = []
        self._promised: set[GangKey] = set()

    def in_order(self, gangs: Sequence[PendingGang]) -> list[PendingGang]:
        """The gangs in their turns; what was promised to some of them is held from here on."""
        by_key = {gang.key: gang for gang in gangs if gang.blocked is None}
        first = [by_key[key] for key in self.allowance.teams.nominated if key in by_key]
        told = [g for g in by_key.values() if g.key not in self.allowance.teams.nominated]
        for gang in (*first, *told):
            nodes = self.allowance.nominated(gang)
            if nodes:
                self._promised.add(gang.key)
                self._clearer.promise(gang, nodes)
        return [gangs[position.index] for position in self.allowance.in_order(gangs)]

    def admit(self, gangs: Sequence[PendingGang]) -> Admitted:
        """One gang, or single pods that are planned together, each in its turn."""
        admitted: list[PendingGang] = []
        verdicts: list[Verdict] = []
        within: Mask | None = None
        charged: list[tuple[PendingGang, dict[str, int]]] = []
        for gang in gangs:
            refused = self.allowance.too_large(gang)
            if refused is not None:
                verdicts.append(
                    Verdict(key=gang.key, reason="Rejected", message=refused.reason[:MESSAGE_MAX])
                )
                continue
            for tried in _sizes(gang):
                within, denied = self.allowance.ask(tried)
                if denied is None:
                    break
            if denied is not None:
                verdicts.append(self._refused(tried, denied))
                continue
            admitted.append(tried)
            charged.append((tried, self.allowance.request(tried)))
            self.allowance.charge(*charged[-1])
        for gang, amounts in charged:
            self.allowance.release(self.allowance.team(gang), amounts)
        return Admitted(gangs=admitted, within=within, verdicts=verdicts)

    def is_promised(self, gang: PendingGang) -> bool:
        """Whether room is being made for the gang."""
        return gang.key in self._promised

    def kept(self, gang: PendingGang) -> list[Assignment] | Verdict | None:
        """The places promised to a gang, to be taken now or waited for; None without a promise."""
        found = self._clearer.kept(gang)
        if found is None:
            return None
        nodes, is_free = found
        if is_free:
            return [Assignment(pod=pod, node=nodes[pod.uid]) for pod in gang.pods if pod.uid in nodes]
        pods = {pod.uid: pod for pod in gang.pods}
        self.allowance.charge(gang, self.allowance.placed(pods, nodes))
        return _waits(gang, HELD, nodes)

    def can_batch(self, gang: PendingGang) -> bool:
        """Whether nothing is promised to the pod, and what it counts for does not depend on where it goes."""
        return not self.is_promised(gang) and all(
            len(self.allowance.models(role.shape)) <= 1 for role in gang.roles
        )

    def placed(self, gang: PendingGang, assignments: Sequence[Assignment]) -> None:
        """The gang starts: charge what it uses where it goes."""
        pods = {a.pod.uid: a.pod for a in assignments}
        self.allowance.charge(gang, self.allowance.placed(pods, {a.pod.uid: a.node for a in assignments}))

    def make_room(
        self, gangs: Sequence[PendingGang], within: Mask | None, budget: Budget, left: float
    ) -> tuple[list[Verdict], float]:
        """Verdicts of the first of these equal gangs that wait for others to leave; solver units spent."""
        first = gangs[0]
        role = first.roles[0]
        kind = (self.allowance.team(first), id(role.shape), first.priority, role.pods[0].can_preempt)
        verdicts: list[Verdict] = []
        spent = 0.0
        size = len(gangs)
        while size and len(verdicts) < len(gangs) and not (first.key.is_single and kind in self._hopeless):
            some = gangs[len(verdicts) : len(verdicts) + size]
            said, used = self._room_for(some, within, min(budget.per_gang, left - spent), budget.seed)
            spent += used
            verdicts += said
            size = size if said else size // 2
        if len(verdicts) < len(gangs) and first.key.is_single:
            self._hopeless.add(kind)
        return verdicts, spent

    def _room_for(
        self, gangs: Sequence[PendingGang], within: Mask | None, budget: float, seed: int
    ) -> tuple[list[Verdict], float]:
        first = gangs[0]
        if first.key.is_single:
            gang = self._translation.gang(first, count=len(gangs), minimum=len(gangs), within=within)
        else:
            gang = self._translation.gang(first, within=within)
        placement = self._clearer.hold(gang)
        if placement is not None:
            where = self._clearer.nominated(gangs, placement)
            pods = {pod.uid: pod for one in gangs for pod in one.pods}
            self.allowance.charge(first, self.allowance.placed(pods, where))
            return [_waits(one, HELD, where) for one in gangs], 0.0
        found = self._clearer.clear(gangs, gang, budget=budget, seed=seed)
        if found.clearing is None:
            return [], found.spent
        self.clearings.append(found.clearing)
        nodes = found.clearing.nominated
        return [_waits(one, told(found.clearing), nodes) for one in gangs], found.spent

    def _refused(self, gang: PendingGang, denied: Denied) -> Verdict:
        """A quota forbids the gang, unless some of those who use it up may be evicted for it."""
        if not any(role.shape.sees_pods for role in gang.roles):
            clearing = self._clearer.swap(gang, self._translation.gang(gang))
            if clearing is not None:
                self.clearings.append(clearing)
                return _waits(gang, told(clearing), clearing.nominated)
        text = self.allowance.words(denied)[:MESSAGE_MAX]
        return Verdict(key=gang.key, reason="QuotaExceeded", message=text)


def told(clearing: Clearing) -> str:
    """What the beneficiary's owner is told."""
    pods = sum(len(victim.pods) for victim in clearing.victims)
    teams = ", ".join(sorted({victim.team or "(none)" for victim in clearing.victims})[:5])
    verb = "preempts" if clearing.rule == "preempt" else "takes back from"
    return f"{verb} {pods} pods of {len(clearing.victims)} gangs of team {teams}; starts when they are gone"[
        :MESSAGE_MAX
    ]


def _waits(gang: PendingGang, text: str, nodes: Mapping[str, str]) -> Verdict:
    own = {pod.uid: nodes[pod.uid] for pod in gang.pods if pod.uid in nodes}
    return Verdict(key=gang.key, reason="WaitingForVictims", message=text, nominated=own)


def _sizes(gang: PendingGang) -> list[PendingGang]:
    """The gang, and the least of it that is of use."""
    least = max(1, gang.need, sum(role.minimum for role in gang.roles))
    if gang.key.is_single or least >= len(gang.pods):
        return [gang]
    return [gang, trimmed(gang, least)]


def trimmed(gang: PendingGang, size: int) -> PendingGang:
    """The gang with ``size`` of its waiting pods: each role's minimum, then the first of the others."""
    left = size - sum(role.minimum for role in gang.roles)
    roles: list[PendingRole] = []
    for role in gang.roles:
        more = max(0, min(left, len(role.pods) - role.minimum))
        left -= more
        if role.minimum + more:
            roles.append(replace(role, pods=role.pods[: role.minimum + more]))
    return replace(gang, roles=tuple(roles))
