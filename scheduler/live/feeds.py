"""From watches to state: what each resource type's events change. One sink for each type.

An object that cannot be read is treated as gone, except that a pod still holds what it was known to hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from scheduler.gangs.groups import Group, GroupKind
from scheduler.kube import wire
from scheduler.kube.decoding import HasMetadata, Undecodable
from scheduler.kube.reflector import Ref
from scheduler.live.announcements import Condition
from scheduler.live.claims import ClaimBook
from scheduler.live.logs import logger
from scheduler.model.gang import GangKey
from scheduler.model.objects import Node, Pod, Rejected
from scheduler.parse.disruption import parse_budget
from scheduler.parse.node import parse_node
from scheduler.parse.pod import parse_pod, skeleton
from scheduler.parse.teamquota import TeamQuota, parse_team_quota
from scheduler.state import ClusterState

log = logger("feeds")

T = TypeVar("T", bound=HasMetadata)
U = TypeVar("U", bound=HasMetadata, contravariant=True)
P = TypeVar("P")


class Feed(Protocol[U]):
    def put(self, objects: Sequence[U]) -> bool:
        """Take the objects; whether a plan can see the difference."""

    def gone(self, refs: Sequence[Ref]) -> None: ...


class Waking(Generic[T]):
    """A sink that passes everything on to a feed and then wakes the loop."""

    def __init__(self, feed: Feed[T], wake: Callable[[], None], *, keeps_odd: bool = False) -> None:
        self._feed = feed
        self._wake = wake
        self._keeps_odd = keeps_odd

    def put(self, objects: Sequence[T]) -> None:
        if self._feed.put(objects):
            self._wake()

    def gone(self, refs: Sequence[Ref]) -> None:
        self._feed.gone(refs)
        self._wake()

    def odd(self, objects: Sequence[Undecodable]) -> None:
        for found in objects:
            log.warning("object not understood", namespace=found.namespace, name=found.name, why=found.reason)
        if not self._keeps_odd:
            self.gone([Ref(found.uid, found.namespace, found.name) for found in objects])


class PodFeed:
    """Every pod of the cluster: ours to be placed, the others because they hold capacity.

    ``seen`` is told each pod of ours as observed, and (uid, None) for any pod that is gone. ``speaks``
    is told the gang of each new pod of ours, None if it has none.
    """

    def __init__(
        self,
        state: ClusterState,
        seen: Callable[[str, Pod | None], None],
        speaks: Callable[[GangKey | None], None],
    ) -> None:
        self._state = state
        self._seen = seen
        self._speaks = speaks
        self._carried: dict[str, Condition] = {}

    def carried(self, uid: str) -> Condition | None:
        """The PodScheduled=False condition that a waiting pod of ours has."""
        return self._carried.get(uid)

    def put(self, objects: Sequence[wire.Pod]) -> bool:
        changed = False
        for found in objects:
            parsed = parse_pod(found)
            rejected = parsed if isinstance(parsed, Rejected) else None
            pod = skeleton(found) if isinstance(parsed, Rejected) else parsed
            is_new = self._state.pod(pod.uid) is None
            changed |= self._state.set_pod(pod, rejected)
            if pod.scheduler_name == self._state.scheduler_name:
                if is_new:
                    self._speaks(self._state.gang_of(pod.uid))
                self._note_condition(found)
                self._seen(pod.uid, pod)
        return changed

    def gone(self, refs: Sequence[Ref]) -> None:
        for ref in refs:
            self._state.remove_pod(ref.uid)
            self._carried.pop(ref.uid, None)
            self._seen(ref.uid, None)

    def _note_condition(self, found: wire.Pod) -> None:
        uid = found.metadata.uid
        for condition in found.status.conditions or ():
            if condition.type == "PodScheduled" and condition.status == "False":
                self._carried[uid] = Condition(
                    condition.reason or "",
                    condition.message or "",
                    nominated=found.status.nominated_node_name,
                )
                return
        self._carried.pop(uid, None)


class ParsedFeed(Generic[U, P]):
    """Objects without a namespace, taken as they parse. One that cannot be understood counts as gone.

    kind and field: what the object is in a log line, and the field that names it there.
    """

    def __init__(
        self,
        kind: str,
        field: str,
        parse: Callable[[U], P | Rejected],
        take: Callable[[P], bool],
        drop: Callable[[str], None],
    ) -> None:
        self._kind = kind
        self._field = field
        self._parse = parse
        self._take = take
        self._drop = drop

    def put(self, objects: Sequence[U]) -> bool:
        changed = False
        for found in objects:
            name = found.metadata.name
            parsed = self._parse(found)
            if isinstance(parsed, Rejected):
                log.warning(f"{self._kind} rejected", **{self._field: name}, why=parsed.reason)
                self._drop(name)
                changed = True
            else:
                changed |= self._take(parsed)
        return changed

    def gone(self, refs: Sequence[Ref]) -> None:
        for ref in refs:
            self._drop(ref.name)


class NodeFeed(ParsedFeed[wire.Node, Node]):
    """A node that cannot be understood takes no new pods."""

    def __init__(self, state: ClusterState) -> None:
        super().__init__("node", "node", parse_node, state.set_node, state.remove_node)


class GroupFeed(Generic[U]):
    """One kind of gang-defining object."""

    def __init__(self, state: ClusterState, kind: GroupKind, parse: Callable[[U], Group]) -> None:
        self._state = state
        self._kind = kind
        self._parse = parse

    def put(self, objects: Sequence[U]) -> bool:
        for found in objects:
            self._state.set_group(self._parse(found))
        return True

    def gone(self, refs: Sequence[Ref]) -> None:
        for ref in refs:
            self._state.remove_group(self._kind, ref.namespace, ref.name)


class BudgetFeed:
    """Disruption budgets."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state

    def put(self, objects: Sequence[wire.PodDisruptionBudget]) -> bool:
        changed = False
        for found in objects:
            changed |= self._state.disruption.put(parse_budget(found))
        return changed

    def gone(self, refs: Sequence[Ref]) -> None:
        for ref in refs:
            self._state.disruption.remove(ref.namespace, ref.name)


class NamespaceFeed:
    def __init__(self, state: ClusterState) -> None:
        self._state = state

    def put(self, objects: Sequence[wire.Namespace]) -> bool:
        for found in objects:
            self._state.set_namespace(found.metadata.name, found.metadata.labels or {})
        return True

    def gone(self, refs: Sequence[Ref]) -> None:
        for ref in refs:
            self._state.remove_namespace(ref.name)


class TeamQuotaFeed(ParsedFeed[wire.TeamQuota, TeamQuota]):
    """What admins say of teams."""

    def __init__(self, state: ClusterState) -> None:
        super().__init__(
            "team quota", "team", parse_team_quota, state.set_team_quota, state.remove_team_quota
        )


class GangFeed:
    """Our own Gang objects, as written by us or an earlier leader."""

    def __init__(self, book: ClaimBook) -> None:
        self._book = book

    def put(self, objects: Sequence[wire.Gang]) -> bool:
        for found in objects:
            self._book.seen(found)
        return False

    def gone(self, refs: Sequence[Ref]) -> None:
        for ref in refs:
            self._book.lost(ref.uid)
