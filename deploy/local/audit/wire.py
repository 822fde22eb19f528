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


class PodSpec(Wire, frozen=True):
    node_name: str = ""
    scheduler_name: str = ""
    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None
    overhead: dict[str, Amount] | None = None
    resources: Resources | None = None
    scheduling_gates: tuple[AnyField, ...] | None = None
    scheduling_group: SchedulingGroup | None = None


class AnyField(Wire, frozen=True):
    """Present, whatever it holds."""


class PodStatus(Wire, frozen=True):
    phase: str = "Pending"
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


class NodeStatus(Wire, frozen=True):
    allocatable: dict[str, Amount] | None = None


class Node(Wire, frozen=True):
    metadata: Metadata
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
