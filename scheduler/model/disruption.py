"""Disruption budgets: how many pods of a set the API server lets anybody evict now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scheduler.model.selection import Selector

#: So long after a pod was seen to end, or to go, the budgets that speak of it are known as well: they come by
#: another watch.
COUNTED_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DisruptionBudget:
    """A PodDisruptionBudget as its controller last counted it."""

    namespace: str
    name: str
    #: None selects nothing.
    selector: Selector | None
    #: Evictions that the API server would let happen now.
    allowed: int
    #: Names of pods whose eviction is taken off ``allowed`` already, although they may still be there.
    disrupted: frozenset[str] = frozenset()


#: Of one cluster, by namespace and name.
DisruptionBudgets = Mapping[tuple[str, str], DisruptionBudget]
