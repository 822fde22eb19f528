"""GPUNode, stowplan.dev/v1alpha1 (deploy/crds/gpunodes.yaml): what NVML says about a node."""

from __future__ import annotations

from scheduler.kube.wire.base import Metadata, Wire


class GPUSign(Wire, frozen=True, omit_defaults=True):
    """Trouble of one kind, from ``first`` to ``last``; ``mended`` once a reset or boot was seen."""

    kind: str = ""
    first: str = ""
    last: str = ""
    count: int = 1
    mended: str | None = None


class GPUInstance(Wire, frozen=True, omit_defaults=True):
    """A MIG instance."""

    uuid: str = ""
    profile: str = ""
    gpu_instance: int = 0
    compute_instance: int = 0
    memory_bytes: int = 0
    used_bytes: int = 0
    foreign_processes: int = 0
    foreign_bytes: int = 0
    holders: tuple[GPUHolder, ...] | None = None


class GPUErrors(Wire, frozen=True, omit_defaults=True):
    """Counters of wear; absent ones are not supported by the device."""

    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    ecc_corrected_ever: int | None = None
    ecc_uncorrected_ever: int | None = None
    rows_remapped_corrected: int | None = None
    rows_remapped_uncorrected: int | None = None
    pages_retired: int | None = None
    nvlink: int | None = None


class GPULinks(Wire, frozen=True, omit_defaults=True):
    """NVLinks of a device: how many it has, how many are up, and how many were where that was more."""

    total: int = 0
    active: int = 0
    best: int = 0


class GPUHolder(Wire, frozen=True, omit_defaults=True):
    """A pod that holds a device: by its name as the kubelet says it, or by its UID as its processes do."""

    namespace: str = ""
    name: str = ""
    uid: str = ""


class GPUDevice(Wire, frozen=True, omit_defaults=True):
    """One GPU.

    ``island``: devices of a node with the same island reach each other over NVLink; empty for none.
    ``levels``: common PCIe ancestor with each device by index, as NVML numbers them (0 itself, 50 system).
    ``boot_id``: of the boot in which it was last seen, empty for the node's own. ``holders``: the pods that
    hold it, by evidence.
    """

    index: int = 0
    uuid: str = ""
    model: str = ""
    serial: str = ""
    minor: int | None = None
    pci: str = ""
    boot_id: str = ""
    numa: int | None = None
    memory_bytes: int = 0
    used_bytes: int = 0
    utilisation_percent: int | None = None
    power_milliwatts: int | None = None
    power_limit_milliwatts: int | None = None
    temperature_celsius: int | None = None
    state: str = ""
    reason: str = ""
    clear: str = ""
    since: str | None = None
    until: str | None = None
    fatal_since: str | None = None
    foreign_processes: int = 0
    foreign_bytes: int = 0
    unknown_processes: int = 0
    holders: tuple[GPUHolder, ...] | None = None
    mig: bool | None = None
    instances: tuple[GPUInstance, ...] | None = None
    island: str = ""
    clique: str = ""
    links: GPULinks | None = None
    levels: tuple[int, ...] | None = None
    errors: GPUErrors | None = None
    signs: tuple[GPUSign, ...] | None = None


class GPUNodeStatus(Wire, frozen=True, omit_defaults=True):
    """``last_probe``: when NVML last answered; ``last_heartbeat``: when the agent last wrote."""

    state: str = ""
    message: str = ""
    driver: str = ""
    cuda: str = ""
    boot_id: str = ""
    node_uid: str = ""
    last_probe: str | None = None
    last_heartbeat: str | None = None
    model: str = ""
    gpus: int | None = None
    healthy: int | None = None
    usable: int | None = None
    unidentified: int = 0
    #: Where ``holders`` come from: kubelet or processes; empty where nobody can tell.
    evidence: str = ""
    lacking: tuple[str, ...] | None = None
    devices: tuple[GPUDevice, ...] | None = None


class GPUNode(Wire, frozen=True, omit_defaults=True):
    """Named as the node it tells about; cluster-scoped."""

    metadata: Metadata
    status: GPUNodeStatus = GPUNodeStatus()
