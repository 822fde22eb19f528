"""The order in which waiting work is considered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One piece of waiting work. ``name`` only makes the order total; it decides nothing else."""

    #: Holds something already and is of no use without the rest.
    is_started: bool
    priority: int
    created_s: float
    name: str


def order(entries: Sequence[Entry]) -> list[int]:
    """Indices of ``entries``, first served first.

    Started work first, because a fresh gang that outranks a half placed one strands it
    (volcano-sh/volcano#5805); then as kube-scheduler's PrioritySort: higher priority, then older.
    """
    return sorted(
        range(len(entries)),
        key=lambda i: (
            not entries[i].is_started,
            -entries[i].priority,
            entries[i].created_s,
            entries[i].name,
        ),
    )
