"""The API objects that define gangs, as values: what a dialect needs of a PodGroup or a Job.

Numbers are as the object had them; the dialect checks them, so an absurd object is the dialect's
``Rejected`` and not an error of whoever decoded it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

#: Kinds as the API names them, but for PodGroups: six APIs have that kind, and ``PodGroup`` alone is
#: scheduling.k8s.io's. ``MPIJobV1`` is the MPIJob of kubeflow.org/v1, ``MPIJob`` that of v2beta1.
GroupKind = Literal[
    "PodGroup",
    "CoschedulingPodGroup",
    "KoordinatorPodGroup",
    "VolcanoPodGroup",
    "KaiPodGroup",
    "Job",
    "PyTorchJob",
    "TFJob",
    "XGBoostJob",
    "PaddleJob",
    "JAXJob",
    "MPIJob",
    "MPIJobV1",
    "JobSet",
    "RayCluster",
    "LeaderWorkerSet",
]
#: Kueue's label of a job that it ends after so many seconds.
MAX_EXEC_TIME: Final = "kueue.x-k8s.io/max-exec-time-seconds"
#: Roles of one object that are read; an object with more is Rejected by its dialect.
ROLES_MAX = 64


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
    #: Name of the object that controls it, whose gang may be told of by this one; or empty.
    parent: str = ""
    #: When it was created; 0 where that is not known.
    created_s: float = 0.0

    def is_younger(self, than_s: float) -> bool:
        """Whether the object came after that moment, so that it made nothing that was there then."""
        return 0.0 < than_s < self.created_s

    @property
    def owner(self) -> tuple[str, str, str, str]:
        """The object as owner of the Gang object: (apiVersion, kind, name, uid)."""
        kind = "PodGroup" if self.kind.endswith("PodGroup") else self.kind.removesuffix("V1")
        return (self.api_version, kind, self.name, self.uid)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodGroup(Group):
    """scheduling.k8s.io PodGroup (KEP-4671), of any version."""

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
    """scheduling.x-k8s.io/v1alpha1 PodGroup of scheduler-plugins, and Koordinator's copy of it."""

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
    #: How many indexes ``status.failedIndexes`` lists: they are not tried again (``backoffLimitPerIndex``).
    failed: int = 0
    is_suspended: bool = False
    #: ``spec.activeDeadlineSeconds``, 0 where absent; and what its label ``MAX_EXEC_TIME`` says, as it is.
    deadline_s: float = 0.0
    max_exec_time: str = ""

    def size(self, *, succeeded_seen: int, staying: int) -> int:
        """Members the Job has when it is whole, those included that succeeded and stay.

        Succeeded pods that stay count as standing, so they are added to what is left to run. The status
        may lag behind the pods and pods may be cleaned up before it, so the larger count is the truth. An
        index that failed for good is awaited by nobody.
        """
        if self.completions is None:
            return self.parallelism
        left = self.completions - max(self.succeeded, succeeded_seen) - self.failed
        return min(self.parallelism, max(left, 0)) + staying


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """One role of an object: what Kubeflow calls a replica type, JobSet a replicated job, Ray a group."""

    #: As the pods' labels spell it.
    name: str
    count: int
    #: Fewer than ``count`` where the object says that fewer will do.
    minimum: int | None = None
    #: Pods of one replica.
    size: int = 1
    is_suspended: bool = False
    #: Its pods are created only when those of the roles before it run.
    is_late: bool = False
    #: Replicas that are done, as the object's status counts them; their pods may be gone.
    succeeded: int = 0

    @property
    def pods_min(self) -> int:
        """Pods that must stand for the role to stand."""
        if self.is_suspended:
            return 0
        return (self.count if self.minimum is None else self.minimum) * self.size

    @property
    def pods_max(self) -> int:
        """Pods of the role when it is whole."""
        return 0 if self.is_suspended else max(self.count, self.minimum or 0) * self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload(Group):
    """An object whose gang is the sum of its roles: PodGroups with roles, and jobs of every framework."""

    roles: tuple[Replicas, ...] = ()
    #: The size where the object says it in one number, beside or instead of its roles.
    min_member: int | None = None
    is_suspended: bool = False
    #: (node label, whether it is required) for all pods of the object.
    topology: tuple[tuple[str, bool], ...] = ()
    #: What the object asks for and stowplan cannot do, for the tenant; empty if there is nothing.
    unsupported: str = ""


class GroupObjects(Protocol):
    """The state's view of the gang-defining objects."""

    def get(self, kind: GroupKind, namespace: str, name: str) -> Group | None:
        """The object as last seen, or None. Callers compare the uid where it matters."""

    def unreadable(self, kind: GroupKind) -> str | None:
        """Why objects of the kind cannot be read at all (not served, forbidden), or None when they can."""
