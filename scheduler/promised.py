"""Nodes that other schedulers promised to their waiting pods: who is no more urgent leaves them the room.

Source: ``RunFilterPluginsWithNominatedPods`` of ``scheduler/framework/runtime/framework.go`` (1.37). A node
will do only where it does with those pods there and without them, since they may yet go elsewhere.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from binpacking.greedy import Packing
from scheduler.model.gang import PendingGang, PendingRole
from scheduler.model.objects import Shape
from scheduler.model.plan import Nominated, Placed
from scheduler.predicates.crowd import Crowd
from scheduler.predicates.interpod import constrain, keeps
from scheduler.predicates.matching import Namespaces
from scheduler.predicates.pod_anti_affinity import forbidden_by_placed

Mask = NDArray[np.bool_]


class Promised:
    def __init__(
        self,
        nominated: Sequence[Nominated],
        crowd: Crowd,
        request: Callable[[Shape], NDArray[np.int64]],
    ) -> None:
        self._crowd = crowd
        self._request = request
        #: The least urgent first.
        self._nominated = sorted(nominated, key=lambda one: one.priority)
        self._priorities = [one.priority for one in self._nominated]
        self._ahead_now = 0
        self._kept: list[tuple[int, NDArray[np.int64]]] = []

    @property
    def any(self) -> bool:
        return bool(self._nominated)

    def count(self, priority: int) -> int:
        """To how many of them a pod of this priority leaves their room."""
        return len(self._nominated) - bisect_left(self._priorities, priority)

    def keep_from(self, priority: int, packing: Packing) -> None:
        """From now on somebody of this priority is planned: what is promised ahead of them is not free."""
        ahead = self.count(priority)
        if ahead == self._ahead_now:
            return
        self._ahead_now = ahead
        for row, amount in self._kept:
            packing.free[row] += amount
        self._kept = []
        for one in self._ahead(priority):
            row = one.placed.node
            # What they ask beyond all that the node has makes no difference, and may be absurd.
            room = np.maximum(packing.free[row] + packing.total[row], 0)
            self._kept.append((row, np.minimum(self._request(one.placed.shape), room)))
            packing.free[row] -= self._kept[-1][1]

    def beside(self, pending: PendingGang, role: PendingRole, allowed: Mask, namespaces: Namespaces) -> Mask:
        """The nodes on which the rules between pods let the role be beside them, too."""
        ahead = [one.placed for one in self._ahead(pending.priority)]
        shape, pod = role.shape, role.pods[0]
        if ahead and not (shape.pod_affinity or shape.pod_anti_affinity):
            forbidden = forbidden_by_placed(pod.namespace, dict(pod.labels), self._crowd, namespaces)
            if forbidden is None or not forbidden.any():
                # kube-scheduler skips its InterPodAffinity plugin for such a pod, and with it what they ask.
                ahead = [replace(one, shape=replace(one.shape, pod_anti_affinity=())) for one in ahead]
        if not (shape.looks_at_pods or shape.host_ports):
            ahead = [one for one in ahead if one.shape.pod_anti_affinity]
        if not ahead:
            return allowed
        allowed = allowed.copy()
        for row in sorted({one.node for one in ahead}):
            if allowed[row]:
                here = [one for one in ahead if one.node == row]
                allowed[row] = self._allows(role, row, here, namespaces)
        return allowed

    def _allows(self, role: PendingRole, row: int, here: Sequence[Placed], namespaces: Namespaces) -> bool:
        crowd, pod = self._crowd, role.pods[0]
        for one in here:
            crowd.put_in(one)
        crowd.promised = here
        rules = constrain(role.shape, pod.namespace, pod.labels, crowd.nodes, crowd, namespaces)
        for one in here:
            crowd.take_out(one)
        crowd.promised = ()
        return keeps(rules, crowd, [row])

    def _ahead(self, priority: int) -> Sequence[Nominated]:
        return self._nominated[bisect_left(self._priorities, priority) :]
