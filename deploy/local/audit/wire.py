"""API objects as the auditor reads them: its own few fields, so that a mistake elsewhere is not repeated."""

from __future__ import annotations

import msgspec

Words = dict[str, str] | None
Amount = str | int | float


class Wire(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """Unknown fields are skipped."""


class OwnerReference(Wire, frozen=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class Metadata(Wire, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: Words = None
    annotations: Words = None
    owner_references: tuple[OwnerReference, ...] | None = None


class AnyObject(Wire, frozen=True):
    metadata: Metadata


class Condition(Wire, frozen=True):
    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None


class Resources(Wire, frozen=True):
    requests: dict[str, Amount] | None = None


class Container(Wire, frozen=True):
    resources: Resources | None = None
    restart_policy: str | None = None


class SchedulingGroup(Wire, frozen=True):
    pod_group_name: str | None = None


class AnyField(Wire, frozen=True):
    """Present, whatever it holds."""


class Volume(Wire, frozen=True):
    """Of a kind that ties a pod to places."""

    persistent_volume_claim: AnyField | None = None
    ephemeral: AnyField | None = None


class PodSpec(Wire, frozen=True):
    node_name: str = ""
    scheduler_name: str = ""
    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None
    overhead: dict[str, Amount] | None = None
    resources: Resources | None = None
    scheduling_gates: tuple[AnyField, ...] | None = None
    priority: int | None = None
    preemption_policy: str | None = None
    node_selector: Words = None
    affinity: AnyField | None = None
    topology_spread_constraints: tuple[AnyField, ...] | None = None
    resource_claims: tuple[AnyField, ...] | None = None
    volumes: tuple[Volume, ...] | None = None
    scheduling_group: SchedulingGroup | None = None
    termination_grace_period_seconds: int | None = None


class PodStatus(Wire, frozen=True):
    phase: str = "Pending"
    nominated_node_name: str = ""
    conditions: tuple[Condition, ...] | None = None


class Pod(Wire, frozen=True):
    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class GPUInstance(Wire, frozen=True):
    uuid: str = ""
    memory_bytes: int = 0
    foreign_processes: int = 0


class GPUDevice(Wire, frozen=True):
    uuid: str = ""
    memory_bytes: int = 0
    foreign_processes: int = 0
    state: str = ""
    instances: tuple[GPUInstance, ...] | None = None


class GPUNodeStatus(Wire, frozen=True):
    state: str = ""
    devices: tuple[GPUDevice, ...] | None = None


class GPUNode(Wire, frozen=True):
    metadata: Metadata
    status: GPUNodeStatus = GPUNodeStatus()


class Taint(Wire, frozen=True):
    effect: str = ""


class NodeSpec(Wire, frozen=True):
    unschedulable: bool = False
    taints: tuple[Taint, ...] | None = None


class NodeStatus(Wire, frozen=True):
    allocatable: dict[str, Amount] | None = None


class Node(Wire, frozen=True):
    metadata: Metadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class GangPolicy(Wire, frozen=True):
    min_count: int | None = None


class SchedulingPolicy(Wire, frozen=True):
    gang: GangPolicy | None = None


class GroupSpec(Wire, frozen=True):
    """Of a native PodGroup (schedulingPolicy) or a coscheduling one (minMember)."""

    scheduling_policy: SchedulingPolicy | None = None
    min_member: int | None = None


class Group(Wire, frozen=True):
    metadata: Metadata
    spec: GroupSpec = GroupSpec()


class Placement(Wire, frozen=True):
    uid: str = ""
    node: str = ""


class GangStatus(Wire, frozen=True):
    phase: str = ""
    epoch: int = 0
    placement: tuple[Placement, ...] | None = None


class Gang(Wire, frozen=True):
    metadata: Metadata
    status: GangStatus = GangStatus()


class QuotaSpec(Wire, frozen=True):
    parent: str | None = None
    namespaces: tuple[str, ...] | None = None
    namespace_selector: AnyField | None = None
    guaranteed: dict[str, msgspec.Raw] | None = None
    pod_defaults: AnyField | None = None
    pod_maximum: AnyField | None = None
    limit: AnyField | None = None
    borrowing_limit: AnyField | None = None


class TeamQuota(Wire, frozen=True):
    metadata: Metadata
    spec: QuotaSpec = QuotaSpec()


class RawStatus(Wire, frozen=True):
    """An object's status as it stands."""

    status: msgspec.Raw = msgspec.Raw()


class LeaseSpec(Wire, frozen=True):
    holder_identity: str | None = None
    lease_transitions: int | None = None


class Lease(Wire, frozen=True):
    metadata: Metadata
    spec: LeaseSpec = LeaseSpec()


class Regarding(Wire, frozen=True):
    uid: str = ""


class Event(Wire, frozen=True):
    """events.k8s.io/v1."""

    metadata: Metadata
    reason: str = ""
    note: str = ""
    regarding: Regarding = Regarding()


class ListMetadata(Wire, frozen=True):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class ListOfObjects(Wire, frozen=True):
    metadata: ListMetadata
    items: tuple[msgspec.Raw, ...] = ()


class WatchEvent(Wire, frozen=True):
    type: str
    object: msgspec.Raw
