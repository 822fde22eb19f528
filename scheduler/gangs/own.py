"""Stowplan's own keys: pods that name their gang and its size, with no object behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scheduler.gangs import groups, words
from scheduler.gangs.dialect import Doc
from scheduler.gangs.groups import GroupObjects
from scheduler.model.gang import GangKey, GangSpec, Waiting
from scheduler.model.objects import Pod, Rejected

DOC = Doc(
    title="Stowplan's own keys",
    keys=(
        (f"annotation or label {words.GANG}", "name of the gang, within the namespace"),
        (f"annotation or label {words.MIN_MEMBER}", "pods that must start together, 1 to 10,000"),
        (f"annotation or label {words.ROLE}", "role of the pod (optional, beside any dialect)"),
        (f"annotation or label {words.ROLE_MIN}", "how many of that role must start (optional)"),
        (f"annotation or label {words.TOPOLOGY_REQUIRED}", "node label: all pods inside one of its values"),
        (f"annotation or label {words.TOPOLOGY_PREFERRED}", "the same as a wish"),
        (
            f"annotation or label {words.ON_LOSS}",
            f"{words.REPLACE} (default) or {words.RESTART}, beside any dialect: what a lost member means",
        ),
    ),
    size=words.MIN_MEMBER,
    replaced_by="whatever made the pods; nobody, where they are bare",
)

#: Words on which all members of a gang must agree.
SHARED = (words.MIN_MEMBER, *words.TOPOLOGY)


class Own:
    name = "own"
    doc = DOC
    kinds: tuple[groups.GroupKind, ...] = ()
    is_explicit = True

    def key(self, pod: Pod) -> GangKey | Rejected | None:
        gang = words.word(pod, words.GANG)
        if gang is None:
            return None
        return words.fault(pod) or GangKey(namespace=pod.namespace, dialect=self.name, name=gang)

    def outsiders(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> Mapping[str, Rejected]:
        return words.dissenters(members, SHARED)

    def spec(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> GangSpec | Waiting | Rejected:
        size = words.agreed(members, words.MIN_MEMBER)
        if size is None:
            return Rejected(
                reason=f"no pod of gang {key.object_name} carries {words.MIN_MEMBER}: "
                "set it to the number of pods that must start together"
            )
        return words.describe(key, members, min_member=int(size), group=None, min_field=words.MIN_MEMBER)

    def role(self, pod: Pod) -> str:
        return words.role_of(pod)
