"""The gang as the planner sees it: what stands, what waits, and how much of it is needed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from scheduler.gangs.description import described
from scheduler.gangs.dialect import Dialect
from scheduler.gangs.groups import GroupObjects
from scheduler.gangs.membership import membership
from scheduler.gangs.replicas import growth
from scheduler.gangs.standing import Shortage, is_whole, least, recalled, stands
from scheduler.gangs.words import ROLE_DEFAULT
from scheduler.model.gang import SINGLE, GangKey, GangSpec, PendingGang, PendingRole, Waiting
from scheduler.model.objects import Pod, Rejected, Shape

_REASON_MAX = 512
_ORDINAL_KEYS = (
    "batch.kubernetes.io/job-completion-index",
    "training.kubeflow.org/replica-index",
    "apps.kubernetes.io/pod-index",
    "leaderworkerset.sigs.k8s.io/worker-index",
)
_TRAILING_NUMBER = re.compile(r"-([0-9]{1,9})$")
_LAST = 10**10
_ORDERED = (
    "; a StatefulSet makes one pod after the other, each when the last one runs, unless its "
    "podManagementPolicy is Parallel: set that"
)


def is_pending(pod: Pod) -> bool:
    """Waits for a node and may be given one."""
    return not pod.node_name and pod.phase == "Pending" and not pod.is_deleting and not pod.gates


def ordinal(pod: Pod) -> int:
    """The member's rank as its controller numbers it, or a number behind all ranks."""
    for words in (pod.labels, pod.annotations):
        for key, value in words:
            if key in _ORDINAL_KEYS and value.isascii() and value.isdigit() and len(value) < 10:
                return int(value)
    found = _TRAILING_NUMBER.search(pod.name)
    return int(found.group(1)) if found else _LAST


def natural(pod: Pod) -> tuple[int, str, str]:
    """Sort key: by rank, then name; worker-10 comes after worker-9."""
    return (ordinal(pod), pod.name, pod.uid)


def outsiders(key: GangKey, members: Sequence[Pod], groups: GroupObjects) -> tuple[tuple[Pod, Rejected], ...]:
    """Members that name the gang and do not belong to it, each with the reason its owner is shown."""
    if key.is_single:
        return ()
    reasons = membership(key, members, groups).strangers
    return tuple((pod, reasons[pod.uid]) for pod in sorted(members, key=natural) if pod.uid in reasons)


def single(pod: Pod, key: GangKey | None = None) -> PendingGang:
    """A pod that is a gang of its own, by the key that it has anyway."""
    role = PendingRole(name=ROLE_DEFAULT, shape=pod.shape, minimum=1, pods=(pod,))
    return PendingGang(
        key=key or GangKey(namespace=pod.namespace, dialect=SINGLE, name=pod.uid),
        generation=0,
        priority=pod.priority,
        created_s=pod.created_s,
        min_member=1,
        standing=0,
        standing_nodes=(),
        roles=(role,),
    )


def as_remains(
    key: GangKey, members: Sequence[Pod], groups: GroupObjects, stood: int = 0
) -> tuple[PendingGang, tuple[Pod, ...]]:
    """A gang as one to be given back, and its members that hold capacity."""
    belonging = members if key.is_single else membership(key, members, groups).belonging
    pods = tuple(pod for pod in belonging if pod.holds_capacity and not pod.is_deleting)
    gang = PendingGang(
        key=key,
        generation=0,
        priority=0,
        created_s=0.0,
        min_member=minimum_of(key, members, groups),
        standing=len(pods),
        standing_nodes=(),
        roles=(),
        stood=stood,
    )
    return gang, pods


