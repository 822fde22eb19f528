"""The gangs of the state: who belongs to which, what describes them, how each looks to a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from scheduler.gangs.groups import Group, GroupKind, Job
from scheduler.gangs.membership import membership
from scheduler.gangs.registry import DIALECTS, resolve, warning
from scheduler.gangs.standing import Shortage
from scheduler.gangs.view import as_remains, is_pending, look, minimum_of, outsiders, pending_gang, single
from scheduler.model.gang import Finished, GangKey, GangSpec, HeldBy, PendingGang, Vacancy, Waiting
from scheduler.model.objects import Pod, Rejected, Shape
from scheduler.records import Record
from scheduler.state.ended import FINISHED_MAX, Ended, as_finished
from scheduler.state.news import News
from scheduler.state.vacancies import Vacancies

#: Warnings not yet taken by the shell; more are dropped.
WARNINGS_MAX = 1_000
_NOBODY: Mapping[GangKey, Shortage] = MappingProxyType({})


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
        self._ended = Ended()
        #: Gangs by the namespace and name of an object that describes them, or of a Job that made their pods.
        self._described: dict[tuple[str, str], dict[GangKey, None]] = {}
        #: Those Jobs, by gang.
        self._jobs: dict[GangKey, dict[tuple[str, str], None]] = {}
        self._views: dict[GangKey, PendingGang] = {}
        self._news = News()
        self._outsiders: dict[GangKey, tuple[tuple[Pod, Rejected], ...]] = {}
        #: Our pods that could not be parsed or resolved to a gang.
        self._refused: dict[str, Record] = {}
        self._holds: dict[GangKey, dict[HeldBy, Waiting]] = {}
        #: Gangs that hold capacity and do not stand, by what the watch shows.
        self._short: dict[GangKey, Shortage] = {}
        #: Gangs that were seen whole and still hold capacity: the description by which they stand.
        self._stood: dict[GangKey, GangSpec] = {}
        #: What is written down of gangs that stood, not yet compared with what they are.
        self._remembered: dict[GangKey, int] = {}
        #: Gangs of which a member was seen bound since they were last looked at.
        self._gained: dict[GangKey, None] = {}
        self.vacancies = Vacancies()
        #: The last notice of a gang that was passed on.
        self._noticed: dict[GangKey, str] = {}
        #: What owners are still to be told of pods that are scheduled all the same.
        self._warnings: dict[tuple[str, str], tuple[Pod, str]] = {}
        #: In the order in which they came, so that a run is the same whatever hashes are.
        self._dirty: dict[GangKey, None] = {}

    # -- what describes gangs ----------------------------------------------------------------------

    def set_group(self, group: Group) -> list[GangKey]:
        """The gangs that it describes, which look different from now on."""
        for key in self._described_by(group):
            self.catch_up(key)
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
        self._dirty.update((key, None) for key in self.members if key.dialect in dialects)

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
                self._note_job(pod, found)
            if not pod.node_name:
                self._warn(pod, warning(pod, found))
        if record.rejected is not None:
            self._refused[pod.uid] = record

    def leave(self, record: Record) -> GangKey | None:
        """Take the pod out of its gang; the gang where that was its last member."""
        self._refused.pop(record.observed.uid, None)
        key = record.key
        if key is None:
            return None
        members = self.members.get(key)
        if members is not None:
            members.pop(record.observed.uid, None)
            self._ended.left(key, record.observed.uid)
            if not members:
                del self.members[key]
                self._noticed.pop(key, None)
                if not key.is_single:
                    self._forget_described(key)
                    self._ended.forget(key)
                self._forget_standing(key)
        self._dirty[key] = None
        record.key = None
        return None if key in self.members else key

    def is_refused(self, uid: str) -> bool:
        return uid in self._refused

    def touch(self, key: GangKey, pod: Pod) -> None:
        """Something of a member changed."""
        self._ended.saw(key, pod)
        self._dirty[key] = None
        if key.is_single:
            # One at a time as they come, not tens of thousands when a plan is next made.
            self._refresh(key)

    def gained(self, key: GangKey | None) -> None:
        """A member was seen to stand, assumed before or not."""
        if key is not None and not key.is_single:
            self._gained[key] = None

    def catch_up(self, key: GangKey | None) -> None:
        """Look at a gang before it loses a member or is described anew, so that it is known to have stood."""
        if key in self._gained:
            self._look(key)

    def remember(self, key: GangKey, min_member: int) -> None:
        """The gang stood with this minimum, as was written down or as the API server acknowledged."""
        if key not in self._stood and key in self.members:
            self._remembered[key] = min_member
            self._gained[key] = None
            self._dirty[key] = None

    def recall_finished(self, key: GangKey, finished: Sequence[Finished]) -> None:
        """Who did its work and was deleted before, as an earlier leader wrote."""
        if finished and key in self.members:
            self._ended.recall(key, finished)
            self._dirty[key] = None

    def recall(
        self,
        key: GangKey,
        min_member: int,
        placement: Mapping[str, str],
        has_room: Callable[[str, Shape], bool],
    ) -> None:
        """What an earlier leader wrote: the minimum that the gang stood with, 0 if it never did, and where
        its members were to go. The rooms of those that are not there are kept, of a lost one for any member;
        who went long ago has none any more.
        """
        if min_member:
            self.remember(key, min_member)
        self.refresh()
        short = self._short.get(key)
        if short is None or short.is_assumed:
            return
        records = [self._pods[uid] for uid in self.members[key]]
        model = next((r.effective for r in records if is_pending(r.effective)), records[0].effective)
        lost = short.minimum - short.standing
        for uid, node in placement.items():
            known = self._pods.get(uid)
            pod = model if known is None else known.effective
            is_left = known is None and (lost <= 0 or not has_room(node, pod.shape))
            if is_left or (known is not None and not is_pending(pod)):
                continue
            lost -= known is None
            self.vacancies.add(Vacancy(gang=key, uid=uid, node=node, shape=pod.shape, priority=pod.priority))

    def stood(self, key: GangKey) -> int:
        """The minimum by which the gang stands, 0 for one that never stood or holds nothing any more."""
        self._catch_all_up()
        spec = self._stood.get(key)
        return 0 if spec is None else spec.min_member

    def hold(self, key: GangKey, by: HeldBy, why: Waiting) -> None:
        """Keep a gang from being planned until all who hold it have said ``unhold``."""
        self._holds.setdefault(key, {})[by] = why
        self._dirty[key] = None

    def unhold(self, key: GangKey, by: HeldBy) -> None:
        held = self._holds.get(key, {})
        if held.pop(by, None) is not None:
            self._dirty[key] = None
        if not held:
            self._holds.pop(key, None)

    # -- reading -----------------------------------------------------------------------------------

    def observed(self, key: GangKey) -> list[Pod]:
        """The members as observed, in no particular order."""
        return [self._pods[uid].observed for uid in self.members.get(key, ())]

    def effective(self, key: GangKey) -> list[Pod]:
        """The members as they count: those that we are about to bind stand on their nodes."""
        return [self._pods[uid].effective for uid in self.members.get(key, ())]

    def counted(self, key: GangKey, members: Sequence[Pod]) -> Sequence[Pod]:
        """The members, and those of the gang that succeeded and are gone."""
        places = self._jobs.get(key, ())
        jobs = [job for place in places if isinstance(job := self._groups.get(("Job", *place)), Job)]
        return self._ended.counted(key, members, jobs)

    def finished(self, key: GangKey) -> tuple[Finished, ...]:
        """Of this run's members that did their work those that are gone, no more than it takes to stand, and
        at most ``FINISHED_MAX``.
        """
        if not self._ended.misses(key):
            return ()
        there = self.effective(key)
        members = self.counted(key, there)
        belonging = {pod.uid for pod in membership(key, members, self).belonging}
        gone = [as_finished(pod) for pod in self._ended.gone(key, there) if pod.uid in belonging]
        return tuple(gone[: min(FINISHED_MAX, self.stood(key) or minimum_of(key, members, self))])

    def rejected(self) -> list[tuple[Pod, Rejected]]:
        """Our unbound pods that no gang shows: not parsed, not resolved, or strangers to the gang."""
        refused = [
            (r.observed, r.rejected)
            for r in self._refused.values()
            if r.rejected is not None and not r.observed.node_name
        ]
        return refused + [pair for pairs in self._outsiders.values() for pair in pairs]

    def partial(self) -> Mapping[GangKey, tuple[int, int]]:
        """Gangs some of whose members are bound although fewer than the minimum stand or are being bound."""
        return {key: (s.bound, s.minimum) for key, s in self.short().items() if not s.is_assumed}

    def short(self) -> Mapping[GangKey, Shortage]:
        """Gangs some of whose members are bound although fewer than the minimum stand, by the watch alone."""
        self.refresh()
        return dict(self._short) if self._short else _NOBODY

    def holds(self) -> tuple[Vacancy, ...]:
        """Rooms of lost members, each kept for the one that comes in its place."""
        self.refresh()
        if not self.vacancies.by_gang:
            return ()
        return tuple(
            vacancy
            for key, vacancies in self.vacancies.by_gang.items()
            if (short := self._short.get(key)) is not None and not short.is_assumed
            for vacancy in vacancies.values()
        )

    def misses(self, key: GangKey) -> int:
        """How many members the gang lost and goes on without, for whom it keeps no room yet."""
        short = self._short.get(key)
        if short is None or not short.is_broken or short.is_assumed or self.vacancies.is_given_up(key):
            return 0
        return max(0, short.minimum - short.standing - len(self.vacancies.by_gang.get(key, ())))

    def vacate(self, key: GangKey | None, pod: Pod, node: str, shape: Shape) -> None:
        """A member left its node: the room is kept where the gang stood, unless its work is done."""
        if key in self._stood and pod.phase != "Succeeded":
            priority = self._stood[key].priority
            self.vacancies.add(
                Vacancy(
                    gang=key,
                    uid=pod.uid,
                    node=node,
                    shape=shape,
                    priority=pod.priority if priority is None else priority,
                )
            )

    def remains(self, key: GangKey) -> tuple[PendingGang, tuple[Pod, ...]]:
        """A gang as one to be given back, and its members that hold capacity, seen bound or told so."""
        gang, pods = as_remains(key, self.counted(key, self.effective(key)), self, self.stood(key))
        return replace(gang, finished=self.finished(key)), pods

    def as_if_new(self, key: GangKey) -> PendingGang | None:
        """The gang as if all its members waited, or None while too few exist to start."""
        members = [
            replace(pod, node_name="", phase="Pending")
            for pod in self.effective(key)
            if not pod.is_deleting and pod.phase in ("Pending", "Running")
        ]
        gang = pending_gang(key, members, self)
        return None if gang is None or gang.blocked is not None else gang

    def view(self, key: GangKey) -> PendingGang | None:
        if key in self._dirty:
            self._refresh(key)
        return self._views.get(key)

    def views(self) -> Mapping[GangKey, PendingGang]:
        """Every gang with members that wait, current."""
        self.refresh()
        return self._views

    def take_news(self, most: int) -> list[tuple[GangKey, PendingGang | None]]:
        """The gangs that look different since this was last asked, None for those of which nobody waits.

        most: newcomers; the rest is for the next time.
        """
        self.refresh()
        found = [(key, self._views.get(key)) for key in self._news.take(most)]
        for key, view in found:
            if view is None:
                self._news.forget(key)
        return found

    @property
    def news_left(self) -> int:
        """Newcomers that ``take_news`` left."""
        return self._news.left

    def refresh(self) -> None:
        if self._dirty:
            for key in list(self._dirty):
                self._refresh(key)
        if self._gained:
            self._catch_all_up()

    def warnings(self) -> list[tuple[Pod, str]]:
        """What pods' owners should know of their gangs, each once; the pods are scheduled all the same."""
        found, self._warnings = list(self._warnings.values()), {}
        return found

    # -- inside ------------------------------------------------------------------------------------

    def _refresh(self, key: GangKey) -> None:
        self._dirty.pop(key, None)
        if not key.is_single:
            self._look(key)
        view = self._build(key)
        held = self._holds.get(key, {})
        self._news.note(key, waits=view is not None)
        if view is None:
            self._views.pop(key, None)
        else:
            is_held = held and not view.blocked
            self._views[key] = replace(view, blocked=next(iter(held.values()))) if is_held else view
            if view.notice and self._noticed.get(key) != view.notice:
                self._noticed[key] = view.notice
                self._warn(view.pods[0], view.notice)

    def _catch_all_up(self) -> None:
        for key in list(self._gained):
            self._look(key)

    def _look(self, key: GangKey) -> None:
        """Work out how the gang stands."""
        self._gained.pop(key, None)
        records = [self._pods[uid] for uid in self.members.get(key, ())]
        effective = {r.observed.uid: r.effective for r in records}
        seen = self.counted(key, [r.observed for r in records])
        members = [(pod, pod if pod.has_ended else effective.get(pod.uid, pod)) for pod in seen]
        stood = self._stood.get(key)
        found = look(key, members, self, stood, self._remembered.pop(key, 0) if stood is None else 0)
        if found is None:
            self._forget_standing(key)
            return
        short = found.short
        if found.spec is not None and (
            found.is_whole or (stood is None and (short is None or short.is_broken))
        ):
            self._stood[key] = found.spec
        if short is not None and short.bound:
            self._short[key] = short
            return
        self._short.pop(key, None)
        if found.spec is not None:
            self.vacancies.drop(key)

    def _forget_standing(self, key: GangKey) -> None:
        for known in (self._short, self._stood, self._remembered, self._gained):
            known.pop(key, None)
        self.vacancies.drop(key)

    def _build(self, key: GangKey) -> PendingGang | None:
        if key.is_single:
            return self._build_single(key)
        records = [self._pods[uid] for uid in self.members.get(key, ())]
        members = [r.effective for r in records if r.rejected is None]
        if not any(is_pending(pod) for pod in members):
            self._outsiders.pop(key, None)
            return None
        members = [*self.counted(key, members)]
        refused = [(r.observed.name, r.rejected) for r in records if r.rejected is not None]
        strangers = tuple(pair for pair in outsiders(key, members, self) if is_pending(pair[0]))
        if strangers:
            self._outsiders[key] = strangers
        else:
            self._outsiders.pop(key, None)
        view = pending_gang(key, members, self, refused, self._stood.get(key))
        finished = self.finished(key)
        return replace(view, finished=finished) if view is not None and finished else view

    def _build_single(self, key: GangKey) -> PendingGang | None:
        """Nothing but its pod decides."""
        for uid in self.members.get(key, ()):
            record = self._pods[uid]
            if record.rejected is None:
                return single(record.effective, key) if is_pending(record.effective) else None
        return None

    def _touch_described(self, group: Group) -> list[GangKey]:
        found = self._described_by(group)
        self._dirty.update(dict.fromkeys(found))
        return found

    def _described_by(self, group: Group) -> list[GangKey]:
        names = (group.name, group.parent)
        return [key for name in names for key in self._described.get((group.namespace, name), ())]

    def _forget_described(self, key: GangKey) -> None:
        for place in ((key.namespace, key.object_name), *self._jobs.pop(key, ())):
            keys = self._described.get(place, {})
            keys.pop(key, None)
            if not keys:
                self._described.pop(place, None)

    def _note_job(self, pod: Pod, key: GangKey) -> None:
        """What a Job's status says of its pods concerns their gang, whatever describes it."""
        if pod.owner is not None and pod.owner.kind == "Job":
            place = (pod.namespace, pod.owner.name)
            self._described.setdefault(place, {})[key] = None
            self._jobs.setdefault(key, {})[place] = None

    def _warn(self, pod: Pod, text: str | None) -> None:
        if text and len(self._warnings) < WARNINGS_MAX:
            self._warnings[(pod.uid, text)] = (pod, text)
