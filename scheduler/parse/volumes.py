"""Persistent volume claims, volumes and what is said of storage, as far as they restrict nodes."""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.kube import wire
from scheduler.model.objects import Rejected
from scheduler.model.selection import NodeTerm, Requirement
from scheduler.model.volumes import (
    Claim,
    Driver,
    NodeDriver,
    NodeDrivers,
    PersistentVolume,
    StorageCapacity,
    StorageClass,
)
from scheduler.parse.quantity import UNIT, ceil_to, read_nanos
from scheduler.parse.refusal import Refusal
from scheduler.parse.selectors import TERMS_MAX, VALUES_MAX, bounded, parse_node_terms, parse_selector

BOUND = "pv.kubernetes.io/bind-completed"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
_CLASS = "volume.beta.kubernetes.io/storage-class"
ZONE_LABELS = (
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
)
#: CSI drivers that took over the disks of in-tree plugins (``csi-translation-lib/plugins``, 1.37).
MIGRATED = {
    "kubernetes.io/aws-ebs": "ebs.csi.aws.com",
    "kubernetes.io/gce-pd": "pd.csi.storage.gke.io",
    "kubernetes.io/azure-disk": "disk.csi.azure.com",
    "kubernetes.io/cinder": "cinder.csi.openstack.org",
    "kubernetes.io/portworx-volume": "pxd.portworx.com",
}
DRIVERS_MAX = 256
#: More volumes than any node attaches.
ATTACHED_MAX = 1 << 20


def parse_claim(found: wire.PersistentVolumeClaim) -> Claim:
    """A claim; bound only when the volume controller says so (``volumebinding/binder.go``)."""
    metadata, spec = found.metadata, found.spec
    annotations = metadata.annotations or {}
    selector, fault = None, ""
    try:
        selector = parse_selector("spec.selector", spec.selector)
    except Refusal as refusal:
        fault = refusal.rejected.reason
    return Claim(
        namespace=metadata.namespace,
        name=metadata.name,
        volume=spec.volume_name if BOUND in annotations else "",
        is_prebound=bool(spec.volume_name) and BOUND not in annotations,
        storage_class=annotations.get(_CLASS, spec.storage_class_name or ""),
        is_deleting=metadata.deletion_timestamp is not None,
        is_exclusive="ReadWriteOncePod" in (spec.access_modes or ()),
        is_lost=found.status.phase == "Lost",
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        owner_uid=next((o.uid for o in metadata.owner_references or () if o.controller), ""),
        size=_bytes(spec.resources.requests if spec.resources is not None else None),
        modes=tuple(sorted(set(spec.access_modes or ()))),
        is_block=spec.volume_mode == "Block",
        selector=selector,
        attributes_class=spec.volume_attributes_class_name or "",
        selected_node=annotations.get(SELECTED_NODE, ""),
        fault=fault,
    )


def parse_volume(found: wire.PersistentVolume) -> PersistentVolume | Rejected:
    """A volume and where it can be reached."""
    metadata, spec = found.metadata, found.spec
    labels, reference = metadata.labels or {}, spec.claim_ref
    annotations = metadata.annotations or {}
    try:
        terms = parse_node_terms(
            "spec.nodeAffinity.required", spec.node_affinity.required if spec.node_affinity else None
        )
    except Refusal as refusal:
        return refusal.rejected
    driver, handle = _source(spec)
    return PersistentVolume(
        name=metadata.name,
        node_terms=terms,
        labels=tuple((key, labels[key]) for key in ZONE_LABELS if key in labels),
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        storage_class=annotations.get(_CLASS, spec.storage_class_name or ""),
        size=_bytes(spec.capacity) or 0,
        modes=tuple(sorted(set(spec.access_modes or ()))),
        is_block=spec.volume_mode == "Block",
        attributes_class=spec.volume_attributes_class_name or "",
        own_labels=tuple(sorted(labels.items())),
        claim=None if reference is None else (reference.namespace, reference.name, reference.uid),
        is_available=found.status.phase == "Available",
        is_deleting=metadata.deletion_timestamp is not None,
        driver=driver,
        handle=handle,
    )


