"""Persistent volume claims, volumes and storage classes, as far as they restrict nodes."""

from __future__ import annotations

from scheduler.kube import wire
from scheduler.model.objects import Rejected
from scheduler.model.selection import NodeTerm, Requirement
from scheduler.model.volumes import Claim, PersistentVolume, StorageClass
from scheduler.parse.refusal import Refusal
from scheduler.parse.selectors import TERMS_MAX, VALUES_MAX, bounded, parse_node_terms

_BOUND = "pv.kubernetes.io/bind-completed"
_CLASS = "volume.beta.kubernetes.io/storage-class"
ZONE_LABELS = (
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
)


def parse_claim(found: wire.PersistentVolumeClaim) -> Claim:
    """A claim; bound only when the volume controller says so (``volumebinding/binder.go``)."""
    annotations = found.metadata.annotations or {}
    return Claim(
        namespace=found.metadata.namespace,
        name=found.metadata.name,
        volume=found.spec.volume_name if _BOUND in annotations else "",
        is_prebound=bool(found.spec.volume_name) and _BOUND not in annotations,
        storage_class=annotations.get(_CLASS, found.spec.storage_class_name or ""),
        is_deleting=found.metadata.deletion_timestamp is not None,
        is_exclusive="ReadWriteOncePod" in (found.spec.access_modes or ()),
    )


def parse_volume(found: wire.PersistentVolume) -> PersistentVolume | Rejected:
    """A volume and where it can be reached."""
    affinity = found.spec.node_affinity
    labels = found.metadata.labels or {}
    try:
        terms = parse_node_terms("spec.nodeAffinity.required", affinity.required if affinity else None)
    except Refusal as refusal:
        return refusal.rejected
    return PersistentVolume(
        name=found.metadata.name,
        node_terms=terms,
        labels=tuple((key, labels[key]) for key in ZONE_LABELS if key in labels),
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
    )


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
