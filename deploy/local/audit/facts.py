"""API objects into the facts of ``scheduler.invariants``; a quantity that cannot be read counts 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache, partial
from math import ceil
from typing import Final

import msgspec

from deploy.local.audit import wire
from deploy.local.audit.descriptions import DESCRIPTIONS, Description
from deploy.local.audit.membership import BY_PODS, member_of, ref_of
from scheduler.invariants import (
    EventVersion,
    GangRef,
    GangVersion,
    GPUNodeVersion,
    GroupVersion,
    LeaseVersion,
    NodeVersion,
    PodVersion,
    QuotaVersion,
)
from scheduler.invariants.history import Kind, Version

EPOCH: Final = "stowplan.dev/epoch"
DIALECT: Final = "stowplan.dev/dialect"
DEVICES: Final = "stowplan.dev/devices"
FRACTIONS: Final = ("stowplan.dev/gpu-fraction", "gpu-fraction")
MEMORY: Final = "stowplan.dev/gpu-memory"
MEMORY_MIB: Final = "gpu-memory"
EVICTED: Final = "stowplan.dev/Evicted"
ON_LOSS: Final = "stowplan.dev/gang-on-loss"
_UNIT: Final = 1000
_SUFFIXES: Final = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}
_DIGITS_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One resource type to watch: where it is, what it holds and how it becomes a fact.

    ``fact`` gives the key and the version; None for an object that is nobody's business. ``dialect``: of the
    gangs that the objects describe, where an API server need not have them; else empty.
    """

    kind: Kind
    path: str
    fact: Callable[[bytes], tuple[str, Version] | None]
    dialect: str = ""


def amounts(quantities: Mapping[str, wire.Amount] | None) -> dict[str, int]:
    """Thousandths of each resource's unit, rounded up."""
    return {name: thousandths(amount) for name, amount in (quantities or {}).items()}


@lru_cache(maxsize=4096)
def thousandths(amount: wire.Amount) -> int:
    text = str(amount).strip()
    number = text.rstrip("numkKMGTPEi") if len(text) <= _DIGITS_MAX else ""
    try:
        # An exponent ("1E3") ends in a digit, so no letter of it is taken for a suffix.
        value = Decimal(number) * _SUFFIXES[text[len(number) :]]
    except (InvalidOperation, KeyError):
        return 0
    return ceil(value * _UNIT) if value.is_finite() and abs(value.adjusted()) < _DIGITS_MAX else 0


def requests(spec: wire.PodSpec) -> dict[str, int]:
    """What a pod takes of its node: KEP-753's sum, or what the pod as a whole asks where it does.

    The larger of (containers and sidecars together) and (each init container beside the sidecars
    started before it), and the overhead; one pod.
    """
    peak: Counter[str] = Counter()
    beside: Counter[str] = Counter()
    for container in spec.init_containers or ():
        asked = amounts(container.resources.requests if container.resources else None)
        if container.restart_policy == "Always":
            beside.update(asked)
            asked = {}
        for name in {*asked, *beside}:
            peak[name] = max(peak[name], asked.get(name, 0) + beside[name])
    running = Counter(beside)
    for container in spec.containers or ():
        running.update(amounts(container.resources.requests if container.resources else None))
    total = {name: max(peak[name], running[name]) for name in {*peak, *running}}
    total |= amounts(spec.resources.requests if spec.resources else None)
    for name, amount in amounts(spec.overhead).items():
        total[name] = total.get(name, 0) + amount
    return {**{name: amount for name, amount in total.items() if amount}, "pods": _UNIT}


