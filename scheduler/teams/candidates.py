"""Whom a gang may have evicted: lower priority in its own team, what other teams borrowed, who goes later."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
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
from scheduler.model.plan import Ordering, Rule, Victim
from scheduler.model.team import RunningGang
from scheduler.service import rank
from scheduler.teams.allowance import Allowance
from scheduler.teams.budgets import Budgets
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
    #: The first leaves first, and costs decide nothing.
    is_by_order: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Able:
    """A gang that may be evicted, its members that may not leave alone bound to what it stands on."""

    gang: RunningGang
    #: Whether all of it may go; else only members beyond what it stands on.
    is_whole: bool
    #: Index of its team among those that give.
    giver: int
    rank: int


class Candidates:
    """Of one planning run; what was chosen is no candidate again."""

    def __init__(self, translation: Translation, allowance: Allowance, order: Ordering) -> None:
        self._translation = translation
        self._order = order
        self._allowance = allowance
        self._teams = allowance.teams
        self._row = {node.name: row for row, node in enumerate(translation.snapshot.nodes)}
        self._gone: set[str] = set()
        #: Candidates by all that they are made of: a run asks for the same ones for each who finds no room.
        self._known: dict[tuple[object, ...], Candidate | None] = {}
        self._kept: list[RunningGang] = []
        devices, gpu = translation.snapshot.devices, translation.gpu_column
        #: By node and shared device, the UIDs of those that share it.
        self._sharers = {} if devices is None or gpu is None else devices.sharers
        self._gpu = gpu or 0
        self._by_team: dict[str, list[RunningGang]] = {}
        for gang in self._teams.running:
            self._by_team.setdefault(allowance.table.team(gang.key.namespace), []).append(gang)
        self._budgets = Budgets(translation.snapshot.budgets)
        if translation.snapshot.budgets:
            self._budgets.take(self._teams.uncounted)

    def take(self, victims: Sequence[Victim]) -> None:
        """These leave."""
        self._gone |= {pod.uid for victim in victims for pod in victim.pods}
        self._budgets.take(pod for victim in victims for pod in victim.pods)

    def preempt(self, gang: PendingGang, request: Amounts) -> Group:
        """Gangs of the same team, or parts of them, all of whose pods count for less than the gang."""
        team, tree = self._allowance.team(gang), self._allowance.table.tree
        mine = tree.priority(team, gang.priority)
        if not all(pod.can_preempt for pod in gang.pods):
            return Group(rule="preempt", candidates=())
        lower: list[_Able] = []
        for other in self._by_team.get(team, ()):
            if not self._is_free(gang, other):
                continue

            def is_lower(pods: Sequence[Pod], other: RunningGang = other) -> bool:
                return tree.priority(team, other.priority_of(pods)) < mine

            lower += self._able(other, 0, 0, is_lower)
        levels = sorted({able.gang.priority for able in lower})
        lower = [replace(able, rank=levels.index(able.gang.priority)) for able in lower]
        demand = self._demand(team, request, (team,), lower)
        found = [self._candidate(able, demand) for able in lower]
        found = self._begun(gang, found)
        return _group("preempt", found, (demand.preempting(),) if lower else ())

    def displace(self, gang: PendingGang) -> Group:
        """Gangs that go after this one by the policy's order, the last of them first; of the young none."""
        own = self._place(gang.pods, gang.priority, gang.created_s)
        later: list[tuple[tuple[float, float, float], _Able]] = []
        for other in self._teams.running if not gang.standing else ():
            place = self._place(other.pods, other.priority, min(pod.created_s for pod in other.pods))
            if place[:2] > own[:2] and self._is_free(gang, other):
                later += [(place, able) for able in self._able(other, 0, 0) if able.is_whole]
        later.sort(key=lambda item: item[0], reverse=True)
        ables = [able for _, able in later]
        demand = self._demand("", {}, ("",), ables)
        found = (self._candidate(able, demand) for able in ables)
        kept = tuple(candidate for candidate in found if candidate is not None)
        return Group(rule="preempt", candidates=kept, is_by_order=True)

    def together(self, group: Group, barred: Collection[int]) -> list[int]:
        """Of the candidates those that budgets let go all together: the first of the group go first."""
        left = list(self._budgets.left)
        found: list[int] = []
        for index, candidate in enumerate(group.candidates):
            asked = self._budgets.asked(candidate.gang.pods)
            if index not in barred and all(count <= left[i] for i, count in asked.items()):
                found.append(index)
                for i, count in asked.items():
                    left[i] -= count
        return found

    def is_capped(self, candidate: Candidate) -> bool:
        """Whether a budget speaks of any of its pods."""
        return bool(self._budgets.asked(candidate.gang.pods))

    def _place(self, pods: Sequence[Pod], priority: int, created_s: float) -> tuple[float, float, float]:
        return (-priority, rank(self._order, pods, self._teams.at_s), created_s)

    def reclaim(self, gang: PendingGang, request: Amounts) -> Group:
        """What others borrowed, when this is within its team's guarantee and would then be allowed."""
        books, team = self._allowance.books, self._allowance.team(gang)
        claimed = claim(books, team, self._allowance.kept(request))
        if not team or isinstance(claimed, Denied):
            return Group(rule="reclaim", candidates=())
        givers = tuple(sources(books, claimed))
        levels = sorted({g.priority for giver in givers for g in self._by_team.get(giver, ())})
        ables: list[_Able] = []
        for index, giver in enumerate(givers):
            for other in self._by_team.get(giver, ()):
                if self._is_free(gang, other):
                    ables += self._able(other, index, index + levels.index(other.priority))
        demand = self._demand(team, request, givers, ables)
        found = [self._candidate(able, demand) for able in ables]
        found = self._begun(gang, found)
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
        index = {
            pod.uid: i
            for i, c in enumerate(group.candidates)
            if c.victim.base is not None
            for pod in c.gang.pods
        }
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
        alone = [{pod.uid for pod in part} for i in chosen for part in parts_of(group.candidates[i].gang)]
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

    def _demand(self, team: str, request: Amounts, givers: tuple[str, ...], ables: Iterable[_Able]) -> Demand:
        asked = self._budgets.asked(
            pod
            for able in ables
            for pod in (able.gang.pods if able.is_whole else able.gang.pods[able.gang.base :])
        )
        left = self._budgets.left
        return Demand(
            caps={index: max(0, left[index]) for index in sorted(asked) if asked[index] > left[index]},
            books=self._allowance.books,
            team=team,
            request=self._allowance.kept(request),
            givers=givers,
            resources=self._allowance.governed,
        )

    def _is_free(self, beneficiary: PendingGang, gang: RunningGang) -> bool:
        """Not chosen by now, not protected, and not evicted for this very gang before.

        The minimum run time holds against both rules, so that nobody is evicted twice within it.
        """
        if beneficiary.key == gang.key or beneficiary.key in self._teams.evicted_for.get(gang.key, ()):
            return False
        if self._teams.at_s - started_s(gang) < self._shield_s(gang):
            return False
        return not any(pod.uid in self._gone for pod in gang.pods)

    def _able(
        self,
        gang: RunningGang,
        giver: int,
        rank: int,
        is_lower: Callable[[Sequence[Pod]], bool] = lambda _: True,
    ) -> list[_Able]:
        """What may be taken of the gang, if anything; is_lower: whether these pods' priorities allow it.

        A member that may not leave alone, for its own run time, its priority, a budget or a refusal, is bound
        to what the gang stands on.
        """
        young_s = self._teams.at_s - self._shield_s(gang)
        alone = {
            pod.uid
            for pod in gang.pods[gang.base :]
            if bound_s(pod) <= young_s and is_lower((pod,)) and self._may_go((pod,))
        }
        is_whole = is_lower(gang.pods) and self._may_go(gang.pods)
        if not is_whole and not alone:
            return []
        if len(alone) < len(gang.pods) - gang.base:
            firm = [pod for pod in gang.pods if pod.uid not in alone]
            loose = [pod for pod in gang.pods if pod.uid in alone]
            gang = replace(gang, pods=(*firm, *loose), base=len(firm))
        return [_Able(gang=gang, is_whole=is_whole, giver=giver, rank=rank)]

    def _may_go(self, pods: Sequence[Pod]) -> bool:
        """Whether none of these was refused to us or leaves already, and all may be evicted together now."""
        return not any(pod.uid in self._teams.spared for pod in pods) and self._budgets.allow(pods)

    def _candidate(self, able: _Able, demand: Demand) -> Candidate | None:
        gang = able.gang
        # By the very gang: one whose members are bound to it anew is made anew, and kept here with its id.
        key = (id(gang), able.is_whole, able.giver, able.rank, demand.givers, demand.resources)
        if not demand.caps and key in self._known:
            return self._known[key]
        found = self._made(able, demand)
        if not demand.caps:
            self._known[key] = found
            self._kept.append(gang)
        return found

    def _made(self, able: _Able, demand: Demand) -> Candidate | None:
        gang = able.gang
        if any(pod.node_name not in self._row for pod in gang.pods):
            return None
        each = [pod_cost(pod, at_s=self._teams.at_s, rank=able.rank) for pod in gang.pods]
        costs = (sum(each[: gang.base]), *each[gang.base :])
        base, *extra = [
            self._part(some, cost, demand) for some, cost in zip(parts_of(gang), costs, strict=True)
        ]
        victim = packing.Victim(
            name=str(gang.key),
            base=base if able.is_whole else None,
            extra=tuple(extra),
            debtor=able.giver,
        )
        return Candidate(gang=gang, team=demand.givers[able.giver], victim=victim, costs=costs)

    def _begun(self, beneficiary: PendingGang, found: Sequence[Candidate | None]) -> list[Candidate | None]:
        """The same; the rest of a gang of which an earlier leader had members evicted for this very one costs
        nothing: it is lost anyway. Then the beneficiary is nominated to their nodes, and not by us.
        """
        if beneficiary.key in self._teams.nominated:
            return list(found)
        nodes = set(self._allowance.nominated(beneficiary).values())
        rooms = self._translation.snapshot.vacancies if nodes else ()
        gone = {room.gang for room in rooms if room.node in nodes}
        return [one if one is None or one.gang.key not in gone else _free(one) for one in found]

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
        # No rows where a gang stands on nothing and each of its members could go alone.
        amounts = np.array(list(rows.values()), dtype=np.int64).reshape(len(rows), self._translation.width)
        frees = self._allowance.placed({p.uid: p for p in pods}, {p.uid: p.node_name for p in pods})
        counts = self._budgets.asked(pods)
        return packing.Part(
            cost=cost,
            nodes=nodes,
            amounts=amounts,
            frees=demand.vector(frees, counts),
        )


def _free(candidate: Candidate) -> Candidate:
    victim = candidate.victim
    base = None if victim.base is None else replace(victim.base, cost=0)
    extra = tuple(replace(part, cost=0) for part in victim.extra)
    costs = (0,) * len(candidate.costs)
    return replace(candidate, victim=replace(victim, base=base, extra=extra), costs=costs)


def _group(rule: Rule, found: Sequence[Candidate | None], terms: tuple[Terms, ...]) -> Group:
    """Without those that cannot be judged; the cheapest, should there be too many to look at.

    The youngest come first, which of equals are the first to go: names decide nothing.
    """
    kept = [candidate for candidate in found if candidate is not None]
    kept.sort(key=lambda c: -min(pod.created_s for pod in c.gang.pods))
    if len(kept) > packing.VICTIMS_MAX:
        kept = sorted(kept, key=lambda c: sum(c.costs))[: packing.VICTIMS_MAX]
    return Group(rule=rule, candidates=tuple(kept), terms=terms)


def parts_of(gang: RunningGang) -> list[Sequence[Pod]]:
    """What leaves together: all that the gang stands on, and each of the others by itself."""
    return [gang.pods[: gang.base], *((pod,) for pod in gang.pods[gang.base :])]
