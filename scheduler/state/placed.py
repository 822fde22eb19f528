"""Pods on nodes that a rule between pods can see, by UID; all of them only once somebody asks by labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scheduler.columns import NodeColumns
from scheduler.model.objects import Shape
from scheduler.model.plan import Placed
from scheduler.records import Record


class PlacedPods:
    def __init__(self, pods: Mapping[str, Record], columns: NodeColumns) -> None:
        self._pods = pods
        self._columns = columns
        self._placed: dict[str, Placed] = {}
        #: Whether every charged pod is in ``_placed``, since some pod selects others by their labels.
        self.sees_all = False
        #: Charged pods with required anti-affinity, which bind newcomers too.
        self._anti: dict[str, None] = {}

    def charged(self, record: Record) -> bool:
        """A pod came to hold its node; whether a rule may see that."""
        if record.effective.shape.pod_anti_affinity:
            self._anti[record.effective.uid] = None
        if self.sees_all:
            self._place(record)
        return self.sees_all

    def released(self, uid: str) -> None:
        self._anti.pop(uid, None)
        self._placed.pop(uid, None)

    def rows_moved(self) -> None:
        self._placed.clear()
        self.sees_all = False

    def seen_by(self, shapes: Iterable[Shape]) -> tuple[Placed, ...]:
        """Pods on nodes that an inter-pod rule of these shapes, or their own rules, can see."""
        if not self.sees_all and any(shape.sees_pods for shape in shapes):
            self.sees_all = True
            for record in self._pods.values():
                if record.charged:
                    self._place(record)
        if self.sees_all:
            return tuple(self._placed.values())
        for uid in self._anti:
            if uid not in self._placed:
                self._place(self._pods[uid])
        return tuple(self._placed[uid] for uid in self._anti if uid in self._placed)

    def _place(self, record: Record) -> None:
        pod = record.effective
        row = self._columns.row.get(record.charged)
        if row is not None:
            self._placed[pod.uid] = Placed(
                namespace=pod.namespace, labels=pod.labels, node=row, shape=pod.shape
            )
