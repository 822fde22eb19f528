"""Who runs, who leaves and who uses what, kept up pod by pod: what decides who may be evicted for whom.

What teams use is counted only where there is a TeamQuota. The first one makes it count every pod once; so
does whatever changes what many pods count for (a team's defaults, a node's GPU model).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from quotas.amounts import Amounts
from quotas.history import decayed
from quotas.team import Condition
from quotas.tree import grow
from quotas.units import UnitTable
from scheduler.columns import NodeColumns
from scheduler.gangs.groups import GroupObjects, PodGroup
from scheduler.gangs.running import running_gang
from scheduler.model.disruption import COUNTED_S
from scheduler.model.gang import GangKey, PendingGang, Vacancy
from scheduler.model.gpu_names import counted_as, memory_mib_of
from scheduler.model.objects import Pod, Shape
from scheduler.model.team import RunningGang, Teams, TeamTable
from scheduler.parse.teamquota import TeamQuota
from scheduler.teams.measure import charge_of
from scheduler.teams.table import build_table, by_class

#: A pod that we have evicted and that is not seen to leave is not waited for any more after this. One that is
#: seen to leave counts as leaving for as long as it takes: nobody else is evicted in its place.
CONDEMNED_S_MAX = 300.0
#: A pod whose eviction was refused is left alone this long.
SPARED_S = 20.0
#: No pod has a higher one.
PRIORITY_MAX = 2**31 - 1
#: A gang that lost members in vain, again and again, is left alone no longer than this.
SPARED_S_MAX = 3_600.0
#: Evictions remembered, so that no gang is evicted again for the same beneficiary.
EVICTED_MAX = 10_000


class Pods(Protocol):
    """What the roll reads of the cluster state. Pods are as observed."""

    def charged(self) -> Iterable[tuple[Pod, str]]:
        """Every pod that holds or is about to hold capacity, and the node it is charged to."""

    def counted(self, key: GangKey) -> Sequence[Pod]:
        """The gang's members, and those that succeeded and are gone."""

    def pod(self, uid: str) -> Pod | None: ...
    def gang_of(self, uid: str) -> GangKey | None: ...
    def charge_shape(self, uid: str) -> tuple[str, Shape] | None:
        """Where a pod is charged and for what."""

    def misses(self, key: GangKey) -> int:
        """How many members the gang lost and goes on without, for whom it keeps no room yet."""


class Cluster(Pods, GroupObjects, Protocol):
    """The cluster state, as far as it is read here."""


#: The table where there is no TeamQuota.
NO_TEAMS = TeamTable(tree=grow(()), namespaces={}, pod_defaults={}, pod_maximum={}, units=UnitTable())


@dataclass(slots=True)
class _Leaving:
    """A pod on its way out: seen so, or about to be evicted by us. went_s: when ours was seen to go."""

    since_s: float | None = None
    is_condemned: bool = False
    is_ours: bool = False
    went_s: float | None = None

    def is_uncounted(self, at_s: float) -> bool:
        """Whether a budget may not count yet that we evict it: its watch is another than that of pods."""
        return self.is_ours and (self.went_s is None or at_s - self.went_s < COUNTED_S)


