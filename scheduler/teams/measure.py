"""What a pod counts for in its team's quota: amounts of ``quotas`` from its requests and a GPU's model."""

from __future__ import annotations

from quotas.amounts import Amounts
from quotas.units import MILLI, MODEL, UnitTable
from scheduler.model.gpu_names import canonical as canonical
from scheduler.model.gpu_names import memory_mib_of as memory_mib_of
from scheduler.model.gpu_names import model_of as model_of
from scheduler.model.gpu_resources import gpu_milli as gpu_milli
from scheduler.model.objects import CPU, GPU, MEMORY, Shape


def charge_of(shape: Shape, model: str, memory_mib: int, units: UnitTable) -> dict[str, int]:
    """What a pod of this shape counts for on GPUs of this model.

    memory_mib: of one such GPU; 0 where nobody says.
    """
    found = gauged(shape, memory_mib, model)
    gpus = found.pop(GPU, 0)
    return found | units.amounts({model: gpus}) if gpus else found


def without_model(amounts: Amounts) -> dict[str, int]:
    """The amounts of work that does not mind the model: it counts in units, and for no model."""
    return {name: amount for name, amount in amounts.items() if not name.startswith(MODEL)}


def gauged(shape: Shape, memory_mib: int = 0, model: str = "") -> dict[str, int]:
    """CPU in milli, memory in bytes and GPUs in thousandths, of what a pod of this shape asks.

    model: of the GPUs it is on. A share counts for its part of the GPU; one by memory for that part of
    ``memory_mib``, or for all of the GPU where nobody says how much that has.
    """
    gpus = 0
    found: dict[str, int] = {}
    for name, amount in shape.requests:
        if name in (CPU, MEMORY):
            found[name] = amount
        else:
            gpus += amount * gpu_milli(name, memory_mib, model)
    if shape.ask is not None and shape.ask.milli:
        gpus += shape.ask.milli
    elif shape.ask is not None and shape.ask.memory_bytes:
        gpus += min(MILLI, -(-shape.ask.memory_bytes * MILLI // (memory_mib << 20))) if memory_mib else MILLI
    return found | {GPU: gpus} if gpus else found
