"""Claims, volumes and storage classes, as far as they restrict nodes."""

from __future__ import annotations

from scheduler.kube.wire.base import Metadata, Wire
from scheduler.kube.wire.selection import NodeSelector, TopologySelectorTerm


class ClaimSpec(Wire, frozen=True):
    volume_name: str = ""
    storage_class_name: str | None = None
    access_modes: tuple[str, ...] | None = None


class ClaimStatus(Wire, frozen=True):
    phase: str = ""


class PersistentVolumeClaim(Wire, frozen=True):
    metadata: Metadata
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


class VolumeAffinity(Wire, frozen=True):
    required: NodeSelector | None = None


class VolumeSpec(Wire, frozen=True):
    node_affinity: VolumeAffinity | None = None
    storage_class_name: str | None = None


class PersistentVolume(Wire, frozen=True):
    metadata: Metadata
    spec: VolumeSpec = VolumeSpec()


class StorageClass(Wire, frozen=True):
    metadata: Metadata
    provisioner: str = ""
    volume_binding_mode: str | None = None
    allowed_topologies: tuple[TopologySelectorTerm, ...] | None = None
