"""Koordinator's gangs (koordinator-sh/koordinator, apis/extension/coscheduling.go).

By annotation, by the two labels of lightweight coscheduling, or by a PodGroup (scheduling.sigs.k8s.io).
Gangs that name each other under ``groups`` are bound together: here they are one gang whose roles they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from scheduler.gangs import groups, words
from scheduler.gangs.dialect import Doc
from scheduler.gangs.groups import GroupObjects
from scheduler.model.gang import GangKey, GangSpec, RoleSpec, Waiting
from scheduler.model.objects import Pod, Rejected

_PREFIX = "gang.scheduling.koordinator.sh"
NAME = f"{_PREFIX}/name"
MIN_AVAILABLE = f"{_PREFIX}/min-available"
GROUPS = f"{_PREFIX}/groups"
LIGHT_NAME = "pod-group.scheduling.sigs.k8s.io/name"
LIGHT_MIN = "pod-group.scheduling.sigs.k8s.io/min-available"
POD_GROUP = "pod-group.scheduling.sigs.k8s.io"
GROUPS_MAX = 16
_TITLE = "PodGroup (scheduling.sigs.k8s.io)"

DOC = Doc(
    title="Koordinator",
    keys=(
        (f"label {LIGHT_NAME}, or annotation {NAME}", "name of the gang, within the namespace"),
        (f"label {LIGHT_MIN}, or annotation {MIN_AVAILABLE}", "pods that must start together"),
        (f"annotation {GROUPS}", 'gangs that start together, such as ["team/a","team/b"]'),
        (f"label {POD_GROUP}", f"{_TITLE} in the pod's namespace; its spec.minMember is the size"),
    ),
    size=MIN_AVAILABLE,
    replaced_by="what controls the pods; nobody, where they are bare",
)


class Koordinator:
    name = "koordinator"
    doc = DOC
    kinds: tuple[groups.GroupKind, ...] = ("KoordinatorPodGroup",)
    is_explicit = True

    def key(self, pod: Pod) -> GangKey | Rejected | None:
        gang = gang_of(pod)
        if gang is None:
            return None
        if not words.is_name(gang):
            return Rejected(reason=f"{NAME} is {words.shown(gang)}: use letters, digits, '-', '_' and '.'")
        together = _together(pod)
        if isinstance(together, Rejected):
            return together
        if not words.label(pod, POD_GROUP):
            fault = _size_fault(pod)
            if fault is not None:
                return fault
        name = min(together) if gang in together else gang
        return words.fault(pod) or GangKey(namespace=pod.namespace, dialect=self.name, name=name)

    def role(self, pod: Pod) -> str:
        return gang_of(pod) or words.ROLE_DEFAULT

    def outsiders(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> Mapping[str, Rejected]:
        found = words.dissenters(members, words.TOPOLOGY)
        for pods in _by_gang(members).values():
            found = {**words.dissent(pods, _size, MIN_AVAILABLE, "its gang"), **found}
        return found

    def spec(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> GangSpec | Waiting | Rejected:
        listed = {name for pod in members for name in _listed(pod)}
        present = _by_gang(members)
        # Of a gang that has no pods nobody knows the size, but it is one pod at least.
        roles = [RoleSpec(name=gang, minimum=1) for gang in sorted(listed - set(present))]
        for gang, pods in sorted(present.items()):
            size = self._size(key, gang, pods, objects)
            if not isinstance(size, int):
                return size
            roles.append(RoleSpec(name=gang, minimum=size))
        return words.describe(
            key,
            members,
            min_member=sum(role.minimum for role in roles),
            group=None,
            min_field=MIN_AVAILABLE,
            roles=tuple(roles) if len(roles) > 1 else None,
        )

    def _size(
        self, key: GangKey, gang: str, pods: Sequence[Pod], objects: GroupObjects
    ) -> int | Waiting | Rejected:
        group = objects.get("KoordinatorPodGroup", key.namespace, gang)
        is_named = any(words.label(pod, POD_GROUP) for pod in pods)
        if is_named and isinstance(group, groups.CoschedulingPodGroup):
            return group.min_member
        said = words.majority(pods, _size)
        if said is not None and words.count_of(said) is not None:
            return int(said)
        why = objects.unreadable("KoordinatorPodGroup")
        if why:
            return Rejected(reason=f"{_TITLE} {gang} cannot be read ({why}): set {MIN_AVAILABLE} on its pods")
        return Waiting(reason=f"{_TITLE} {gang} does not exist yet")


def gang_of(pod: Pod) -> str | None:
    """The gang the pod itself is in, before gangs are bundled; of several the one Koordinator takes."""
    return words.label(pod, POD_GROUP) or words.label(pod, LIGHT_NAME) or words.annotation(pod, NAME) or None


def _size(pod: Pod) -> str | None:
    return words.label(pod, LIGHT_MIN) or words.annotation(pod, MIN_AVAILABLE)


def _size_fault(pod: Pod) -> Rejected | None:
    said = _size(pod)
    if said is None:
        return Rejected(
            reason=f"the pod names a gang but no {MIN_AVAILABLE}: set it to the pods that must start together"
        )
    if words.count_of(said) is None:
        return Rejected(
            reason=f"{MIN_AVAILABLE} is {words.shown(said)}: "
            f"use a whole number from 1 to {words.MEMBERS_MAX:,}"
        )
    return None


def _by_gang(members: Sequence[Pod]) -> Mapping[str, list[Pod]]:
    found: dict[str, list[Pod]] = {}
    for pod in members:
        found.setdefault(gang_of(pod) or "", []).append(pod)
    return found


def _listed(pod: Pod) -> tuple[str, ...]:
    together = _together(pod)
    return () if isinstance(together, Rejected) or gang_of(pod) not in together else together


def _together(pod: Pod) -> tuple[str, ...] | Rejected:
    text = words.annotation(pod, GROUPS)
    return _read_groups(text, pod.namespace) if text else ()


@lru_cache(maxsize=1024)
def _read_groups(text: str, namespace: str) -> tuple[str, ...] | Rejected:
    """Names of the gangs listed. Only gangs of the pod's own namespace can be bound together with it."""
    try:
        listed = msgspec.json.decode(text, type=tuple[str, ...])
    except (msgspec.DecodeError, RecursionError):
        return Rejected(reason=f'{GROUPS} is {words.shown(text)}: use a list such as ["team/a","team/b"]')
    if len(listed) > GROUPS_MAX:
        return Rejected(
            reason=f"{GROUPS} lists {len(listed):,} gangs: at most {GROUPS_MAX} may start together"
        )
    for item in listed:
        place, _, name = item.rpartition("/")
        if place not in ("", namespace) or not words.is_name(name):
            return Rejected(
                reason=f"{GROUPS} names {words.shown(item)}: only gangs of namespace {namespace}, as "
                f"{namespace}/NAME, can start together"
            )
    return tuple(sorted({item.rpartition("/")[2] for item in listed}))
