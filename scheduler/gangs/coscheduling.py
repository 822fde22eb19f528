"""The coscheduling plugin's PodGroup (kubernetes-sigs/scheduler-plugins, apis/scheduling/v1alpha1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scheduler.gangs import groups, words
from scheduler.gangs.dialect import Doc
from scheduler.gangs.groups import GroupObjects
from scheduler.model.gang import GangKey, GangSpec, Waiting
from scheduler.model.objects import Pod, Rejected

LABEL = "scheduling.x-k8s.io/pod-group"

DOC = Doc(
    title="Coscheduling PodGroup (scheduling.x-k8s.io)",
    keys=(
        (f"label (or annotation) {LABEL}", "PodGroup in the pod's namespace"),
        ("PodGroup spec.minMember", "pods that must start together"),
    ),
    size="minMember of the PodGroup",
    replaced_by="what controls the pods; nobody, where they are bare",
)


class Coscheduling:
    name = "coscheduling"
    doc = DOC
    kinds: tuple[groups.GroupKind, ...] = ("CoschedulingPodGroup",)
    is_explicit = True

    def key(self, pod: Pod) -> GangKey | Rejected | None:
        group = words.label(pod, LABEL)
        if group is None:
            group = words.annotation(pod, LABEL)
        if group is None:
            return None
        if not group:
            return Rejected(reason=f"{LABEL} is empty: name the PodGroup or remove the label")
        if not words.is_object_name(group):
            return Rejected(reason=f"{LABEL} is {words.shown(group)}: that is no object's name")
        return words.fault(pod) or GangKey(namespace=pod.namespace, dialect=self.name, name=group)

    def outsiders(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> Mapping[str, Rejected]:
        return words.dissenters(members, words.TOPOLOGY)

    def spec(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> GangSpec | Waiting | Rejected:
        group = objects.get("CoschedulingPodGroup", key.namespace, key.object_name)
        if not isinstance(group, groups.CoschedulingPodGroup):
            return Waiting(reason=f"PodGroup {key.object_name} (scheduling.x-k8s.io) does not exist yet")
        return words.describe(
            key, members, min_member=group.min_member, group=group, min_field="PodGroup spec.minMember"
        )

    def role(self, pod: Pod) -> str:
        return words.role_of(pod)
