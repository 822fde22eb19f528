"""Gangs that an object with roles describes: what such dialects share, whatever the object is.

A dialect on top of this says which pods belong to which object and what role a pod has; sizes,
minimums, order of start and suspension come from the object (``scheduler.gangs.groups.Workload``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence

from scheduler.gangs import groups, words
from scheduler.gangs.dialect import Doc
from scheduler.gangs.groups import GroupKind, GroupObjects, Replicas, Workload
from scheduler.model.gang import GangKey, GangSpec, RoleSpec, TopologySpec, Waiting
from scheduler.model.objects import Pod, Rejected


class Described(ABC):
    """Base of the dialects whose gangs an object describes."""

    def __init__(
        self, name: str, doc: Doc, kinds: tuple[GroupKind, ...], *, title: str, is_explicit: bool = False
    ) -> None:
        self.name = name
        self.doc = doc
        self.kinds = kinds
        self.is_explicit = is_explicit
        #: The object as messages call it.
        self._title = title

    def key(self, pod: Pod) -> GangKey | Rejected | None:
        found = self.group_name(pod)
        if found is None or isinstance(found, Rejected):
            return found
        if not words.is_object_name(found.partition("/")[0]):
            return Rejected(
                reason=f"the pod names {self._title} {words.shown(found)}: that is no object's name"
            )
        return words.fault(pod) or GangKey(namespace=pod.namespace, dialect=self.name, name=found)

    @abstractmethod
    def group_name(self, pod: Pod) -> str | Rejected | None:
        """Name of the object the pod belongs to, or ``OBJECT/PART``; None when it belongs to none."""

    def role(self, pod: Pod) -> str:
        return words.role_of(pod)

    def stranger(self, pod: Pod, found: Workload) -> bool:
        """Whether the pod belongs to an earlier object of the same name, by what controls it."""
        owner = pod.owner
        return owner is not None and owner.kind == found.owner[1] and owner.uid != found.uid

    def outsiders(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> Mapping[str, Rejected]:
        found = self._find(key, objects)
        reason = (
            f"the pod belongs to an earlier {self._title} {key.object_name}, which is gone: delete the pod"
        )
        strange = {
            pod.uid: Rejected(reason=reason)
            for pod in members
            if found is not None
            and (self.stranger(pod, found) or (not self.is_explicit and found.is_younger(pod.created_s)))
        }
        own = [pod for pod in members if pod.uid not in strange]
        return {**words.dissenters(own, (words.MIN_MEMBER, *words.TOPOLOGY)), **strange}

    def spec(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> GangSpec | Waiting | Rejected:
        found = self._find(key, objects)
        if found is not None:
            return self._described(key, members, found, objects)
        unreadable = [objects.unreadable(kind) for kind in self.kinds]
        if all(unreadable):
            return self.undescribed(key, members, str(unreadable[0]))
        return Waiting(reason=f"{self._title} {key.object_name} is not seen yet, or is gone")

    def undescribed(self, key: GangKey, members: Sequence[Pod], why: str) -> GangSpec | Waiting | Rejected:
        """The gang when nobody may read its object: singles, unless the pods say enough themselves."""
        asked = words.agreed(members, words.MIN_MEMBER)
        if asked is not None:
            return words.describe(key, members, min_member=int(asked), group=None, min_field=words.MIN_MEMBER)
        told = f"{self._title} {key.object_name} cannot be read ({why}), so its pods start one by one"
        return words.one_by_one(key, members, notice=f"{told}: let stowplan read it, or {words.remedy()}")

    def replicas(self, found: Workload, members: Sequence[Pod]) -> tuple[Replicas, ...]:
        """The roles that make up the gang of this key."""
        return found.roles

    def remaining(
        self, started: Sequence[Replicas], members: Sequence[Pod], found: Workload, objects: GroupObjects
    ) -> tuple[Replicas, ...]:
        """The roles without those pods that succeeded and are gone, where anything tells of them."""
        return tuple(started)

    def before_others(self, key: GangKey, members: Sequence[Pod], objects: GroupObjects) -> int | None:
        """How many pods there can be until they run, where more are made only then; None where all can be."""
        found = self._find(key, objects)
        if found is None:
            return None
        replicas = self.replicas(found, members)
        started = started_of(replicas, Counter(self.role(pod) for pod in members))
        return None if len(started) == len(replicas) else sum(role.pods_max for role in started)

    def _find(self, key: GangKey, objects: GroupObjects) -> Workload | None:
        for kind in self.kinds:
            found = objects.get(kind, key.namespace, key.object_name)
            if isinstance(found, Workload):
                return found
        return None

    def _described(
        self, key: GangKey, members: Sequence[Pod], found: Workload, objects: GroupObjects
    ) -> GangSpec | Waiting | Rejected:
        if found.unsupported:
            return Rejected(reason=f"{self._title} {key.object_name}: {found.unsupported}")
        if found.is_suspended:
            return Waiting(reason=f"{self._title} {key.object_name} is suspended")
        replicas = self.replicas(found, members)
        fault = self._fault(key, replicas)
        if fault is not None:
            return fault
        existing = Counter(self.role(pod) for pod in members)
        started = started_of(replicas, existing)
        remaining = self.remaining(started, members, found, objects)
        minimum = self._minimum(key, members, found, started, remaining)
        if isinstance(minimum, Rejected):
            return minimum
        size, field = minimum
        roles = tuple(
            RoleSpec(name=r.name, minimum=r.pods_min, is_late=r.is_late) for r in remaining if r.pods_min
        )
        if sum(role.minimum for role in roles) > size:
            # The size was lowered in one number, so no role can insist on its own.
            roles = ()
        return words.describe(
            key,
            members,
            min_member=size,
            group=found,
            min_field=field,
            topology=tuple(
                TopologySpec(label=label, is_required=is_hard) for label, is_hard in found.topology
            ),
            roles=roles,
        )

    def _fault(self, key: GangKey, replicas: Sequence[Replicas]) -> Rejected | None:
        if len(replicas) > groups.ROLES_MAX:
            return Rejected(
                reason=f"{self._title} {key.object_name} has more than {groups.ROLES_MAX} roles: use fewer"
            )
        for role in replicas:
            if (
                min(role.count, role.size, role.pods_min) < 0
                or max(role.pods_max, role.pods_min) > words.MEMBERS_MAX
            ):
                return Rejected(
                    reason=f"{self._title} {key.object_name}, {words.shown(role.name)}: its number of pods "
                    f"must lie between 0 and {words.MEMBERS_MAX:,}"
                )
        return None

    def _minimum(
        self,
        key: GangKey,
        members: Sequence[Pod],
        found: Workload,
        started: Sequence[Replicas],
        remaining: Sequence[Replicas],
    ) -> tuple[int, str] | Rejected:
        """(size, where it stands): the pods' own word, else the object's, else the sum of the roles."""
        most = sum(role.pods_max for role in started)
        least = sum(role.pods_min for role in remaining)
        asked = words.agreed(members, words.MIN_MEMBER)
        size, field = (
            (int(asked), words.MIN_MEMBER) if asked is not None else (found.min_member, self.doc.size)
        )
        if size is None:
            # A gang of nothing but what may be absent starts pod by pod.
            return max(1, least), self.doc.size
        late = any(role.is_late for role in self.replicas(found, members))
        if most and size > most and not late:
            return Rejected(
                reason=f"{field} is {words.counted(size)} but {self._title} {key.object_name} never has more "
                f"than {most:,} pods: lower the one or raise the other"
            )
        left = sum(role.pods_max for role in remaining)
        # Of roles that start one after the other, the later ones join the count when they exist; who
        # succeeded and is gone leaves it.
        return (min(size, left) if left and (late or left < most) else size), field


def started_of(replicas: Sequence[Replicas], existing: Mapping[str, int]) -> tuple[Replicas, ...]:
    """The roles whose turn has come: all that do not wait for others, and late ones that have pods."""
    return tuple(role for role in replicas if not role.is_late or existing.get(role.name, 0))