def pod_fact(raw: bytes, served: Collection[str] = ()) -> tuple[str, Version]:
    """served: dialects whose gangs the API server's own objects describe (``descriptions``)."""
    pod = _pod.decode(raw)
    meta, spec = pod.metadata, pod.spec
    member = member_of(pod, served)
    epoch = (meta.annotations or {}).get(EPOCH, "")
    conditions = {condition.type: condition for condition in pod.status.conditions or ()}
    told = conditions.get("PodScheduled")
    disrupted = conditions.get("DisruptionTarget")
    evicted = conditions.get(EVICTED)
    return meta.uid, PodVersion(
        uid=meta.uid,
        namespace=meta.namespace,
        name=meta.name,
        scheduler=spec.scheduler_name,
        created=meta.creation_timestamp,
        owner=next((owner.uid for owner in meta.owner_references or () if owner.controller), ""),
        node=spec.node_name,
        phase=pod.status.phase,
        is_deleting=meta.deletion_timestamp is not None,
        is_gated=bool(spec.scheduling_gates),
        is_evicted=disrupted is not None and disrupted.reason == "EvictionByEvictionAPI",
        requests=requests(spec),
        gang=ref_of(pod, member),
        minimum=member.minimum,
        role=member.role,
        together=member.together,
        epoch=int(epoch) if epoch.isascii() and epoch.isdigit() and len(epoch) < 20 else None,
        told=None if told is None else (told.status, told.reason or "", told.message or ""),
        devices=tuple(uuid for uuid in (meta.annotations or {}).get(DEVICES, "").split(",") if uuid),
        share=_share(meta.annotations or {}),
        priority=spec.priority or 0,
        can_preempt=spec.preemption_policy != "Never",
        nominated=pod.status.nominated_node_name,
        evicted_for=None if evicted is None else (evicted.reason or "", evicted.message or ""),
        on_loss={**(meta.labels or {}), **(meta.annotations or {})}.get(ON_LOSS, ""),
        is_plain=_is_plain(pod),
        grace_s=float(spec.termination_grace_period_seconds or 0),
    )


def _is_plain(pod: wire.Pod) -> bool:
    """Whether a node's room alone decides if the pod may go there."""
    spec, words = pod.spec, {**(pod.metadata.labels or {}), **(pod.metadata.annotations or {})}
    ties = (spec.node_selector, spec.affinity, spec.topology_spread_constraints, spec.resource_claims)
    volumes = spec.volumes or ()
    return not (
        any(ties)
        or any(volume.persistent_volume_claim or volume.ephemeral for volume in volumes)
        or any(
            "topology" in key or "fraction" in key or "gpu-memory" in key or "model" in key for key in words
        )
    )


