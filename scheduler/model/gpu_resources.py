"""Every extended resource that stands on a GPU: the one table of names.

Sources: NVIDIA k8s-device-plugin (``internal/rm``: MIG attributes with ``.`` for ``+``, ``.shared`` for
replicas under ``renameByDefault``), kubevirt-gpu-device-plugin (names of the chip), AMD's k8s-device-plugin
(resource naming strategy ``mixed``), Intel's device plugins for Kubernetes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from scheduler.model.devices import MIG_PREFIX, WHOLE_GPU
from scheduler.model.gpu_names import MILLI, canonical, mig_milli, part_milli, sharing_instances

SHARED: Final = ".shared"
#: One of these is one device of the node, whatever its labels say that is.
WHOLE: Final = frozenset(
    {
        WHOLE_GPU,
        WHOLE_GPU + SHARED,
        "amd.com/gpu",
        "amd.com/gpu_vf",
        "amd.com/gpu_pf",
        "gpu.intel.com/i915",
        "gpu.intel.com/xe",
    }
)
#: A whole NVIDIA GPU that a virtual machine gets; its driver is not NVIDIA's, so no agent sees it.
_PASSED_THROUGH: Final = re.compile(r"nvidia\.com/(?:pgpu|[A-Z]{2}\d{3}[A-Z]*_.+)")
_VIRTUAL: Final = re.compile(r"nvidia\.com/((?:NVIDIA|GRID)_.+-\d{1,3}[ABCQ])")
_MIG: Final = re.compile(re.escape(MIG_PREFIX) + r"([1-9]\d?)g\.([0-9]{1,4})gb(?:[.+-][a-z.+-]+)?")
_AMD_PARTITION: Final = re.compile(r"amd\.com/([sdtqc]px)_nps\d")


def mig_resource(profile: str) -> str:
    """The resource that NVIDIA's device plugin counts instances of a profile under (``1g.10gb+me``)."""
    return MIG_PREFIX + profile.replace("+", ".")


@lru_cache(maxsize=1_024)
def is_gpu(resource: str) -> bool:
    """Whether one of the resource is a GPU or a part of one."""
    if resource in WHOLE:
        return True
    return any(known.fullmatch(resource) for known in (_MIG, _AMD_PARTITION, _PASSED_THROUGH, _VIRTUAL))


@lru_cache(maxsize=1_024)
def stands_on(resource: str) -> str:
    """The resource of the devices in an inventory that one of ``resource`` is given from; empty for none.

    What no NVML reports stands on nothing that has a health: it is counted by allocatable alone.
    """
    plain = resource.removesuffix(SHARED)
    return plain if plain == WHOLE_GPU or _MIG.fullmatch(plain) else ""


@lru_cache(maxsize=4_096)
def gpu_milli(resource: str, memory_mib: int, model: str = "") -> int:
    """Thousandths of a GPU that one of a resource is; 0 for what is no GPU.

    memory_mib: of one of the node's devices. model: the node's, as ``gpu_names.counted_as``.
    """
    if resource in WHOLE:
        return part_milli(model)
    profile = _MIG.fullmatch(resource)
    if profile is not None:
        compute, memory_gb = int(profile[1]), int(profile[2])
        return -(-mig_milli(compute, memory_gb, memory_mib) // sharing_instances(model, compute, memory_gb))
    partition = _AMD_PARTITION.fullmatch(resource)
    if partition is not None:
        base = model.partition("-")[0]
        return part_milli(f"{base or 'gpu'}-{partition[1]}")
    virtual = _VIRTUAL.fullmatch(resource)
    if virtual is not None:
        return part_milli(canonical(virtual[1]))
    return MILLI if _PASSED_THROUGH.fullmatch(resource) else 0
