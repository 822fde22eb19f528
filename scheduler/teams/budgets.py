"""Disruption budgets in a planning run: who may be evicted at all, and how many of whom together.

Whoever leaves is evicted through the Eviction API, which lets nobody past a budget. So a budget is a limit
here and not a wish: whom it does not allow to leave is no victim.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from scheduler.model.disruption import DisruptionBudget
from scheduler.model.objects import Pod
from scheduler.predicates.matching import selects


class Budgets:
    """What is left of each budget, by index; falls as victims are chosen."""

    def __init__(self, budgets: Sequence[DisruptionBudget]) -> None:
        self._budgets = budgets
        self._by_namespace: dict[str, list[int]] = {}
        for index, budget in enumerate(budgets):
            self._by_namespace.setdefault(budget.namespace, []).append(index)
        self.left = [budget.allowed for budget in budgets]
        self._known: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[int, ...]] = {}

    def take(self, pods: Iterable[Pod]) -> None:
        """These are chosen, or were just evicted and are not counted yet."""
        for pod in pods:
            for index in self.of(pod):
                if pod.name not in self._budgets[index].disrupted:
                    self.left[index] -= 1

    def of(self, pod: Pod) -> tuple[int, ...]:
        """The budgets that speak of the pod."""
        near = self._by_namespace.get(pod.namespace)
        if near is None:
            return ()
        key = (pod.namespace, pod.labels)
        found = self._known.get(key)
        if found is None:
            labels = dict(pod.labels)
            found = tuple(i for i in near if selects(self._budgets[i].selector, labels))
            self._known[key] = found
        return found

    def asked(self, pods: Iterable[Pod]) -> Counter[int]:
        """By budget, how many of these pods it speaks of."""
        return Counter(index for pod in pods for index in self.of(pod))

    def allow(self, pods: Iterable[Pod]) -> bool:
        """Whether all of these may be evicted now; a pod of several budgets never may."""
        asked: Counter[int] = Counter()
        for pod in pods:
            budgets = self.of(pod)
            if len(budgets) > 1:
                return False
            asked.update(budgets)
        return all(count <= self.left[index] for index, count in asked.items())
