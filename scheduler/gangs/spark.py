"""Spark's executors (apache/spark, resource-managers/kubernetes Constants.scala), where they ask for it.

A driver makes its executors when it runs, and may add and drop them as it likes: it is a pod of its own,
and the executors are a gang only if their pod template says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scheduler.gangs import groups, words
from scheduler.gangs.dialect import Doc
from scheduler.gangs.groups import GroupObjects
from scheduler.model.gang import GangKey, GangSpec, Waiting
from scheduler.model.objects import Pod, Rejected

APPLICATION = "spark-app-selector"
ROLE = "spark-role"

DOC = Doc(
    title="Spark",
    keys=(
        (f"label {APPLICATION}", "application; its driver is a single pod"),
        (f"label {ROLE}: executor", "the executors of the application"),
        (f"annotation or label {words.POLICY}: {words.ALL_OR_NOTHING} on the executors", "they are a gang"),
        (f"annotation or label {words.MIN_MEMBER} on the executors", "executors that must start together"),
    ),
    size=words.MIN_MEMBER,
    replaced_by="the driver: another executor",
)


class Spark:
    name = "spark"
    doc = DOC
    kinds: tuple[groups.GroupKind, ...] = ()
    is_explicit = True

    def key(self, pod: Pod) -> GangKey | Rejected | None:
        application = words.label(pod, APPLICATION)
        policy = words.word(pod, words.POLICY)
        if application is None or policy is None:
            return None
        if policy != words.ALL_OR_NOTHING:
            return words.wrong_policy(policy)
        if is_driver(pod):
            return Rejected(
                reason=f"{words.POLICY} is set on the driver, which makes its executors only when it runs: "
                "set it on the executors alone"
            )
        if not words.is_name(application):
            return Rejected(
                reason=f"label {APPLICATION} is {words.shown(application)}: that is no application"
            )
        if words.word(pod, words.MIN_MEMBER) is None:
            return Rejected(reason=f"{words.POLICY} is set on executors without {words.MIN_MEMBER}: set both")
        return words.fault(pod) or GangKey(namespace=pod.namespace, dialect=self.name, name=application)

    def role(self, pod: Pod) -> str:
        return "executor"

    def outsiders(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> Mapping[str, Rejected]:
        return words.dissenters(members, (words.MIN_MEMBER, *words.TOPOLOGY))

    def spec(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> GangSpec | Waiting | Rejected:
        size = words.agreed(members, words.MIN_MEMBER)
        return words.describe(
            key,
            members,
            min_member=1 if size is None else int(size),
            group=None,
            min_field=words.MIN_MEMBER,
            roles=(),
        )


def is_driver(pod: Pod) -> bool:
    return words.label(pod, ROLE) == "driver"
