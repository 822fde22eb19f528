"""Gang-defining API objects -> values. Numbers stay as they are: the dialect judges them."""

from __future__ import annotations

from scheduler.gangs.groups import MAX_EXEC_TIME, CoschedulingPodGroup, Job, PodGroup
from scheduler.kube import wire
from scheduler.parse.pod import deadline_of, seconds_of

SECONDS_TEXT_MAX = 20


def parse_pod_group(found: wire.PodGroup, api_version: str) -> PodGroup:
    """scheduling.k8s.io PodGroup; ``api_version`` is the one it was read under."""
    spec = found.spec
    gang = spec.scheduling_policy.gang if spec.scheduling_policy is not None else None
    constraints = spec.scheduling_constraints
    topology = (constraints.topology if constraints is not None else None) or ()
    return PodGroup(
        api_version=api_version,
        namespace=found.metadata.namespace,
        name=found.metadata.name,
        uid=found.metadata.uid,
        generation=found.metadata.generation,
        min_count=None if gang is None else gang.min_count,
        topology_keys=tuple(constraint.key for constraint in topology),
        priority=spec.priority,
        composite_parent=spec.parent_composite_pod_group_name or "",
    )


def parse_coscheduling(found: wire.CoschedulingPodGroup) -> CoschedulingPodGroup:
    """scheduling.x-k8s.io/v1alpha1 PodGroup."""
    return CoschedulingPodGroup(
        api_version="scheduling.x-k8s.io/v1alpha1",
        namespace=found.metadata.namespace,
        name=found.metadata.name,
        uid=found.metadata.uid,
        generation=found.metadata.generation,
        min_member=found.spec.min_member,
    )


def parse_job(found: wire.Job) -> Job:
    """batch/v1 Job, with the API server's defaults where a field is absent."""
    spec = found.spec
    owners = found.metadata.owner_references or ()
    parent = next((owner for owner in owners if owner.controller), wire.OwnerReference())
    return Job(
        api_version="batch/v1",
        namespace=found.metadata.namespace,
        name=found.metadata.name,
        uid=found.metadata.uid,
        generation=found.metadata.generation,
        parallelism=1 if spec.parallelism is None else spec.parallelism,
        completions=spec.completions,
        succeeded=found.status.succeeded or 0,
        failed=_indexes(found.status.failed_indexes or ""),
        created_s=seconds_of(found.metadata.creation_timestamp),
        is_suspended=bool(spec.suspend),
        deadline_s=deadline_of(spec.active_deadline_seconds),
        max_exec_time=(found.metadata.labels or {}).get(MAX_EXEC_TIME, "")[:SECONDS_TEXT_MAX],
        parent=parent.name,
    )


def _indexes(text: str) -> int:
    """How many indexes a text such as ``1,3-5`` names; what is no index counts as none."""
    count = 0
    for part in text.split(","):
        first, _, last = part.partition("-")
        low, high = _index(first), _index(last or first)
        if low is not None and high is not None and low <= high:
            count += high - low + 1
    return count


def _index(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
