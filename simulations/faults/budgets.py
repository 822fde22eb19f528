"""Disruption budgets of a storm: what the Eviction API asks of them, and the controller that counts them.

As in ``pkg/registry/core/pod/storage/eviction.go`` and ``pkg/controller/disruption`` (1.37): an eviction
takes one off what is allowed and names the pod, and the controller counts anew when pods change. A budget
without ``minAvailable`` and ``maxUnavailable`` keeps the status that was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil
from typing import Final

from simulations.faults.store import Change, Collection, Json, Key, Store, wall

PODS: Final = "/api/v1/pods"
BUDGETS: Final = "/apis/policy/v1/poddisruptionbudgets"


class Budgets:
    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        store.told.append(self._changed)

    def take(self, pod: Json) -> bool:
        """Whether the pod may be evicted; if it may, its budget has one less."""
        found = [key for key, budget in self._of(pod["metadata"]["namespace"]) if _selects(budget, pod)]
        if not found or pod.get("status", {}).get("phase") in ("Succeeded", "Failed", "Pending"):
            return True
        allowed = self._store.at(BUDGETS).objects[found[0]].read().get("status", {})
        if len(found) > 1 or allowed.get("disruptionsAllowed", 0) < 1:
            return False

        def edit(budget: Json) -> None:
            status = budget.setdefault("status", {})
            status["disruptionsAllowed"] -= 1
            status.setdefault("disruptedPods", {})[pod["metadata"]["name"]] = wall(self._clock())

        self._store.change(BUDGETS, found[0], edit)
        return True

    def _of(self, namespace: str) -> Iterator[tuple[Key, Json]]:
        collection = self._store.find(BUDGETS)
        for key, stored in list(collection.objects.items()) if collection is not None else ():
            if key[0] == namespace:
                yield key, stored.read()

    def _changed(self, collection: Collection, change: Change, body: Json) -> None:
        """A pod or a budget changed: count again. A count alone changes nothing that is counted."""
        if collection.path in (PODS, BUDGETS):
            for key, budget in self._of(change.key[0]):
                self._count(key, budget)

    def _count(self, key: Key, budget: Json) -> None:
        spec = budget.get("spec") or {}
        if "minAvailable" not in spec and "maxUnavailable" not in spec:
            return
        pods = [at.read() for at_key, at in self._store.at(PODS).objects.items() if at_key[0] == key[0]]
        mine = [pod for pod in pods if _selects(budget, pod)]
        status = budget.get("status") or {}
        disrupted = {
            name: at
            for name, at in (status.get("disruptedPods") or {}).items()
            if any(p["metadata"]["name"] == name and not p["metadata"].get("deletionTimestamp") for p in mine)
        }
        healthy = sum(_is_healthy(pod) and pod["metadata"]["name"] not in disrupted for pod in mine)
        expected = len(mine)
        if "minAvailable" in spec:
            desired = _amount(spec["minAvailable"], expected)
        else:
            desired = expected - _amount(spec["maxUnavailable"], expected)
        counted = {
            "disruptionsAllowed": max(0, healthy - max(0, desired)),
            "currentHealthy": healthy,
            "desiredHealthy": max(0, desired),
            "expectedPods": expected,
            "disruptedPods": disrupted,
            "observedGeneration": budget["metadata"].get("generation", 0),
        }
        if {name: status.get(name) for name in counted} != counted:
            self._store.change(BUDGETS, key, lambda body: body.update(status=counted))


def _selects(budget: Json, pod: Json) -> bool:
    """By equal labels; an empty selector selects all, an absent one nothing."""
    selector = (budget.get("spec") or {}).get("selector")
    if selector is None:
        return False
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, value in (selector.get("matchLabels") or {}).items())


def _is_healthy(pod: Json) -> bool:
    is_running = bool(pod["spec"].get("nodeName")) and pod.get("status", {}).get("phase") == "Running"
    return is_running and not pod["metadata"].get("deletionTimestamp")


def _amount(value: int | str, of: int) -> int:
    return ceil(int(value.removesuffix("%")) * of / 100) if isinstance(value, str) else value
