"""ClusterState: what the API server told us, plus what we are about to do. Events in, Snapshot out.

Both shells feed the same state. It holds no client and no clock; every method is O(what changed).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quotas.units import UnitTable
from scheduler.columns import NodeColumns
from scheduler.device_state import DeviceState
from scheduler.devices.book import DeviceBook
from scheduler.devices.labels import Labels
from scheduler.gangs.groups import Group, GroupKind
from scheduler.gangs.registry import DIALECTS, resolve, warning
from scheduler.gangs.running import running_gangs
from scheduler.gangs.view import as_remains, is_pending, outsiders, pending_gang, shortfall, single
from scheduler.model.gang import SINGLE, GangKey, PendingGang, Waiting
from scheduler.model.objects import Node, Pod, Rejected, Shape
from scheduler.model.plan import Assignment, Place, Placed, Snapshot
from scheduler.model.volumes import Claims
from scheduler.parse.teamquota import TeamQuota
from scheduler.predicates.registry import allows, mask
from scheduler.records import Record, gang_words, looks_alike, same_for_masks
from scheduler.teams.defaults import Defaults
from scheduler.teams.roll import Roll

#: Feasible-node masks kept for shapes, pending or not; the oldest go first.
MASKS_MAX = 4_096
#: Warnings not yet taken by the shell; more are dropped.
WARNINGS_MAX = 1_000


class ClusterState(DeviceState):
    def __init__(self, scheduler_name: str, units: UnitTable | None = None) -> None:
        self.scheduler_name = scheduler_name
        self.columns = NodeColumns()
        self.roll = Roll(self.columns, self, units or UnitTable())
        self.defaults = Defaults()
        self.devices = DeviceBook()
        self.labels = Labels(self.devices)
        self.claims = Claims()
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self._pods: dict[str, Record] = {}
        self._groups: dict[tuple[GroupKind, str, str], Group] = {}
        self._unreadable: dict[GroupKind, str] = {}
        #: Gangs by the namespace and name of the object that describes them.
        self._described: dict[tuple[str, str], dict[GangKey, None]] = {}
        #: The last notice of a gang that was passed on.
        self._noticed: dict[GangKey, str] = {}
        #: What owners are still to be told of pods that are scheduled all the same.
        self._warnings: dict[tuple[str, str], tuple[Pod, str]] = {}
        self._members: dict[GangKey, dict[str, None]] = {}
        self._views: dict[GangKey, PendingGang] = {}
        self._outsiders: dict[GangKey, tuple[tuple[Pod, Rejected], ...]] = {}
        self.follows = False  # whether snapshots show running gangs
        self._dirty: set[GangKey] = set()
        self._holds: dict[GangKey, Waiting] = {}
        #: Partly bound gangs: (bound live members, minimum).
        self._partial: dict[GangKey, tuple[int, int]] = {}
        self._masks: dict[Shape, NDArray[np.bool_]] = {}
        self._placed: dict[str, Placed] = {}
        self._has_placed = False
        #: Charged pods with required anti-affinity, which bind newcomers too.
        self._anti: dict[str, None] = {}
        #: Our pods that could not be parsed or resolved to a gang.
        self._refused: dict[str, Record] = {}
        #: Counts changes that may let a waiting gang start; a proof of "cannot fit" outlives the rest.
        self.releases = 0

    # -- events ------------------------------------------------------------------------------

    def set_node(self, node: Node) -> bool:
        """Take a node as observed; whether a plan can see the difference."""
        return self._take_node(self.labels.seen(node))

    def _take_node(self, node: Node) -> bool:
        before = self.columns.put(node)
        if before is None or before.labels != node.labels:
            self.roll.nodes_changed()
        if before is None:
            self._rows_moved()
        elif same_for_masks(before, node) and dict(before.allocatable) == dict(node.allocatable):
            return False
        else:
            row = self.columns.row[node.name]
            for shape, known in self._masks.items():
                changed = known.copy()
                changed[row] = allows(shape, node, self.claims)
                self._masks[shape] = changed
        self.releases += 1
        return True

    def remove_node(self, name: str) -> None:
        self.labels.gone(name)
        if self.columns.remove(name) is not None:
            self.roll.nodes_changed()
            self._rows_moved()
            self.releases += 1

    def set_pod(self, pod: Pod, rejected: Rejected | None = None) -> bool:
        """Take a pod as observed; whether a plan can see the difference.

        A rejected pod still counts where it holds capacity. A Binding that confirms what was assumed
        changes nothing.
        """
        asked, pod = pod.shape, self.defaults.filled(pod)
        record = self._pods.get(pod.uid)
        if record is None:
            record = Record(pod, pod, rejected, None, asked)
            self._pods[pod.uid] = record
            self._join(record)
        else:
            record.observed, record.rejected, record.asked = pod, rejected, asked
        record.see_devices(pod, self.scheduler_name)
        if pod.node_name or pod.phase in ("Succeeded", "Failed"):
            record.assumed = ""
        if self.roll.is_on:
            self.roll.saw(pod)
        is_news = self._settle(record)
        self.roll.touch(record.key)
        return is_news

    def remove_pod(self, uid: str) -> None:
        record = self._pods.pop(uid, None)
        if record is not None:
            self._charge(record, "")
            self.roll.touch(record.key)
            self.roll.forget(uid)
            self._leave(record)

    def set_group(self, group: Group) -> None:
        self._groups[(group.kind, group.namespace, group.name)] = group
        self._touch_described(group)

    def remove_group(self, kind: GroupKind, namespace: str, name: str) -> None:
        if (group := self._groups.pop((kind, namespace, name), None)) is not None:
            self._touch_described(group)

    def set_unreadable(self, kind: GroupKind, why: str | None) -> None:
        """Objects of the kind cannot be read, and why; or they can."""
        if self._unreadable.get(kind) == why:
            return
        if why is None:
            del self._unreadable[kind]
        else:
            self._unreadable[kind] = why
        dialects = {dialect.name for dialect in DIALECTS if kind in dialect.kinds}
        self._dirty.update(key for key in self._members if key.dialect in dialects)

    def set_claims(self, claims: Claims) -> None:
        """Volume claims or volumes changed: every mask that depends on one is stale."""
        self.claims = claims
        self._masks = {shape: m for shape, m in self._masks.items() if not shape.volumes}
        self.releases += 1

    def set_namespace(self, name: str, labels: Mapping[str, str]) -> None:
        if self.namespaces.get(name) != labels:
            self.roll.namespaces_changed()
        self.namespaces[name] = dict(labels)
        self.releases += 1

    def remove_namespace(self, name: str) -> None:
        self.namespaces.pop(name, None)
        self.roll.namespaces_changed()

    def set_team_quota(self, quota: TeamQuota) -> bool:
        """Take a TeamQuota as observed; whether a plan can see the difference."""
        changed = self.roll.set_quota(quota)
        self.releases += changed
        return changed

    def remove_team_quota(self, name: str) -> None:
        self.roll.remove_quota(name)
        self.releases += 1

    # -- what we are about to do -------------------------------------------------------------

    def assume(self, assignment: Assignment) -> None:
        """Charge a pod to its node before the Binding is sent."""
        record = self._pods.get(assignment.pod.uid)
        if record is not None and not record.observed.node_name:
            record.assumed, record.devices = assignment.node, assignment.devices
            self._settle(record)

    def forget(self, uid: str) -> None:
        """Take an assumption back: the Binding certainly did not land."""
        record = self._pods.get(uid)
        if record is not None and record.assumed:
            record.assumed, record.devices = "", ()
            self._settle(record)

    def hold(self, key: GangKey, why: Waiting) -> None:
        """Keep a gang from being planned until ``unhold``."""
        self._holds[key] = why
        self._dirty.add(key)

    def unhold(self, key: GangKey) -> None:
        if self._holds.pop(key, None) is not None:
            self._dirty.add(key)

    def objection(self, place: Place) -> str | None:
        """Why a planned place no longer holds against the state as it is now, or None."""
        rows: list[int] = []
        for assignment in place.assignments:
            record = self._pods.get(assignment.pod.uid)
            if record is None or record.effective.node_name or record.observed.is_deleting:
                return f"pod {assignment.pod.name} is gone, deleting or bound"
            row = self.columns.row.get(assignment.node)
            if row is None:
                return f"node {assignment.node} is gone"
            if not self.mask(assignment.pod.shape)[row]:
                return f"node {assignment.node} no longer allows pod {assignment.pod.name}"
            rows.append(row)
        if not self.columns.fits(rows, [a.pod.shape.requests for a in place.assignments]):
            return "capacity was taken meanwhile"
        view = self.view(place.gang.key)
        if view is None or view.generation != place.gang.generation or view.blocked is not None:
            return "the gang's description changed meanwhile"
        return self.devices.lost(place.assignments)

    # -- reading -----------------------------------------------------------------------------

    def pod(self, uid: str) -> Pod | None:
        """The pod as observed."""
        record = self._pods.get(uid)
        return None if record is None else record.observed

    def members(self, key: GangKey) -> list[Pod]:
        """The members of a gang as observed, in no particular order."""
        if key.is_single:
            pod = self.pod(key.name)
            return [] if pod is None else [pod]
        return [self._pods[uid].observed for uid in self._members.get(key, ())]

    def gang_keys(self) -> list[GangKey]:
        """Gangs of more than one pod of which some member exists."""
        return [key for key in self._members if not key.is_single]

    def all_gang_keys(self) -> list[GangKey]:
        return list(self._members)

    def charged(self) -> Iterator[tuple[Pod, str]]:
        """Every pod that holds or is about to hold capacity, and the node it is charged to."""
        yield from ((r.effective, r.charged) for r in self._pods.values() if r.charged)

    def charge_shape(self, uid: str) -> tuple[str, Shape] | None:
        """Where a pod is charged and for what, or None."""
        record = self._pods.get(uid)
        if record is None or record.charged_shape is None:
            return None
        return record.charged, record.charged_shape

    def gang_of(self, uid: str) -> GangKey | None:
        record = self._pods.get(uid)
        return None if record is None else record.key

    def rejected(self) -> list[tuple[Pod, Rejected]]:
        """Our unbound pods that no gang shows: not parsed, not resolved, or strangers to the gang."""
        refused = [
            (r.observed, r.rejected)
            for r in self._refused.values()
            if r.rejected is not None and not r.observed.node_name
        ]
        return refused + [pair for pairs in self._outsiders.values() for pair in pairs]

    def partial(self) -> Mapping[GangKey, tuple[int, int]]:
        """Gangs some of whose members are bound although fewer than the minimum stand."""
        for key in list(self._dirty):
            self._refresh(key)
        return dict(self._partial)

    def remains(self, key: GangKey) -> tuple[PendingGang, tuple[Pod, ...]]:
        """A gang as one to be given back, and its members that hold capacity, seen bound or told so."""
        found = [self._pods[uid].effective for uid in self._members.get(key, ())]
        return as_remains(key, found, self)

    def view(self, key: GangKey) -> PendingGang | None:
        if key in self._dirty:
            self._refresh(key)
        return self._views.get(key)

    def get(self, kind: GroupKind, namespace: str, name: str) -> Group | None:
        """GroupObjects: the group-defining object of that name."""
        return self._groups.get((kind, namespace, name))

    def unreadable(self, kind: GroupKind) -> str | None:
        """GroupObjects: why objects of the kind cannot be read."""
        return self._unreadable.get(kind)

    def warnings(self) -> list[tuple[Pod, str]]:
        """What pods' owners should know of their gangs, each once; the pods are scheduled all the same."""
        found, self._warnings = list(self._warnings.values()), {}
        return found

    def mask(self, shape: Shape) -> NDArray[np.bool_]:
        """bool[N]: where the static rules let pods of this shape go."""
        known = self._masks.get(shape)
        if known is None:
            if len(self._masks) >= MASKS_MAX:
                self._masks.pop(next(iter(self._masks)))
            known = self._masks[shape] = mask(shape, self.columns.nodes, self.claims)
        return known

    def snapshot(self, at_s: float = 0.0) -> Snapshot:
        """An immutable view at ``at_s`` of the epoch; costs what changed, plus one copy of the columns."""
        if self.defaults.learn(self.roll.look_up(self.namespaces)):
            for record in self.defaults.refill(self._pods.values()):
                self._settle(record)
        for key in list(self._dirty):
            self._refresh(key)
        gangs = tuple(self._views.values())
        shapes = {role.shape for gang in gangs for role in gang.roles}
        for shape in shapes:
            self.columns.vector(shape.requests)
        running = (
            running_gangs(self._members, lambda u: self._pods[u].effective, self) if self.follows else ()
        )
        self.roll.settle(self._views)
        teams = self.roll.teams(self, at_s)
        total = self.columns.total.copy()
        free = total - self.columns.used
        devices = self.devices.limit(self.columns.row, self.columns.column, free, total, self.roll.going)
        total.setflags(write=False)
        free.setflags(write=False)
        return Snapshot(
            nodes=tuple(self.columns.nodes),
            resources=tuple(self.columns.resources),
            free=free,
            total=total,
            masks={shape: self.mask(shape) for shape in shapes},
            gangs=gangs,
            placed=self._placed_for(shapes),
            running=running,
            at_s=at_s,
            claims=self.claims,
            namespaces=dict(self.namespaces),
            teams=teams,
            devices=devices,
        )

    # -- inside ------------------------------------------------------------------------------

    def _join(self, record: Record) -> None:
        """Find the pod's gang and index it there."""
        pod = record.observed
        if pod.scheduler_name != self.scheduler_name:
            return
        found = resolve(pod)
        if isinstance(found, Rejected):
            record.rejected = record.rejected or found
        else:
            record.key = found
            self._members.setdefault(found, {})[pod.uid] = None
            if not found.is_single:
                self._described.setdefault((found.namespace, found.object_name), {})[found] = None
            if not pod.node_name:
                self._warn(pod, warning(pod, found))
        if record.rejected is not None:
            self._refused[pod.uid] = record

    def _leave(self, record: Record) -> None:
        self._refused.pop(record.observed.uid, None)
        key = record.key
        if key is None:
            return
        members = self._members.get(key)
        if members is not None:
            members.pop(record.observed.uid, None)
            if not members:
                del self._members[key]
                self._noticed.pop(key, None)
                self._forget_described(key)
        self._dirty.add(key)
        record.key = None

    def _forget_described(self, key: GangKey) -> None:
        place = (key.namespace, key.object_name)
        keys = self._described.get(place, {})
        keys.pop(key, None)
        if not keys:
            self._described.pop(place, None)

    def _warn(self, pod: Pod, text: str | None) -> None:
        if text and len(self._warnings) < WARNINGS_MAX:
            self._warnings[(pod.uid, text)] = (pod, text)

    def _settle(self, record: Record) -> bool:
        """Make what follows from a record true again: its charge, its gang's view."""
        before, pod = record.effective, record.observed
        after = replace(pod, node_name=record.assumed) if record.assumed else pod
        if record.is_settled and looks_alike(before, after, by_labels=self._has_placed):
            record.effective = after
            return False
        record.is_settled = record.rejected is None
        if gang_words(before) != gang_words(pod) or (record.rejected is not None) != (
            pod.uid in self._refused
        ):
            self._leave(record)
            self._join(record)
        record.effective = after
        self._charge(record, record.effective.node_name if record.effective.holds_capacity else "")
        if record.key is not None:
            self._dirty.add(record.key)
        return True

    def _charge(self, record: Record, node: str) -> None:
        pod = record.effective
        if record.charged == node and (not node or record.charged_shape is pod.shape):
            return
        if record.charged and record.charged_shape is not None:
            self.columns.charge(record.charged, record.charged_shape, -1)
            if self.roll.is_on:
                self.roll.charge(pod, record.charged_shape, record.charged, -1)
            self.devices.release(record.charged, pod.uid)
            self._anti.pop(pod.uid, None)
            self._placed.pop(pod.uid, None)
            self.releases += 1
        record.charged, record.charged_shape = node, pod.shape if node else None
        if node:
            self.columns.charge(node, pod.shape, +1)
            if self.roll.is_on:
                self.roll.charge(pod, pod.shape, node, +1)
            self.devices.charge(node, pod.uid, pod.shape, record.devices)
            if pod.shape.pod_anti_affinity:
                self._anti[pod.uid] = None
            if self._has_placed:
                self._place(record)
                self.releases += 1

    def _refresh(self, key: GangKey) -> None:
        self._dirty.discard(key)
        view = self._build(key)
        held = self._holds.get(key)
        if view is None:
            self._views.pop(key, None)
        else:
            self._views[key] = view if held is None or view.blocked else replace(view, blocked=held)
            if view.notice and self._noticed.get(key) != view.notice:
                self._noticed[key] = view.notice
                self._warn(view.pods[0], view.notice)
        short = None if key.is_single else shortfall(key, self.members(key), self)
        if short is None:
            self._partial.pop(key, None)
        else:
            self._partial[key] = short

    def _build(self, key: GangKey) -> PendingGang | None:
        records = [self._pods[uid] for uid in self._members.get(key, ())]
        members = [r.effective for r in records if r.rejected is None]
        if key.dialect == SINGLE:
            return single(members[0]) if members and is_pending(members[0]) else None
        if not any(is_pending(pod) for pod in members):
            self._outsiders.pop(key, None)
            return None
        refused = [(r.observed.name, r.rejected) for r in records if r.rejected is not None]
        strangers = tuple(pair for pair in outsiders(key, members, self) if is_pending(pair[0]))
        if strangers:
            self._outsiders[key] = strangers
        else:
            self._outsiders.pop(key, None)
        return pending_gang(key, members, self, refused)

    def _touch_described(self, group: Group) -> None:
        for name in (group.name, group.parent):
            self._dirty.update(self._described.get((group.namespace, name), ()))

    def _rows_moved(self) -> None:
        """Rows of nodes were added or removed: what is indexed by row is rebuilt when next needed."""
        self.devices.moved()
        self._masks.clear()
        self._placed.clear()
        self._has_placed = False

    def _place(self, record: Record) -> None:
        pod = record.effective
        row = self.columns.row.get(record.charged)
        if row is not None:
            self._placed[pod.uid] = Placed(
                namespace=pod.namespace, labels=pod.labels, node=row, shape=pod.shape
            )

    def _placed_for(self, shapes: Iterable[Shape]) -> tuple[Placed, ...]:
        """Pods on nodes that an inter-pod rule of these shapes, or their own rules, can see."""
        if not self._has_placed and any(shape.sees_pods for shape in shapes):
            self._has_placed = True
            for record in self._pods.values():
                if record.charged:
                    self._place(record)
        if self._has_placed:
            return tuple(self._placed.values())
        for uid in self._anti:
            if uid not in self._placed:
                self._place(self._pods[uid])
        return tuple(self._placed[uid] for uid in self._anti if uid in self._placed)
