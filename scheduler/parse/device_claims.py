"""ResourceSlices and ResourceClaims as far as they hold GPUs. Total: what is of no use here is None.

Source of the attributes: ``deviceinfo.go`` of NVIDIA's DRA driver. A MIG instance has its own ``uuid`` and
``parentUUID``; one that is made only when it is claimed has the latter alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from scheduler.kube.wire.resource import (
    DeviceAttribute,
    DeviceClass,
    ResourceClaim,
    ResourceSlice,
    SliceDevice,
)
from scheduler.kube.wire.selection import NodeSelector
from scheduler.model.device_claims import GPU_DRIVER, DeviceClaim, DeviceSlice

_UUIDS: Final = ("uuid", "parentUUID")
_CLASS_PREFIX: Final = "deviceclass.resource.kubernetes.io/"
_NODE_NAME: Final = "metadata.name"


def parse_slice(found: ResourceSlice) -> DeviceSlice | None:
    """None for one of another driver."""
    spec = found.spec
    if spec.driver != GPU_DRIVER:
        return None
    return DeviceSlice(
        name=found.metadata.name,
        pool=spec.pool.name,
        generation=spec.pool.generation,
        node=spec.node_name or "",
        devices={device.name: _uuids(device) for device in spec.devices or ()},
    )


def resources_of(found: DeviceClass) -> tuple[str, ...]:
    """The resources for which a claim of the class is made: the one it names, and one that is always there.

    Source: KEP-5004, extended resources by DRA.
    """
    named = found.spec.extended_resource_name
    return (*((named,) if named else ()), f"{_CLASS_PREFIX}{found.metadata.name}")


def parse_claim(found: ResourceClaim) -> DeviceClaim | None:
    """None for one that holds no GPU. Who only watches a device (``adminAccess``) does not hold it."""
    allocation = found.status.allocation
    if allocation is None:
        return None
    devices = tuple(
        (one.pool, one.device)
        for one in allocation.devices.results or ()
        if one.driver == GPU_DRIVER and not one.admin_access
    )
    if not devices:
        return None
    consumers = tuple(
        (one.name, one.uid) for one in found.status.reserved_for or () if one.resource == "pods"
    )
    return DeviceClaim(
        namespace=found.metadata.namespace,
        name=found.metadata.name,
        devices=devices,
        consumers=consumers,
        node=_node(allocation.node_selector),
    )


def _uuids(device: SliceDevice) -> tuple[str, ...]:
    attributes = device.attributes or (device.basic.attributes if device.basic is not None else None) or {}
    return tuple(uuid for name in _UUIDS if (uuid := _text(attributes, name)))


def _text(attributes: Mapping[str, DeviceAttribute], name: str) -> str:
    """A name without a domain is of the driver's own."""
    found = attributes.get(name) or attributes.get(f"{GPU_DRIVER}/{name}")
    return "" if found is None else found.string or ""


def _node(selector: NodeSelector | None) -> str:
    """The one node that a selector names."""
    terms = (selector.node_selector_terms if selector is not None else None) or ()
    if len(terms) != 1:
        return ""
    named = [one.values or () for one in terms[0].match_fields or () if one.key == _NODE_NAME]
    return named[0][0] if len(named) == 1 and len(named[0]) == 1 else ""
