"""Of resource.k8s.io: devices that can be claimed, and what claims hold.

The versions v1, v1beta2 and v1beta1 say all of this alike, but that v1beta1 has attributes under ``basic``.
"""

from __future__ import annotations

from scheduler.kube.wire.base import Metadata, Wire
from scheduler.kube.wire.selection import NodeSelector


class DeviceAttribute(Wire, frozen=True):
    """Only those with text are read."""

    string: str | None = None


class BasicDevice(Wire, frozen=True):
    attributes: dict[str, DeviceAttribute] | None = None


class SliceDevice(Wire, frozen=True):
    name: str = ""
    attributes: dict[str, DeviceAttribute] | None = None
    basic: BasicDevice | None = None


class ResourcePool(Wire, frozen=True):
    name: str = ""
    generation: int = 0


class ResourceSliceSpec(Wire, frozen=True):
    driver: str = ""
    node_name: str | None = None
    pool: ResourcePool = ResourcePool()
    devices: tuple[SliceDevice, ...] | None = None


class ResourceSlice(Wire, frozen=True):
    metadata: Metadata
    spec: ResourceSliceSpec = ResourceSliceSpec()


class DeviceClassSpec(Wire, frozen=True):
    """For a pod that asks for ``extended_resource_name``, kube-scheduler makes a claim of the class."""

    extended_resource_name: str | None = None


class DeviceClass(Wire, frozen=True):
    metadata: Metadata
    spec: DeviceClassSpec = DeviceClassSpec()


class AllocatedDevice(Wire, frozen=True):
    driver: str = ""
    pool: str = ""
    device: str = ""
    admin_access: bool | None = None


class AllocatedDevices(Wire, frozen=True):
    results: tuple[AllocatedDevice, ...] | None = None


class Allocation(Wire, frozen=True):
    devices: AllocatedDevices = AllocatedDevices()
    node_selector: NodeSelector | None = None


class ClaimConsumer(Wire, frozen=True):
    resource: str = ""
    name: str = ""
    uid: str = ""


class DeviceClaimStatus(Wire, frozen=True):
    allocation: Allocation | None = None
    reserved_for: tuple[ClaimConsumer, ...] | None = None


class ResourceClaim(Wire, frozen=True):
    metadata: Metadata
    status: DeviceClaimStatus = DeviceClaimStatus()
