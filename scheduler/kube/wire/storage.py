"""Claims, volumes, storage classes and what CSI drivers say of themselves, as far as they restrict nodes."""

from __future__ import annotations

import msgspec

from scheduler.kube.wire.base import Metadata, ObjectReference, Quantity, Wire
from scheduler.kube.wire.selection import LabelSelector, NodeSelector, TopologySelectorTerm


class StorageRequests(Wire, frozen=True):
    requests: dict[str, Quantity] | None = None


class ClaimSpec(Wire, frozen=True):
    volume_name: str = ""
    storage_class_name: str | None = None
    access_modes: tuple[str, ...] | None = None
    resources: StorageRequests | None = None
    selector: LabelSelector | None = None
    volume_mode: str | None = None
    volume_attributes_class_name: str | None = None


class ClaimStatus(Wire, frozen=True):
    phase: str = ""


class PersistentVolumeClaim(Wire, frozen=True):
    metadata: Metadata
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


class VolumeAffinity(Wire, frozen=True):
    required: NodeSelector | None = None


class CSISource(Wire, frozen=True):
    driver: str = ""
    volume_handle: str = ""


class InTreeDisk(Wire, frozen=True):
    """A disk of a cloud by the name that it had before CSI; one of these fields is set."""

    volume_id: str = msgspec.field(name="volumeID", default="")
    pd_name: str = ""
    disk_name: str = ""


class VolumeSpec(Wire, frozen=True):
    node_affinity: VolumeAffinity | None = None
    storage_class_name: str | None = None
    capacity: dict[str, Quantity] | None = None
    access_modes: tuple[str, ...] | None = None
    claim_ref: ObjectReference | None = None
    volume_mode: str | None = None
    volume_attributes_class_name: str | None = None
    csi: CSISource | None = None
    aws_elastic_block_store: InTreeDisk | None = None
    gce_persistent_disk: InTreeDisk | None = None
    azure_disk: InTreeDisk | None = None
    cinder: InTreeDisk | None = None


class VolumeStatus(Wire, frozen=True):
    phase: str = ""


class PersistentVolume(Wire, frozen=True):
    metadata: Metadata
    spec: VolumeSpec = VolumeSpec()
    status: VolumeStatus = VolumeStatus()


class StorageClass(Wire, frozen=True):
    metadata: Metadata
    provisioner: str = ""
    volume_binding_mode: str | None = None
    allowed_topologies: tuple[TopologySelectorTerm, ...] | None = None


class VolumeCount(Wire, frozen=True):
    count: int | None = None


class NodeDriver(Wire, frozen=True):
    name: str = ""
    topology_keys: tuple[str, ...] | None = None
    allocatable: VolumeCount | None = None


class CSINodeSpec(Wire, frozen=True):
    drivers: tuple[NodeDriver, ...] | None = None


class CSINode(Wire, frozen=True):
    """What the drivers on a node told its kubelet; named as the node."""

    metadata: Metadata
    spec: CSINodeSpec = CSINodeSpec()


class CSIDriverSpec(Wire, frozen=True):
    storage_capacity: bool | None = None


class CSIDriver(Wire, frozen=True):
    metadata: Metadata
    spec: CSIDriverSpec = CSIDriverSpec()


class CSIStorageCapacity(Wire, frozen=True):
    """What a driver can still provision of one class in one segment of its topology."""

    metadata: Metadata
    node_topology: LabelSelector | None = None
    storage_class_name: str = ""
    capacity: Quantity | None = None
    maximum_volume_size: Quantity | None = None
