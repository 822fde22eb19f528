"""Disruption budgets as they are now: the part of the cluster state that says who may be evicted at all."""

from __future__ import annotations

from scheduler.model.disruption import DisruptionBudget


class Disruption:
    def __init__(self) -> None:
        self._budgets: dict[tuple[str, str], DisruptionBudget] = {}

    def put(self, budget: DisruptionBudget) -> bool:
        """Take a budget as observed; whether more may be evicted than before, or others."""
        key = (budget.namespace, budget.name)
        before = self._budgets.get(key)
        self._budgets[key] = budget
        return before is None or before.selector != budget.selector or budget.allowed > before.allowed

    def remove(self, namespace: str, name: str) -> None:
        self._budgets.pop((namespace, name), None)

    def all(self) -> tuple[DisruptionBudget, ...]:
        """By namespace and name, so that equal states make equal snapshots."""
        return tuple(self._budgets[key] for key in sorted(self._budgets))