class Roll:
    def __init__(self, columns: NodeColumns, cluster: Cluster, units: UnitTable) -> None:
        self._columns = columns
        self._cluster = cluster
        self.units = units
        #: The same for the models that are there, with the classes that quotas speak of.
        self._counting = units
        self.quotas: dict[str, TeamQuota] = {}
        self.table: TeamTable | None = None
        self.conditions: tuple[Condition, ...] = ()
        self._is_table_old = False
        self._is_stale = True
        self._usage: dict[str, dict[str, int]] = {}
        self._models: tuple[str, ...] = ("",)
        self._model_of: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._code: dict[str, int] = {}
        #: MiB of a GPU of each model, the least that its nodes tell; 0 where none does.
        self._memory: list[int] = [0]
        self._dirty: dict[GangKey, None] = {}
        self._running: dict[GangKey, RunningGang] = {}
        self._leaving: dict[str, _Leaving] = {}
        #: UIDs by node of the pods that the last snapshot of teams took for leaving.
        self.going: dict[str, set[str]] = {}
        #: What they free, as amounts by namespace.
        self._freed: list[tuple[str, dict[str, int]]] = []
        #: Rooms of those that leave and are to be kept for others of their gangs.
        self.kept: tuple[Vacancy, ...] = ()
        self._nominated: dict[GangKey, Mapping[str, str]] = {}
        #: Of these the ones that nobody was evicted for by right: a higher priority goes first.
        self._yielding: dict[GangKey, None] = {}
        self._spared: dict[str, float] = {}
        #: Gangs that lost members in vain: how often, and until when they are left alone.
        self._in_vain: dict[GangKey, tuple[int, float]] = {}
        #: By victim, for whom it was evicted: beneficiaries, and the UIDs of their pods that waited then.
        self._evicted_for: OrderedDict[GangKey, dict[GangKey, frozenset[str]]] = OrderedDict()
        #: How many pods of ours on nodes have each priority, and what group objects say of their own.
        self._priorities: Counter[int] = Counter()
        self._given: dict[tuple[str, str], int] = {}
        self._history: dict[str, dict[str, int]] = {}
        self._history_at_s = 0.0

    @property
    def is_on(self) -> bool:
        return bool(self.quotas)

    # -- what happens --------------------------------------------------------------------------

    def set_quota(self, quota: TeamQuota) -> bool:
        """Take a TeamQuota as observed; whether it says anything new (its status does not count)."""
        before = self.quotas.get(quota.spec.name)
        if before is not None and _said(before) == _said(quota):
            self._is_table_old |= before.generation != quota.generation
            self.quotas[quota.spec.name] = quota
            return False
        if before is None and quota.history_at_s and quota.spec.name not in self._history:
            self._history[quota.spec.name] = dict(quota.history)
            self._history_at_s = max(self._history_at_s, quota.history_at_s)
        self.quotas[quota.spec.name] = quota
        self._is_table_old = self._is_stale = True
        return True

    def remove_quota(self, name: str) -> None:
        if self.quotas.pop(name, None) is not None:
            self._history.pop(name, None)
            self._is_table_old = self._is_stale = True

    def namespaces_changed(self) -> None:
        if self.is_on:
            self._is_table_old = self._is_stale = True

    def nodes_changed(self) -> None:
        """A node came, went or changed its labels."""
        self._is_stale = True

    def touch(self, key: GangKey | None) -> None:
        """A member of the gang changed, or the object that describes it."""
        if key is not None:
            self._dirty[key] = None

    def gone(self, key: GangKey | None) -> None:
        """The gang has no members any more."""
        if key is not None:
            self._dirty.pop(key, None)
            self._running.pop(key, None)

    def set_group(self, group: PodGroup) -> None:
        """A group object that may give all its pods a priority."""
        if group.priority is None:
            self._given.pop((group.namespace, group.name), None)
        else:
            self._given[group.namespace, group.name] = group.priority

    def remove_group(self, namespace: str, name: str) -> None:
        self._given.pop((namespace, name), None)

    def charge(self, pod: Pod, shape: Shape, node: str, sign: int, *, is_ours: bool) -> None:
        """A pod was charged to a node (+1) or taken back from it (-1)."""
        if is_ours:
            self._priorities[pod.priority] += sign
            if not self._priorities[pod.priority]:
                del self._priorities[pod.priority]
        if self.is_on and not self._is_stale:
            self._add(pod.namespace, shape, node, sign)

    def saw(self, pod: Pod) -> None:
        """A pod as observed, for whether it is leaving."""
        if pod.is_deleting and pod.holds_capacity:
            self._leaving.setdefault(pod.uid, _Leaving()).is_condemned = False
        elif pod.uid in self._leaving and (pod.has_ended or not self._leaving[pod.uid].is_condemned):
            # Who ended by itself before it could be evicted leaves no more, though it stays as an object.
            del self._leaving[pod.uid]

    def forget(self, uid: str) -> None:
        self._leaving.pop(uid, None)
        self._spared.pop(uid, None)

    def condemn(self, uids: Iterable[str]) -> None:
        """These are about to be evicted: their room counts as coming."""
        for uid in uids:
            self._leaving.setdefault(uid, _Leaving(is_condemned=True, is_ours=True))

    def is_condemned(self, uid: str) -> bool:
        """Whether it is about to be evicted, and not seen to leave yet."""
        return uid in self._leaving and self._leaving[uid].is_condemned

    def clearing_out(self) -> list[GangKey]:
        """Gangs that are about to be evicted whole: whoever of them holds capacity is to leave or leaves."""
        doomed = (self._cluster.gang_of(uid) for uid, found in self._leaving.items() if found.is_condemned)
        return [key for key in dict.fromkeys(doomed) if key is not None and self._goes_whole(key)]

    def _goes_whole(self, key: GangKey) -> bool:
        return all(
            pod.is_deleting or self.is_condemned(pod.uid)
            for pod in self._cluster.counted(key)
            if pod.holds_capacity
        )

    def pardon(self, uid: str) -> None:
        """The eviction was not carried out: its gang may be chosen again, for the same beneficiary too."""
        found = self._leaving.get(uid)
        if found is not None and found.is_condemned:
            del self._leaving[uid]
        victim = self._cluster.gang_of(uid)
        known = {} if victim is None else self._evicted_for.get(victim, {})
        for key in known.keys() & self._nominated.keys():
            del known[key]

    def spare(self, uid: str, at_s: float, *, is_broken: bool = False) -> None:
        """The eviction was refused: the pod is left alone for a while.

        is_broken: others of its gang went before, in vain. So is the gang then, twice as long each time.
        """
        self._spared[uid] = at_s + SPARED_S
        key = self._cluster.gang_of(uid)
        if is_broken and key is not None:
            times, _ = self._in_vain.pop(key, (0, 0.0))
            self._in_vain[key] = (times + 1, at_s + min(SPARED_S_MAX, SPARED_S * 2.0**times))
            if len(self._in_vain) > EVICTED_MAX:
                del self._in_vain[next(iter(self._in_vain))]

    def nominate(self, key: GangKey, nodes: Mapping[str, str], victims: Iterable[GangKey]) -> None:
        """Room is being made for a gang, node by pod UID, by evicting others."""
        self._nominated.pop(key, None)
        self._yielding.pop(key, None)
        self._nominated[key] = dict(nodes)
        for victim in victims:
            before = self._evicted_for.pop(victim, {})
            self._evicted_for[victim] = before | {key: frozenset(nodes)}
        while len(self._evicted_for) > EVICTED_MAX:
            self._evicted_for.popitem(last=False)

    def help(self, key: GangKey, nodes: Mapping[str, str]) -> None:
        """A gang that lost a member leaves room to one that waits: it is held against all but those of a
        higher priority, who are not to evict others meanwhile.
        """
        self.nominate(key, nodes, ())
        self._yielding[key] = None

    def is_nominated(self, gang: PendingGang) -> bool:
        """Whether room is being made for it, as we know or as its pods say."""
        return gang.key in self._nominated or any(
            pod.nominated_node for role in gang.roles for pod in role.pods
        )

    def settle(self, waiting: Mapping[GangKey, PendingGang]) -> None:
        """Forget nominations of gangs that wait no more, or whose pods are others by now."""
        if self._nominated:
            self._nominated = {
                key: nodes
                for key, nodes in self._nominated.items()
                if key in waiting and nodes.keys() <= {pod.uid for pod in waiting[key].pods}
            }
        if self._yielding:
            self._yielding = {key: None for key in self._yielding if key in self._nominated}
            highest = max((gang.priority for gang in waiting.values() if gang.blocked is None), default=0)
            for key in self._yielding:
                if waiting[key].priority < highest:
                    # Known to have none: what its pods say of their nodes is not true any more.
                    self._nominated[key] = {}

    # -- reading -------------------------------------------------------------------------------

    @property
    def lowest(self) -> int:
        """The lowest priority of pods that run: without teams, nobody is evicted for a gang of no more."""
        return min((*self._priorities, *self._given.values()), default=PRIORITY_MAX)

    def look_up(self, namespaces: Mapping[str, Mapping[str, str]]) -> TeamTable | None:
        """The table of teams as it is written by now, or None where there is no TeamQuota."""
        if not self.is_on:
            return None
        if self._is_table_old or self.table is None:
            self.table, self.conditions = build_table(self.quotas, namespaces, self.units)
            self._is_table_old = False
        return self.table

    def teams(self, at_s: float) -> Teams | None:
        """This moment of all teams by the table that was looked up last, or None where there is none."""
        if not self.is_on or self.table is None:
            return None
        if self._is_stale:
            self._count_again()
        if self.table.units is not self._counting:
            self.table = replace(self.table, units=self._counting)
        table = self.table
        now = self._moment(at_s)
        usage = _by_team(table, self._usage, self._freed)
        self._fade(table, usage, at_s)
        return replace(
            now,
            table=table,
            usage=usage,
            history={team: dict(past) for team, past in self._history.items()},
            models=self._models,
            memory_mib=tuple(self._memory),
            model_of=self._model_of,
        )

    def room(self, at_s: float, waiting: Iterable[PendingGang], *, displaces: bool) -> Teams | None:
        """Who runs and who leaves where there is no TeamQuota; None where nobody may be evicted for anybody.

        displaces: somebody may be whatever the priorities are.
        """
        lowest = self.lowest
        if displaces or self._nominated or any(gang.priority > lowest for gang in waiting):
            return self._moment(at_s)
        self.going, self.kept = {}, ()
        return None

    # -- inside --------------------------------------------------------------------------------

    def _moment(self, at_s: float) -> Teams:
        """What needs no table of teams."""
        for key in self._dirty:
            self._look(key)
        self._dirty.clear()
        self._spared = {uid: until_s for uid, until_s in self._spared.items() if until_s > at_s}
        leaving, leaving_by_s = self._on_their_way(at_s)
        return Teams(
            table=NO_TEAMS,
            at_s=at_s,
            usage={},
            history={},
            models=("",),
            memory_mib=(0,),
            model_of=np.zeros(len(self._columns.nodes), dtype=np.int64),
            running=tuple(self._running.values()),
            leaving=leaving,
            leaving_pods=len(self._freed),
            leaving_by_s=leaving_by_s,
            nominated=dict(self._nominated),
            spared=frozenset(self._spared) | frozenset(self._leaving) | self._left_alone(at_s),
            uncounted=tuple(self._uncounted(at_s)),
            evicted_for=self._evicted(),
        )

    def _uncounted(self, at_s: float) -> Iterator[Pod]:
        for uid, found in self._leaving.items():
            pod = self._cluster.pod(uid) if found.is_uncounted(at_s) else None
            if pod is not None:
                yield pod

    def _left_alone(self, at_s: float) -> frozenset[str]:
        """The pods of gangs that lost members in vain of late."""
        gangs = (self._running.get(key) for key, (_, until_s) in self._in_vain.items() if until_s > at_s)
        return frozenset(pod.uid for gang in gangs if gang is not None for pod in gang.pods)

    def _evicted(self) -> dict[GangKey, frozenset[GangKey]]:
        """By victim, the beneficiaries that are still those for whom it was evicted, by their pods' UIDs."""
        for victim, known in list(self._evicted_for.items()):
            same = {
                key: uids
                for key, uids in known.items()
                if any(self._cluster.pod(uid) is not None for uid in uids)
            }
            if same:
                self._evicted_for[victim] = same
            else:
                del self._evicted_for[victim]
        return {victim: frozenset(known) for victim, known in self._evicted_for.items()}

    def _count_again(self) -> None:
        codes: dict[str, int] = {}
        found = [codes.setdefault(counted_as(node.labels), len(codes)) for node in self._columns.nodes]
        self._counting = by_class(self.units, codes, self.quotas)
        self._memory = [0] * max(1, len(codes))
        for there, code in zip(self._columns.nodes, found, strict=True):
            told = [m for m in (self._memory[code], memory_mib_of(there.labels)) if m]
            self._memory[code] = min(told, default=0)
        self._models, self._model_of = tuple(codes) or ("",), np.array(found, dtype=np.int64)
        self._code = {node.name: code for node, code in zip(self._columns.nodes, found, strict=True)}
        self._usage = {}
        for pod, node in self._cluster.charged():
            self._add(pod.namespace, pod.shape, node, +1)
        self._is_stale = False

    def _add(self, namespace: str, shape: Shape, node: str, sign: int) -> None:
        used = self._usage.setdefault(namespace, {})
        for name, amount in self._charge_of(shape, node).items():
            used[name] = used.get(name, 0) + sign * amount

    def _charge_of(self, shape: Shape, node: str) -> dict[str, int]:
        code = self._code.get(node)
        model, memory_mib = ("", 0) if code is None else (self._models[code], self._memory[code])
        return charge_of(shape, model, memory_mib, self._counting)

    def _look(self, key: GangKey) -> None:
        gang = running_gang(key, self._cluster.counted(key), self._cluster)
        if gang is None:
            self._running.pop(key, None)
        else:
            self._running[key] = gang

    def _on_their_way(self, at_s: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """int64[N, R] that is being freed, and float64[N] by when."""
        leaving = np.zeros_like(self._columns.used)
        by_s = np.zeros(len(leaving))
        self._freed = []
        kept: list[Vacancy] = []
        missed: dict[GangKey, int] = {}
        self.going = {}
        for uid, found in list(self._leaving.items()):
            found.since_s = at_s if found.since_s is None else found.since_s
            if found.went_s is None and not found.is_condemned:
                found.went_s = at_s
            pod, held = self._cluster.pod(uid), self._cluster.charge_shape(uid)
            if found.is_condemned and at_s - found.since_s > CONDEMNED_S_MAX:
                del self._leaving[uid]
                continue
            if pod is None or held is None:
                continue
            node, shape = held
            row = self._columns.row.get(node)
            if row is None:
                continue
            key = self._cluster.gang_of(uid)
            if key is not None and key not in missed:
                missed[key] = self._cluster.misses(key)
            if key is not None and not found.is_ours and missed[key]:
                missed[key] -= 1
                kept.append(
                    Vacancy(gang=key, uid=uid, node=node, shape=shape, priority=pod.priority, is_coming=True)
                )
                continue
            leaving[row] += self._columns.vector(shape.requests)
            by_s[row] = max(by_s[row], pod.stopped_by_s if pod.is_deleting and pod.stopped_by_s else np.inf)
            self._freed.append((pod.namespace, self._charge_of(shape, node) if self.is_on else {}))
            self.going.setdefault(node, set()).add(uid)
        leaving.setflags(write=False)
        self.kept = tuple(kept)
        return leaving, by_s

    def _fade(self, table: TeamTable, usage: Mapping[str, Amounts], at_s: float) -> None:
        """Bring decayed use up to date, in whole seconds."""
        elapsed_s = int(at_s - self._history_at_s)
        if elapsed_s < 1:
            return
        tree = table.tree
        totals: dict[str, dict[str, int]] = {}
        for team, amounts in usage.items():
            for index in tree.path(tree.leaf(team)):
                total = totals.setdefault(tree.nodes[index].name, {})
                if index == tree.leaf(team) != tree.at(team):
                    continue
                for name, amount in amounts.items():
                    total[name] = total.get(name, 0) + amount
        for team in tree.names:
            half_life_s = tree.nodes[tree.at(team)].half_life_s
            if not half_life_s:
                self._history.pop(team, None)
                continue
            used = totals.get(team, {})
            before = self._history.get(team, {})
            self._history[team] = decayed(before, used, elapsed_s=elapsed_s, half_life_s=half_life_s)
        self._history_at_s = self._history_at_s + elapsed_s if self._history_at_s else at_s


def _said(quota: TeamQuota) -> tuple[object, ...]:
    return (quota.spec, quota.namespaces, quota.selector, quota.pod_defaults, quota.pod_maximum)


def _by_team(
    table: TeamTable,
    by_namespace: Mapping[str, Mapping[str, int]],
    freed: Sequence[tuple[str, Mapping[str, int]]],
) -> dict[str, dict[str, int]]:
    usage: dict[str, dict[str, int]] = {}
    parts = [(namespace, amounts, 1) for namespace, amounts in by_namespace.items()]
    parts += [(namespace, amounts, -1) for namespace, amounts in freed]
    for namespace, amounts, sign in parts:
        own = usage.setdefault(table.team(namespace), {})
        for name, amount in amounts.items():
            own[name] = own.get(name, 0) + sign * amount
    return usage
