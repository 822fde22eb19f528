"""A node's NVML as data: what the recorder writes and the fake library plays.

One file describes one node. ``template`` and ``count`` say "so many devices like this one" for files written
by hand; the recorder lists every device. Sizes are MiB, as people write them.
"""

from __future__ import annotations

import msgspec

DEVICES_MAX = 64
INSTANCES_MAX = 16
LINKS_MAX = 36
PROCESSES_MAX = 256
EVENTS_MAX = 10_000

#: Levels of ``nvmlDeviceGetTopologyCommonAncestor``.
SAME_SWITCH = 10
SAME_BRIDGE = 30
ACROSS = 50


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class Driver(_Part, frozen=True):
    """``generation`` counts reloads: handles from before one are dead. ``loaded`` false: no driver at all."""

    version: str = "580.95.05"
    cuda: int = 13000
    loaded: bool = True
    generation: int = 1


class Ecc(_Part, frozen=True):
    """Counts since the driver was loaded (volatile) and ever (aggregate)."""

    enabled: bool = True
    volatile_corrected: int | None = 0
    volatile_uncorrected: int | None = 0
    aggregate_corrected: int | None = 0
    aggregate_uncorrected: int | None = 0
    sram_exceeded: bool | None = False


class Remap(_Part, frozen=True):
    """Rows remapped (Ampere and later)."""

    corrected: int = 0
    uncorrected: int = 0
    pending: bool = False
    failure: bool = False


class Retired(_Part, frozen=True):
    """Pages retired (before Ampere)."""

    single: int = 0
    double: int = 0
    pending: bool = False


class Repair(_Part, frozen=True):
    channel: bool = False
    tpc: bool = False


class Instance(_Part, frozen=True):
    """A MIG instance. ``slices`` of compute, as in the profile's name."""

    uuid: str
    name: str = ""
    gpu_instance: int = 0
    compute_instance: int = 0
    gpu_slices: int = 1
    compute_slices: int = 1
    memory_mib: int = 0
    used_mib: int = 0
    reserved_mib: int = 0


class Mig(_Part, frozen=True):
    enabled: bool = False
    instances: tuple[Instance, ...] = ()


class Link(_Part, frozen=True):
    """One NVLink. ``peer`` is the bus address of the far end; ``type`` 0 a GPU, 2 a switch."""

    peer: str = ""
    type: int | None = 2
    active: bool = True
    errors: int = 0


class Fabric(_Part, frozen=True):
    """``cluster``: 32 hexadecimal digits. ``state`` 3 is completed; ``health`` 1 is healthy.

    ``status``: NVML's code for how the registration ended, 0 for success. ``mask``: the health mask's bits.
    """

    cluster: str
    clique: int = 0
    state: int = 3
    health: int = 1
    status: int = 0
    mask: int = 0


class Process(_Part, frozen=True):
    """``pod`` is the UID of the pod it belongs to, empty for nobody's process; only the fake node knows."""

    pid: int
    mib: int = 0
    gpu_instance: int | None = None
    pod: str = ""
    mps: bool = False


class Device(_Part, frozen=True):
    """One GPU. None stands for what the device does not support.

    ``lost``: every call answers that the GPU is lost. ``fail`` maps calls to NVML error codes, ``hang``
    lists calls that do not come back.
    """

    uuid: str = ""
    name: str = "NVIDIA H100 80GB HBM3"
    serial: str | None = None
    minor: int | None = None
    pci: str = ""
    numa: int | None = None
    memory_mib: int | None = 81_559
    used_mib: int = 0
    reserved_mib: int = 0
    utilisation_gpu: int | None = 0
    utilisation_memory: int | None = 0
    power_usage_mw: int | None = None
    power_limit_mw: int | None = None
    temperature: int | None = None
    ecc: Ecc | None = None
    remap: Remap | None = None
    retired: Retired | None = None
    repair: Repair | None = None
    mig: Mig | None = None
    links: tuple[Link, ...] = ()
    fabric: Fabric | None = None
    #: What the driver asks for (nvmlDeviceGpuRecoveryAction_t); None where it is too old to tell.
    recovery: int | None = 0
    processes: tuple[Process, ...] = ()
    events_supported: int = 0xFFFF
    lost: bool = False
    fail: dict[str, int] = {}
    hang: tuple[str, ...] = ()


class Event(_Part, frozen=True):
    """An event; an event set delivers those added after it was made. ``type`` 8: an XID."""

    device: int
    data: int = 0
    type: int = 8
    gpu_instance: int | None = None


class Scenario(_Part, frozen=True):
    """One node. ``levels[a][b]`` and ``nvlink[a][b]`` answer for pairs of devices where they are given."""

    driver: Driver = Driver()
    template: Device | None = None
    count: int = 0
    #: NVLinks of each templated device to NVSwitches.
    switch_links: int = 0
    devices: tuple[Device, ...] = ()
    levels: tuple[tuple[int, ...], ...] = ()
    nvlink: tuple[tuple[int, ...], ...] = ()
    events: tuple[Event, ...] = ()
    fail: dict[str, int] = {}
    hang: tuple[str, ...] = ()

    def expanded(self, node: str = "node") -> Scenario:
        """With every device listed; a templated one gets a UUID that is the node's and its own."""
        if self.template is None:
            return self
        made = tuple(self._made(self.template, index, node) for index in range(self.count))
        return msgspec.structs.replace(
            self, template=None, count=0, switch_links=0, devices=(*made, *self.devices)
        )

    def _made(self, template: Device, index: int, node: str) -> Device:
        bus = f"00000000:{0x10 + index:02X}:00.0"
        links = tuple(Link(peer=f"00000000:{0x80 + link % 4:02X}:00.0") for link in range(self.switch_links))
        mig = template.mig and msgspec.structs.replace(
            template.mig,
            instances=tuple(
                msgspec.structs.replace(instance, uuid=f"MIG-{node}-{index}-{number}")
                for number, instance in enumerate(template.mig.instances)
            ),
        )
        return msgspec.structs.replace(
            template,
            uuid=f"GPU-{node}-{index}",
            minor=index,
            pci=bus,
            numa=2 * index // self.count,
            links=template.links or links,
            mig=mig,
        )