def pending_gang(
    key: GangKey,
    members: Sequence[Pod],
    groups: GroupObjects,
    refused: Sequence[tuple[str, Rejected]] = (),
    stood: GangSpec | None = None,
) -> PendingGang | None:
    """The gang with what is left to place, or None when no member waits for a node.

    ``members`` are the parsed pods that name the gang, in any order; ``refused`` are the names and
    reasons of those that could not be parsed: they do not exist for the gang. ``stood`` is the description
    under which it started: what was added since is beyond its minimum.
    """
    found = membership(key, members, groups)
    dialect, strangers = found.dialect, found.strangers
    belonging = sorted(found.belonging, key=natural)
    waiting = [pod for pod in belonging if is_pending(pod)]
    if not waiting:
        return None
    standing = [pod for pod in belonging if stands(pod)]
    spec = described(dialect, key, belonging, groups)
    if isinstance(spec, GangSpec):
        spec = least(spec, stood)
        left_out = [*refused, *((pod.name, strangers[pod.uid]) for pod in members if pod.uid in strangers)]
        gated = sum(bool(pod.gates) and not pod.is_deleting for pod in belonging)
        more = growth(spec, standing, waiting, dialect.role)
        ready = [pod for pod in waiting if pod.uid not in more.awaited] if more.awaited else waiting
        first = [pod for pod in ready if pod.uid not in more.replica_of] if more.replica_of else ready
        by = spec.min_member
        is_broken = stood is not None and not is_whole(spec, standing, dialect)
        if is_broken:
            spec = _mending(spec, standing, first, dialect)
        missing = _missing(spec, standing, first, dialect)
        if missing or not ready:
            told = missing or min(more.awaited.values())
            blocked = _explained(told + _hint(dialect, belonging), gated, left_out)
            view = _gang(spec, belonging, standing, waiting, dialect, blocked)
        else:
            view = _gang(spec, belonging, standing, ready, dialect, None, more.replica_of)
        if stood is None:
            return view
        return replace(view, stood=by, is_broken=is_broken)
    nobody = GangSpec(key=key, min_member=1, generation=0)
    return _gang(nobody, belonging, standing, waiting, dialect, spec)


def _gang(
    spec: GangSpec,
    belonging: Sequence[Pod],
    standing: Sequence[Pod],
    waiting: Sequence[Pod],
    dialect: Dialect,
    blocked: Rejected | Waiting | None,
    replica_of: Mapping[str, str] = MappingProxyType({}),
) -> PendingGang:
    # A gang is as urgent as its least urgent member: one pod cannot lift the others.
    priority = min(pod.priority for pod in waiting) if spec.priority is None else spec.priority
    return PendingGang(
        key=spec.key,
        generation=spec.generation,
        priority=priority,
        # The oldest member's age, so that a replaced member does not send its gang to the end.
        created_s=min(pod.created_s for pod in belonging),
        min_member=spec.min_member,
        standing=len(standing),
        standing_nodes=tuple(sorted({pod.node_name for pod in standing if pod.holds_capacity})),
        roles=_roles(spec, standing, waiting, dialect, replica_of),
        topology=spec.topology,
        owner=spec.owner,
        blocked=blocked,
        notice=spec.notice,
    )


def _roles(
    spec: GangSpec,
    standing: Sequence[Pod],
    waiting: Sequence[Pod],
    dialect: Dialect,
    replica_of: Mapping[str, str],
) -> tuple[PendingRole, ...]:
    """Pending pods by role, shape and replica, in the order of their first pods.

    A role's minimum falls on its first pods in natural order: where they differ in shape, the
    lowest ranks are the ones that must start.
    """
    left = {role.name: role.minimum for role in spec.roles}
    for pod in standing:
        if left.get(dialect.role(pod), 0) > 0:
            left[dialect.role(pod)] -= 1
    # Hashing a shape costs more than all else here, and equal shapes are mostly one object.
    first: dict[Shape, Shape] = {}
    same_shape: dict[int, Shape] = {}
    pods: dict[tuple[str, int, str], list[Pod]] = {}
    minimum: Counter[tuple[str, int, str]] = Counter()
    for pod in waiting:
        shape = same_shape.get(id(pod.shape))
        if shape is None:
            shape = same_shape[id(pod.shape)] = first.setdefault(pod.shape, pod.shape)
        place = (dialect.role(pod), id(shape), replica_of.get(pod.uid, ""))
        pods.setdefault(place, []).append(pod)
        if not place[2] and left.get(place[0], 0) > 0:
            left[place[0]] -= 1
            minimum[place] += 1
    return tuple(
        PendingRole(
            name=place[0], shape=same[0].shape, minimum=minimum[place], pods=tuple(same), replica=place[2]
        )
        for place, same in pods.items()
    )


def _mending(spec: GangSpec, standing: Sequence[Pod], waiting: Sequence[Pod], dialect: Dialect) -> GangSpec:
    """What brings a gang that lost members nearer to standing: one more, of a role that lacks one.

    Who comes in the place of a lost member starts as it comes: some controllers make one at a time.
    """
    stand, wait = (Counter(dialect.role(pod) for pod in pods) for pods in (standing, waiting))
    lacking = [
        role
        for role in spec.roles
        if stand[role.name] < role.minimum and (stand[role.name] or not role.is_late)
    ]
    for role in lacking:
        if wait[role.name]:
            lacking = [replace(role, minimum=stand[role.name] + 1)]
            break
    return replace(spec, min_member=len(standing) + 1, roles=tuple(lacking))


