"""PodDisruptionBudget objects to model values."""

from __future__ import annotations

import msgspec

from scheduler.kube import wire
from scheduler.model.disruption import DisruptionBudget
from scheduler.model.selection import Selector
from scheduler.parse.refusal import Refusal
from scheduler.parse.selectors import parse_selector


def parse_budget(found: wire.PodDisruptionBudget) -> DisruptionBudget:
    """Never refused: a budget that cannot be understood allows nothing in its namespace.

    As the Eviction API does (``pkg/registry/core/pod/storage/eviction.go``, 1.37), nothing is allowed before
    the disruption controller has counted the newest description.
    """
    status = found.status
    is_counted = (status.observed_generation or 0) >= found.metadata.generation
    allowed = max(0, status.disruptions_allowed) if is_counted else 0
    try:
        written = msgspec.json.decode(found.spec.selector, type=wire.LabelSelector | None)
        selector = parse_selector("spec.selector", written)
    except (Refusal, msgspec.MsgspecError):
        selector, allowed = Selector(), 0
    return DisruptionBudget(
        namespace=found.metadata.namespace,
        name=found.metadata.name,
        selector=selector,
        allowed=allowed,
        disrupted=frozenset(status.disrupted_pods or ()),
    )
