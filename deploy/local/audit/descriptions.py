"""How large a gang an object describes, in the auditor's own reading: PodGroups, jobs of frameworks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from deploy.local.audit.wire import Metadata, Wire
from scheduler.invariants import GangRef, GroupVersion

Sizes = dict[str, int]
Fact = tuple[str, GroupVersion]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Where the objects of a dialect are, and how one becomes a fact under its key."""

    dialect: str
    path: str
    fact: Callable[[bytes], Fact]


class _SubGroup(Wire, frozen=True):
    name: str = ""
    parent: str | None = None
    min_member: int | None = None


class _GroupSpec(Wire, frozen=True):
    """A PodGroup of Volcano (tasks), of KAI (subgroups) or of Koordinator (neither)."""

    min_member: int | None = None
    min_task_member: Sizes | None = None
    sub_groups: tuple[_SubGroup, ...] | None = None


class _Group(Wire, frozen=True):
    metadata: Metadata
    spec: _GroupSpec = _GroupSpec()


class _Replica(Wire, frozen=True):
    replicas: int | None = None


class _Policy(Wire, frozen=True):
    min_available: int | None = None


class _RunPolicy(Wire, frozen=True):
    scheduling_policy: _Policy | None = None


class _Elastic(Wire, frozen=True):
    min_replicas: int | None = None


Replicas = dict[str, _Replica] | None


class _TrainingSpec(Wire, frozen=True):
    run_policy: _RunPolicy | None = None
    elastic_policy: _Elastic | None = None
    launcher_creation_policy: str = ""
    pytorch_replica_specs: Replicas = None
    tf_replica_specs: Replicas = None
    xgb_replica_specs: Replicas = None
    paddle_replica_specs: Replicas = None
    jax_replica_specs: Replicas = None
    mpi_replica_specs: Replicas = None


class _Training(Wire, frozen=True):
    metadata: Metadata
    spec: _TrainingSpec = _TrainingSpec()


class _JobSpec(Wire, frozen=True):
    parallelism: int | None = None
    completions: int | None = None


class _JobStatus(Wire, frozen=True):
    succeeded: int | None = None
    failed_indexes: str | None = None


class _Job(Wire, frozen=True):
    metadata: Metadata = Metadata()
    spec: _JobSpec = _JobSpec()
    status: _JobStatus = _JobStatus()


class _Replicated(Wire, frozen=True):
    name: str = ""
    replicas: int | None = None
    template: _Job = _Job()
    depends_on: tuple[dict[str, str], ...] | None = None


class _Startup(Wire, frozen=True):
    startup_policy_order: str = ""


class _JobSetSpec(Wire, frozen=True):
    replicated_jobs: tuple[_Replicated, ...] | None = None
    startup_policy: _Startup | None = None


class _ReplicatedStatus(Wire, frozen=True):
    name: str = ""
    succeeded: int | None = None


class _JobSetStatus(Wire, frozen=True):
    replicated_jobs_status: tuple[_ReplicatedStatus, ...] | None = None


class _JobSet(Wire, frozen=True):
    metadata: Metadata
    spec: _JobSetSpec = _JobSetSpec()
    status: _JobSetStatus = _JobSetStatus()


class _Workers(Wire, frozen=True):
    group_name: str = ""
    replicas: int | None = None
    min_replicas: int | None = None
    max_replicas: int | None = None
    num_of_hosts: int | None = None
    suspend: bool | None = None


class _RaySpec(Wire, frozen=True):
    worker_group_specs: tuple[_Workers, ...] | None = None
    enable_in_tree_autoscaling: bool | None = None


class _Ray(Wire, frozen=True):
    metadata: Metadata
    spec: _RaySpec = _RaySpec()


class _Template(Wire, frozen=True):
    size: int | None = None


class _LwsSpec(Wire, frozen=True):
    startup_policy: str = ""
    leader_worker_template: _Template = _Template()


class _Lws(Wire, frozen=True):
    metadata: Metadata
    spec: _LwsSpec = _LwsSpec()


def _one(number: int | None) -> int:
    return 1 if number is None else number


def _fact(
    metadata: Metadata, dialect: str, roles: Mapping[str, int], late: Mapping[str, int], size: int | None
) -> Fact:
    """size: where the object says it in one number; roles that add up to more then have no say."""
    sum_ = sum(roles.values())
    least = sum_ if size is None else size
    group = GroupVersion(
        ref=GangRef(metadata.namespace, dialect, metadata.name),
        minimum=least,
        roles=roles if sum_ <= least else {},
        late=late,
    )
    # One object may be read in two dialects.
    return f"{metadata.uid}/{dialect}", group


def _group(dialect: str) -> Callable[[bytes], Fact]:
    def fact(raw: bytes) -> Fact:
        found = msgspec.json.decode(raw, type=_Group)
        inner = found.spec.sub_groups or ()
        parents = {part.parent for part in inner}
        roles = {part.name: _one(part.min_member) for part in inner if part.name not in parents}
        roles |= found.spec.min_task_member or {}
        size = found.spec.min_member
        return _fact(found.metadata, dialect, roles, {}, size if size is not None or roles else 1)

    return fact


