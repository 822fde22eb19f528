"""Group-defining objects of other projects -> values. Numbers stay as they are: the dialect judges them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from scheduler.gangs.groups import ROLES_MAX, CoschedulingPodGroup, GroupKind, Replicas, Workload
from scheduler.kube import wire
from scheduler.kube.wire import workloads
from scheduler.parse.groups import parse_coscheduling
from scheduler.parse.pod import seconds_of

#: A role more than a dialect accepts is kept, so that it sees that there are too many.
_KEPT = ROLES_MAX + 1


_HYPERNODES = (
    "spec.networkTopology.mode hard needs Volcano's HyperNodes, which stowplan does not read: "
    "set stowplan.dev/topology-required on the pods instead"
)


def _workload(
    metadata: wire.Metadata,
    kind: GroupKind,
    api_version: str,
    roles: Iterable[Replicas],
    *,
    min_member: int | None = None,
    is_suspended: bool = False,
    topology: tuple[tuple[str, bool], ...] = (),
    unsupported: str = "",
) -> Workload:
    return Workload(
        kind=kind,
        api_version=api_version,
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        generation=metadata.generation,
        created_s=seconds_of(metadata.creation_timestamp),
        roles=tuple(roles)[:_KEPT],
        min_member=min_member,
        is_suspended=is_suspended,
        topology=topology,
        unsupported=unsupported,
    )


def parse_koordinator(found: wire.CoschedulingPodGroup) -> CoschedulingPodGroup:
    """scheduling.sigs.k8s.io/v1alpha1 PodGroup."""
    return replace(
        parse_coscheduling(found),
        kind="KoordinatorPodGroup",
        api_version="scheduling.sigs.k8s.io/v1alpha1",
    )


def parse_volcano(found: workloads.VolcanoPodGroup) -> Workload:
    """scheduling.volcano.sh/v1beta1 PodGroup."""
    tasks = found.spec.min_task_member or {}
    topology = found.spec.network_topology
    is_hard = topology is not None and topology.mode == "hard"
    return _workload(
        found.metadata,
        "VolcanoPodGroup",
        "scheduling.volcano.sh/v1beta1",
        (Replicas(name=name, count=count) for name, count in sorted(tasks.items())),
        min_member=found.spec.min_member,
        unsupported=_HYPERNODES if is_hard else "",
    )


def parse_kai(found: workloads.KaiPodGroup) -> Workload:
    """scheduling.run.ai/v2alpha2 PodGroup; of nested subgroups the innermost are the roles."""
    spec = found.spec
    subgroups = spec.sub_groups or ()
    parents = {subgroup.parent for subgroup in subgroups if subgroup.parent}
    leaves = [subgroup for subgroup in subgroups if subgroup.name not in parents]
    return _workload(
        found.metadata,
        "KaiPodGroup",
        "scheduling.run.ai/v2alpha2",
        (
            Replicas(name=leaf.name, count=1 if leaf.min_member is None else leaf.min_member)
            for leaf in leaves
        ),
        min_member=spec.min_member,
        topology=_kai_topology(spec.topology_constraint),
        unsupported=_kai_fault(spec),
    )


def _kai_topology(found: workloads.KaiTopology | None) -> tuple[tuple[str, bool], ...]:
    if found is None:
        return ()
    levels = ((found.required_topology_level, True), (found.preferred_topology_level, False))
    return tuple((label, is_hard) for label, is_hard in levels if label)


def _kai_fault(spec: workloads.KaiPodGroupSpec) -> str:
    """What of the spec stowplan does not do; a wish that it does not do is no fault."""
    subgroups = spec.sub_groups or ()
    for subgroup in subgroups:
        topology = subgroup.topology_constraint
        if topology is not None and topology.required_topology_level:
            return (
                "spec.subGroups[].topologyConstraint.requiredTopologyLevel is not supported: set it for the "
                "whole group under spec.topologyConstraint"
            )
    top = sum(not subgroup.parent for subgroup in subgroups)
    children = {s.name: sum(other.parent == s.name for other in subgroups) for s in subgroups[:_KEPT]}
    wanted = [(spec.min_sub_group, top), *((s.min_sub_group, children[s.name]) for s in subgroups[:_KEPT])]
    if any(least is not None and least < count for least, count in wanted):
        return (
            "minSubGroup below the number of subgroups is not supported: remove it, and set minMember 0 for "
            "subgroups that the group can do without"
        )
    return ""


def parse_kubeflow(found: workloads.KubeflowJob, kind: GroupKind, api_version: str) -> Workload:
    """A job of the training-operator, or of the mpi-operator."""
    spec, run = found.spec, found.spec.run_policy or workloads.RunPolicy()
    specs = (
        spec.pytorch_replica_specs
        or spec.tf_replica_specs
        or spec.xgb_replica_specs
        or spec.paddle_replica_specs
        or spec.jax_replica_specs
        or spec.mpi_replica_specs
        or {}
    )
    elastic = spec.elastic_policy.min_replicas if spec.elastic_policy is not None else None
    policy = run.scheduling_policy
    return _workload(
        found.metadata,
        kind,
        api_version,
        (
            Replicas(
                name=name.lower(),
                count=1 if role is None or role.replicas is None else role.replicas,
                minimum=elastic if name.lower() == "worker" else None,
                is_late=name.lower() == "launcher" and spec.launcher_creation_policy == "WaitForWorkersReady",
            )
            for name, role in sorted(specs.items())
        ),
        min_member=None if policy is None else policy.min_available,
        is_suspended=bool(run.suspend),
    )


def parse_jobset(found: workloads.JobSet) -> Workload:
    """jobset.x-k8s.io/v1alpha2. Of jobs that start in order, all but the first come late."""
    startup = found.spec.startup_policy
    in_order = startup is not None and startup.startup_policy_order == "InOrder"
    jobs = found.spec.replicated_jobs or ()
    succeeded = {job.name: job.succeeded or 0 for job in found.status.replicated_jobs_status or ()}
    return _workload(
        found.metadata,
        "JobSet",
        "jobset.x-k8s.io/v1alpha2",
        (
            Replicas(
                name=job.name,
                count=1 if job.replicas is None else job.replicas,
                size=_pods_of(job.template.spec),
                is_late=bool(job.depends_on) or (in_order and i > 0),
                succeeded=succeeded.get(job.name, 0),
            )
            for i, job in enumerate(jobs)
        ),
        is_suspended=bool(found.spec.suspend),
    )


def _pods_of(job: workloads.ChildJobSpec) -> int:
    parallelism = 1 if job.parallelism is None else job.parallelism
    return parallelism if job.completions is None else min(parallelism, job.completions)


def parse_ray(found: workloads.RayCluster) -> Workload:
    """ray.io/v1 RayCluster: its head, and the groups of workers."""
    spec = found.spec
    workers = (
        _worker_group(group, bool(spec.enable_in_tree_autoscaling)) for group in spec.worker_group_specs or ()
    )
    return _workload(
        found.metadata,
        "RayCluster",
        "ray.io/v1",
        (Replicas(name="head", count=1), *workers),
        is_suspended=bool(spec.suspend),
    )


def _worker_group(group: workloads.WorkerGroup, is_autoscaled: bool) -> Replicas:
    """KubeRay defaults minReplicas to 0, so 0 is a wish only where an autoscaler adds the rest.

    It makes no more than maxReplicas, whatever the others say (utils.GetWorkerGroupDesiredReplicas).
    """
    count = group.replicas or 0
    least = group.min_replicas or (0 if is_autoscaled else None)
    if group.max_replicas is not None:
        count = min(count, group.max_replicas)
        least = None if least is None else min(least, group.max_replicas)
    return Replicas(
        name=group.group_name,
        count=count,
        minimum=least,
        size=1 if group.num_of_hosts is None else group.num_of_hosts,
        is_suspended=bool(group.suspend),
    )


def parse_lws(found: workloads.LeaderWorkerSet) -> Workload:
    """leaderworkerset.x-k8s.io/v1: what its pods do not say, whether the workers come late."""
    is_late = found.spec.startup_policy == "LeaderReady"
    return _workload(
        found.metadata,
        "LeaderWorkerSet",
        "leaderworkerset.x-k8s.io/v1",
        (Replicas(name="worker", count=0, is_late=is_late),),
    )
