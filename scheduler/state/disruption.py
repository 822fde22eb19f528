"""Disruption budgets as they are now: the part of the cluster state that says who may be evicted at all."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scheduler.model.disruption import COUNTED_S, DisruptionBudget
from scheduler.model.objects import Pod
from scheduler.predicates.matching import selects


@dataclass(slots=True)
class _Lost:
    """A pod that ran and does no more, and since when that is known."""

    pod: Pod
    since_s: float | None = None


class Disruption:
    def __init__(self) -> None:
        self._budgets: dict[tuple[str, str], DisruptionBudget] = {}
        #: By UID, pods that ended or began to leave, which their budgets may count still.
        self._lost: dict[str, _Lost] = {}

    def put(self, budget: DisruptionBudget) -> bool:
        """Take a budget as observed; whether more may be evicted than before, or others."""
        key = (budget.namespace, budget.name)
        before = self._budgets.get(key)
        self._budgets[key] = budget
        self._lost = {uid: one for uid, one in self._lost.items() if not _speaks_of(budget, one.pod)}
        return before is None or before.selector != budget.selector or budget.allowed > before.allowed

    def remove(self, namespace: str, name: str) -> None:
        self._budgets.pop((namespace, name), None)

    def see(self, before: Pod, now: Pod | None, *, is_ours: bool) -> None:
        """What became of a pod; is_ours: it is about to be evicted by us, which others count."""
        if is_ours or not _runs(before) or (now is not None and _runs(now)):
            return
        if any(_speaks_of(budget, before) for budget in self._budgets.values()):
            self._lost[before.uid] = _Lost(before)

    def all(self, at_s: float) -> tuple[DisruptionBudget, ...]:
        """By namespace and name, so that equal states make equal snapshots.

        Whose controller has not counted yet that a pod ended lets one less go: what it says comes by another
        watch than what becomes of pods, and later.
        """
        for one in self._lost.values():
            one.since_s = at_s if one.since_s is None else one.since_s
        self._lost = {uid: one for uid, one in self._lost.items() if at_s - (one.since_s or 0.0) < COUNTED_S}
        return tuple(self._left(self._budgets[key]) for key in sorted(self._budgets))

    def _left(self, budget: DisruptionBudget) -> DisruptionBudget:
        less = sum(
            one.pod.name not in budget.disrupted and _speaks_of(budget, one.pod)
            for one in self._lost.values()
        )
        return replace(budget, allowed=max(0, budget.allowed - less)) if less else budget


def _runs(pod: Pod) -> bool:
    return pod.phase == "Running" and not pod.is_deleting


def _speaks_of(budget: DisruptionBudget, pod: Pod) -> bool:
    return budget.namespace == pod.namespace and selects(budget.selector, dict(pod.labels))
