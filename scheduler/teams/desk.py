"""What teams and priorities change about a planning run: order, who may start, who leaves for whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from binpacking.greedy import Packing
from binpacking.problem import Gang
from quotas.amounts import add_amounts
from quotas.entitlement import Denied
from scheduler.model.gang import GangKey, PendingGang, PendingRole, Vacancy
from scheduler.model.plan import Assignment, Budget, Clearing, Policy, Snapshot, Verdict
from scheduler.model.team import Teams
from scheduler.teams.allowance import Allowance
from scheduler.teams.clearing import Clearer
from scheduler.teams.entitled import may_take
from scheduler.teams.promises import Mask as Mask
from scheduler.teams.promises import Promises
from scheduler.teams.split import Counts
from scheduler.teams.turns import TeamTurns
from scheduler.teams.unlimited import Unlimited
from scheduler.translation import Translation

MESSAGE_MAX = 1024
HELD = "waits for pods that are leaving: their room is held for it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Of some gangs those that their teams allow to start now, on the nodes of ``within`` (None: all)."""

    gangs: list[PendingGang]
    within: Mask | None
    #: For each role of the only gang the most pods on each GPU model, where they must go to several.
    split: tuple[Counts, ...] | None
    verdicts: list[Verdict]
    #: Those that a quota forbids, to be told with ``refuse`` once the others have their places.
    refusals: list[tuple[PendingGang, Denied]]


