"""Rules between pods, looked at once more before a Binding: others came and went since the plan was made.

It costs what changed: only where a change is one that a rule of the pod, or of the one that came, looks at,
the rules are asked anew with every pod there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from scheduler.columns import NodeColumns
from scheduler.model.gang import PendingRole
from scheduler.model.objects import Pod, Shape
from scheduler.model.plan import Assignment, Place, Placed
from scheduler.predicates.crowd import Crowd
from scheduler.predicates.interpod import constrain, keeps
from scheduler.predicates.matching import Namespaces
from scheduler.state.meanwhile import Change, matters
from scheduler.state.placed import PlacedPods

#: Pods of a gang that are asked about one after another; a larger one is planned anew instead.
IN_TURN_MAX = 512


class LastLook:
    def __init__(self, placed: PlacedPods, columns: NodeColumns) -> None:
        self._placed = placed
        self._columns = columns
        #: By whether every pod is in it, a crowd and the version of the pods it was made of.
        self._crowds: dict[bool, tuple[int, Crowd]] = {}

    def nodes_changed(self) -> None:
        """A node looks different, its labels perhaps."""
        self._crowds.clear()

    def drop(self, place: Place) -> None:
        """The place goes nowhere: others may have been planned beside its pods."""
        for a in place.assignments:
            self._placed.meanwhile.note(a.pod, a.node, has_come=False)

    def objection(self, place: Place, since: int, namespaces: Namespaces) -> str | None:
        """Why pods that are not charged yet may not go where they were planned to, or None."""
        touched = [a for a in place.assignments if self._relevant(a.pod, a.node, since, namespaces) != []]
        if not touched:
            return None
        roles = [role for role in place.gang.roles if role.pods]
        is_in_turn = len(roles) > 1 and any(role.shape.looks_at_pods for role in roles)
        if is_in_turn and len(place.assignments) > IN_TURN_MAX:
            return f"pods came and went that the rules of pod {touched[0].pod.name} look at"
        crowd = self._crowd(any(_is_bound(role.shape) for role in roles))
        mark = len(crowd)
        try:
            for some in _in_turn(place) if is_in_turn else _by_role(roles, place.assignments):
                wrong = self._wrong(crowd, some, namespaces)
                if wrong is not None:
                    return _told(wrong)
        finally:
            crowd.rewind(mark)
        return None

    def unfit(self, placed: Assignment, since: int, namespaces: Namespaces) -> str | None:
        """Why a pod that is charged to a node should not be bound there any more, or None."""
        pod, row = placed.pod, self._columns.row.get(placed.node)
        relevant = self._relevant(pod, placed.node, since, namespaces)
        if relevant == [] or row is None:
            return None
        if relevant is None:
            # Only who came can be told from who was there: what the plan counted on is not asked again.
            pod = replace(pod, shape=replace(pod.shape, pod_affinity=(), spread=()))
        crowd = self._crowd(_is_bound(pod.shape))
        with _apart(crowd, self._seen([(placed.pod, placed.node)]), []):
            if self._allows(crowd, pod, row, namespaces):
                return None
            came = self._seen([(c.pod, c.node) for c in relevant or () if c.has_come])
            went = self._seen([(c.pod, c.node) for c in relevant or () if not c.has_come])
            # What was so already when it was planned is no reason to give it up.
            with _apart(crowd, came, went):
                if relevant and not self._allows(crowd, pod, row, namespaces):
                    return None
        return _told(placed)

    def _relevant(self, pod: Pod, node: str, since: int, namespaces: Namespaces) -> list[Change] | None:
        """The changes that a rule looks at; None where they are not all remembered."""
        if self._placed.meanwhile.count == since:
            return []
        changes = self._placed.meanwhile.since(since)
        if changes is None:
            return None if _is_bound(pod.shape) or self._placed.speaks else []
        if not _is_bound(pod.shape):
            changes = [change for change in changes if change.pod.shape.pod_anti_affinity]
        return [change for change in changes if matters(change, pod, node, namespaces)]

    def _wrong(self, crowd: Crowd, some: Sequence[Assignment], namespaces: Namespaces) -> Assignment | None:
        """One of these pods of one role that may not go there with the others; noted in the crowd if none."""
        pod = some[0].pod
        rows = [self._columns.row[a.node] for a in some]
        rules = constrain(pod.shape, pod.namespace, pod.labels, self._columns.nodes, crowd, namespaces)
        if not keeps(rules, crowd, rows):
            return next(
                (a for a, row in zip(some, rows, strict=True) if not keeps(rules, crowd, [row])), some[0]
            )
        for a in some:
            for itself in self._seen([(a.pod, a.node)]):
                crowd.add(itself)
        return None

    def _allows(self, crowd: Crowd, pod: Pod, row: int, namespaces: Namespaces) -> bool:
        rules = constrain(pod.shape, pod.namespace, pod.labels, self._columns.nodes, crowd, namespaces)
        return keeps(rules, crowd, [row])

    def _crowd(self, is_whole: bool) -> Crowd:
        known = self._crowds.get(is_whole)
        if known is None or known[0] != self._placed.version:
            pods = self._placed.all() if is_whole else self._placed.seen_by(())
            known = self._crowds[is_whole] = (self._placed.version, Crowd(self._columns.nodes, pods))
        return known[1]

    def _seen(self, pods: Sequence[tuple[Pod, str]]) -> list[Placed]:
        seen = (self._placed.seen_as(pod, node) for pod, node in pods)
        return [one for one in seen if one is not None]


def _told(kept_off: Assignment) -> str:
    return f"pods came or went: their rules or its own keep pod {kept_off.pod.name} off node {kept_off.node}"


def _is_bound(shape: Shape) -> bool:
    """Whether rules of its own bind pods of this shape to others."""
    return bool(shape.looks_at_pods or shape.host_ports)


def _by_role(roles: Sequence[PendingRole], assignments: Sequence[Assignment]) -> Iterator[list[Assignment]]:
    of = {pod.uid: i for i, role in enumerate(roles) for pod in role.pods}
    for i in range(len(roles)):
        some = [a for a in assignments if of.get(a.pod.uid) == i]
        if some:
            yield some


def _in_turn(place: Place) -> Iterator[list[Assignment]]:
    for assignment in place.assignments:
        yield [assignment]


@contextmanager
def _apart(crowd: Crowd, without: Sequence[Placed], beside: Sequence[Placed]) -> Iterator[None]:
    """The crowd without some pods and with some others, for as long as it is looked at."""
    gone = [pod for pod in without if crowd.take_out(pod)]
    for pod in beside:
        crowd.put_in(pod)
    try:
        yield
    finally:
        for pod in beside:
            crowd.take_out(pod)
        for pod in gone:
            crowd.put_in(pod)
