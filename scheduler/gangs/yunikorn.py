"""YuniKorn's task groups (apache/yunikorn-k8shim, pkg/common/constants; its gang scheduling guide).

Stowplan needs no placeholder pods: the task groups give the size, the pods of an application the gang.
A Spark driver makes its executors only when it runs, so there the task groups start one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import msgspec

from scheduler.gangs import groups, words
from scheduler.gangs.dialect import Doc
from scheduler.gangs.groups import GroupObjects
from scheduler.gangs.spark import is_driver
from scheduler.model.gang import GangKey, GangSpec, RoleSpec, Waiting
from scheduler.model.objects import Pod, Rejected

TASK_GROUP = "yunikorn.apache.org/task-group-name"
TASK_GROUPS = "yunikorn.apache.org/task-groups"
APP_IDS = ("yunikorn.apache.org/app-id", "applicationId", "spark-app-selector")

DOC = Doc(
    title="YuniKorn",
    keys=(
        (f"label or annotation {APP_IDS[0]} (or label {APP_IDS[1]}, {APP_IDS[2]})", "application: the gang"),
        (f"annotation {TASK_GROUP}", "task group of the pod"),
        (f"annotation {TASK_GROUPS}", "JSON list of name, minMember; on one pod at least"),
    ),
    size="sum of minMember over the task groups",
    replaced_by="what controls the pods; nobody, where they are bare",
)


class _TaskGroup(msgspec.Struct, rename="camel", frozen=True):
    name: str
    min_member: int


class YuniKorn:
    name = "yunikorn"
    doc = DOC
    kinds: tuple[groups.GroupKind, ...] = ()
    is_explicit = True

    def key(self, pod: Pod) -> GangKey | Rejected | None:
        text = words.annotation(pod, TASK_GROUPS)
        if text is None and words.annotation(pod, TASK_GROUP) is None:
            return None
        application = application_of(pod)
        if application is None:
            return Rejected(
                reason=f"the pod is in a task group but of no application: set label {APP_IDS[0]}"
            )
        if not words.is_name(application):
            return Rejected(
                reason=f"application {words.shown(application)}: use letters, digits, '-', '_' and '.'"
            )
        read = None if text is None else _read(text)
        if isinstance(read, Rejected):
            return read
        return words.fault(pod) or GangKey(namespace=pod.namespace, dialect=self.name, name=application)

    def role(self, pod: Pod) -> str:
        return words.annotation(pod, TASK_GROUP) or words.ROLE_DEFAULT

    def outsiders(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> Mapping[str, Rejected]:
        found = words.dissenters(members, words.TOPOLOGY)
        told = words.dissent(members, _task_groups, TASK_GROUPS, "the application's other pods")
        return {**told, **found}

    def spec(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> GangSpec | Waiting | Rejected:
        text = words.majority(members, _task_groups)
        if text is None:
            return Rejected(
                reason=f"no pod of application {key.object_name} carries {TASK_GROUPS}: "
                "list its task groups there"
            )
        read = _read(text)
        if isinstance(read, Rejected):
            return read
        is_staged = any(is_driver(pod) for pod in members)
        there = {self.role(pod) for pod in members}
        drivers = {self.role(pod) for pod in members if is_driver(pod)}
        roles = tuple(
            replace(role, is_late=is_staged and role.name not in drivers)
            for role in read
            if not is_staged or role.name in there
        )
        return words.describe(
            key,
            members,
            min_member=max(1, sum(role.minimum for role in roles)),
            group=None,
            min_field=f"{TASK_GROUPS} minMember",
            roles=roles,
        )


def application_of(pod: Pod) -> str | None:
    """The application a pod is of, looked for where YuniKorn does and in its order."""
    first, *others = APP_IDS
    places = (words.label(pod, first), words.annotation(pod, first), *(words.label(pod, k) for k in others))
    return next((found for found in places if found), None)


def _task_groups(pod: Pod) -> str | None:
    return words.annotation(pod, TASK_GROUPS)


@lru_cache(maxsize=1024)
def _read(text: str) -> tuple[RoleSpec, ...] | Rejected:
    try:
        found = msgspec.json.decode(text, type=tuple[_TaskGroup, ...])
    except (msgspec.DecodeError, RecursionError):
        return Rejected(
            reason=f"{TASK_GROUPS} is {words.shown(text)}: "
            'use a list such as [{"name": "worker", "minMember": 4}]'
        )
    if not 1 <= len(found) <= groups.ROLES_MAX:
        return Rejected(reason=f"{TASK_GROUPS} lists {len(found):,} task groups: use 1 to {groups.ROLES_MAX}")
    if len({group.name for group in found}) != len(found):
        return Rejected(reason=f"{TASK_GROUPS} names a task group twice: give each its own name")
    if any(not 0 <= group.min_member <= words.MEMBERS_MAX for group in found):
        return Rejected(reason=f"{TASK_GROUPS} minMember: use whole numbers from 0 to {words.MEMBERS_MAX:,}")
    return tuple(RoleSpec(name=group.name, minimum=group.min_member) for group in found)
