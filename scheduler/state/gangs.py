"""The gangs of the state: who belongs to which, what describes them, how each looks to a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scheduler.gangs.groups import Group, GroupKind
from scheduler.gangs.registry import DIALECTS, resolve, warning
from scheduler.gangs.view import as_remains, is_pending, outsiders, pending_gang, shortfall, single
from scheduler.model.gang import SINGLE, GangKey, PendingGang, Waiting
from scheduler.model.objects import Pod, Rejected
from scheduler.records import Record

#: Warnings not yet taken by the shell; more are dropped.
WARNINGS_MAX = 1_000


class Gangs:
    """A store over ``pods``, the records of all pods by UID, which another store keeps.

    A view is made anew only for gangs of which something changed, when it is next asked for.
    """

    def __init__(self, pods: Mapping[str, Record], scheduler_name: str) -> None:
        self._pods = pods
        self._scheduler_name = scheduler_name
        self._groups: dict[tuple[GroupKind, str, str], Group] = {}
        self._unreadable: dict[GroupKind, str] = {}
        self.members: dict[GangKey, dict[str, None]] = {}
        #: Gangs by the namespace and name of the object that describes them.
        self._described: dict[tuple[str, str], dict[GangKey, None]] = {}
        self._views: dict[GangKey, PendingGang] = {}
        self._outsiders: dict[GangKey, tuple[tuple[Pod, Rejected], ...]] = {}
        #: Our pods that could not be parsed or resolved to a gang.
        self._refused: dict[str, Record] = {}
        self._holds: dict[GangKey, Waiting] = {}
        #: Partly bound gangs: (bound live members, minimum).
        self._partial: dict[GangKey, tuple[int, int]] = {}
        #: The last notice of a gang that was passed on.
        self._noticed: dict[GangKey, str] = {}
        #: What owners are still to be told of pods that are scheduled all the same.
        self._warnings: dict[tuple[str, str], tuple[Pod, str]] = {}
        self._dirty: set[GangKey] = set()

    # -- what describes gangs ----------------------------------------------------------------------

    def set_group(self, group: Group) -> list[GangKey]:
        """The gangs that it describes, which look different from now on."""
        self._groups[(group.kind, group.namespace, group.name)] = group
        return self._touch_described(group)

    def remove_group(self, kind: GroupKind, namespace: str, name: str) -> list[GangKey]:
        """The gangs that it described."""
        group = self._groups.pop((kind, namespace, name), None)
        return [] if group is None else self._touch_described(group)

    def get(self, kind: GroupKind, namespace: str, name: str) -> Group | None:
        """GroupObjects: the group-defining object of that name."""
        return self._groups.get((kind, namespace, name))

    def set_unreadable(self, kind: GroupKind, why: str | None) -> None:
        """Objects of the kind cannot be read, and why; or they can."""
        if self._unreadable.get(kind) == why:
            return
        if why is None:
            del self._unreadable[kind]
        else:
            self._unreadable[kind] = why
        dialects = {dialect.name for dialect in DIALECTS if kind in dialect.kinds}
        self._dirty.update(key for key in self.members if key.dialect in dialects)

    def unreadable(self, kind: GroupKind) -> str | None:
        """GroupObjects: why objects of the kind cannot be read."""
        return self._unreadable.get(kind)

    # -- who belongs -------------------------------------------------------------------------------

    def join(self, record: Record) -> None:
        """Find the pod's gang and index it there."""
        pod = record.observed
        if pod.scheduler_name != self._scheduler_name:
            return
        found = resolve(pod)
        if isinstance(found, Rejected):
            record.rejected = record.rejected or found
        else:
            record.key = found
            self.members.setdefault(found, {})[pod.uid] = None
            if not found.is_single:
                self._described.setdefault((found.namespace, found.object_name), {})[found] = None
            if not pod.node_name:
                self._warn(pod, warning(pod, found))
        if record.rejected is not None:
            self._refused[pod.uid] = record

    def leave(self, record: Record) -> None:
        """Take the pod out of its gang."""
        self._refused.pop(record.observed.uid, None)
        key = record.key
        if key is None:
            return
        members = self.members.get(key)
        if members is not None:
            members.pop(record.observed.uid, None)
            if not members:
                del self.members[key]
                self._noticed.pop(key, None)
                self._forget_described(key)
        self._dirty.add(key)
        record.key = None

    def is_refused(self, uid: str) -> bool:
        return uid in self._refused

    def touch(self, key: GangKey) -> None:
        """Something of a member changed."""
        self._dirty.add(key)
        if key.is_single:
            # One at a time as they come, not tens of thousands when a plan is next made.
            self._refresh(key)

    def hold(self, key: GangKey, why: Waiting) -> None:
        """Keep a gang from being planned until ``unhold``."""
        self._holds[key] = why
        self._dirty.add(key)

    def unhold(self, key: GangKey) -> None:
        if self._holds.pop(key, None) is not None:
            self._dirty.add(key)

    # -- reading -----------------------------------------------------------------------------------

    def observed(self, key: GangKey) -> list[Pod]:
        """The members as observed, in no particular order."""
        return [self._pods[uid].observed for uid in self.members.get(key, ())]

    def effective(self, key: GangKey) -> list[Pod]:
        """The members as they count: those that we are about to bind stand on their nodes."""
        return [self._pods[uid].effective for uid in self.members.get(key, ())]

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
        self.refresh()
        return dict(self._partial)

    def remains(self, key: GangKey) -> tuple[PendingGang, tuple[Pod, ...]]:
        """A gang as one to be given back, and its members that hold capacity, seen bound or told so."""
        return as_remains(key, self.effective(key), self)

    def view(self, key: GangKey) -> PendingGang | None:
        if key in self._dirty:
            self._refresh(key)
        return self._views.get(key)

    def views(self) -> Mapping[GangKey, PendingGang]:
        """Every gang with members that wait, current."""
        self.refresh()
        return self._views

    def refresh(self) -> None:
        for key in list(self._dirty):
            self._refresh(key)

    def warnings(self) -> list[tuple[Pod, str]]:
        """What pods' owners should know of their gangs, each once; the pods are scheduled all the same."""
        found, self._warnings = list(self._warnings.values()), {}
        return found

    # -- inside ------------------------------------------------------------------------------------

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
        short = None if key.is_single else shortfall(key, self.observed(key), self)
        if short is None:
            self._partial.pop(key, None)
        else:
            self._partial[key] = short

    def _build(self, key: GangKey) -> PendingGang | None:
        records = [self._pods[uid] for uid in self.members.get(key, ())]
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

    def _touch_described(self, group: Group) -> list[GangKey]:
        found = [
            key
            for name in (group.name, group.parent)
            for key in self._described.get((group.namespace, name), ())
        ]
        self._dirty.update(found)
        return found

    def _forget_described(self, key: GangKey) -> None:
        place = (key.namespace, key.object_name)
        keys = self._described.get(place, {})
        keys.pop(key, None)
        if not keys:
            self._described.pop(place, None)

    def _warn(self, pod: Pod, text: str | None) -> None:
        if text and len(self._warnings) < WARNINGS_MAX:
            self._warnings[(pod.uid, text)] = (pod, text)
