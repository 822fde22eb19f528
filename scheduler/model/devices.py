"""Devices as the planner knows them: what a pod asks of them, and what a node's agent says of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GPU_PREFIX = "nvidia.com/"
WHOLE_GPU = "nvidia.com/gpu"
MIG_PREFIX = "nvidia.com/mig-"
#: The chosen devices, comma-separated UUIDs: written with the Binding, read by the container.
DEVICES = "stowplan.dev/devices"
#: A probe older than this gives no device for new bindings (invariant INV9).
PROBE_AGE_S_MAX = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAsk:
    """What a pod's annotations ask beyond a number of devices.

    milli: thousandths of one device. memory_bytes: of one device's memory. nvlink: of the whole ones.
    """

    milli: int = 0
    memory_bytes: int = 0
    nvlink: Literal["", "required", "preferred"] = ""

    @property
    def is_share(self) -> bool:
        """Whether the pod shares one device."""
        return bool(self.milli or self.memory_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A pod that holds a device, by evidence: its name, or its UID where only its processes were seen.

    claim: the name of a resource claim that holds the device, whether a pod uses the claim (``uid``) or not.
    """

    namespace: str = ""
    name: str = ""
    uid: str = ""
    claim: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A device or MIG instance that can be given to pods.

    resource: the extended resource that counts it. is_usable: well, and free of foreign processes. island:
    devices of the node with the same one reach each other over NVLink; empty for none. fatal_s: names the
    one reaction due to an outage, None without one.
    """

    uuid: str
    resource: str
    memory_bytes: int
    is_usable: bool
    island: str = ""
    fatal_s: float | None = None
    reason: str = ""
    #: Who holds it, as the agent saw.
    holders: tuple[Holder, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """A node's devices as its agent last told. probed_s: None where NVML never answered."""

    node: str
    is_ready: bool
    probed_s: float | None
    slots: tuple[Slot, ...]
    #: The one model of all devices and their memory, or empty and 0 where they differ.
    model: str = ""
    memory_mib: int = 0
    clique: str = ""
    #: Why it is not ready, for people.
    message: str = ""
    #: When each fatal outage that is on record began, of all devices, each once.
    offences_s: tuple[float, ...] = ()
    #: Devices that resource claims hold and nobody said which they are.
    unnamed_claims: int = 0

    @property
    def words(self) -> tuple[str, int, str]:
        """What node labels say too."""
        return self.model, self.memory_mib, self.clique

    def is_fresh(self, now_s: float) -> bool:
        """Whether new bindings may rely on it. A probe from as far ahead is no better than an old one."""
        return self.is_ready and self.probed_s is not None and abs(now_s - self.probed_s) <= PROBE_AGE_S_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class CordonPolicy:
    """When a node with repeated fatal outages of its devices is cordoned.

    offences: outages within ``window_s`` that are too many. lift_s: without a fatal outage for this long a
    cordon of ours is lifted; 0: only by hand. nodes_max_percent: of the nodes that report devices, so many
    may be cordoned by us at a time, at least one.
    """

    offences: int
    window_s: float
    lift_s: float
    nodes_max_percent: int
