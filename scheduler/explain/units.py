"""Amounts as people write them."""

from __future__ import annotations

from scheduler.model.objects import CPU, MEMORY

_BINARY = (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10))


def amount(resource: str, value: int) -> str:
    """``value`` in the resource's unit as a Kubernetes quantity: 1500 milli-CPU is ``1500m``."""
    if resource == CPU:
        return str(value // 1000) if value % 1000 == 0 else f"{value}m"
    if resource == MEMORY or resource.startswith(("hugepages-", "ephemeral-storage")):
        if value == 0:
            return "0"
        for suffix, size in _BINARY:
            if value % size == 0:
                return f"{value // size}{suffix}"
        return f"{value / 2**20:.0f}Mi"
    return str(value)
