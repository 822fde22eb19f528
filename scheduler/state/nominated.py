"""Waiting pods of other schedulers to which a node was promised, mostly one that preemption cleared."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.columns import NodeColumns, Requests
from scheduler.model.objects import Pod
from scheduler.model.plan import Nominated, Placed


class Nominations:
    def __init__(self, ours: str) -> None:
        self._ours = ours
        self._pods: dict[str, Pod] = {}

    def see(self, pod: Pod) -> bool:
        """Take a pod as observed; whether room that was promised to it is no longer."""
        if not self._pods and not pod.nominated_node:
            return False
        before = self._pods.pop(pod.uid, None)
        counts = (
            bool(pod.nominated_node)
            and not pod.node_name
            and pod.scheduler_name != self._ours
            and pod.phase == "Pending"
            and not pod.is_deleting
        )
        if counts:
            self._pods[pod.uid] = pod
        return before is not None and not (counts and _is_same(before, pod))

    def drop(self, uid: str) -> bool:
        """The pod is gone; whether room was promised to it."""
        return self._pods.pop(uid, None) is not None

    def on_nodes(self, columns: NodeColumns) -> tuple[Nominated, ...]:
        """Those promised nodes that exist."""
        if not self._pods:
            return ()
        return tuple(
            Nominated(
                priority=pod.priority,
                placed=Placed(
                    namespace=pod.namespace,
                    labels=pod.labels,
                    node=columns.row[pod.nominated_node],
                    shape=pod.shape,
                ),
            )
            for pod in self._pods.values()
            if pod.nominated_node in columns.row
        )

    def before(
        self, priority: int, rows: Sequence[int], columns: NodeColumns
    ) -> tuple[list[int], list[Requests]]:
        """Rows and requests of those on these nodes that pods of this priority leave their room to."""
        if not self._pods:
            return [], []
        here = set(rows)
        found = [
            (columns.row[pod.nominated_node], pod.shape.requests)
            for pod in self._pods.values()
            if pod.priority >= priority and columns.row.get(pod.nominated_node, -1) in here
        ]
        return [row for row, _ in found], [requests for _, requests in found]


def _is_same(one: Pod, other: Pod) -> bool:
    return (
        one.nominated_node == other.nominated_node
        and one.shape is other.shape
        and one.priority <= other.priority
        and one.labels == other.labels
    )
