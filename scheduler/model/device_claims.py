"""What resource claims (DRA) hold of the devices that agents report, not how they came to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: NVIDIA's driver for GPUs and MIG instances.
GPU_DRIVER = "gpu.nvidia.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSlice:
    """A part of a pool. devices: by name, the UUIDs that each is or is a part of; empty where none is told.

    node: empty where the slice names none.
    """

    name: str
    pool: str
    generation: int
    node: str
    devices: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceClaim:
    """devices: pool and name of each that is held. consumers: name and UID of the pods that may use them.

    A claim holds its devices as long as they are allocated, whether a pod uses it or not. node: where the
    allocation can be used, empty where it names no single node.
    """

    namespace: str
    name: str
    devices: tuple[tuple[str, str], ...]
    consumers: tuple[tuple[str, str], ...] = ()
    node: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name
