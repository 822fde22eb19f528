"""Whom a gang may have evicted: lower priority in its own team, or what other teams borrowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from binpacking import victims as packing
from binpacking.debts import Terms
from quotas.amounts import Amounts, add_amounts
from quotas.entitlement import Denied
from quotas.reclaim import Claim, Exchange, claim, sources
from scheduler.model.gang import PendingGang
from scheduler.model.objects import Pod
from scheduler.model.plan import Rule, Victim
from scheduler.model.team import RunningGang
from scheduler.teams.allowance import Allowance
from scheduler.teams.cost import bound_s, pod_cost, started_s
from scheduler.teams.terms import Demand
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
    """Candidates under one rule, and what quotas demand of victims among them, to be tried in turn."""

    rule: Rule
    candidates: tuple[Candidate, ...]
    terms: tuple[Terms, ...] = ()


class Candidates:
    """Of one planning run; what was chosen is no candidate again."""

    def __init__(self, translation: Translation, allowance: Allowance) -> None:
        self._translation = translation
        self._allowance = allowance
        self._teams = allowance.teams
        self._row = {node.name: row for row, node in enumerate(translation.snapshot.nodes)}
        self._gone: set[str] = set()
        devices, gpu = translation.snapshot.devices, translation.gpu_column
        #: By node and shared device, the UIDs of those that share it.
        self._sharers = {} if devices is None or gpu is None else devices.sharers
        self._gpu = gpu or 0
        self._by_team: dict[str, list[RunningGang]] = {}
        for gang in self._teams.running:
            self._by_team.setdefault(allowance.table.team(gang.key.namespace), []).append(gang)

    def take(self, victims: Sequence[Victim]) -> None:
        """These leave."""
        self._gone |= {pod.uid for victim in victims for pod in victim.pods}

    def preempt(self, gang: PendingGang, request: Amounts) -> Group:
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
        demand = self._demand(team, request, (team,))
        found = [self._candidate(g, demand, 0, levels.index(g.priority)) for g in lower]
        return _group("preempt", found, (demand.preempting(),) if lower else ())

    def reclaim(self, gang: PendingGang, request: Amounts) -> Group:
        """What others borrowed, when this is within its team's guarantee and would then be allowed."""
        books, team = self._allowance.books, self._allowance.team(gang)
        claimed = claim(books, team, self._allowance.kept(request))
        if not team or isinstance(claimed, Denied):
            return Group(rule="reclaim", candidates=())
        givers = tuple(sources(books, claimed))
        levels = sorted({g.priority for giver in givers for g in self._by_team.get(giver, ())})
        demand = self._demand(team, request, givers)
        found: list[Candidate | None] = []
        for index, giver in enumerate(givers):
            for other in self._by_team.get(giver, ()):
                if self._is_free(gang, other):
                    found.append(self._candidate(other, demand, index, index + levels.index(other.priority)))
        return _group("reclaim", found, tuple(demand.reclaiming(claimed)) if found else ())

    def agree(self, rule: Rule, gang: PendingGang, placed: Amounts, victims: Sequence[Victim]) -> bool:
        """Whether quotas allow the gang where it would stand once these have left, and they were its to take.

        This is the judgement; what ``Group.terms`` say only guides the search to what passes it.
        """
        books, team = self._allowance.books, self._allowance.team(gang)
        taken: dict[str, dict[str, int]] = {}
        if rule == "reclaim":
            claimed = claim(books, team, self._allowance.kept(placed))
            if isinstance(claimed, Denied) or not self._are_owed(claimed, victims):
                return False
        for victim in victims:
            add_amounts(taken.setdefault(victim.team, {}), self._allowance.of_victim(victim))
        freed = {giver: books.release(giver, amounts) for giver, amounts in taken.items()}
        denied = self._allowance.denied(gang, placed)
        for giver, amounts in freed.items():
            books.charge(giver, amounts)
        return denied is None

    def _are_owed(self, claimed: Claim, victims: Sequence[Victim]) -> bool:
        """Whether the victims can leave one after the other, each from what its team had borrowed."""
        exchange = Exchange(books=self._allowance.books, claim=claimed)
        left = [(v.team, self._allowance.kept(self._allowance.of_victim(v))) for v in victims]
        left.sort(key=lambda item: sum(item[1].values()))
        while left:
            refused = [item for item in left if not self._exchanged(exchange, *item)]
            if len(refused) == len(left):
                return False
            left = refused
        return True

    def victim(self, candidate: Candidate, *, base: bool, extra: Sequence[int]) -> Victim:
        """All of a candidate, or the extra pods named by index."""
        gang = candidate.gang
        pods = gang.pods if base else tuple(gang.pods[gang.base + i] for i in extra)
        cost = sum(candidate.costs) if base else sum(candidate.costs[1 + i] for i in extra)
        return Victim(gang=gang, team=candidate.team, pods=pods, cost=cost)

    def devices_of(self, group: Group) -> list[list[int]]:
        """Of each device that only candidates share, their indices; the device that costs least first."""
        index = {pod.uid: i for i, c in enumerate(group.candidates) for pod in c.gang.pods}
        found = [
            sorted({index[uid] for uid in uids})
            for shared in self._sharers.values()
            for uids in shared.values()
            if all(uid in index for uid in uids)
        ]
        return sorted(found, key=lambda some: (sum(sum(group.candidates[i].costs) for i in some), some))

    def add_shared(self, group: Group, chosen: Sequence[int], amounts: NDArray[np.int64]) -> None:
        """Add to int64[N, R] the devices that are free only when several of the chosen are gone."""
        gone = {pod.uid for i in chosen for pod in group.candidates[i].gang.pods}
        alone = [{pod.uid for pod in part} for i in chosen for part in _parts(group.candidates[i].gang)]
        for row, shared in self._sharers.items():
            for uids in shared.values():
                if gone.issuperset(uids) and not any(part.issuperset(uids) for part in alone):
                    amounts[row, self._gpu] += 1

    @staticmethod
    def _exchanged(exchange: Exchange, team: str, frees: Amounts) -> bool:
        if not exchange.gives(team).keys() & {name for name, amount in frees.items() if amount}:
            return False
        exchange.take(team, frees)
        return True

    def _demand(self, team: str, request: Amounts, givers: tuple[str, ...]) -> Demand:
        return Demand(
            books=self._allowance.books,
            team=team,
            request=self._allowance.kept(request),
            givers=givers,
            resources=self._allowance.governed,
        )

    def _is_free(self, beneficiary: PendingGang, gang: RunningGang) -> bool:
        """Not chosen, not protected, and not evicted for this very gang before.

        The minimum run time holds against both rules, so that nobody is evicted twice within it.
        """
        if beneficiary.key == gang.key or beneficiary.key in self._teams.evicted_for.get(gang.key, ()):
            return False
        if self._teams.at_s - started_s(gang) < self._shield_s(gang):
            return False
        return not any(pod.uid in self._teams.spared or pod.uid in self._gone for pod in gang.pods)

    def _candidate(self, gang: RunningGang, demand: Demand, giver: int, rank: int) -> Candidate | None:
        if any(pod.node_name not in self._row for pod in gang.pods):
            return None
        at_s = self._teams.at_s
        gang = self._with_the_young(gang)
        each = [pod_cost(pod, at_s=at_s, rank=rank) for pod in gang.pods]
        base = 1 if gang.is_broken else sum(each[: gang.base])
        costs = (base, *each[gang.base :])
        parts = [self._part(some, cost, demand) for some, cost in zip(_parts(gang), costs, strict=True)]
        victim = packing.Victim(name=str(gang.key), base=parts[0], extra=tuple(parts[1:]), debtor=giver)
        return Candidate(gang=gang, team=demand.givers[giver], victim=victim, costs=costs)

    def _with_the_young(self, gang: RunningGang) -> RunningGang:
        """The gang, its members that are protected by their own run time bound to what it stands on."""
        young_s = self._teams.at_s - self._shield_s(gang)
        extra = gang.pods[gang.base :]
        young = [pod for pod in extra if bound_s(pod) > young_s]
        if not young:
            return gang
        old = [pod for pod in extra if bound_s(pod) <= young_s]
        return replace(gang, pods=(*gang.pods[: gang.base], *young, *old), base=gang.base + len(young))

    def _shield_s(self, gang: RunningGang) -> int:
        tree = self._allowance.table.tree
        return tree.nodes[tree.leaf(self._allowance.table.team(gang.key.namespace))].min_runtime_s

    def _part(self, pods: Sequence[Pod], cost: int, demand: Demand) -> packing.Part:
        rows: dict[int, NDArray[np.int64]] = {}
        for pod in pods:
            row, asked = self._row[pod.node_name], self._translation.request(pod.shape)
            rows[row] = asked if row not in rows else rows[row] + asked
        own = {pod.uid for pod in pods}
        for row in rows:
            freed = sum(own.issuperset(uids) for uids in self._sharers.get(row, {}).values())
            if freed:
                rows[row] = rows[row].copy()
                rows[row][self._gpu] += freed
        nodes = np.array(list(rows), dtype=np.int64)
        amounts = np.array(list(rows.values()), dtype=np.int64)
        frees = self._allowance.placed({p.uid: p for p in pods}, {p.uid: p.node_name for p in pods})
        return packing.Part(
            cost=cost, nodes=nodes, amounts=amounts.reshape(len(rows), -1), frees=demand.vector(frees)
        )


def _group(rule: Rule, found: Sequence[Candidate | None], terms: tuple[Terms, ...]) -> Group:
    """Without those that cannot be judged; the cheapest, should there be too many to look at.

    The youngest come first, which of equals are the first to go: names decide nothing.
    """
    kept = [candidate for candidate in found if candidate is not None]
    kept.sort(key=lambda c: -min(pod.created_s for pod in c.gang.pods))
    if len(kept) > packing.VICTIMS_MAX:
        kept = sorted(kept, key=lambda c: sum(c.costs))[: packing.VICTIMS_MAX]
    return Group(rule=rule, candidates=tuple(kept), terms=terms)


def _parts(gang: RunningGang) -> list[Sequence[Pod]]:
    """What leaves together: all that the gang stands on, and each of the others by itself."""
    return [gang.pods[: gang.base], *((pod,) for pod in gang.pods[gang.base :])]