def _missing(spec: GangSpec, standing: Sequence[Pod], waiting: Sequence[Pod], dialect: Dialect) -> str:
    """Which members are still to come, or nothing."""
    there = len(standing) + len(waiting)
    if there < spec.min_member:
        return f"{there} of {spec.min_member} members exist"
    by_role = Counter(dialect.role(pod) for pod in (*standing, *waiting))
    for role in spec.roles:
        if by_role[role.name] < role.minimum:
            return f"{by_role[role.name]} of {role.minimum} members of role {role.name} exist"
    return ""


def _hint(dialect: Dialect, belonging: Sequence[Pod]) -> str:
    """What keeps members from being made, as far as those that are there tell."""
    owners = {pod.owner for pod in belonging}
    is_ordered = dialect.is_explicit and any(
        owner is not None and owner.kind == "StatefulSet" and owner.api_version.startswith("apps/")
        for owner in owners
    )
    return _ORDERED if is_ordered else ""


def _explained(missing: str, gated: int, left_out: Sequence[tuple[str, Rejected]]) -> Waiting:
    """The wait with what else is known about it: gates, and the first refused member by name."""
    parts = [missing]
    if gated:
        parts.append(f"{gated} more behind scheduling gates")
    if left_out:
        name, why = min(left_out, key=lambda pair: pair[0])
        parts.append(f"{len(left_out)} refused, of them {name}: {why.reason}")
    return Waiting(reason="; ".join(parts)[:_REASON_MAX])


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is to be known of a gang that holds capacity. spec: None while nobody can tell its size."""

    spec: GangSpec | None
    #: By what the watch shows.
    is_whole: bool = False
    short: Shortage | None = None


def look(
    key: GangKey,
    members: Sequence[tuple[Pod, Pod]],
    groups: GroupObjects,
    stood: GangSpec | None,
    remembered: int = 0,
) -> Look | None:
    """How the gang stands; None when no member holds capacity and stays.

    ``members`` are pairs: as observed, and as they count with what is assumed. ``stood`` is the description
    under which it was last seen whole; ``remembered`` the minimum that was written down of it.
    """
    if not any(pod.holds_capacity and not pod.is_deleting for _, pod in members):
        return None
    found = membership(key, [pod for _, pod in members], groups)
    dialect, mine = found.dialect, {pod.uid for pod in found.belonging}
    belonging = [pair for pair in members if pair[1].uid in mine]
    bound = sum(pod.holds_capacity and not pod.is_deleting for pod, _ in belonging)
    if not any(pod.holds_capacity and not pod.is_deleting for _, pod in belonging):
        return None
    spec = described(dialect, key, [pod for _, pod in belonging], groups)
    if not isinstance(spec, GangSpec):
        return Look(spec=None)
    seen = [pod for pod, _ in belonging if stands(pod)]
    if is_whole(spec, seen, dialect):
        return Look(spec=spec, is_whole=True)
    if stood is None and remembered:
        stood = recalled(spec, remembered)
    if stood is None:
        # What those say who wait was not said yet when the others started: these stand by their own words.
        before = described(dialect, key, [pod for _, pod in belonging if not is_pending(pod)], groups)
        if isinstance(before, GangSpec) and is_whole(before, seen, dialect):
            return Look(spec=before, is_whole=True)
    by = least(spec, stood)
    if is_whole(by, seen, dialect):
        return Look(spec=by)
    leaving = [pod for pod, _ in belonging if pod.holds_capacity and pod.is_deleting]
    short = Shortage(
        bound=bound,
        minimum=by.min_member,
        standing=len(seen),
        waiting=sum(is_pending(pod) for pod, _ in belonging),
        leaving=len(leaving),
        gone_by_s=max((pod.stopped_by_s for pod in leaving), default=0.0),
        is_broken=stood is not None,
        is_assumed=is_whole(by, [pod for _, pod in belonging if stands(pod)], dialect),
    )
    return Look(spec=by, short=short)


def minimum_of(key: GangKey, members: Sequence[Pod], groups: GroupObjects) -> int:
    """How many must stand together, as far as it can be told; 1 where it cannot."""
    if key.is_single:
        return 1
    found = membership(key, members, groups)
    spec = described(found.dialect, key, found.belonging, groups)
    return spec.min_member if isinstance(spec, GangSpec) else 1