class Desk:
    """``has_teams``: whether there is a TeamQuota. Without one nobody has a limit, and room is made by
    priority, or by the policy's order where it displaces.
    """

    def __init__(
        self, snapshot: Snapshot, teams: Teams, policy: Policy, translation: Translation, packing: Packing
    ) -> None:
        self.has_teams = snapshot.teams is not None
        self._displaces = policy.displaces and not self.has_teams
        self.allowance = Allowance(snapshot, teams) if self.has_teams else Unlimited(snapshot, teams)
        self._lowest = min((gang.priority for gang in teams.running), default=None)
        self._translation = translation
        self._promises = Promises(translation, packing, teams)
        self._clearer = Clearer(
            translation,
            packing,
            self._promises,
            self.allowance,
            order=policy.order,
            displaces=self._displaces,
        )
        self._hopeless: set[tuple[str, int, int, bool]] = set()
        self._promised: set[GangKey] = set()

    @property
    def clearings(self) -> list[Clearing]:
        """What was chosen in this run, as far as somebody is to leave."""
        return self._clearer.clearings

    def in_turn(self, gangs: Sequence[PendingGang]) -> TeamTurns:
        """The gangs in their teams' turns."""
        return TeamTurns(gangs, self.allowance)

    def hold_promised(self, gangs: Sequence[PendingGang]) -> None:
        """What was promised to some of these gangs is held from here on."""
        by_key = {gang.key: gang for gang in gangs if gang.blocked is None}
        first = [by_key[key] for key in self.allowance.teams.nominated if key in by_key]
        told = [g for g in by_key.values() if g.key not in self.allowance.teams.nominated]
        for gang in (*first, *told):
            nodes = self.allowance.nominated(gang)
            if nodes:
                self._promised.add(gang.key)
                self._promises.promise(gang, nodes)

    def admit(self, gangs: Sequence[PendingGang]) -> Admitted:
        """One gang, or single pods that are planned together, each in its turn."""
        admitted: list[PendingGang] = []
        verdicts: list[Verdict] = []
        refusals: list[tuple[PendingGang, Denied]] = []
        within: Mask | None = None
        split: tuple[Counts, ...] | None = None
        charged: list[tuple[PendingGang, dict[str, int]]] = []
        for gang in gangs:
            refused = self.allowance.too_large(gang)
            if refused is not None:
                verdicts.append(
                    Verdict(key=gang.key, reason="Rejected", message=refused.reason[:MESSAGE_MAX])
                )
                continue
            tried, within, denied = self._sized(gang)
            if denied is not None or (within is not None and len(gang.roles) == 1):
                parted, split = self._split(gang) if len(gangs) == 1 else (gang, None)
                if split is not None:
                    tried, within = parted, None
            if denied is not None and split is None:
                refusals.append((tried, denied))
                continue
            admitted.append(tried)
            charged.append((tried, self.allowance.request(tried)))
            self.allowance.charge(*charged[-1])
        for gang, amounts in charged:
            self.allowance.release(self.allowance.team(gang), amounts)
        return Admitted(gangs=admitted, within=within, split=split, verdicts=verdicts, refusals=refusals)

    def _split(self, gang: PendingGang) -> tuple[PendingGang, tuple[Counts, ...] | None]:
        """The largest part of it that may start on several GPU models, and how many pods on each."""
        least, most = _least(gang), len(gang.pods)
        found: tuple[PendingGang, tuple[Counts, ...] | None] = (gang, None)
        rules = self._translation
        if not rules.is_counted(gang) or rules.volumes.contends(gang) or rules.devices.is_mixed(gang):
            return found
        fits, size = least - 1, most
        while fits < size:
            some = self._trimmed(gang, size)
            counts = self.allowance.split(some, is_strict=size > least)
            if counts is not None:
                fits, found = size, (some, counts)
            most = most if counts is not None else size - 1
            size = (fits + most + 1) // 2
        return found

    def _sized(self, gang: PendingGang) -> tuple[PendingGang, Mask | None, Denied | None]:
        """The gang with as many pods as its team may start, at least what it needs; else why not."""
        least, most = _least(gang), len(gang.pods)
        if least >= most:
            return (gang, *self.allowance.ask(gang))
        fits, size = least - 1, most
        while fits < size:
            _, denied = self.allowance.ask(self._trimmed(gang, size), is_strict=True)
            if denied is None:
                fits = size
            most = most if denied is None else size - 1
            size = (fits + most + 1) // 2
        tried = self._trimmed(gang, max(fits, least))
        return (tried, *self.allowance.ask(tried))

    def _trimmed(self, gang: PendingGang, size: int) -> PendingGang:
        """So much of the gang as its team may start. Of equal pods those go first for which room is made."""
        nodes = self.allowance.nominated(gang) if gang.key in self._promised else {}
        if nodes:
            roles = (
                replace(role, pods=tuple(sorted(role.pods, key=lambda pod: pod.uid not in nodes)))
                for role in gang.roles
            )
            gang = replace(gang, roles=tuple(roles))
        return trimmed(gang, size)

    def may_make_room(self, gang: PendingGang) -> bool:
        """Whether anybody could be evicted for the gang, or could have been by now."""
        if gang.is_turned_down_once:
            return False
        if self.has_teams or self._displaces:
            return True
        return self._lowest is not None and gang.priority > self._lowest

    def leaves(self, gang: PendingGang) -> bool:
        """Whether those of it that run were chosen to leave: nobody comes in the place of one of them."""
        return gang.key in self._clearer.leave

    def is_promised(self, gang: PendingGang) -> bool:
        """Whether room is being made for the gang."""
        return gang.key in self._promised

    def kept(self, gang: PendingGang) -> list[Assignment] | Verdict | None:
        """The places promised to a gang, to be taken now or waited for; None without a promise.

        Those who leave may take long: what comes free elsewhere does as well.
        """
        found = self._promises.kept(gang)
        if found is None:
            return None
        nodes, is_free = found
        if not is_free:
            admitted = self.admit([gang])
            tried = admitted.gangs[0] if admitted.gangs else None
            now = self._promises.elsewhere(gang, nodes, tried, admitted.within) if tried is not None else {}
            nodes, is_free = (now, True) if now else (nodes, False)
        if is_free:
            return [Assignment(pod=pod, node=nodes[pod.uid]) for pod in gang.pods if pod.uid in nodes]
        pods = {pod.uid: pod for pod in gang.pods}
        self.allowance.charge(gang, self.allowance.placed(pods, nodes))
        return _waits(gang, HELD, nodes)

    def expect(self, row: int, amounts: NDArray[np.int64]) -> bool:
        """So much more (or less) is coming to a node; False where that is promised to somebody by now."""
        return self._promises.expect(row, amounts)

    def may_take(self, gang: PendingGang, vacancy: Vacancy) -> bool:
        """Whether the gang could have had the member evicted whose room is kept."""
        if self.has_teams:
            return may_take(self.allowance, gang, vacancy)
        return gang.priority > vacancy.priority and all(pod.can_preempt for pod in gang.pods)

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
        verdicts: list[Verdict] = []
        spent = 0.0
        size = len(gangs) if self.may_make_room(first) else 0
        while size and len(verdicts) < len(gangs) and not self._is_hopeless(first):
            some = gangs[len(verdicts) : len(verdicts) + size]
            said = self._held(some, within)
            if not said:
                said, used = self._cleared(some, within, min(budget.per_gang, left - spent), budget.seed)
                spent += used
            verdicts += said
            size = size if said else size // 2
        if len(verdicts) < len(gangs) and first.key.is_single:
            self._hopeless.add(self._kind(first))
        return verdicts, spent

    def _is_hopeless(self, gang: PendingGang) -> bool:
        """Whether nobody could be evicted for an equal pod, which came before."""
        return gang.key.is_single and self._kind(gang) in self._hopeless

    def _kind(self, single: PendingGang) -> tuple[str, int, int, bool]:
        role = single.roles[0]
        return self.allowance.team(single), id(role.shape), single.priority, role.pods[0].can_preempt

    def _held(self, gangs: Sequence[PendingGang], within: Mask | None) -> list[Verdict]:
        """What is said where room that is coming anyway is enough; held for these gangs."""
        placement = self._promises.hold(self._gang(gangs, within))
        if placement is None:
            return []
        where = self._promises.nominated(gangs, placement)
        pods = {pod.uid: pod for one in gangs for pod in one.pods}
        self.allowance.charge(gangs[0], self.allowance.placed(pods, where))
        return [_waits(one, HELD, where) for one in gangs]

    def _cleared(
        self, gangs: Sequence[PendingGang], within: Mask | None, budget: float, seed: int
    ) -> tuple[list[Verdict], float]:
        """What is said where others leave for these gangs, for no more of them than they need to stand."""
        first, spent = gangs[0], 0.0
        if not first.key.is_single:
            if not first.need:
                return [], 0.0
            gangs = [trimmed(first, _least(first))]
        for model, nodes in self._models(first, within):
            request: dict[str, int] = {}
            for one in gangs:
                add_amounts(request, self.allowance.request(one, model))
            found = self._clearer.clear(
                gangs, self._gang(gangs, nodes), request, budget=budget - spent, seed=seed
            )
            spent += found.spent
            if found.clearing is not None:
                text, where = told(found.clearing), found.clearing.nominated
                return [_waits(one, text, where) for one in gangs], spent
        return [], spent

    def spare(self) -> list[Verdict]:
        """Let stay whoever is needed no more beside those who were chosen later: what is said instead."""
        return [
            _waits(gang, told(clearing) if clearing.victims else HELD, clearing.nominated)
            for clearing in self._clearer.spare()
            for gang in clearing.beneficiaries
        ]

    def _gang(self, gangs: Sequence[PendingGang], within: Mask | None) -> Gang:
        """What these gangs are to the packing; single pods count as one role, all to be placed."""
        if gangs[0].key.is_single:
            return self._translation.gang(gangs[0], count=len(gangs), minimum=len(gangs), within=within)
        return self._translation.gang(gangs[0], within=within)

    def _models(self, gang: PendingGang, within: Mask | None) -> Iterator[tuple[str | None, Mask | None]]:
        """The nodes at large; then, where there are several GPU models, those of each."""
        yield None, within
        models = self.allowance.models_of(gang)
        for code in models if len(models) > 1 else ():
            own = self.allowance.teams.model_of == code
            own = own if within is None else own & within
            if own.any():
                yield self.allowance.teams.models[code], own

    def refuse(
        self, refusals: Sequence[tuple[PendingGang, Denied]], budget: Budget, left: float
    ) -> tuple[list[Verdict], float]:
        """A quota forbids these, unless some who use it up may be evicted; solver units spent."""
        verdicts: list[Verdict] = []
        spent = 0.0
        for gang, denied in refusals:
            said: list[Verdict] = []
            if not any(role.shape.sees_pods for role in gang.roles) and not self._is_hopeless(gang):
                said, used = self._cleared([gang], None, min(budget.per_gang, left - spent), budget.seed)
                spent += used
                if not said and gang.key.is_single:
                    self._hopeless.add(self._kind(gang))
            text = self.allowance.words(denied)[:MESSAGE_MAX]
            verdicts += said or [Verdict(key=gang.key, reason="QuotaExceeded", message=text)]
        return verdicts, spent


def told(clearing: Clearing) -> str:
    """What the beneficiary's owner is told."""
    pods = sum(len(victim.pods) for victim in clearing.victims)
    teams = ", ".join(sorted({victim.team or "(none)" for victim in clearing.victims})[:5])
    verb = "preempts" if clearing.rule == "preempt" else "takes back from"
    of = f" of team {teams}" if clearing.team or clearing.rule == "reclaim" else ""
    said = f"{verb} {pods} pods of {len(clearing.victims)} gangs{of}; starts when they are gone"
    return said[:MESSAGE_MAX]


def _waits(gang: PendingGang, text: str, nodes: Mapping[str, str]) -> Verdict:
    own = {pod.uid: nodes[pod.uid] for pod in gang.pods if pod.uid in nodes}
    return Verdict(key=gang.key, reason="WaitingForVictims", message=text, nominated=own)


def _least(gang: PendingGang) -> int:
    """The fewest pods of it that are of use."""
    return max(1, gang.need, sum(role.minimum for role in gang.roles))


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