def _training(dialect: str) -> Callable[[bytes], Fact]:
    def fact(raw: bytes) -> Fact:
        found = msgspec.json.decode(raw, type=_Training)
        spec = found.spec
        specs = (
            spec.pytorch_replica_specs
            or spec.tf_replica_specs
            or spec.xgb_replica_specs
            or spec.paddle_replica_specs
            or spec.jax_replica_specs
            or spec.mpi_replica_specs
            or {}
        )
        roles = {name.lower(): _one(replica.replicas) for name, replica in specs.items()}
        if spec.elastic_policy is not None and spec.elastic_policy.min_replicas is not None:
            roles["worker"] = spec.elastic_policy.min_replicas
        late = {}
        if spec.launcher_creation_policy == "WaitForWorkersReady":
            late = {"launcher": roles.pop("launcher", 0)}
        policy = spec.run_policy.scheduling_policy if spec.run_policy is not None else None
        return _fact(found.metadata, dialect, roles, late, None if policy is None else policy.min_available)

    return fact


def _jobset(dialect: str) -> Callable[[bytes], Fact]:
    def fact(raw: bytes) -> Fact:
        """Without the Jobs that are done: their pods may stand or be gone, so this may ask for less.

        For pods that succeeded in a Job that runs on, and were deleted, it still asks.
        """
        found = msgspec.json.decode(raw, type=_JobSet)
        done = {part.name: part.succeeded or 0 for part in found.status.replicated_jobs_status or ()}
        startup = found.spec.startup_policy
        is_ordered = startup is not None and startup.startup_policy_order == "InOrder"
        roles: Sizes = {}
        late: Sizes = {}
        for i, part in enumerate(found.spec.replicated_jobs or ()):
            is_late = bool(part.depends_on) or (is_ordered and i > 0)
            left = max(0, _one(part.replicas) - done.get(part.name, 0))
            (late if is_late else roles)[part.name] = left * _at_once(part.template.spec)
        return _fact(found.metadata, dialect, roles, late, None)

    return fact


def _at_once(job: _JobSpec, succeeded: int = 0) -> int:
    """Pods of a Job that run together from now on."""
    parallelism = _one(job.parallelism)
    return parallelism if job.completions is None else min(parallelism, max(0, job.completions - succeeded))


def _ray(raw: bytes) -> Fact:
    found = msgspec.json.decode(raw, type=_Ray)
    roles = {"head": 1}
    for group in found.spec.worker_group_specs or ():
        wish = 0 if found.spec.enable_in_tree_autoscaling else group.replicas or 0
        count = 0 if group.suspend else group.min_replicas or wish
        made = count if group.max_replicas is None else min(count, group.max_replicas)
        roles[group.group_name] = made * _one(group.num_of_hosts)
    return _fact(found.metadata, "raycluster", roles, {}, None)


def _lws(raw: bytes) -> Fact:
    found = msgspec.json.decode(raw, type=_Lws)
    workers = {"worker": _one(found.spec.leader_worker_template.size) - 1}
    is_late = found.spec.startup_policy == "LeaderReady"
    exclusive = "leaderworkerset.sigs.k8s.io/exclusive-topology" in (found.metadata.annotations or {})
    if is_late or exclusive:
        return _fact(found.metadata, "lws", {"leader": 1}, workers, None)
    return _fact(found.metadata, "lws", {"leader": 1, **workers}, {}, None)


def _job(raw: bytes) -> Fact:
    """As many as still run together. Succeeded pods stand, so where the status lags this asks for less.

    Indexes that failed for good (``1,3-5``) are not made again.
    """
    found = msgspec.json.decode(raw, type=_Job)
    ended = found.status.succeeded or 0
    for part in (found.status.failed_indexes or "").split(","):
        low, _, high = part.partition("-")
        ended += int(high or low) - int(low) + 1 if low else 0
    return _fact(found.metadata, "job", {}, {}, _at_once(found.spec, ended))


def _of_kubeflow(kind: str, version: str = "v1") -> Description:
    return Description(dialect=kind, path=f"/apis/kubeflow.org/{version}/{kind}s", fact=_training(kind))


DESCRIPTIONS: Final[tuple[Description, ...]] = (
    Description(dialect="job", path="/apis/batch/v1/jobs", fact=_job),
    Description(
        dialect="koordinator",
        path="/apis/scheduling.sigs.k8s.io/v1alpha1/podgroups",
        fact=_group("koordinator"),
    ),
    Description(
        dialect="volcano", path="/apis/scheduling.volcano.sh/v1beta1/podgroups", fact=_group("volcano")
    ),
    Description(dialect="kai", path="/apis/scheduling.run.ai/v2alpha2/podgroups", fact=_group("kai")),
    *map(_of_kubeflow, ("pytorchjob", "tfjob", "xgboostjob", "paddlejob", "jaxjob", "mpijob")),
    _of_kubeflow("mpijob", "v2beta1"),
    Description(dialect="trainjob", path="/apis/jobset.x-k8s.io/v1alpha2/jobsets", fact=_jobset("trainjob")),
    Description(dialect="jobset", path="/apis/jobset.x-k8s.io/v1alpha2/jobsets", fact=_jobset("jobset")),
    Description(dialect="raycluster", path="/apis/ray.io/v1/rayclusters", fact=_ray),
    Description(dialect="lws", path="/apis/leaderworkerset.x-k8s.io/v1/leaderworkersets", fact=_lws),
)