def _share(words: Mapping[str, str]) -> Fraction | int | None:
    """A fraction of one device, bytes of its memory, or None where neither is asked or can be read."""
    for key in FRACTIONS:
        if key in words:
            try:
                return Fraction(words[key]) if len(words[key]) <= _DIGITS_MAX else None
            except (ValueError, ZeroDivisionError):
                return None
    if MEMORY in words:
        return -(-thousandths(words[MEMORY]) // _UNIT)
    return thousandths(words[MEMORY_MIB]) // _UNIT << 20 if MEMORY_MIB in words else None


def node_fact(raw: bytes) -> tuple[str, Version]:
    node = _node.decode(raw)
    name = node.metadata.name
    taints = node.spec.taints or ()
    is_open = not node.spec.unschedulable and all(taint.effect == "PreferNoSchedule" for taint in taints)
    return name, NodeVersion(name=name, allocatable=amounts(node.status.allocatable), is_open=is_open)


def gpu_node_fact(raw: bytes) -> tuple[str, Version]:
    node = _gpu_node.decode(raw)
    name = node.metadata.name
    memory: dict[str, int] = {}
    usable: set[str] = set()
    for device in node.status.devices or ():
        is_well = device.state in ("Healthy", "Noted") and node.status.state == "Ready"
        parts: tuple[wire.GPUDevice | wire.GPUInstance, ...] = (device, *(device.instances or ()))
        for part in parts:
            memory[part.uuid] = part.memory_bytes
            if is_well and not part.foreign_processes:
                usable.add(part.uuid)
    return name, GPUNodeVersion(name=name, memory=memory, usable=frozenset(usable))


def native_group_fact(raw: bytes) -> tuple[str, Version]:
    group = _group.decode(raw)
    policy = group.spec.scheduling_policy
    gang = None if policy is None else policy.gang
    ref = GangRef(group.metadata.namespace, "podgroup", group.metadata.name)
    return group.metadata.uid, GroupVersion(ref=ref, minimum=1 if gang is None else gang.min_count or 1)


def coscheduling_group_fact(raw: bytes) -> tuple[str, Version]:
    group = _group.decode(raw)
    ref = GangRef(group.metadata.namespace, "coscheduling", group.metadata.name)
    return group.metadata.uid, GroupVersion(ref=ref, minimum=group.spec.min_member or 1)


def gang_fact(raw: bytes, served: Collection[str] = ()) -> tuple[str, Version] | None:
    gang = _gang_object.decode(raw)
    dialect = (gang.metadata.labels or {}).get(DIALECT, "")
    name = (gang.metadata.annotations or {}).get(DIALECT, "")
    if not name or not (dialect in BY_PODS or dialect in served):
        return None
    status = gang.status
    return gang.metadata.uid, GangVersion(
        ref=GangRef(gang.metadata.namespace, dialect, name),
        phase=status.phase,
        epoch=status.epoch,
        placement={place.uid: place.node for place in status.placement or ()},
        status=bytes(_raw_status.decode(raw).status),
    )


def lease_fact(raw: bytes) -> tuple[str, Version]:
    lease = _lease.decode(raw)
    spec = lease.spec
    return lease.metadata.name, LeaseVersion(
        holder=spec.holder_identity or "", epoch=spec.lease_transitions or 0
    )


def quota_fact(raw: bytes) -> tuple[str, Version]:
    quota = _quota.decode(raw)
    spec, name = quota.spec, quota.metadata.name
    read = {key: bytes(amount).decode().strip('"') for key, amount in (spec.guaranteed or {}).items()}
    odd = (spec.parent, spec.namespace_selector, spec.pod_defaults, spec.pod_maximum)
    return name, QuotaVersion(
        name=name,
        namespaces=spec.namespaces or (),
        guaranteed={
            "nvidia.com/gpu" if key == "gpu" else key: thousandths(text) for key, text in read.items()
        },
        is_plain=not any(odd) and "gpuModels" not in read,
    )


def event_fact(raw: bytes) -> tuple[str, Version]:
    event = _event.decode(raw)
    return event.metadata.uid, EventVersion(uid=event.regarding.uid, reason=event.reason, note=event.note)


_pod = msgspec.json.Decoder(wire.Pod)
_node = msgspec.json.Decoder(wire.Node)
_gpu_node = msgspec.json.Decoder(wire.GPUNode)
_group = msgspec.json.Decoder(wire.Group)
_gang_object = msgspec.json.Decoder(wire.Gang)
_quota = msgspec.json.Decoder(wire.TeamQuota)
_raw_status = msgspec.json.Decoder(wire.RawStatus)
_lease = msgspec.json.Decoder(wire.Lease)
_event = msgspec.json.Decoder(wire.Event)


def described() -> tuple[Source, ...]:
    """What describes gangs; all but the Job are APIs that a cluster need not serve."""
    return tuple(map(_of_description, DESCRIPTIONS))


def _of_description(found: Description) -> Source:
    return Source(kind="Group", path=found.path, fact=found.fact, dialect=found.dialect)


def sources(*, lease_namespace: str, lease: str, served: Collection[str]) -> tuple[Source, ...]:
    """Everything else that the invariants speak of. served: dialects whose descriptions are followed."""
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{lease_namespace}/leases"
    groups = "/apis/scheduling.k8s.io/v1beta1/podgroups"
    coscheduling = "/apis/scheduling.x-k8s.io/v1alpha1/podgroups"
    gangs = "/apis/stowplan.dev/v1alpha1/gangs"
    return (
        Source(kind="Pod", path="/api/v1/pods", fact=partial(pod_fact, served=served)),
        Source(kind="Node", path="/api/v1/nodes", fact=node_fact),
        Source(kind="GPUNode", path="/apis/stowplan.dev/v1alpha1/gpunodes", fact=gpu_node_fact),
        Source(kind="Group", path=groups, fact=native_group_fact),
        Source(kind="Group", path=coscheduling, fact=coscheduling_group_fact),
        Source(kind="Quota", path="/apis/stowplan.dev/v1alpha1/teamquotas", fact=quota_fact),
        Source(kind="Gang", path=gangs, fact=partial(gang_fact, served=served)),
        Source(
            kind="Lease",
            path=leases,
            fact=lambda raw: found if (found := lease_fact(raw))[0] == lease else None,
        ),
        Source(kind="Event", path="/apis/events.k8s.io/v1/events", fact=event_fact),
    )
