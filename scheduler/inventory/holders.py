"""Which pods hold which device, by evidence: what the kubelet gave, and whose processes are on it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from scheduler.inventory.pod_resources import Grant
from scheduler.inventory.processes import SERVICE, Owner
from scheduler.inventory.report import Device, Instance
from scheduler.kube.wire.inventory import GPUHolder

#: Resources and drivers whose devices are NVML's.
_OURS: Final = ("nvidia.com/", "gpu.nvidia.com")
#: Time-sliced, a device is given several times: ``GPU-8f2c::3``.
_REPLICA: Final = "::"
#: GKE's plugin names devices by their minor number: ``nvidia0``, ``nvidia0/gi1``, ``nvidia0/vgpu2``; NVIDIA's
#: DRA driver too: ``gpu-0``, ``gpu-0-mig-...``.
_BY_MINOR: Final = re.compile(r"(?:nvidia|gpu-)(\d{1,4})(?:/gi(\d{1,4})|/vgpu\d+|-mig-.*)?")
HOLDERS_MAX: Final = 64

Evidence = Literal["", "kubelet", "processes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """By UUID of a device or instance. evidence: the best that there is."""

    evidence: Evidence = ""
    by_uuid: Mapping[str, tuple[GPUHolder, ...]] = field(default_factory=dict)

    def of(self, uuid: str) -> tuple[GPUHolder, ...] | None:
        return self.by_uuid.get(uuid)


NOBODY_KNOWS: Final = Holders()


def holders(
    devices: Sequence[Device],
    grants: Iterable[Grant] | None,
    owner: Owner,
    before: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Holders:
    """grants: None where the kubelet cannot be asked. before: pods that were on devices now silent."""
    found: dict[str, dict[GPUHolder, None]] = {
        uuid: {GPUHolder(uid=pod): None for pod in pods} for uuid, pods in before.items()
    }
    names = _Names(devices)
    for grant in grants or ():
        if not grant.resource.startswith(_OURS):
            continue
        holder = GPUHolder(namespace=grant.namespace[:63], name=grant.name[:253])
        for uuid in filter(None, map(names.uuid, grant.ids)):
            found.setdefault(uuid, {})[holder] = None
    sees_processes = bool(before)
    for device in devices:
        by_instance = {one.gpu_instance: one.uuid for one in device.instances}
        for process in device.processes:
            pod = owner(process.pid)
            sees_processes |= pod is not None
            if pod and pod != SERVICE:
                at = by_instance.get(process.gpu_instance or 0) if device.instances else device.uuid
                found.setdefault(at or device.uuid, {})[GPUHolder(uid=pod)] = None
    evidence: Evidence = "kubelet" if grants is not None else "processes" if sees_processes else ""
    return Holders(
        evidence=evidence,
        by_uuid={uuid: tuple(pods)[:HOLDERS_MAX] for uuid, pods in found.items()},
    )


class _Names:
    """The names that plugins and drivers have for the devices of a node."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self._uuids = {device.uuid for device in devices}
        self._instances: dict[str, Instance] = {
            one.uuid: one for device in devices for one in device.instances
        }
        self._by_minor = {device.minor: device for device in devices if device.minor is not None}
        self._by_index = {device.index: device for device in devices}

    def uuid(self, name: str) -> str:
        """Empty for what is none of them."""
        plain = name.partition(_REPLICA)[0]
        if plain in self._uuids or plain in self._instances:
            return plain
        if plain.isdecimal() and len(plain) <= 4:
            device = self._by_index.get(int(plain))
            return "" if device is None else device.uuid
        match = _BY_MINOR.fullmatch(plain)
        device = None if match is None else self._by_minor.get(int(match[1]))
        if match is None or device is None:
            return ""
        if match[2] is None:
            return device.uuid
        return next((one.uuid for one in device.instances if one.gpu_instance == int(match[2])), "")
