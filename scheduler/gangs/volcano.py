"""Volcano's PodGroup (volcano-sh/apis, pkg/apis/scheduling/v1beta1/{types,labels}.go).

Its job controller makes the PodGroup of a Volcano Job and annotates the pods, whoever schedules them.
"""

from __future__ import annotations

from scheduler.gangs import words
from scheduler.gangs.described import Described
from scheduler.gangs.dialect import Doc
from scheduler.model.objects import Pod, Rejected

GROUP = "scheduling.k8s.io/group-name"
GROUP_NEWER = "scheduling.volcano.sh/group-name"
TASK = "volcano.sh/task-spec"

DOC = Doc(
    title="Volcano",
    keys=(
        (f"annotation {GROUP} or {GROUP_NEWER}", "PodGroup (scheduling.volcano.sh) in the pod's namespace"),
        ("PodGroup spec.minMember", "pods that must start together"),
        ("PodGroup spec.minTaskMember", "how many of each task must start"),
        (f"annotation or label {TASK}", "task of the pod"),
    ),
    size="minMember of the PodGroup",
    replaced_by="Volcano's job controller: the pod alone, or all of the job by its `policies`",
)


class Volcano(Described):
    def __init__(self) -> None:
        title = "PodGroup (scheduling.volcano.sh)"
        super().__init__("volcano", DOC, ("VolcanoPodGroup",), title=title, is_explicit=True)

    def group_name(self, pod: Pod) -> str | Rejected | None:
        first, newer = words.annotation(pod, GROUP), words.annotation(pod, GROUP_NEWER)
        if first and newer and first != newer:
            return Rejected(
                reason=f"{GROUP} is {words.shown(first)} but {GROUP_NEWER} is {words.shown(newer)}: set one"
            )
        return first or newer or None

    def role(self, pod: Pod) -> str:
        return words.annotation(pod, TASK) or words.label(pod, TASK) or words.role_of(pod)
