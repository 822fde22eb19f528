"""Objects that say which pods belong together: Jobs, both kinds of PodGroup, and our own Gang."""

from __future__ import annotations

from scheduler.kube.wire.base import Condition, Metadata, Present, Wire


class JobSpec(Wire, frozen=True):
    parallelism: int | None = None
    completions: int | None = None
    suspend: bool | None = None
    active_deadline_seconds: int | None = None


class JobStatus(Wire, frozen=True):
    active: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    #: Such as ``1,3-5``.
    failed_indexes: str | None = None


class Job(Wire, frozen=True):
    """batch/v1."""

    metadata: Metadata
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


class GangPolicy(Wire, frozen=True):
    min_count: int | None = None


class SchedulingPolicy(Wire, frozen=True):
    gang: GangPolicy | None = None
    basic: Present | None = None


class TopologyConstraint(Wire, frozen=True):
    key: str = ""


class SchedulingConstraints(Wire, frozen=True):
    topology: tuple[TopologyConstraint, ...] | None = None


class PodGroupSpec(Wire, frozen=True):
    scheduling_policy: SchedulingPolicy | None = None
    scheduling_constraints: SchedulingConstraints | None = None
    priority: int | None = None
    preemption_policy: str | None = None
    parent_composite_pod_group_name: str | None = None


class PodGroupStatus(Wire, frozen=True):
    conditions: tuple[Condition, ...] | None = None


class PodGroup(Wire, frozen=True):
    """scheduling.k8s.io, v1alpha2 to v1beta1 (KEP-4671)."""

    metadata: Metadata
    spec: PodGroupSpec = PodGroupSpec()
    status: PodGroupStatus = PodGroupStatus()


class CoschedulingSpec(Wire, frozen=True):
    min_member: int = 0


class CoschedulingPodGroup(Wire, frozen=True):
    """scheduling.x-k8s.io/v1alpha1."""

    metadata: Metadata
    spec: CoschedulingSpec = CoschedulingSpec()


class GangPlacement(Wire, frozen=True):
    pod: str = ""
    uid: str = ""
    node: str = ""
    devices: tuple[str, ...] | None = None


class FinishedPod(Wire, frozen=True):
    pod: str = ""
    uid: str = ""
    owner: str = ""
    created: str | None = None
    ended: str | None = None


class GangStatus(Wire, frozen=True):
    phase: str = ""
    epoch: int = 0
    generation: int | None = None
    placement: tuple[GangPlacement, ...] | None = None
    message: str = ""
    reason: str = ""
    min_member: int = 0
    started_min_member: int = 0
    members: int = 0
    bound: int = 0
    expected_start: str | None = None
    succeeded: tuple[FinishedPod, ...] | None = None
    conditions: tuple[Condition, ...] | None = None


class Gang(Wire, frozen=True):
    """stowplan.dev/v1alpha1 (deploy/crds/gangs.yaml)."""

    metadata: Metadata
    status: GangStatus = GangStatus()
