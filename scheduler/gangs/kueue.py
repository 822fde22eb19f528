"""Kueue's groups of plain pods (kubernetes-sigs/kueue, pkg/controller/jobs/pod/constants/constants.go).

Jobs that Kueue admits need nothing here: their pods are those of the job's own dialect, held back by
Kueue's scheduling gates or by suspension until they are admitted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scheduler.gangs import groups, words
from scheduler.gangs.dialect import Doc
from scheduler.gangs.groups import GroupObjects
from scheduler.model.gang import GangKey, GangSpec, Waiting
from scheduler.model.objects import Pod, Rejected

GROUP = "kueue.x-k8s.io/pod-group-name"
TOTAL = "kueue.x-k8s.io/pod-group-total-count"

DOC = Doc(
    title="Kueue (groups of plain pods)",
    keys=(
        (f"label (or annotation) {GROUP}", "name of the group, within the namespace"),
        (f"annotation {TOTAL}", "pods of the group, which all start together"),
        (f"annotation {words.KUEUE_REQUIRED}", "node label: all pods inside one of its values"),
        (f"annotation {words.KUEUE_PREFERRED}", "the same as a wish"),
        ("scheduling gates kueue.x-k8s.io/*", "the pod waits for Kueue; no gate is ever lifted by stowplan"),
    ),
    size=TOTAL,
    replaced_by="whoever made the group: Kueue takes another pod of the same group name",
)


class Kueue:
    name = "kueue"
    doc = DOC
    kinds: tuple[groups.GroupKind, ...] = ()
    is_explicit = True

    def key(self, pod: Pod) -> GangKey | Rejected | None:
        name = words.label(pod, GROUP) or words.annotation(pod, GROUP)
        if not name:
            return None
        if not words.is_name(name):
            return Rejected(reason=f"{GROUP} is {words.shown(name)}: use letters, digits, '-', '_' and '.'")
        total = words.annotation(pod, TOTAL)
        if total is not None and words.count_of(total) is None:
            return Rejected(
                reason=f"{TOTAL} is {words.shown(total)}: use a whole number from 1 to {words.MEMBERS_MAX:,}"
            )
        return words.fault(pod) or GangKey(namespace=pod.namespace, dialect=self.name, name=name)

    def role(self, pod: Pod) -> str:
        return words.role_of(pod)

    def outsiders(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> Mapping[str, Rejected]:
        found = words.dissenters(members, words.TOPOLOGY)
        return {**words.dissent(members, _total, TOTAL, "its group"), **found}

    def spec(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> GangSpec | Waiting | Rejected:
        total = words.majority(members, _total)
        if total is None:
            return Rejected(
                reason=f"no pod of group {key.object_name} carries {TOTAL}: set it to the number of its pods"
            )
        return words.describe(key, members, min_member=int(total), group=None, min_field=TOTAL)


def _total(pod: Pod) -> str | None:
    return words.annotation(pod, TOTAL)
