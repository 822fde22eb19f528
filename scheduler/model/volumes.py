"""Persistent volume claims, volumes and what is said of storage, as far as they restrict nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeVar

from scheduler.model.selection import NodeTerm, Requirement, Selector

T = TypeVar("T")

#: The provisioner of classes that nobody provisions for.
NO_PROVISIONER = "kubernetes.io/no-provisioner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    namespace: str
    name: str
    #: Bound volume, or empty.
    volume: str
    storage_class: str
    is_deleting: bool = False
    #: Names a volume that the volume controller has not bound to it yet.
    is_prebound: bool = False
    #: ReadWriteOncePod: no two pods may use it at a time.
    is_exclusive: bool = False
    #: Its volume is gone.
    is_lost: bool = False
    uid: str = ""
    resource_version: str = ""
    #: UID of the controlling owner: of a generic ephemeral volume the pod.
    owner_uid: str = ""
    #: Bytes asked for; None where it does not say.
    size: int | None = None
    modes: tuple[str, ...] = ()
    is_block: bool = False
    #: Which volumes it may be bound to; None for any.
    selector: Selector | None = None
    attributes_class: str = ""
    #: The node for which its volume is to be provisioned, or empty.
    selected_node: str = ""
    #: What of it cannot be read, or empty.
    fault: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return (self.namespace, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class PersistentVolume:
    name: str
    #: Required node affinity; None for every node.
    node_terms: tuple[NodeTerm, ...] | None
    #: Zone and region labels, whose values may be sets joined by ``__``.
    labels: tuple[tuple[str, str], ...] = ()
    uid: str = ""
    resource_version: str = ""
    storage_class: str = ""
    #: Bytes.
    size: int = 0
    modes: tuple[str, ...] = ()
    is_block: bool = False
    attributes_class: str = ""
    #: All its labels, for the selectors of claims.
    own_labels: tuple[tuple[str, str], ...] = ()
    #: (namespace, name, UID or empty) of the claim that it is for; None for nobody's.
    claim: tuple[str, str, str] | None = None
    #: Its phase is Available.
    is_available: bool = False
    is_deleting: bool = False
    #: CSI driver and its name for the volume; empty for others.
    driver: str = ""
    handle: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageClass:
    name: str
    waits_for_consumer: bool
    #: None for every node.
    allowed_terms: tuple[NodeTerm, ...] | None = None
    provisioner: str = ""
    #: The CSI driver that does its work, whatever it was called before CSI.
    driver: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDriver:
    """A CSI driver on one node, as CSINode says."""

    name: str
    #: Volumes that can be attached; None for any number.
    most: int | None = None
    topology_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDrivers:
    """A CSINode."""

    node: str
    drivers: tuple[NodeDriver, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """A CSIDriver."""

    name: str
    #: Says by CSIStorageCapacity objects what it can provision, and is to be believed.
    tracks_capacity: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageCapacity:
    """What a driver can still provision of a class on the nodes that ``selector`` matches."""

    #: NAMESPACE/NAME.
    name: str
    storage_class: str
    #: None reaches no node.
    selector: Selector | None
    #: Bytes in all, and of the largest volume; None where it is not said.
    capacity: int | None = None
    largest: int | None = None

    @property
    def limit(self) -> int:
        """Bytes of the largest volume, as kube-scheduler reads it."""
        if self.largest is not None:
            return self.largest
        return self.capacity if self.capacity is not None else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked of a volume that is yet to be bound or provisioned for its first consumer."""

    namespace: str
    storage_class: str
    size: int | None = None
    modes: tuple[str, ...] = ()
    is_block: bool = False
    selector: Selector | None = None
    attributes_class: str = ""
    #: Provisioning was asked for on this node, so there is no other until it is withdrawn.
    selected_node: str = ""
    #: The volume that its admin has set aside for this claim, or empty.
    reserved: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A pod's claim as far as it decides where the pod may go: equal for all pods that are equal in this.

    One of three: ``refusal`` says why no node will do; ``wanted`` is still to be had; else the volume is
    there, and ``node_terms`` and ``labels`` say where.
    """

    refusal: str = ""
    wanted: Wanted | None = None
    node_terms: tuple[NodeTerm, ...] | None = None
    labels: tuple[tuple[str, str], ...] = ()
    #: NAMESPACE/NAME of the claim where several pods mount it.
    shared: str = ""
    #: Name of the claim where only one pod may mount it.
    exclusive: str = ""
    #: (driver, volume) where several pods mount it and nodes limit how many the driver attaches.
    attaches: tuple[str, str] | None = None


class ByLabel(Generic[T]):
    """Things that are near nodes of certain labels, found by a node's labels without a look at all of them.

    Each comes with alternatives, each of which is a conjunction of requirements; none is near every node.
    What is found still has to be matched.
    """

    def __init__(self, items: Iterable[tuple[T, tuple[tuple[Requirement, ...], ...] | None]]) -> None:
        self._anywhere: list[T] = []
        self._near: dict[str, dict[str, list[T]]] = {}
        for item, alternatives in items:
            self._put(item, alternatives)

    def near(self, labels: Mapping[str, str]) -> list[T]:
        """In the order in which they were given, but for those with labels, which come first; no repeats."""
        found: dict[int, T] = {}
        for key, by_value in self._near.items():
            value = labels.get(key)
            if value is not None:
                found |= {id(item): item for item in by_value.get(value, ())}
        found |= {id(item): item for item in self._anywhere}
        return list(found.values())

    def _put(self, item: T, alternatives: tuple[tuple[Requirement, ...], ...] | None) -> None:
        places: list[Requirement] = []
        for alternative in alternatives or ():
            first = next((r for r in alternative if r.operator == "In"), None)
            if first is None:
                alternatives = None
                break
            places.append(first)
        if alternatives is None:
            self._anywhere.append(item)
            return
        for place in places:
            by_value = self._near.setdefault(place.key, {})
            for value in place.values:
                by_value.setdefault(value, []).append(item)


@dataclass(frozen=True, kw_only=True)
class Claims:
    """Everything the volume rules look up. Replaced as a whole when any of it changes."""

    claims: Mapping[tuple[str, str], Claim] = field(default_factory=dict)
    volumes: Mapping[str, PersistentVolume] = field(default_factory=dict)
    classes: Mapping[str, StorageClass] = field(default_factory=dict)
    drivers: Mapping[str, Driver] = field(default_factory=dict)
    #: By node name.
    node_drivers: Mapping[str, NodeDrivers] = field(default_factory=dict)
    #: By NAMESPACE/NAME.
    capacities: Mapping[str, StorageCapacity] = field(default_factory=dict)
    #: By what was wanted, the nodes for which provisioning it failed lately, and why.
    avoided: Mapping[Wanted, Mapping[str, str]] = field(default_factory=dict)

    @cached_property
    def open_volumes(self) -> Mapping[str, ByLabel[PersistentVolume]]:
        """By storage class, the volumes that a claim may yet be bound to."""
        found: dict[str, list[PersistentVolume]] = {}
        for volume in self.volumes.values():
            if not volume.is_deleting and (volume.is_available or volume.claim is not None):
                found.setdefault(volume.storage_class, []).append(volume)
        return {
            name: ByLabel(
                (v, None if v.node_terms is None else tuple(t.expressions for t in v.node_terms))
                for v in sorted(volumes, key=lambda v: (v.size, v.name))
            )
            for name, volumes in found.items()
        }

    @cached_property
    def reserved(self) -> Mapping[tuple[str, str], tuple[PersistentVolume, ...]]:
        """By namespace and name of a claim, the volumes that name it or an earlier one of its name."""
        found: dict[tuple[str, str], tuple[PersistentVolume, ...]] = {}
        for volume in self.volumes.values():
            if volume.claim is not None:
                key = volume.claim[:2]
                found[key] = (*found.get(key, ()), volume)
        return found

    @cached_property
    def segments(self) -> Mapping[str, ByLabel[StorageCapacity]]:
        """By storage class, what drivers say they can provision."""
        found: dict[str, list[StorageCapacity]] = {}
        for capacity in self.capacities.values():
            if capacity.selector is not None:
                found.setdefault(capacity.storage_class, []).append(capacity)
        return {
            name: ByLabel(
                (c, (c.selector.requirements,) if c.selector is not None else ())
                for c in sorted(capacities, key=lambda c: c.name)
            )
            for name, capacities in found.items()
        }

    @cached_property
    def topology_keys(self) -> Mapping[str, tuple[str, ...]]:
        """By driver, the node labels that say from where a volume can be reached; none: from everywhere."""
        found: dict[str, dict[str, None]] = {}
        for node in self.node_drivers.values():
            for driver in node.drivers:
                found.setdefault(driver.name, {}).update(dict.fromkeys(driver.topology_keys))
        return {name: tuple(sorted(keys)) for name, keys in found.items()}

    @cached_property
    def limited(self) -> frozenset[str]:
        """Drivers of which some node attaches only so many volumes."""
        return frozenset(
            driver.name
            for node in self.node_drivers.values()
            for driver in node.drivers
            if driver.most is not None
        )
