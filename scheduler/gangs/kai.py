"""KAI's PodGroup (kai-scheduler, pkg/apis/scheduling/v2alpha2/podgroup_types.go; common/constants)."""

from __future__ import annotations

from scheduler.gangs import words
from scheduler.gangs.described import Described
from scheduler.gangs.dialect import Doc
from scheduler.model.objects import Pod, Rejected

GROUP = "pod-group-name"
SUBGROUP = "kai.scheduler/subgroup-name"

DOC = Doc(
    title="KAI",
    keys=(
        (f"annotation {GROUP}", "PodGroup (scheduling.run.ai) in the pod's namespace"),
        ("PodGroup spec.minMember", "pods that must start together"),
        ("PodGroup spec.subGroups[].minMember", "how many of each subgroup must start"),
        (f"label {SUBGROUP}", "subgroup of the pod"),
        ("PodGroup spec.topologyConstraint", "node labels that the whole group keeps to or prefers"),
    ),
    size="minMember of the PodGroup, or the sum over its subgroups",
    replaced_by="what controls the pods; nobody, where they are bare",
)


class Kai(Described):
    def __init__(self) -> None:
        title = "PodGroup (scheduling.run.ai)"
        super().__init__("kai", DOC, ("KaiPodGroup",), title=title, is_explicit=True)

    def group_name(self, pod: Pod) -> str | Rejected | None:
        return words.annotation(pod, GROUP) or None

    def role(self, pod: Pod) -> str:
        return words.label(pod, SUBGROUP) or words.role_of(pod)
