"""What came to nodes and went from them that no plan of ours foresaw: for the last look before a Binding."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from scheduler.model.objects import Pod
from scheduler.predicates.host_ports import conflicts
from scheduler.predicates.matching import Namespaces, selects, term_applies

#: Changes remembered one by one.
CHANGES_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Change:
    """One pod that came to a node, or that went from it."""

    pod: Pod
    node: str
    has_come: bool


class Meanwhile:
    def __init__(self) -> None:
        self._changes: deque[Change] = deque(maxlen=CHANGES_MAX)
        #: Changes so far.
        self.count = 0

    def note(self, pod: Pod, node: str, *, has_come: bool) -> None:
        self._changes.append(Change(pod, node, has_come))
        self.count += 1

    def since(self, count: int) -> list[Change] | None:
        """Oldest first; None where they are not all remembered."""
        new = self.count - count
        if new > len(self._changes):
            return None
        changes = self._changes
        return [changes[i] for i in range(len(changes) - new, len(changes))]


def matters(change: Change, pod: Pod, node: str, namespaces: Namespaces) -> bool:
    """Whether a required rule between the two looks at the other one."""
    other, shape = change.pod, pod.shape
    who = dict(other.labels)
    terms = (*shape.pod_affinity, *shape.pod_anti_affinity)
    if any(term_applies(term, other.namespace, who, namespaces) for term in terms):
        return True
    if other.namespace == pod.namespace and any(
        c.is_required and selects(c.selector, who) for c in shape.spread
    ):
        return True
    if not change.has_come:
        return False
    if change.node == node and conflicts(shape.host_ports, other.shape.host_ports):
        return True
    asked = other.shape.pod_anti_affinity
    return bool(asked) and any(
        term_applies(term, pod.namespace, dict(pod.labels), namespaces) for term in asked
    )
