"""Pods: ``parse_pod`` for what is to be planned, ``skeleton`` for what counts whatever it says.

Both are total over everything ``scheduler.kube.wire`` decodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from scheduler.kube import wire
from scheduler.model import hami
from scheduler.model.objects import Owner, Phase, Pod, Rejected
from scheduler.model.written import EVICTED
from scheduler.parse import selectors
from scheduler.parse.refusal import Refusal, reject, shown
from scheduler.parse.shape import Labels, Reading, read_shape

LABELS_MAX = 256
VALUE_MAX = 4 * 1024
GATES_MAX = 64
INT32_MAX = 2**31 - 1
REASON_MAX = 64

#: Prefixes of the annotations that gang dialects and the planner read; others are dropped.
KEPT = (
    "stowplan.dev/",
    "kai.scheduler/",
    "gpu-",
    "pod-group",
    "segment-size",
    "topology-",
    "scheduling.k8s.io/",
    "scheduling.x-k8s.io/",
    "scheduling.volcano.sh/",
    "volcano.sh/",
    "kueue.x-k8s.io/",
    "yunikorn.apache.org/",
    "batch.kubernetes.io/",
    "jobset.sigs.k8s.io/",
    "alpha.jobset.sigs.k8s.io/",
    hami.ALLOCATED,
    hami.NODE,
    "leaderworkerset.sigs.k8s.io/",
    "training.kubeflow.org/",
    "trainer.kubeflow.org/",
    "ray.io/",
    "gang.scheduling.koordinator.sh/",
    # Whose nodes are asked for by a request of the pods' own owner.
    "autoscaling.x-k8s.io/",
    "cluster-autoscaler.kubernetes.io/consume-",
)

_ENDED = ("Succeeded", "Failed")
_PHASES: Mapping[str, Phase] = {
    "": "Pending",
    "Pending": "Pending",
    "Running": "Running",
    "Succeeded": "Succeeded",
    "Failed": "Failed",
}


def parse_pod(found: wire.Pod) -> Pod | Rejected:
    """The pod, or the first reason why it must not be planned. Never raises."""
    labels = sorted_labels(found.metadata.labels)
    reading = read_shape(found, labels)
    return reading.fault or _fault(found, labels) or _pod(found, labels, reading)


def skeleton(found: wire.Pod) -> Pod:
    """As much of the pod as can be read, so that a rejected one still counts and its gang has a name.

    Its shape holds what could be read of its requests and rules; unreadable requests count as
    nothing, absurd ones as ``AMOUNT_MAX``. Labels beyond the limit are dropped. Never raises.
    """
    labels = sorted_labels(found.metadata.labels)
    return _pod(found, labels, read_shape(found, labels))


def sorted_labels(found: Mapping[str, str] | None) -> Labels:
    """At most ``LABELS_MAX`` labels, by key."""
    return tuple(sorted(found.items())[:LABELS_MAX]) if found else ()


def _pod(found: wire.Pod, labels: Labels, reading: Reading) -> Pod:
    metadata, spec = found.metadata, found.spec
    group = spec.scheduling_group
    return Pod(
        uid=metadata.uid,
        namespace=metadata.namespace,
        name=metadata.name,
        resource_version=metadata.resource_version,
        shape=reading.shape,
        labels=labels,
        annotations=_annotations(metadata.annotations),
        owner=_owner(metadata.owner_references),
        scheduler_name=spec.scheduler_name or "default-scheduler",
        priority=max(-INT32_MAX, min(INT32_MAX, spec.priority or 0)),
        can_preempt=spec.preemption_policy != "Never",
        phase=_PHASES.get(found.status.phase, "Unknown"),
        node_name=spec.node_name,
        nominated_node=found.status.nominated_node_name,
        pod_group=(group.pod_group_name or "") if group is not None else "",
        is_deleting=metadata.deletion_timestamp is not None,
        gates=tuple(sorted(gate.name for gate in spec.scheduling_gates)) if spec.scheduling_gates else (),
        created_s=seconds_of(metadata.creation_timestamp),
        started_s=_started_s(found) if spec.node_name else None,
        ended_s=_ended_s(found) if found.status.phase in _ENDED else 0.0,
        reason=(found.status.reason or "")[:REASON_MAX] if found.status.phase == "Failed" else "",
        deadline_s=deadline_of(spec.active_deadline_seconds),
        stopped_by_s=seconds_of(metadata.deletion_timestamp),
        is_evicted=metadata.deletion_timestamp is not None
        and any(condition.type == EVICTED for condition in found.status.conditions or ()),
    )


def deadline_of(said: int | None) -> float:
    """``activeDeadlineSeconds`` of a pod or a Job, 0 where there is none."""
    return float(min(max(said or 0, 0), INT32_MAX))


def _started_s(found: wire.Pod) -> float:
    """When the API server noted the Binding, or the pod's creation where nobody noted it."""
    for condition in found.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "True":
            noted_s = seconds_of(condition.last_transition_time)
            return noted_s or seconds_of(found.metadata.creation_timestamp)
    return seconds_of(found.metadata.creation_timestamp)


def _ended_s(found: wire.Pod) -> float:
    """When the kubelet noted that the pod was ready no more; one that never was ended at least not before."""
    noted_s = [
        seconds_of(condition.last_transition_time)
        for condition in found.status.conditions or ()
        if condition.type == "Ready" and condition.status == "False"
    ]
    return max(noted_s, default=0.0)


def _fault(found: wire.Pod, labels: Labels) -> Rejected | None:
    """What is wrong with a pod beside its shape."""
    if len(found.metadata.labels or ()) > LABELS_MAX:
        return reject("metadata.labels", f"more than {LABELS_MAX} labels: use fewer")
    if len(found.spec.scheduling_gates or ()) > GATES_MAX:
        return reject("spec.schedulingGates", f"more than {GATES_MAX} gates: use fewer")
    for key, value in (found.metadata.annotations or {}).items():
        if len(value) > VALUE_MAX and key.startswith(KEPT):
            field = f"metadata.annotations[{shown(key)}]"
            return reject(field, f"{len(value):,} characters: use at most {VALUE_MAX:,}")
    return _label_fault(labels)


@lru_cache(maxsize=4_096)
def _label_fault(labels: Labels) -> Rejected | None:
    try:
        selectors.check_labels("metadata.labels", dict(labels))
    except Refusal as refusal:
        return refusal.rejected
    return None


def _annotations(found: Mapping[str, str] | None) -> Labels:
    if not found:
        return ()
    kept = [i for i in found.items() if i[0].startswith(KEPT) and len(i[1]) <= VALUE_MAX]
    return tuple(sorted(kept)[:LABELS_MAX])


def _owner(references: tuple[wire.OwnerReference, ...] | None) -> Owner | None:
    for reference in references or ():
        if reference.controller:
            return _owner_of(reference.api_version, reference.kind, reference.name, reference.uid)
    return None


@lru_cache(maxsize=4_096)
def _owner_of(api_version: str, kind: str, name: str, uid: str) -> Owner:
    return Owner(api_version=api_version, kind=kind, name=name, uid=uid)


@lru_cache(maxsize=4_096)
def seconds_of(timestamp: str | None) -> float:
    """An RFC 3339 time in seconds since the epoch; 0 for what is none."""
    try:
        when = datetime.fromisoformat(timestamp or "")
        return when.timestamp() if when.tzinfo is not None else 0.0
    except (ValueError, OverflowError):
        return 0.0
