"""Whom a gang may have evicted: lower priority in its own team, or what other teams borrowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from binpacking import victims as packing
from quotas.amounts import Amounts
from quotas.entitlement import Allowed, Denied
from quotas.reclaim import Claim, Exchange, claim, may_start_after, sources
from scheduler.model.gang import PendingGang
from scheduler.model.objects import Pod
from scheduler.model.plan import Rule, Victim
from scheduler.model.team import RunningGang
from scheduler.teams.allowance import Allowance
from scheduler.teams.cost import pod_cost, started_s
from scheduler.translation import Translation


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A running gang, as a model value and as ``binpacking`` sees it."""

    gang: RunningGang
    team: str
    victim: packing.Victim
    #: Of the base and of each extra pod.
    costs: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Candidates under one rule. ``claim`` is the right to reclaim; none for preemption."""

    rule: Rule
    candidates: tuple[Candidate, ...]
    claim: Claim | None = None
    teams: tuple[str, ...] = ()


class Candidates:
    """Of one planning run; what was chosen is no candidate again."""

    def __init__(self, translation: Translation, allowance: Allowance) -> None:
        self._translation = translation
        self._allowance = allowance
        self._teams = allowance.teams
        self._row = {node.name: row for row, node in enumerate(translation.snapshot.nodes)}
        self._gone: set[str] = set()
        self._by_team: dict[str, list[RunningGang]] = {}
        for gang in self._teams.running:
            self._by_team.setdefault(allowance.table.team(gang.key.namespace), []).append(gang)

    def take(self, victims: Sequence[Victim]) -> None:
        """These leave."""
        self._gone |= {pod.uid for victim in victims for pod in victim.pods}

    def preempt(self, gang: PendingGang) -> Group:
        """Gangs of the same team that count for less. Nobody's work preempts nobody's."""
        team, tree = self._allowance.team(gang), self._allowance.table.tree
        mine = tree.priority(team, gang.priority)
        if not team or not all(pod.can_preempt for pod in gang.pods):
            return Group(rule="preempt", candidates=())
        lower = [
            g
            for g in self._by_team.get(team, ())
            if tree.priority(team, g.priority) < mine and self._is_free(gang, g)
        ]
        levels = sorted({g.priority for g in lower})
        found = [self._candidate(g, team, levels.index(g.priority)) for g in lower]
        return Group(rule="preempt", candidates=tuple(c for c in found if c is not None))

    def reclaim(self, gang: PendingGang, request: Amounts) -> Group:
        """What others borrowed, when this is within its team's guarantee and would then be allowed."""
        books, team = self._allowance.books, self._allowance.team(gang)
        claimed = claim(books, team, self._allowance.kept(request))
        if not team or isinstance(claimed, Denied):
            return Group(rule="reclaim", candidates=())
        givers = tuple(sources(books, claimed))
        levels = sorted({g.priority for giver in givers for g in self._by_team.get(giver, ())})
        found: list[Candidate | None] = []
        for index, giver in enumerate(givers):
            for other in self._by_team.get(giver, ()):
                if self._is_free(gang, other):
                    found.append(self._candidate(other, giver, index + levels.index(other.priority)))
        kept = tuple(c for c in found if c is not None)
        return Group(rule="reclaim", candidates=kept, claim=claimed, teams=givers)

    def is_fair(self, group: Group, victims: Sequence[Victim]) -> bool:
        """Whether every victim is one that its team had borrowed, and the gang would then be allowed."""
        if group.claim is None:
            return True
        exchange = Exchange(books=self._allowance.books, claim=group.claim)
        taken: dict[str, dict[str, int]] = {}
        left = sorted(victims, key=lambda v: (group.teams.index(v.team), len(v.pods), v.gang.key))
        while left:
            refused = [v for v in left if not self._exchanged(exchange, v, taken)]
            if len(refused) == len(left):
                return False
            left = refused
        return isinstance(may_start_after(self._allowance.books, group.claim, taken), Allowed)

    def is_allowed_without(self, gang: PendingGang, victims: Sequence[Victim]) -> bool:
        """Whether the team may start the gang once these have left."""
        freed = [(v.team, self._allowance.of_victim(v)) for v in victims]
        books = self._allowance.books
        kept = [(team, books.release(team, amounts)) for team, amounts in freed]
        denied = self._allowance.denied(gang, self._allowance.request(gang))
        for team, amounts in kept:
            books.charge(team, amounts)
        return denied is None

    def capped(self, group: Group) -> Group:
        """As much of each team as it borrowed, cheapest first: of these any choice is fair."""
        if group.claim is None:
            return group
        exchange = Exchange(books=self._allowance.books, claim=group.claim)
        taken: dict[str, dict[str, int]] = {}
        order = sorted(group.candidates, key=lambda c: (group.teams.index(c.team), sum(c.costs), c.gang.key))
        kept = tuple(
            c for c in order if self._exchanged(exchange, self.victim(c, base=True, extra=()), taken)
        )
        return Group(rule=group.rule, candidates=kept, claim=group.claim, teams=group.teams)

    def victim(self, candidate: Candidate, *, base: bool, extra: Sequence[int]) -> Victim:
        """All of a candidate, or the extra pods named by index."""
        gang = candidate.gang
        pods = gang.pods if base else tuple(gang.pods[gang.base + i] for i in extra)
        cost = sum(candidate.costs) if base else sum(candidate.costs[1 + i] for i in extra)
        return Victim(gang=gang, team=candidate.team, pods=pods, cost=cost)

    def _exchanged(self, exchange: Exchange, victim: Victim, taken: dict[str, dict[str, int]]) -> bool:
        frees = self._allowance.kept(self._allowance.of_victim(victim))
        if not exchange.gives(victim.team).keys() & frees.keys():
            return False
        exchange.take(victim.team, frees)
        own = taken.setdefault(victim.team, {})
        for name, value in frees.items():
            own[name] = own.get(name, 0) + value
        return True

    def _is_free(self, beneficiary: PendingGang, gang: RunningGang) -> bool:
        """Not chosen, not protected, and not evicted for this very gang before.

        The minimum run time holds against both rules, so that nobody is evicted twice within it.
        """
        if beneficiary.key == gang.key or beneficiary.key in self._teams.evicted_for.get(gang.key, ()):
            return False
        if self._teams.at_s - started_s(gang) < self._shield_s(gang) and not gang.is_broken:
            return False
        return not any(pod.uid in self._teams.spared or pod.uid in self._gone for pod in gang.pods)

    def _candidate(self, gang: RunningGang, team: str, rank: int) -> Candidate | None:
        if any(pod.node_name not in self._row for pod in gang.pods):
            return None
        at_s = self._teams.at_s
        gang = self._with_the_young(gang)
        each = [pod_cost(pod, at_s=at_s, rank=rank) for pod in gang.pods]
        base = 1 if gang.is_broken else sum(each[: gang.base])
        costs = (base, *each[gang.base :])
        parts = [self._part(gang.pods[: gang.base], base)]
        parts += [
            self._part((pod,), cost) for pod, cost in zip(gang.pods[gang.base :], costs[1:], strict=True)
        ]
        victim = packing.Victim(name=str(gang.key), base=parts[0], extra=tuple(parts[1:]))
        return Candidate(gang=gang, team=team, victim=victim, costs=costs)

    def _with_the_young(self, gang: RunningGang) -> RunningGang:
        """The gang, its members that are protected by their own run time bound to what it stands on."""
        young_s = self._teams.at_s - self._shield_s(gang)
        extra = gang.pods[gang.base :]
        young = [pod for pod in extra if pod.started_s > young_s]
        if not young:
            return gang
        old = [pod for pod in extra if pod.started_s <= young_s]
        return replace(gang, pods=(*gang.pods[: gang.base], *young, *old), base=gang.base + len(young))

    def _shield_s(self, gang: RunningGang) -> int:
        tree = self._allowance.table.tree
        return tree.nodes[tree.leaf(self._allowance.table.team(gang.key.namespace))].min_runtime_s

    def _part(self, pods: Sequence[Pod], cost: int) -> packing.Part:
        rows: dict[int, NDArray[np.int64]] = {}
        for pod in pods:
            row, asked = self._row[pod.node_name], self._translation.request(pod.shape)
            rows[row] = asked if row not in rows else rows[row] + asked
        nodes = np.array(list(rows), dtype=np.int64)
        amounts = np.array(list(rows.values()), dtype=np.int64)
        return packing.Part(cost=cost, nodes=nodes, amounts=amounts.reshape(len(rows), -1))
