"""What a gang dialect is: one way in which pods say that they start together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from scheduler.gangs.groups import GroupKind, GroupObjects
from scheduler.model.gang import GangKey, GangSpec, Waiting
from scheduler.model.objects import Pod, Rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Doc:
    """A dialect for its reader: the table in the docs is generated from these."""

    title: str
    #: (where the key stands, what it means), in reading order.
    keys: tuple[tuple[str, str], ...]
    size: str
    #: What makes a lost member anew, and what it does to the others by itself.
    replaced_by: str


class Dialect(Protocol):
    """One dialect, one file. Every method is total: hostile input gives ``Rejected``."""

    @property
    def name(self) -> str:
        """Short; becomes ``GangKey.dialect``."""

    @property
    def doc(self) -> Doc: ...

    @property
    def kinds(self) -> tuple[GroupKind, ...]:
        """Objects that a gang of this dialect is described by; none where its pods say all."""

    @property
    def is_explicit(self) -> bool:
        """Whether the pods themselves name the group, and not only what made them."""

    def key(self, pod: Pod) -> GangKey | Rejected | None:
        """The gang the pod says it is in, judged on the pod alone; None when it says none."""

    def outsiders(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> Mapping[str, Rejected]:
        """Members, by uid, that name the gang but do not belong to it, each with its own reason."""

    def spec(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> GangSpec | Waiting | Rejected:
        """The gang's description, from the group object or from the keys of those who belong."""

    def role(self, pod: Pod) -> str:
        """The role of a member; ``ROLE_DEFAULT`` where the dialect knows none."""
