"""What one probe saw: frozen values, without judgement. None stands for what the device does not support.

Sizes are bytes, power milliwatts, temperatures degrees Celsius.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Ready: devices could be read. NoDriver: no library or no driver. DriverMismatch: the library in this
#: process is not the loaded driver's. NoDevices: a driver and nothing to drive. Failed: the driver answers
#: with errors. Hung: a call did not come back within its deadline (only the prober's clock can tell). Paused:
#: the agent let go of NVML, so that others can change the driver or cut devices anew.
NodeState = Literal["Ready", "NoDriver", "DriverMismatch", "NoDevices", "Failed", "Hung", "Paused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    total_bytes: int
    used_bytes: int
    reserved_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ecc:
    """``sram_exceeded``: the threshold of SRAM errors beyond which NVIDIA replaces the board."""

    enabled: bool
    volatile_corrected: int | None = None
    volatile_uncorrected: int | None = None
    aggregate_corrected: int | None = None
    aggregate_uncorrected: int | None = None
    sram_exceeded: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Remap:
    """Remapped rows (Ampere and later)."""

    corrected: int
    uncorrected: int
    pending: bool
    failure: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """Retired pages (before Ampere)."""

    single: int
    double: int
    pending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One NVLink: the bus address at its far end and what is there (0 a GPU, 2 a switch)."""

    active: bool
    type: int | None = None
    peer: str = ""
    errors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fabric:
    """``cluster`` as 32 hexadecimal digits; with the clique it names the NVLink domain across nodes.

    ``status``: how the registration ended, as an NVML code; it counts once ``state`` is 3, completed.
    """

    cluster: str
    clique: int
    state: int
    health: int
    status: int = 0
    mask: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A compute process. ``gpu_instance`` is the MIG GPU instance it runs on."""

    pid: int
    used_bytes: int = 0
    gpu_instance: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A MIG instance. ``profile`` as in resource names, such as ``1g.10gb``."""

    uuid: str
    profile: str
    gpu_instance: int
    compute_instance: int
    memory: Memory | None = None
    gpu_slices: int = 0
    compute_slices: int = 0
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One GPU. ``troubles`` are kinds of the health table that hold now, such as ``remap-failure``.

    ``unanswered``: calls that failed for no reason that says anything of the device, ``call: code``; what
    they would have told is not known. ``recovery``: what the driver asks for, None where it cannot tell.
    ``nvlink_peers``: indices of the devices reachable over NVLink. ``levels``: the common PCIe ancestor with
    each device by index, 0 with itself, -1 where unknown.
    """

    index: int
    uuid: str
    model: str = ""
    serial: str = ""
    minor: int | None = None
    pci: str = ""
    numa: int | None = None
    memory: Memory | None = None
    utilisation_gpu: int | None = None
    utilisation_memory: int | None = None
    power_mw: int | None = None
    power_limit_mw: int | None = None
    temperature_c: int | None = None
    ecc: Ecc | None = None
    remap: Remap | None = None
    retired: Retired | None = None
    repair: tuple[bool, bool] | None = None
    mig_enabled: bool | None = None
    instances: tuple[Instance, ...] = ()
    links: tuple[Link, ...] = ()
    nvlink_peers: tuple[int, ...] = ()
    levels: tuple[int, ...] = ()
    fabric: Fabric | None = None
    processes: tuple[Process, ...] = ()
    recovery: int | None = None
    troubles: tuple[str, ...] = ()
    unanswered: tuple[str, ...] = ()

    @property
    def clique(self) -> str:
        """``<cluster UUID>.<clique>`` as in ``nvidia.com/gpu.clique``; empty without a multi-node fabric."""
        fabric = self.fabric
        if fabric is None or fabric.state != 3 or fabric.status or not fabric.cluster.strip("0"):
            return ""
        digits = fabric.cluster
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        return f"{'-'.join(parts)}.{fabric.clique}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nameless:
    """A device that is listed and could not tell its UUID. ``trouble`` and ``unanswered`` as of a Device."""

    index: int
    trouble: str
    pci: str = ""
    unanswered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReport:
    """One probe of a node.

    ``nameless``: devices that are there and could not even tell their UUID. ``lacking``: calls the
    library does not have. ``odd``: calls that failed for no known reason, ``call: code``. ``opened``: this
    probe had to open NVML, because nobody had or because the driver was loaded anew.
    """

    state: NodeState
    message: str = ""
    driver: str = ""
    cuda: str = ""
    devices: tuple[Device, ...] = ()
    nameless: tuple[Nameless, ...] = ()
    lacking: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()
    opened: bool = False

    @property
    def unidentified(self) -> int:
        return len(self.nameless)
