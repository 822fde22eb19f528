"""The volumes of one planning run: how many pods of a role they allow, and where.

A limit is exact where the volumes of a class are told apart by place, as local disks and zones are; where
one volume can be reached from places of several kinds it is counted for one kind, which allows too few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from binpacking.problem import COUNT_MAX, DomainLimit
from scheduler.model.gang import PendingGang, PendingRole
from scheduler.model.objects import ATTACHABLE, Node, Shape
from scheduler.model.plan import Snapshot
from scheduler.model.volumes import NO_PROVISIONER, PersistentVolume, Wanted
from scheduler.predicates.matching import terms_match
from scheduler.predicates.supply import is_tracked, segment, suits, why_not_provisioned
from scheduler.volumes.ledger import Ledger, counts, mounts_of

Limits = tuple[DomainLimit, ...]
#: (driver, volume)
Attached = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Note:
    """What a pod of this run attaches: shared volumes that were not there, and how many of each driver."""

    row: int
    attached: tuple[Attached, ...]
    taken: tuple[tuple[str, int], ...]


class VolumePlan:
    def __init__(self, snapshot: Snapshot) -> None:
        self._nodes = snapshot.nodes
        self._claims = snapshot.claims
        self._free = snapshot.free
        self._column = {name: i for i, name in enumerate(snapshot.resources)}
        self._ledger = Ledger(snapshot.claims)
        #: Nodes, by row, that attach a volume of several pods already, of the run's own pods as well.
        self._attached: dict[Attached, set[int]] = {}
        #: By driver, what each node can attach less what this run placed there.
        self._room: dict[str, NDArray[np.int64]] = {}
        self._notes: list[_Note] = []
        by_name = {node.name: i for i, node in enumerate(snapshot.nodes)} if snapshot.has_volumes else {}
        for volume, names in snapshot.attached:
            self._attached[volume] = {by_name[name] for name in names if name in by_name}
        for shape, name in snapshot.providing:
            if name in by_name:
                self._ledger.take(shape, self._nodes[by_name[name]])
        self._known: dict[tuple[Shape, int], Limits] = {}

    def limits(self, shape: Shape) -> Limits:
        """What the volumes of a role's pods allow, beside the nodes that its mask allows."""
        if not shape.volumes:
            return ()
        key = (shape, self._ledger.version)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = (*self._exclusive(shape), *self._supply(shape))
        return (*known, *self._attaching(shape))

    def same_domain(self, shape: Shape) -> tuple[str, ...]:
        """Labels of which pods that share a claim must all see one value: one volume is made for all."""
        keys: dict[str, None] = {}
        for mount in mounts_of(shape):
            wanted = mount.wanted
            if wanted is not None and mount.shared and not wanted.selected_node:
                storage = self._claims.classes.get(wanted.storage_class)
                driver = "" if storage is None else storage.driver
                keys |= dict.fromkeys(self._claims.topology_keys.get(driver, ()))
        return tuple(keys)

    def note(self, shape: Shape, row: int) -> None:
        """A pod is placed in this run: others see what it takes."""
        if not shape.volumes:
            return
        if counts(shape):
            self._ledger.take(shape, self._nodes[row])
        attached = [m.attaches for m in mounts_of(shape) if m.attaches is not None]
        new = tuple(v for v in dict.fromkeys(attached) if row not in self._attached.setdefault(v, set()))
        own = [(n.removeprefix(ATTACHABLE), k) for n, k in shape.requests if n.startswith(ATTACHABLE)]
        taken = (*own, *((driver, 1) for driver, _ in new))
        if taken:
            self._apply(_Note(row, new, taken), 1)

    def mark(self) -> tuple[int, int]:
        return len(self._ledger), len(self._notes)

    def rewind(self, mark: tuple[int, int]) -> None:
        self._ledger.rewind(mark[0])
        while len(self._notes) > mark[1]:
            self._apply(self._notes[-1], -1)

    def _apply(self, note: _Note, sign: int) -> None:
        if sign > 0:
            self._notes.append(note)
        else:
            self._notes.pop()
        for volume in note.attached:
            if sign > 0:
                self._attached[volume].add(note.row)
            else:
                self._attached[volume].discard(note.row)
        for driver, count in note.taken:
            room = self._room_of(driver)
            if room is not None:
                room[note.row] -= sign * count

    def _room_of(self, driver: str) -> NDArray[np.int64] | None:
        column = self._column.get(f"{ATTACHABLE}{driver}")
        if column is None:
            return None
        if driver not in self._room:
            self._room[driver] = self._free[:, column].copy()
        return self._room[driver]

    def contends(self, pending: PendingGang) -> bool:
        """Whether roles of a gang may take volumes from each other, so that they are placed in turn."""
        if len(pending.roles) < 2 or not any(role.shape.volumes for role in pending.roles):
            return False
        shared = {m.attaches[0] for r in pending.roles for m in mounts_of(r.shape) if m.attaches is not None}
        scarce: Counter[str] = Counter()
        for role in pending.roles:
            own = {f"driver {d}" for d in shared if f"{ATTACHABLE}{d}" in dict(role.shape.requests)}
            scarce.update(own | set(self._scarce(role)))
        return any(count > 1 for count in scarce.values())

    def _scarce(self, role: PendingRole) -> Iterable[str]:
        """What the role takes of which there is a number, by names that are equal for equal things."""
        for mount in mounts_of(role.shape):
            if mount.exclusive:
                yield f"claim {mount.exclusive}"
            if mount.attaches is not None:
                yield f"driver {mount.attaches[0]}"
            wanted = mount.wanted
            if (
                wanted is not None
                and not mount.shared
                and not wanted.selected_node
                and self._is_counted(wanted)
            ):
                yield f"class {wanted.storage_class}"

    # -- one claim, one pod ------------------------------------------------------------------------

    def _exclusive(self, shape: Shape) -> Limits:
        for mount in mounts_of(shape):
            if mount.exclusive:
                is_taken = f"{shape.namespace}/{mount.exclusive}" in self._ledger.names
                all_in_one = np.zeros(len(self._nodes), dtype=np.int32)
                return (
                    DomainLimit(domain_of=all_in_one, most=np.array([int(not is_taken)], dtype=np.int64)),
                )
        return ()

    # -- volumes that there are, and capacity ------------------------------------------------------

    def _supply(self, shape: Shape) -> Limits:
        wanted = [
            mount.wanted
            for mount in mounts_of(shape)
            if mount.wanted is not None and not mount.shared and not mount.wanted.selected_node
        ]
        counted = [each for each in wanted if self._is_counted(each)]
        if not counted:
            return ()
        return (*self._static(counted), *self._dynamic(counted))

    def _is_counted(self, wanted: Wanted) -> bool:
        """Whether there is a number of such volumes, or an amount."""
        if is_tracked(wanted, self._claims):
            return True
        if wanted.storage_class not in self._claims.open_volumes:
            return False
        storage = self._claims.classes.get(wanted.storage_class)
        is_bound = storage is not None and storage.allowed_terms is not None
        return storage is None or storage.provisioner in ("", NO_PROVISIONER) or is_bound

    def _static(self, wanted: Sequence[Wanted]) -> Limits:
        """Where nobody provisions: the volumes that can be reached, each counted once."""
        lacking = [self._lacking(wanted, node) for node in self._nodes]
        reached = [
            frozenset(v.name for v in self._near(missing, node)) if missing else None
            for missing, node in zip(lacking, self._nodes, strict=True)
        ]
        kinds = sorted({r for r in reached if r is not None}, key=lambda names: (len(names), sorted(names)))
        if not kinds:
            return ()
        asked = {r: m for r, m in zip(reached, lacking, strict=True) if r is not None}
        free, most = set[str](), [COUNT_MAX]
        for kind in kinds:
            own = [self._claims.volumes[name] for name in sorted(kind - free)]
            free |= kind
            most.append(_served(asked[kind], own))
        number = {kind: i for i, kind in enumerate(kinds, start=1)}
        return (_limit([0 if r is None else number[r] for r in reached], most),)

    def _dynamic(self, wanted: Sequence[Wanted]) -> Limits:
        """Where a driver says what it has: as many pods as that is enough for."""
        limits: list[DomainLimit] = []
        for name in dict.fromkeys(each.storage_class for each in wanted):
            mine = [w for w in wanted if w.storage_class == name and is_tracked(w, self._claims)]
            if not mine:
                continue
            whole, largest = sum(w.size or 0 for w in mine), max(mine, key=lambda w: w.size or 0)
            most, number, places = [COUNT_MAX], dict[str, int](), []
            for node in self._nodes:
                found = segment(largest, node, self._claims, self._ledger.capacities)
                if found is None or found.capacity is None:
                    places.append(0)
                    continue
                if found.name not in number:
                    number[found.name] = len(most)
                    left = found.capacity - self._ledger.capacities.get(found.name, 0)
                    most.append(min(COUNT_MAX, max(0, left // whole)) if whole else COUNT_MAX)
                places.append(number[found.name])
            limits.append(_limit(places, most))
        return tuple(limits)

    def _lacking(self, wanted: Sequence[Wanted], node: Node) -> tuple[Wanted, ...]:
        """Those of a pod's volumes that are not provisioned for this node."""
        taken = self._ledger.capacities
        return tuple(w for w in wanted if why_not_provisioned(w, node, self._claims, taken) is not None)

    def _near(self, wanted: Sequence[Wanted], node: Node) -> Iterable[PersistentVolume]:
        for name in dict.fromkeys(each.storage_class for each in wanted):
            pool = self._claims.open_volumes.get(name)
            for volume in () if pool is None else pool.near(node.labels):
                if volume.name in self._ledger.volumes or not any(suits(w, volume) for w in wanted):
                    continue
                if terms_match(volume.node_terms, node.labels, None):
                    yield volume

    # -- what a node attaches ----------------------------------------------------------------------

    def _attaching(self, shape: Shape) -> Limits:
        """Volumes of several pods, which a node attaches once; each pod's own are among its requests."""
        shared: dict[str, dict[Attached, None]] = {}
        for mount in mounts_of(shape):
            if mount.attaches is not None:
                shared.setdefault(mount.attaches[0], {})[mount.attaches] = None
        requests = dict(shape.requests)
        for driver in self._room:
            # Others of this run attach shared volumes of it, which no request counts.
            if f"{ATTACHABLE}{driver}" in requests:
                shared.setdefault(driver, {})
        limits = []
        for driver, volumes in shared.items():
            room = self._room_of(driver)
            if room is not None:
                limits.append(self._attached_limit(volumes, room, requests.get(f"{ATTACHABLE}{driver}", 0)))
        return tuple(limits)

    def _attached_limit(self, volumes: Iterable[Attached], room: NDArray[np.int64], own: int) -> DomainLimit:
        new = np.zeros(len(self._nodes), dtype=np.int64)
        for volume in volumes:
            new += 1
            new[list(self._attached.get(volume, ()))] -= 1
        left = room - new
        most = np.clip(left // own, 0, COUNT_MAX) if own else np.where((left >= 0) | (new == 0), COUNT_MAX, 0)
        return DomainLimit(domain_of=np.arange(len(new), dtype=np.int32), most=most.astype(np.int64))


def _served(wanted: Sequence[Wanted], volumes: Sequence[PersistentVolume]) -> int:
    """How many pods that want all of these can be given volumes, smallest first."""
    left = sorted(volumes, key=lambda volume: (volume.size, volume.name))
    served = 0
    while served < COUNT_MAX:
        for each in sorted(wanted, key=lambda w: w.size or 0):
            found = next((volume for volume in left if suits(each, volume)), None)
            if found is None:
                return served
            left.remove(found)
        served += 1
    return served


def _limit(places: Sequence[int], most: Sequence[int]) -> DomainLimit:
    return DomainLimit(domain_of=np.array(places, dtype=np.int32), most=np.array(most, dtype=np.int64))
