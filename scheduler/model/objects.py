"""Node and Pod as the planner knows them, and Rejected for what it must not touch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from scheduler.model.devices import DeviceAsk
from scheduler.model.selection import (
    HostPort,
    NodeTerm,
    PodTerm,
    SpreadConstraint,
    Taint,
    Toleration,
    WeightedNodeTerm,
    WeightedPodTerm,
)
from scheduler.model.structs import like_dataclass
from scheduler.model.volumes import Mount

Phase = Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]
SpotWish = Literal["", "prefer", "avoid"]

CPU = "cpu"  # in milli-CPU
MEMORY = "memory"  # in bytes
PODS = "pods"  # every pod asks for one
GPU = "nvidia.com/gpu"
#: Before a CSI driver's name: how many of its volumes a node can attach.
ATTACHABLE = "attachable-volumes-csi-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """An object stowplan will not act on, with the reason its owner is shown.

    The reason names the field and the remedy; it is at most 512 characters and free of control
    characters, whatever the object held.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The controlling owner reference."""

    api_version: str
    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume that restricts nodes: a claim by name, or what the state makes of it (``Mount``)."""

    claim: str = ""
    #: The claim is made for the pod, which must own it.
    is_ephemeral: bool = False
    mount: Mount | None = None


@like_dataclass
class Shape(Struct, frozen=True, kw_only=True, cache_hash=True, gc=False):
    """Everything about a pod that decides where it may go, and nothing else.

    Pods of equal shape are interchangeable for the planner, so shapes are interned: the state keeps
    one feasible-node mask per shape, and 4,000 pods of one shape cost one mask.
    """

    #: Sorted by resource name, amounts > 0; includes ("pods", 1). CPU in milli, memory in bytes.
    requests: tuple[tuple[str, int], ...]
    node_selector: tuple[tuple[str, str], ...] = ()
    #: None: no required node affinity. Empty: nothing matches.
    node_terms: tuple[NodeTerm, ...] | None = None
    preferred_nodes: tuple[WeightedNodeTerm, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    pod_affinity: tuple[PodTerm, ...] = ()
    pod_anti_affinity: tuple[PodTerm, ...] = ()
    preferred_pods: tuple[WeightedPodTerm, ...] = ()
    preferred_anti_pods: tuple[WeightedPodTerm, ...] = ()
    spread: tuple[SpreadConstraint, ...] = ()
    host_ports: tuple[HostPort, ...] = ()
    volumes: tuple[Volume, ...] = ()
    #: Namespace, set only when an affinity, anti-affinity or spread term of this very shape or a volume
    #: needs it, and those labels, sorted, that its own selectors look at. Others would split shapes.
    namespace: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    #: What it asks of devices beside a number of them.
    ask: DeviceAsk | None = None
    #: Whether nodes that the provider may take back come first or last for it; never a must.
    spot: SpotWish = ""
    #: Resources of the requests that are not written in the pod: its team's default counts. Sorted.
    by_default: tuple[str, ...] = ()
    #: Features that it needs of its node's kubelet, sorted.
    features: tuple[str, ...] = ()

    @property
    def looks_at_pods(self) -> bool:
        """Whether a required rule of these pods looks at other pods' labels."""
        return bool(self.pod_affinity or self.pod_anti_affinity or any(c.is_required for c in self.spread))

    @property
    def speaks_of_pods(self) -> bool:
        """Whether pods of this shape have terms that newcomers must keep, or by which they should go."""
        return bool(
            self.pod_affinity or self.pod_anti_affinity or self.preferred_pods or self.preferred_anti_pods
        )

    @property
    def sees_pods(self) -> bool:
        """Whether other pods decide where pods of this shape may or should go."""
        return bool(
            self.pod_affinity
            or self.pod_anti_affinity
            or self.spread
            or self.preferred_pods
            or self.preferred_anti_pods
            or self.host_ports
        )


@like_dataclass
class Pod(Struct, frozen=True, kw_only=True, gc=False):
    uid: str
    namespace: str
    name: str
    #: Opaque; goes back to the API in preconditions.
    resource_version: str
    shape: Shape
    #: Sorted by key.
    labels: tuple[tuple[str, str], ...]
    #: Only the annotations a gang dialect or the planner reads, sorted by key.
    annotations: tuple[tuple[str, str], ...]
    owner: Owner | None
    scheduler_name: str
    priority: int
    can_preempt: bool
    phase: Phase
    #: Empty while not bound.
    node_name: str
    nominated_node: str
    #: ``spec.schedulingGroup.podGroupName`` (KEP-4671), or empty.
    pod_group: str
    is_deleting: bool
    #: Scheduling gates present, the names sorted; a gated pod is never planned.
    gates: tuple[str, ...]
    created_s: float
    #: When it was bound, by the API server's clock; None while it is not, or while nobody noted it.
    started_s: float | None = None
    #: When its containers were last seen to end, as far as its status tells; 0 while it has not ended.
    ended_s: float = 0.0
    #: ``status.reason`` of a failed pod: who or what failed it, such as ``Evicted`` or ``OutOfcpu``.
    reason: str = ""
    #: ``spec.activeDeadlineSeconds``: the kubelet ends it after this; 0 where nothing is said.
    deadline_s: float = 0.0
    #: By when its kubelet is to have stopped it, all of its grace used; 0 while nobody deletes it.
    stopped_by_s: float = 0.0
    #: Whether we, or an earlier leader, had it evicted.
    is_evicted: bool = False

    @property
    def has_ended(self) -> bool:
        """Its containers are done, well or not; it will not run again."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def holds_capacity(self) -> bool:
        """Bound and not finished: a deleting pod counts until it is gone (invariant INV1)."""
        return bool(self.node_name) and self.phase not in ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    name: str
    uid: str
    resource_version: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    is_unschedulable: bool
    #: Same units as Shape.requests; always holds "pods".
    allocatable: Mapping[str, int]
    #: What its kubelet declares that it can do (``status.declaredFeatures``).
    features: frozenset[str] = frozenset()
    #: What its kubelet counts of what device plugins offer (``status.capacity``), where that is more.
    capacity: Mapping[str, int] = field(default_factory=dict)

    def is_like(self, other: Node) -> bool:
        """Whether a plan cannot tell the two versions of a node apart."""
        return (
            self.labels == other.labels
            and self.taints == other.taints
            and self.is_unschedulable == other.is_unschedulable
            and self.features == other.features
            and dict(self.allocatable) == dict(other.allocatable)
            and dict(self.capacity) == dict(other.capacity)
        )