def parse_storage_class(found: wire.StorageClass) -> StorageClass | Rejected:
    """A storage class and where it can provision."""
    try:
        terms = tuple(
            _term(term) for term in bounded("allowedTopologies", found.allowed_topologies, TERMS_MAX)
        )
    except Refusal as refusal:
        return refusal.rejected
    return StorageClass(
        name=found.metadata.name,
        waits_for_consumer=found.volume_binding_mode == "WaitForFirstConsumer",
        allowed_terms=terms or None,
        provisioner=found.provisioner,
        driver=MIGRATED.get(found.provisioner, found.provisioner),
    )


def parse_csi_node(found: wire.CSINode) -> NodeDrivers | Rejected:
    """What the CSI drivers of one node can attach there, and by what labels they tell places apart."""
    try:
        drivers = bounded("spec.drivers", found.spec.drivers, DRIVERS_MAX)
        return NodeDrivers(
            node=found.metadata.name,
            drivers=tuple(
                NodeDriver(
                    name=driver.name,
                    most=_most(driver),
                    topology_keys=tuple(
                        bounded("spec.drivers.topologyKeys", driver.topology_keys, TERMS_MAX)
                    ),
                )
                for driver in drivers
            ),
        )
    except Refusal as refusal:
        return refusal.rejected


def parse_csi_driver(found: wire.CSIDriver) -> Driver:
    return Driver(name=found.metadata.name, tracks_capacity=bool(found.spec.storage_capacity))


def parse_capacity(found: wire.CSIStorageCapacity) -> StorageCapacity | Rejected:
    """What can still be provisioned of a class in one segment."""
    metadata = found.metadata
    try:
        selector = parse_selector("nodeTopology", found.node_topology)
    except Refusal as refusal:
        return refusal.rejected
    return StorageCapacity(
        name=f"{metadata.namespace}/{metadata.name}",
        storage_class=found.storage_class_name,
        selector=selector,
        capacity=_amount(found.capacity),
        largest=_amount(found.maximum_volume_size),
    )


def _most(driver: wire.NodeDriver) -> int | None:
    count = None if driver.allocatable is None else driver.allocatable.count
    return None if count is None else max(0, min(count, ATTACHED_MAX))


def _source(spec: wire.VolumeSpec) -> tuple[str, str]:
    """(driver, handle) of the volume, as CSI names it."""
    if spec.csi is not None:
        return spec.csi.driver, spec.csi.volume_handle
    for provisioner, disk in (
        ("kubernetes.io/aws-ebs", spec.aws_elastic_block_store),
        ("kubernetes.io/gce-pd", spec.gce_persistent_disk),
        ("kubernetes.io/azure-disk", spec.azure_disk),
        ("kubernetes.io/cinder", spec.cinder),
    ):
        if disk is not None:
            return MIGRATED[provisioner], disk.volume_id or disk.pd_name or disk.disk_name
    return "", ""


def _bytes(amounts: Mapping[str, wire.Quantity] | None) -> int | None:
    return _amount((amounts or {}).get("storage"))


def _amount(quantity: wire.Quantity | None) -> int | None:
    """Whole ones, rounded up; None for what is absent or no quantity."""
    nanos = None if quantity is None else read_nanos(quantity)
    return None if nanos is None or isinstance(nanos, Rejected) else max(0, ceil_to(nanos, UNIT))


def _term(found: wire.TopologySelectorTerm) -> NodeTerm:
    items = bounded("allowedTopologies.matchLabelExpressions", found.match_label_expressions, TERMS_MAX)
    return NodeTerm(
        expressions=tuple(
            Requirement(
                key=item.key,
                operator="In",
                values=tuple(sorted(set(bounded("allowedTopologies.values", item.values, VALUES_MAX)))),
            )
            for item in items
        )
    )
