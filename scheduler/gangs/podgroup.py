"""Kubernetes' own PodGroup: ``spec.schedulingGroup.podGroupName`` (KEP-4671).

Accepted in every version (v1alpha2, v1alpha3, v1beta1, v1), whichever the API server has. A Job with
``spec.scheduling`` arrives here too: its controller makes the PodGroup and points the pods at it (KEP-5547).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scheduler.gangs import groups, words
from scheduler.gangs.dialect import Doc
from scheduler.gangs.groups import GroupObjects
from scheduler.model.gang import GangKey, GangSpec, TopologySpec, Waiting
from scheduler.model.objects import Pod, Rejected

DOC = Doc(
    title="Kubernetes PodGroup (scheduling.k8s.io)",
    keys=(
        ("spec.schedulingGroup.podGroupName", "PodGroup in the pod's namespace"),
        ("PodGroup spec.schedulingPolicy.gang.minCount", "pods that must start together"),
        ("PodGroup spec.schedulingPolicy.basic", "no gang: each pod starts when it fits"),
        ("PodGroup spec.schedulingConstraints.topology[].key", "node label: all pods inside one value"),
        ("PodGroup spec.priority", "priority of the whole group"),
    ),
    size="minCount of the PodGroup; 1 under the basic policy",
    replaced_by="what controls the pods; nobody, where they are bare",
)


class Native:
    name = "podgroup"
    doc = DOC
    kinds: tuple[groups.GroupKind, ...] = ("PodGroup",)
    is_explicit = True

    def key(self, pod: Pod) -> GangKey | Rejected | None:
        if not pod.pod_group:
            return None
        if not words.is_object_name(pod.pod_group):
            named = words.shown(pod.pod_group)
            return Rejected(reason=f"spec.schedulingGroup.podGroupName is {named}: that is no object's name")
        return words.fault(pod) or GangKey(namespace=pod.namespace, dialect=self.name, name=pod.pod_group)

    def outsiders(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> Mapping[str, Rejected]:
        return words.dissenters(members, words.TOPOLOGY)

    def spec(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> GangSpec | Waiting | Rejected:
        group = objects.get("PodGroup", key.namespace, key.object_name)
        if not isinstance(group, groups.PodGroup):
            return Waiting(reason=f"PodGroup {key.object_name} does not exist yet")
        if group.composite_parent:
            return Rejected(
                reason=f"PodGroup {key.object_name} has spec.parentCompositePodGroupName, which stowplan "
                "does not support: use a PodGroup of its own"
            )
        return words.describe(
            key,
            members,
            min_member=1 if group.min_count is None else group.min_count,
            group=group,
            min_field="PodGroup spec.schedulingPolicy.gang.minCount",
            topology=tuple(TopologySpec(label=label, is_required=True) for label in group.topology_keys),
            priority=group.priority,
        )

    def role(self, pod: Pod) -> str:
        return words.role_of(pod)
