"""The order in which waiting work is considered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One piece of waiting work. ``name`` only makes the order total; it decides nothing else."""

    priority: int
    created_s: float
    name: str


def order(entries: Sequence[Entry]) -> list[int]:
    """Indices of ``entries``, first served first: higher priority, then older, then by name.

    Source: kube-scheduler's PrioritySort queue plugin (priority, then time), made total.
    """
    return sorted(
        range(len(entries)), key=lambda i: (-entries[i].priority, entries[i].created_s, entries[i].name)
    )
