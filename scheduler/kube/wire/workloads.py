"""Group-defining objects of other projects: their PodGroups, and the jobs of training frameworks.

Only what decides the size of a gang. Maps and lists may hold anything the API server let in; the
parser bounds them.
"""

from __future__ import annotations

from scheduler.kube.wire.base import Metadata, Present, Wire


class VolcanoTopology(Wire, frozen=True):
    mode: str = ""


class VolcanoPodGroupSpec(Wire, frozen=True):
    min_member: int = 0
    min_task_member: dict[str, int] | None = None
    network_topology: VolcanoTopology | None = None


class VolcanoPodGroup(Wire, frozen=True):
    """scheduling.volcano.sh/v1beta1."""

    metadata: Metadata
    spec: VolcanoPodGroupSpec = VolcanoPodGroupSpec()


class KaiTopology(Wire, frozen=True):
    required_topology_level: str = ""
    preferred_topology_level: str = ""


class KaiSubGroup(Wire, frozen=True):
    name: str = ""
    min_member: int | None = None
    min_sub_group: int | None = None
    parent: str | None = None
    topology_constraint: KaiTopology | None = None


class KaiPodGroupSpec(Wire, frozen=True):
    min_member: int | None = None
    min_sub_group: int | None = None
    sub_groups: tuple[KaiSubGroup, ...] | None = None
    topology_constraint: KaiTopology | None = None


class KaiPodGroup(Wire, frozen=True):
    """scheduling.run.ai/v2alpha2."""

    metadata: Metadata
    spec: KaiPodGroupSpec = KaiPodGroupSpec()


class ReplicaSpec(Wire, frozen=True):
    replicas: int | None = None


ReplicaSpecs = dict[str, ReplicaSpec | None] | None


class KubeflowSchedulingPolicy(Wire, frozen=True):
    min_available: int | None = None


class RunPolicy(Wire, frozen=True):
    scheduling_policy: KubeflowSchedulingPolicy | None = None
    suspend: bool | None = None


class ElasticPolicy(Wire, frozen=True):
    min_replicas: int | None = None


class KubeflowJobSpec(Wire, frozen=True):
    """Of every kind of Kubeflow job; a job has one of the replica specs."""

    run_policy: RunPolicy | None = None
    elastic_policy: ElasticPolicy | None = None
    launcher_creation_policy: str = ""
    pytorch_replica_specs: ReplicaSpecs = None
    tf_replica_specs: ReplicaSpecs = None
    xgb_replica_specs: ReplicaSpecs = None
    paddle_replica_specs: ReplicaSpecs = None
    jax_replica_specs: ReplicaSpecs = None
    mpi_replica_specs: ReplicaSpecs = None


class KubeflowJob(Wire, frozen=True):
    """kubeflow.org/v1 and, for MPIJob, v2beta1."""

    metadata: Metadata
    spec: KubeflowJobSpec = KubeflowJobSpec()


class ChildJobSpec(Wire, frozen=True):
    parallelism: int | None = None
    completions: int | None = None


class ChildJobTemplate(Wire, frozen=True):
    spec: ChildJobSpec = ChildJobSpec()


class ReplicatedJob(Wire, frozen=True):
    name: str = ""
    replicas: int | None = None
    template: ChildJobTemplate = ChildJobTemplate()
    depends_on: tuple[Present, ...] | None = None


class StartupPolicy(Wire, frozen=True):
    startup_policy_order: str = ""


class JobSetSpec(Wire, frozen=True):
    replicated_jobs: tuple[ReplicatedJob, ...] | None = None
    startup_policy: StartupPolicy | None = None
    suspend: bool | None = None


class ReplicatedJobStatus(Wire, frozen=True):
    name: str = ""
    #: Jobs, not pods.
    succeeded: int | None = None


class JobSetStatus(Wire, frozen=True):
    replicated_jobs_status: tuple[ReplicatedJobStatus, ...] | None = None


class JobSet(Wire, frozen=True):
    """jobset.x-k8s.io/v1alpha2."""

    metadata: Metadata
    spec: JobSetSpec = JobSetSpec()
    status: JobSetStatus = JobSetStatus()


class WorkerGroup(Wire, frozen=True):
    group_name: str = ""
    replicas: int | None = None
    min_replicas: int | None = None
    max_replicas: int | None = None
    num_of_hosts: int | None = None
    suspend: bool | None = None


class RayClusterSpec(Wire, frozen=True):
    worker_group_specs: tuple[WorkerGroup, ...] | None = None
    enable_in_tree_autoscaling: bool | None = None
    suspend: bool | None = None


class RayCluster(Wire, frozen=True):
    """ray.io/v1."""

    metadata: Metadata
    spec: RayClusterSpec = RayClusterSpec()


class LeaderWorkerSetSpec(Wire, frozen=True):
    startup_policy: str = ""


class LeaderWorkerSet(Wire, frozen=True):
    """leaderworkerset.x-k8s.io/v1."""

    metadata: Metadata
    spec: LeaderWorkerSetSpec = LeaderWorkerSetSpec()
