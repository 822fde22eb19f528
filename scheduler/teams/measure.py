"""What a pod counts for in its team's quota: amounts of ``quotas`` from its requests and a GPU's model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from quotas.amounts import Amounts
from quotas.units import MILLI, MODEL, UnitTable
from scheduler.model import platforms
from scheduler.model.devices import MIG_PREFIX
from scheduler.model.objects import CPU, GPU, MEMORY, Shape

#: Resources that count whole GPUs.
GPUS = frozenset({GPU, "amd.com/gpu"})
_MEMORY = re.compile(r"[0-9]{1,4}gb")
_MIG = re.compile(re.escape(MIG_PREFIX) + r"([1-9])g\.([0-9]{1,4})gb")
_FAMILY = re.compile(r"(?!sxm|hbm|nvl)[a-z]{1,3}[0-9]{1,4}[a-z]{0,2}")


def model_of(labels: Mapping[str, str]) -> str:
    """The canonical model of a node's GPUs, such as ``h100-80gb``; empty where no label says it."""
    return canonical(platforms.product_of(labels))


def memory_mib_of(labels: Mapping[str, str]) -> int:
    """MiB of one of a node's GPUs: as told, else by the model's name, else 0."""
    known = platforms.memory_mib_of(labels)
    if known:
        return known
    _, _, memory = model_of(labels).rpartition("-")
    return int(memory[:-2]) * 1_024 if _MEMORY.fullmatch(memory) else 0


@lru_cache(maxsize=1_024)
def canonical(product: str) -> str:
    """``NVIDIA-H100-80GB-HBM3`` -> ``h100-80gb``: the family and, where it is told, the memory."""
    words = re.split(r"[-_ ]+", product.lower()[:253])
    memory = [word for word in words if _MEMORY.fullmatch(word)]
    family = [word for word in words if _FAMILY.fullmatch(word)]
    if not family:
        return re.sub(r"[^-a-z0-9]", "", "-".join(words))[:63].strip("-")
    return "-".join([family[0], *memory[:1]])


def charge_of(shape: Shape, model: str, memory_mib: int, units: UnitTable) -> dict[str, int]:
    """What a pod of this shape counts for on GPUs of this model.

    memory_mib: of one such GPU; 0 where nobody says.
    """
    found = gauged(shape, memory_mib)
    gpus = found.pop(GPU, 0)
    return found | units.amounts({model: gpus}) if gpus else found


def without_model(amounts: Amounts) -> dict[str, int]:
    """The amounts of work that does not mind the model: it counts in units, and for no model."""
    return {name: amount for name, amount in amounts.items() if not name.startswith(MODEL)}


def gauged(shape: Shape, memory_mib: int = 0) -> dict[str, int]:
    """CPU in milli, memory in bytes and GPUs in thousandths, of what a pod of this shape asks.

    A share counts for its part of the GPU; one by memory for that part of ``memory_mib``, or for all of the
    GPU where nobody says how much that has.
    """
    gpus = 0
    found: dict[str, int] = {}
    for name, amount in shape.requests:
        if name in (CPU, MEMORY):
            found[name] = amount
        else:
            gpus += amount * gpu_milli(name, memory_mib)
    if shape.ask is not None and shape.ask.milli:
        gpus += shape.ask.milli
    elif shape.ask is not None and shape.ask.memory_bytes:
        gpus += min(MILLI, -(-shape.ask.memory_bytes * MILLI // (memory_mib << 20))) if memory_mib else MILLI
    return found | {GPU: gpus} if gpus else found


def gpu_milli(resource: str, memory_mib: int) -> int:
    """Thousandths of a GPU that one of a resource is; 0 for what is no GPU.

    A MIG instance is the larger of its sevenths of the compute and its eighths of the memory, which is what
    others can no longer have (NVIDIA MIG User Guide, partitioning).
    """
    if resource in GPUS:
        return MILLI
    profile = _MIG.match(resource)
    if profile is None:
        return 0
    compute, memory_gib = int(profile[1]), int(profile[2])
    eighths = (2 * 8 * memory_gib * 1_024 // memory_mib + 1) // 2 if memory_mib else 0
    return min(MILLI, max(-(-compute * MILLI // 7), eighths * MILLI // 8))
