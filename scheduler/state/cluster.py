"""ClusterState: what the API server told us, plus what we are about to do. Events in, Snapshot out.

Both shells feed the same state. It holds no client and no clock; every method is O(what changed).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from quotas.units import UnitTable
from scheduler.columns import NodeColumns
from scheduler.device_state import DeviceState
from scheduler.devices.book import DeviceBook
from scheduler.devices.labels import Labels
from scheduler.gangs.groups import Group, GroupKind, PodGroup
from scheduler.gangs.standing import stands
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.moment import Moment
from scheduler.model.objects import Node, Pod, Rejected, Shape
from scheduler.model.plan import Assignment, Place, Snapshot
from scheduler.model.volumes import Claims, Wanted
from scheduler.parse.teamquota import TeamQuota
from scheduler.predicates.default_spread import spreading
from scheduler.records import Record, looks_alike, same_gang_words
from scheduler.state.disruption import Disruption
from scheduler.state.gangs import Gangs
from scheduler.state.last_look import LastLook
from scheduler.state.masks import Masks
from scheduler.state.nominated import Nominations
from scheduler.state.placed import PlacedPods
from scheduler.state.refusals import Refusals
from scheduler.state.volumes import Kind, Volumes
from scheduler.teams.defaults import Defaults
from scheduler.teams.roll import Roll


class ClusterState(DeviceState):
    def __init__(self, scheduler_name: str, units: UnitTable | None = None) -> None:
        self.scheduler_name = scheduler_name
        self.columns = NodeColumns()
        self.roll = Roll(self.columns, self, units or UnitTable())
        self.defaults = Defaults()
        self.devices = DeviceBook()
        self.labels = Labels(self.devices)
        self.disruption = Disruption()
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self._pods: dict[str, Record] = {}
        self.gangs = Gangs(self._pods, scheduler_name)
        self.volumes = Volumes(self._pods, self.columns)
        self.refusals = Refusals()
        self.follows = False  # whether the order alone may have somebody evicted
        self._masks = Masks(self.columns)
        self._placed = PlacedPods(self._pods, self.columns)
        self._last_look = LastLook(self._placed, self.columns)
        self._nominations = Nominations(scheduler_name)
        self._planned_at = 0  # how much had come and gone when the last snapshot was taken
        #: Counts changes that may let a waiting gang start; a proof of "cannot fit" outlives the rest.
        self.releases = 0
        self._given_back = 0  # of these the ones that changed nothing of what nodes have and allow
        self._arrivals = 0
        self._dropped = 0

    @property
    def moment(self) -> Moment:
        return Moment(self.releases, self.releases - self._given_back, self._arrivals)

    def free_up(self, count: int = 1) -> None:
        """What is kept or used by others may be less; what nodes have and allow is as before."""
        self.releases += count
        self._given_back += count

    @property
    def claims(self) -> Claims:
        """Volume claims, volumes and what is said of storage."""
        return self.volumes.claims

    # -- events ------------------------------------------------------------------------------

    def set_node(self, node: Node) -> bool:
        """Take a node as observed; whether a plan can see the difference."""
        return self._take_node(self.labels.seen(node))

    def _take_node(self, node: Node) -> bool:
        node = self.volumes.limiting(node)
        before = self.columns.put(node)
        if before is None or before.labels != node.labels:
            self.roll.nodes_changed()
        if before is None:
            self._rows_moved()
        elif before.is_like(node):
            return False
        else:
            self._masks.node_changed(node)
            self.refusals.node_changed(node.name)
            self._last_look.nodes_changed()
        self.releases += 1
        return True

    def remove_node(self, name: str) -> None:
        self.labels.gone(name)
        if self.columns.remove(name) is not None:
            self.roll.nodes_changed()
            self.refusals.node_changed(name)
            self._rows_moved()
            self.releases += 1

    def set_pod(self, pod: Pod, rejected: Rejected | None = None) -> bool:
        """Take a pod as observed; whether a plan can see the difference.

        A rejected pod still counts where it holds capacity. A Binding that confirms what was assumed
        changes nothing.
        """
        asked, pod = pod.shape, self.defaults.filled(pod)
        filled = pod.shape
        others = self.volumes.mounts(pod, filled)
        pod = self.volumes.resolved(pod, filled)
        record = self._pods.get(pod.uid)
        is_gain = stands(pod) and (record is None or not stands(record.observed))
        if record is None:
            record = Record(pod, pod, rejected, None, asked, filled)
            self._pods[pod.uid] = record
            self.gangs.join(record)
        else:
            self.disruption.see(record.observed, pod, is_ours=self.roll.is_condemned(pod.uid))
            if stands(record.observed) and not stands(pod):
                self.gangs.catch_up(record.key)
            record.see(pod, rejected, asked, filled)
        record.see_devices(pod, self.scheduler_name)
        if pod.node_name or pod.phase in ("Succeeded", "Failed"):
            record.assumed = ""
        self.roll.saw(pod)
        is_news = self._settle(record)
        if is_gain:
            self.gangs.gained(record.key)
        if self._nominations.see(pod):
            self.free_up()
            is_news = True
        self.roll.touch(record.key)
        return self._reshape(others) or is_news

    def remove_pod(self, uid: str) -> None:
        record = self._pods.get(uid)
        if record is not None:
            self.gangs.catch_up(record.key)
            self.disruption.see(record.observed, None, is_ours=self.roll.is_condemned(uid))
            del self._pods[uid]
            self._charge(record, "")
            self.roll.touch(record.key)
            self._reshape(self.volumes.gone(record.observed, record.filled))
            self.roll.forget(uid)
            self.roll.gone(self.gangs.leave(record))
            self.free_up(self._nominations.drop(uid))

    def set_group(self, group: Group) -> None:
        for key in self.gangs.set_group(group):
            self.roll.touch(key)
        if isinstance(group, PodGroup):
            self.roll.set_group(group)

    def remove_group(self, kind: GroupKind, namespace: str, name: str) -> None:
        for key in self.gangs.remove_group(kind, namespace, name):
            self.roll.touch(key)
        if kind == "PodGroup":
            self.roll.remove_group(namespace, name)

    def set_unreadable(self, kind: GroupKind, why: str | None) -> None:
        """Objects of the kind cannot be read, and why; or they can."""
        self.gangs.set_unreadable(kind, why)

    def set_claims(self, claims: Claims) -> None:
        """Take all that is said of storage at once."""
        limited = self.claims.limited
        self.volumes.replace_all(claims)
        self._storage_changed(self.volumes.mounting())
        if limited != claims.limited:
            self._take_nodes(self.columns.row)

    def set_storage(self, kind: Kind, new: Mapping[Any, Any], gone: Collection[Any] = ()) -> bool:
        """Take objects of one kind, by name; whether a plan can see the difference."""
        limited = self.claims.limited
        concerned = self.volumes.put(kind, new, gone)
        if concerned is None:
            return False
        if kind == "node_drivers":
            self._take_nodes({*new, *gone} if limited == self.claims.limited else self.columns.row)
        if kind == "claims":
            is_news = self._reshape(concerned)
            self.releases += is_news
            return is_news
        self._storage_changed(concerned)
        return True

    def avoid(self, avoided: Mapping[Wanted, Mapping[str, str]]) -> bool:
        """By what is wanted, nodes for which it is not to be provisioned now, and why; whether it is news."""
        if avoided == self.claims.avoided:
            return False
        self.volumes.avoid(avoided)
        self._storage_changed(())
        return True

    def set_namespace(self, name: str, labels: Mapping[str, str]) -> None:
        if self.namespaces.get(name) != labels:
            self.roll.namespaces_changed()
        self.namespaces[name] = dict(labels)
        self.free_up()

    def remove_namespace(self, name: str) -> None:
        self.namespaces.pop(name, None)
        self.roll.namespaces_changed()
        self.free_up()

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
            record.planned_at = self._placed.meanwhile.count
            self._settle(record)

    def forget(self, uid: str) -> None:
        """Take an assumption back: the Binding certainly did not land."""
        record = self._pods.get(uid)
        if record is not None and record.assumed:
            record.assumed, record.devices = "", ()
            self._settle(record)

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
        if (objection := self.volumes.objection(place.assignments)) is not None:
            return objection
        if not self._fits_beside_promised(place, rows):
            return "capacity was promised to others meanwhile"
        broken = self._last_look.objection(place, self._planned_at, self.namespaces)
        if broken is not None:
            return broken
        view = self.view(place.gang.key)
        if view is None or view.generation != place.gang.generation or view.blocked is not None:
            return "the gang's description changed meanwhile"
        return self.devices.lost(place.assignments)

    def dropped(self, place: Place) -> None:
        """A planned place goes nowhere: what was planned beside it is to be looked at again."""
        self._last_look.drop(place)

    def broken_rule(self, placed: Assignment) -> str | None:
        """Why, by what came since, a rule between pods forbids a pod the node it is charged to, or None."""
        record = self._pods.get(placed.pod.uid)
        if record is None or record.charged != placed.node:
            return None
        return self._last_look.unfit(placed, record.planned_at, self.namespaces)

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
        return self.gangs.observed(key)

    def counted(self, key: GangKey) -> Sequence[Pod]:
        """The members of a gang as observed, and those that succeeded and are gone."""
        return self.gangs.counted(key, self.members(key))

    def gang_keys(self) -> list[GangKey]:
        """Gangs of more than one pod of which some member exists."""
        return [key for key in self.gangs.members if not key.is_single]

    def all_gang_keys(self) -> list[GangKey]:
        return list(self.gangs.members)

    def charged(self) -> Iterator[tuple[Pod, str]]:
        """Every pod that holds or is about to hold capacity, and the node it is charged to."""
        yield from ((r.effective, r.charged) for r in self._pods.values() if r.charged)

    def charge_shape(self, uid: str) -> tuple[str, Shape] | None:
        """Where a pod is charged and for what, or None."""
        record = self._pods.get(uid)
        if record is None or record.charged_shape is None:
            return None
        return record.charged, record.charged_shape

    def misses(self, key: GangKey) -> int:
        return self.gangs.misses(key)

    def gang_of(self, uid: str) -> GangKey | None:
        return record.key if (record := self._pods.get(uid)) is not None else None

    def rejected(self) -> list[tuple[Pod, Rejected]]:
        """Our unbound pods that no gang shows: not parsed, not resolved, or strangers to the gang."""
        return self.gangs.rejected()

    def partial(self) -> Mapping[GangKey, tuple[int, int]]:
        """Gangs some of whose members are bound although fewer than the minimum stand."""
        return self.gangs.partial()

    def remains(self, key: GangKey) -> tuple[PendingGang, tuple[Pod, ...]]:
        """A gang as one to be given back, and its members that hold capacity, seen bound or told so."""
        return self.gangs.remains(key)

    def view(self, key: GangKey) -> PendingGang | None:
        return self.gangs.view(key)

    def get(self, kind: GroupKind, namespace: str, name: str) -> Group | None:
        """GroupObjects: the group-defining object of that name."""
        return self.gangs.get(kind, namespace, name)

    def unreadable(self, kind: GroupKind) -> str | None:
        """GroupObjects: why objects of the kind cannot be read."""
        return self.gangs.unreadable(kind)

    def mask(self, shape: Shape) -> NDArray[np.bool_]:
        """bool[N]: where the static rules let pods of this shape go."""
        return self._masks.of(shape, self.claims)

    def refresh(self) -> None:
        """Make true again what follows from what was told, so that ``moment`` counts it."""
        if self.defaults.learn(self.roll.look_up(self.namespaces)):
            self._reshape([r.observed.uid for r in self.defaults.refill(self._pods.values())])
        self.gangs.refresh()
        dropped, self._dropped = self.gangs.vacancies.dropped - self._dropped, self.gangs.vacancies.dropped
        self.free_up(dropped)

    def snapshot(
        self,
        at_s: float = 0.0,
        served: frozenset[GangKey] = frozenset(),
        looked_at: Iterable[PendingGang] | None = None,
        levels: tuple[str, ...] = (),
    ) -> Snapshot:
        """An immutable view at ``at_s`` of the epoch; costs what changed, plus one copy of the columns.

        served, levels: of ``Snapshot``. looked_at: of the gangs that wait; None for all.
        """
        self.refresh()
        self._planned_at = self._placed.meanwhile.count
        views, vacancies = self.gangs.views(), self.gangs.holds()
        gangs = self.refusals.kept_away(views.values() if looked_at is None else looked_at, at_s)
        shapes = dict.fromkeys(role.shape for gang in gangs for role in gang.roles)
        self.roll.settle(views)
        teams = self.roll.teams(at_s)
        room = None if teams is not None else self.roll.room(at_s, gangs, displaces=self.follows)
        layout = self.columns.layout
        free = self.columns.free
        # What agents report lowers what nodes have.
        total = layout.total.copy() if self.devices.inventories else layout.total
        devices = self.devices.limit(self.columns.row, self.columns.column, free, total, self.roll.going)
        total.setflags(write=False)
        free.setflags(write=False)
        return Snapshot(
            nodes=layout.nodes,
            resources=layout.resources,
            free=free,
            total=total,
            masks=self._masks.at(shapes, self.claims),
            gangs=gangs,
            placed=self._placed.seen_by(shapes, spreading(gangs)),
            room=room,
            budgets=() if teams is None and room is None else self.disruption.all(at_s),
            at_s=at_s,
            claims=self.claims,
            namespaces=dict(self.namespaces),
            teams=teams,
            devices=devices,
            by_claims=self.devices.claims.gives,
            withheld=self.labels.offers.withheld(self.columns.row),
            providing=self.volumes.providing(),
            attached=self.volumes.attached(shapes),
            served=served,
            vacancies=(*vacancies, *self.roll.kept),
            nominated=self._nominations.on_nodes(self.columns),
            levels=levels,
        )

    # -- inside ------------------------------------------------------------------------------

    def _settle(self, record: Record) -> bool:
        """Make what follows from a record true again: its charge, its gang's view."""
        before, pod = record.effective, record.observed
        after = structs.replace(pod, node_name=record.assumed) if record.assumed else pod
        if record.is_settled and looks_alike(before, after, by_labels=self._placed.sees_all):
            record.effective = after
            return False
        record.is_settled = record.rejected is None
        if not same_gang_words(before, pod) or (record.rejected is not None) != (
            self.gangs.is_refused(pod.uid)
        ):
            self.gangs.leave(record)
            self.gangs.join(record)
        record.effective = after
        node = after.node_name if after.holds_capacity else ""
        if node and record.charged == node and record.charged_shape is after.shape:
            self.free_up(self._placed.changed(record, before))
        else:
            self._charge(record, node, before)
        if record.key is not None:
            self.gangs.touch(record.key, pod)
            self.refusals.saw(record.key, pod)
        return True

    def _fits_beside_promised(self, place: Place, rows: list[int]) -> bool:
        """Whether there is room beside the pods that other schedulers promised it to."""
        requests = [a.pod.shape.requests for a in place.assignments]
        promised, asked = self._nominations.before(place.gang.priority, rows, self.columns)
        return not promised or self.columns.fits(rows, requests, promised, asked)

    def _reshape(self, uids: Iterable[str]) -> bool:
        """What these pods' claims come to may be something else; whether a plan can see the difference."""
        is_news = False
        for uid in uids:
            record = self._pods.get(uid)
            if record is not None:
                record.observed = self.volumes.resolved(record.observed, record.filled)
                is_news |= self._settle(record)
        return is_news

    def _storage_changed(self, concerned: Iterable[str]) -> None:
        self._masks.storage_changed()
        self._reshape(concerned)
        self.releases += 1

    def _take_nodes(self, names: Iterable[str]) -> None:
        """What these nodes can attach is something else."""
        for row in [self.columns.row[name] for name in names if name in self.columns.row]:
            self._take_node(self.columns.nodes[row])

    def _charge(self, record: Record, node: str, before: Pod | None = None) -> None:
        """before: the pod as it was while it was charged where it is; None for as it is."""
        pod, others = record.effective, set[str]()
        if record.charged == node and (not node or record.charged_shape is pod.shape):
            return
        is_ours = pod.scheduler_name == self.scheduler_name
        if record.charged and record.charged_shape is not None:
            self.columns.charge(record.charged, record.charged_shape, -1)
            self.roll.charge(pod, record.charged_shape, record.charged, -1, is_ours=is_ours)
            self.devices.release(record.charged, pod.uid)
            self._placed.released(before or pod, record.charged)
            others |= self.volumes.charge(pod, record.filled, record.charged_shape, record.charged, -1)
            self.gangs.vacate(record.key, pod, record.charged, record.charged_shape)
            self.free_up()
        record.charged, record.charged_shape = node, pod.shape if node else None
        if node:
            self.columns.charge(node, pod.shape, +1)
            self.roll.charge(pod, pod.shape, node, +1, is_ours=is_ours)
            self.devices.charge(
                node,
                pod.uid,
                pod.shape,
                record.devices,
                pod=(pod.namespace, pod.name),
                runs=pod.phase == "Running",
                may_use=record.rejected is not None,
            )
            if record.key is not None:
                self.gangs.vacancies.fill(record.key, node, pod.shape)
            self._arrivals += self._placed.charged(record)
            others |= self.volumes.charge(pod, record.filled, pod.shape, node, +1)
        self._reshape(others)

    def _rows_moved(self) -> None:
        """Rows of nodes were added or removed: what is indexed by row is rebuilt when next needed."""
        self.devices.moved()
        self._masks.rows_moved()
        self._placed.rows_moved()
