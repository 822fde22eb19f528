"""Pods, as far as scheduling reads them."""

from __future__ import annotations

import msgspec

from scheduler.kube.wire.base import ABSENT, Condition, Metadata, Present, Quantity, Wire, Words


class ResourceClaimUse(Wire, frozen=True):
    name: str = ""


class Resources(Wire, frozen=True):
    requests: dict[str, Quantity] | None = None
    limits: dict[str, Quantity] | None = None
    claims: tuple[ResourceClaimUse, ...] | None = None


class Port(Wire, frozen=True):
    container_port: int = 0
    host_port: int = 0
    host_ip: str = msgspec.field(name="hostIP", default="")
    protocol: str = "TCP"


class RestartRule(Wire, frozen=True):
    action: str = ""


class Container(Wire, frozen=True):
    name: str = ""
    resources: Resources | None = None
    ports: tuple[Port, ...] | None = None
    restart_policy: str | None = None
    restart_policy_rules: tuple[RestartRule, ...] | None = None


class Toleration(Wire, frozen=True):
    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""


class ClaimSource(Wire, frozen=True):
    claim_name: str = ""


class PodVolume(Wire, frozen=True):
    """The sources that restrict nodes; all but claims only as presence."""

    name: str = ""
    persistent_volume_claim: ClaimSource | None = None
    ephemeral: Present | None = None
    csi: Present | None = None
    gce_persistent_disk: Present | None = None
    aws_elastic_block_store: Present | None = None
    iscsi: Present | None = None
    rbd: Present | None = None


class Gate(Wire, frozen=True):
    name: str = ""


class SchedulingGroup(Wire, frozen=True):
    pod_group_name: str | None = None


class PodResourceClaim(Wire, frozen=True):
    name: str = ""
    resource_claim_name: str | None = None
    resource_claim_template_name: str | None = None


class PodSpec(Wire, frozen=True):
    """``affinity`` and ``topology_spread_constraints`` are views on the bytes of the answer they came in.

    ``ABSENT`` (empty) if not sent. Decode them as ``selection.Affinity`` and
    ``tuple[selection.TopologySpreadConstraint, ...]``. A view that is kept keeps the whole answer in
    memory, up to 500 pods: copy what is kept.
    """

    node_name: str = ""
    scheduler_name: str = ""
    priority: int | None = None
    preemption_policy: str | None = None
    containers: tuple[Container, ...] | None = ()
    init_containers: tuple[Container, ...] | None = None
    overhead: dict[str, Quantity] | None = None
    resources: Resources | None = None
    node_selector: Words = None
    affinity: msgspec.Raw = ABSENT
    tolerations: tuple[Toleration, ...] | None = None
    topology_spread_constraints: msgspec.Raw = ABSENT
    volumes: tuple[PodVolume, ...] | None = None
    scheduling_gates: tuple[Gate, ...] | None = None
    scheduling_group: SchedulingGroup | None = None
    resource_claims: tuple[PodResourceClaim, ...] | None = None
    host_network: bool | None = None
    host_users: bool | None = None
    termination_grace_period_seconds: int | None = None
    active_deadline_seconds: int | None = None


class ResourceClaimStatus(Wire, frozen=True):
    name: str = ""
    resource_claim_name: str | None = None


class ContainerStatus(Wire, frozen=True):
    """What the kubelet allocated to the container, and what is in force (KEP-1287)."""

    name: str = ""
    allocated_resources: dict[str, Quantity] | None = None
    resources: Resources | None = None


class PodStatus(Wire, frozen=True):
    phase: str = ""
    reason: str | None = None
    nominated_node_name: str = ""
    conditions: tuple[Condition, ...] | None = None
    start_time: str | None = None
    resource_claim_statuses: tuple[ResourceClaimStatus, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None
    init_container_statuses: tuple[ContainerStatus, ...] | None = None
    #: Of the pod as a whole (KEP-5419).
    allocated_resources: dict[str, Quantity] | None = None
    resources: Resources | None = None


class Pod(Wire, frozen=True):
    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()
