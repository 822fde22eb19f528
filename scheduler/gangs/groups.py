"""The API objects that define gangs, as values: what a dialect needs of a PodGroup or a Job.

Numbers are as the object had them; the dialect checks them, so an absurd object is the dialect's
``Rejected`` and not an error of whoever decoded it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

#: ``PodGroup`` is scheduling.k8s.io's, ``CoschedulingPodGroup`` is scheduling.x-k8s.io's.
GroupKind = Literal["PodGroup", "CoschedulingPodGroup", "Job"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What every gang-defining object has."""

    kind: GroupKind
    api_version: str
    namespace: str
    name: str
    uid: str
    #: ``metadata.generation``.
    generation: int

    @property
    def owner(self) -> tuple[str, str, str, str]:
        """The object as owner of the Gang object: (apiVersion, kind, name, uid)."""
        kind = "PodGroup" if self.kind == "CoschedulingPodGroup" else self.kind
        return (self.api_version, kind, self.name, self.uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodGroup(Group):
    """scheduling.k8s.io PodGroup (KEP-4671), v1alpha2 to v1beta1."""

    kind: GroupKind = "PodGroup"
    #: ``spec.schedulingPolicy.gang.minCount``; None under the basic policy.
    min_count: int | None
    #: ``spec.schedulingConstraints.topology[].key``.
    topology_keys: tuple[str, ...] = ()
    priority: int | None = None
    #: ``spec.parentCompositePodGroupName``, or empty.
    composite_parent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoschedulingPodGroup(Group):
    """scheduling.x-k8s.io/v1alpha1 PodGroup of scheduler-plugins."""

    kind: GroupKind = "CoschedulingPodGroup"
    #: ``spec.minMember``.
    min_member: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Group):
    """batch/v1 Job."""

    kind: GroupKind = "Job"
    #: ``spec.parallelism``, 1 where absent.
    parallelism: int
    #: ``spec.completions``; None for a work queue.
    completions: int | None
    #: ``status.succeeded``, 0 where absent.
    succeeded: int = 0
    is_suspended: bool = False


class GroupObjects(Protocol):
    """The state's view of the gang-defining objects."""

    def get(self, kind: GroupKind, namespace: str, name: str) -> Group | None:
        """The object as last seen, or None. Callers compare the uid where it matters."""
