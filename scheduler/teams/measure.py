"""What a pod counts for in its team's quota: amounts of ``quotas`` from its requests and a GPU's model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from quotas.amounts import Amounts
from quotas.units import MILLI, MODEL, UnitTable
from scheduler.columns import Requests
from scheduler.model.objects import CPU, GPU, MEMORY
from scheduler.model.platforms import product_of

#: Resources that count whole GPUs.
GPUS = frozenset({GPU, "amd.com/gpu"})
_MEMORY = re.compile(r"[0-9]{1,4}gb")
_FAMILY = re.compile(r"(?!sxm|hbm|nvl)[a-z]{1,3}[0-9]{1,4}[a-z]{0,2}")


def model_of(labels: Mapping[str, str]) -> str:
    """The canonical model of a node's GPUs, such as ``h100-80gb``; empty where no label says it."""
    return canonical(product_of(labels))


@lru_cache(maxsize=1_024)
def canonical(product: str) -> str:
    """``NVIDIA-H100-80GB-HBM3`` -> ``h100-80gb``: the family and, where it is told, the memory."""
    words = re.split(r"[-_ ]+", product.lower()[:253])
    memory = [word for word in words if _MEMORY.fullmatch(word)]
    family = [word for word in words if _FAMILY.fullmatch(word)]
    if not family:
        return re.sub(r"[^-a-z0-9]", "", "-".join(words))[:63].strip("-")
    return "-".join([family[0], *memory[:1]])


def charge_of(requests: Requests, model: str, units: UnitTable, defaults: Amounts) -> dict[str, int]:
    """What a pod with these requests counts for on GPUs of this model, with its team's defaults."""
    found = gauged(requests)
    for name, amount in defaults.items():
        if name in (CPU, MEMORY) and not found.get(name):
            found[name] = amount
    gpus = found.pop(GPU, 0)
    return found | units.amounts({model: gpus}) if gpus else found


def without_model(amounts: Amounts) -> dict[str, int]:
    """The amounts of work that does not mind the model: it counts in units, and for no model."""
    return {name: amount for name, amount in amounts.items() if not name.startswith(MODEL)}


def gauged(requests: Requests) -> dict[str, int]:
    """CPU in milli, memory in bytes and whole GPUs in thousandths, of what a pod asks."""
    found: dict[str, int] = {}
    for name, amount in requests:
        if name in GPUS:
            found[GPU] = found.get(GPU, 0) + amount * MILLI
        elif name in (CPU, MEMORY):
            found[name] = amount
    return found
