"""The cluster at one revision, replayed entry by entry."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from scheduler.invariants.history import (
    Entry,
    EventVersion,
    GangRef,
    GangVersion,
    GPUNodeVersion,
    GroupVersion,
    History,
    LeaseVersion,
    NodeVersion,
    PodVersion,
    QuotaVersion,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An entry and what it replaced. ``before`` and ``pod`` are set for pods alone."""

    entry: Entry
    before: PodVersion | None
    pod: PodVersion | None

    @property
    def is_bind(self) -> bool:
        """The pod was not on its node before: bound now, or created so."""
        return self.pod is not None and bool(self.pod.node) and not (self.before and self.before.node)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How many members of a gang start together: in sum, and of each role that has a minimum of its own."""

    minimum: int
    roles: Mapping[str, int]


class World:
    """``pods`` by UID, ``nodes`` by name, ``gangs`` (Gang objects) and group minimums by reference."""

    def __init__(self, ours: str) -> None:
        self.ours = ours
        self.pods: dict[str, PodVersion] = {}
        self.nodes: dict[str, NodeVersion] = {}
        self.gpu_nodes: dict[str, GPUNodeVersion] = {}
        self.gangs: dict[GangRef, GangVersion] = {}
        self.lease: LeaseVersion | None = None
        self.quotas: dict[str, QuotaVersion] = {}
        self._groups: dict[GangRef, GroupVersion] = {}
        self._on_node: defaultdict[str, set[str]] = defaultdict(set)
        self._named: defaultdict[GangRef, set[str]] = defaultdict(set)
        self._refs: dict[tuple[str, str], GangRef] = {}
        #: By gang, pods that had succeeded before they were deleted: nobody misses them.
        self._done: defaultdict[GangRef, dict[str, PodVersion]] = defaultdict(dict)

    def apply(self, entry: Entry) -> Change:
        """Take one entry; give the change it made."""
        if entry.kind == "Pod":
            before = self.pods.pop(entry.key, None)
            if before is not None:
                self._on_node[before.node].discard(before.uid)
                if before.gang is not None:
                    self._named[before.gang].discard(before.uid)
            pod = entry.version if isinstance(entry.version, PodVersion) else None
            if pod is not None:
                self._take(pod)
            self._note_done(before, pod)
            return Change(entry=entry, before=before, pod=pod)
        self._take_other(entry)
        return Change(entry=entry, before=None, pod=None)

    def _note_done(self, before: PodVersion | None, pod: PodVersion | None) -> None:
        if before is None or before.gang is None:
            return
        is_done = before.phase == "Succeeded" and not before.is_deleting
        if is_done and (pod is None or pod.is_deleting):
            self._done[before.gang][before.uid] = before
        if not self._named[before.gang]:
            self._done.pop(before.gang, None)

    def _take(self, pod: PodVersion) -> None:
        self.pods[pod.uid] = pod
        self._on_node[pod.node].add(pod.uid)
        if pod.gang is not None:
            self._named[pod.gang].add(pod.uid)

    def _take_other(self, entry: Entry) -> None:
        known = self._refs.pop((entry.kind, entry.key), None)
        match entry.version:
            case NodeVersion() as node:
                self.nodes[entry.key] = node
            case GPUNodeVersion() as told:
                self.gpu_nodes[entry.key] = told
            case GroupVersion(ref=ref) as group:
                self._groups[ref] = group
                self._refs[(entry.kind, entry.key)] = ref
            case GangVersion(ref=ref) as gang:
                self.gangs[ref] = gang
                self._refs[(entry.kind, entry.key)] = ref
            case LeaseVersion() as lease:
                self.lease = lease
            case QuotaVersion() as quota:
                self.quotas[entry.key] = quota
            case None if entry.kind == "Quota":
                self.quotas.pop(entry.key, None)
            case None if entry.kind == "Node":
                self.nodes.pop(entry.key, None)
            case None if entry.kind == "GPUNode":
                self.gpu_nodes.pop(entry.key, None)
            case None if entry.kind == "Lease":
                self.lease = None
            case None if known is not None:
                self._groups.pop(known, None) if entry.kind == "Group" else self.gangs.pop(known, None)
            case EventVersion() | PodVersion() | None:
                pass

    def on_node(self, name: str) -> Iterator[PodVersion]:
        """Pods bound to a node, of whatever scheduler."""
        return (self.pods[uid] for uid in self._on_node[name])

    def refs(self) -> Iterator[GangRef]:
        """Gangs that have pods."""
        return (ref for ref, uids in self._named.items() if uids)

    def minimum(self, ref: GangRef) -> int | None:
        """How many members must start together; None while nothing says so.

        What the pods themselves say goes before what an object says, except of a Job, of which no more can
        ever run together. Late roles count once a member of theirs stands.
        """
        group, said = self._group(ref), self._said(ref)
        if said:
            told = sum(said.values()) + len(self._absent(ref, said))
            return told if group is None or ref.dialect != "job" else min(told, group.minimum)
        if group is None:
            return None
        return group.minimum + sum(group.late[role] for role in self._begun(ref, group))

    def asked(self, ref: GangRef) -> Asked | None:
        """The minimum and what it must hold of each role; None while nothing says so."""
        minimum = self.minimum(ref)
        if minimum is None:
            return None
        group, said = self._group(ref), self._said(ref)
        least = dict(said) if len(said) > 1 else {}
        if group is not None and not said:
            least = {**group.roles, **{role: group.late[role] for role in self._begun(ref, group)}}
        return Asked(minimum=minimum, roles=least)

    def missing(
        self, ref: GangRef, counts: Callable[[PodVersion], bool], asked: Asked | None = None
    ) -> int | None:
        """How many members the gang is short of its minimum, by role and in sum, if these count.

        asked: what was asked of it once, in place of what is asked now.
        """
        asked = asked or self.asked(ref)
        if asked is None:
            return None
        roles = Counter(pod.role for pod in self.members(ref) if counts(pod))
        by_role = sum(max(0, count - roles[role]) for role, count in asked.roles.items())
        return max(by_role, asked.minimum - roles.total(), 0)

    def members(self, ref: GangRef) -> list[PodVersion]:
        """Our pods of a gang."""
        return list(self._of(ref))

    def there(self, ref: GangRef) -> list[PodVersion]:
        """Our pods of a gang without those that did their work and are gone."""
        return [self.pods[uid] for uid in self._named[ref] if self.pods[uid].scheduler == self.ours]

    def _group(self, ref: GangRef) -> GroupVersion | None:
        whole = GangRef(ref.namespace, ref.dialect, ref.name.partition("/")[0])
        return self._groups.get(ref) or self._groups.get(whole)

    def _begun(self, ref: GangRef, group: GroupVersion) -> set[str]:
        """Late roles of which a member stands."""
        return {pod.role for pod in self._of(ref) if pod.stands} & set(group.late) if group.late else set()

    def _said(self, ref: GangRef) -> dict[str, int]:
        """By role where roles have minimums of their own, else under "": the least that a member carries.

        A controller changes its word for the pods it makes from then on, and whose word counts when is the
        scheduler's to find out; here none may start before the least of them is there.
        """
        found: dict[str, int] = {}
        for pod in self._of(ref):
            if pod.minimum:
                voice = _voice(pod)
                found[voice] = min(found.get(voice, pod.minimum), pod.minimum)
        return found

    def _absent(self, ref: GangRef, said: Mapping[str, int]) -> set[str]:
        """Roles that must be there and have no member; each has one pod at least."""
        return {role for pod in self._of(ref) for role in pod.together} - set(said)

    def _of(self, ref: GangRef) -> Iterator[PodVersion]:
        named = self.there(ref)
        done = self._done.get(ref, {})
        names = {pod.name for pod in named}
        gone = (pod for uid, pod in done.items() if uid not in self._named[ref] and pod.name not in names)
        every = [*(done.get(pod.uid, pod) if pod.is_deleting else pod for pod in named), *gone]
        owners = {pod.owner for pod in every if pod.is_live}
        # Who ended under another owner was of an earlier run that had the same name.
        return (pod for pod in every if not owners or pod.is_live or pod.owner in owners)


def _voice(pod: PodVersion) -> str:
    """For whom the pod's own minimum speaks."""
    return pod.role if pod.together else ""


def replay(history: History) -> Iterator[tuple[World, Change]]:
    """The world after each entry, and the change that made it so. It is one world, changed in place."""
    world = World(history.ours)
    for entry in history:
        yield world, world.apply(entry)


def final(history: History) -> World:
    """The world after the last entry."""
    world = World(history.ours)
    for entry in history:
        world.apply(entry)
    return world
