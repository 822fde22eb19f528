"""Pods on nodes that a rule between pods can see, by UID; all of them only while somebody asks by labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scheduler.columns import NodeColumns
from scheduler.model.objects import Pod, Shape
from scheduler.model.plan import Placed
from scheduler.predicates.default_spread import spread_by
from scheduler.records import Record, own_labels
from scheduler.state.meanwhile import Meanwhile


class PlacedPods:
    def __init__(self, pods: Mapping[str, Record], columns: NodeColumns) -> None:
        self._pods = pods
        self._columns = columns
        self._placed: dict[str, Placed] = {}
        #: Whether every charged pod is in ``_placed``, since some pod selects others by their labels.
        self.sees_all = False
        #: Charged pods with terms about others, which newcomers have to keep or should.
        self._speaking: dict[str, None] = {}
        #: Charged pods of controllers whose pods spread by default, by the controller's UID.
        self._of: dict[str, dict[str, None]] = {}
        #: What came and went that no plan of ours foresaw.
        self.meanwhile = Meanwhile()
        #: Counts changes to the pods on nodes, ours included.
        self.version = 0

    @property
    def speaks(self) -> bool:
        """Whether some pod on a node has terms about others."""
        return bool(self._speaking)

    def charged(self, record: Record) -> bool:
        """A pod came to hold its node; whether a rule may see that."""
        self.version += 1
        pod = record.effective
        if pod.shape.speaks_of_pods:
            self._speaking[pod.uid] = None
        owner = spread_by(pod)
        if owner:
            self._of.setdefault(owner, {})[pod.uid] = None
        if not record.assumed:
            self.meanwhile.note(pod, record.charged, has_come=True)
        if self.sees_all:
            self._place(record)
        return self.sees_all

    def changed(self, record: Record, before: Pod) -> bool:
        """Something of a pod that stays on its node changed; whether a rule may see that."""
        after = record.effective
        self.version += 1
        if before.labels == after.labels and before.is_deleting == after.is_deleting:
            return False
        if own_labels(before) != own_labels(after):
            self.meanwhile.note(before, record.charged, has_come=False)
            self.meanwhile.note(after, record.charged, has_come=True)
        if after.uid in self._placed:
            self._place(record)
        return self.sees_all or bool(spread_by(after))

    def released(self, before: Pod, node: str) -> None:
        """A pod that looked like this no longer holds its node."""
        uid = before.uid
        self.version += 1
        self.meanwhile.note(before, node, has_come=False)
        self._speaking.pop(uid, None)
        self._placed.pop(uid, None)
        owner = spread_by(before)
        siblings = self._of.get(owner)
        if siblings is not None:
            siblings.pop(uid, None)
            if not siblings:
                del self._of[owner]

    def rows_moved(self) -> None:
        self._placed.clear()
        self.sees_all = False
        self.version += 1

    def seen_by(self, shapes: Iterable[Shape], owners: Iterable[str] = ()) -> tuple[Placed, ...]:
        """Pods on nodes that a rule between pods of these shapes, their own rules, or default spread can see.

        owners: the controllers of waiting pods that spread by default.
        """
        if any(shape.sees_pods for shape in shapes):
            return self.all()
        seen = dict(self._speaking)
        for owner in owners:
            seen |= self._of.get(owner, {})
        for uid in seen:
            if uid not in self._placed:
                self._place(self._pods[uid])
        return tuple(self._placed[uid] for uid in seen if uid in self._placed)

    def all(self) -> tuple[Placed, ...]:
        """Every pod that is charged to a known node."""
        if not self.sees_all:
            self.sees_all = True
            for record in self._pods.values():
                if record.charged:
                    self._place(record)
        return tuple(self._placed.values())

    def _place(self, record: Record) -> None:
        placed = self.seen_as(record.effective, record.charged)
        if placed is not None:
            self._placed[record.effective.uid] = placed

    def seen_as(self, pod: Pod, node: str) -> Placed | None:
        """The pod on the node, as rules see it; None where there is no such node."""
        row = self._columns.row.get(node)
        if row is None:
            return None
        return Placed(
            namespace=pod.namespace,
            labels=pod.labels,
            node=row,
            shape=pod.shape,
            is_leaving=pod.is_deleting,
            owner=spread_by(pod),
        )
