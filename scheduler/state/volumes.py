"""The volumes of the state: claims and all that is said of storage, who mounts what, and what that comes to.

Pods whose claims are alike in all that decides where they may go have one shape, whatever the claims are
called: a gang of 1,000 pods with a claim each is one role.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

from scheduler.columns import NodeColumns
from scheduler.model.objects import ATTACHABLE, Node, Pod, Shape, Volume
from scheduler.model.plan import Assignment
from scheduler.model.volumes import Claim, Claims, Mount, Wanted
from scheduler.predicates.mounts import driver_of, mount_of
from scheduler.predicates.supply import candidates
from scheduler.records import Record
from scheduler.volumes.ledger import Ledger, counts, mounts_of

Kind = Literal["claims", "volumes", "classes", "drivers", "node_drivers", "capacities"]
Key = tuple[str, str]
Attached = tuple[str, str]

SHAPES_MAX = 8_192
#: What a node can attach of a driver that does not limit it there.
UNLIMITED = 1 << 20
#: What is derived of ``Claims``, and from which of its parts.
_DERIVED = {
    "open_volumes": "volumes",
    "reserved": "volumes",
    "segments": "capacities",
    "topology_keys": "node_drivers",
    "limited": "node_drivers",
}


class Volumes:
    """A store over ``pods``, the records of all pods by UID, and ``columns``, which others keep."""

    def __init__(self, pods: Mapping[str, Record], columns: NodeColumns) -> None:
        self._pods = pods
        self._columns = columns
        self._claims = Claims()
        self._parts: dict[str, dict[Any, Any]] = {}
        #: UIDs of the pods that mount a claim and are not over; and of those that hold a node.
        self._users: dict[Key, dict[str, None]] = {}
        self._holders: dict[Key, dict[str, None]] = {}
        #: By node, who uses the volumes of several pods that its driver attaches once.
        self._attached: dict[str, dict[Attached, set[str]]] = {}
        self._where: dict[Attached, dict[str, None]] = {}
        #: Pods on nodes whose volumes are still to be had.
        self._providing: dict[str, None] = {}

    # -- what is said of storage -------------------------------------------------------------------

    @property
    def claims(self) -> Claims:
        """All of it, immutable; made anew when some of it changed."""
        if self._parts:
            before = self._claims
            self._claims = replace(before, **self._parts)
            for name, part in _DERIVED.items():
                if part not in self._parts and name in before.__dict__:
                    self._claims.__dict__[name] = before.__dict__[name]
            self._parts = {}
        return self._claims

    def known(self, kind: Kind) -> Mapping[Any, Any]:
        """All objects of one kind, by name."""
        part = self._parts.get(kind)
        found: Mapping[Any, Any] = getattr(self._claims, kind) if part is None else part
        return found

    def replace_all(self, claims: Claims) -> None:
        self._parts, self._claims = {}, claims

    def avoid(self, avoided: Mapping[Wanted, Mapping[str, str]]) -> None:
        """By what is wanted, nodes for which it is not to be provisioned for now, and why."""
        before = self.claims
        self._claims = replace(before, avoided=avoided)
        self._claims.__dict__.update({n: before.__dict__[n] for n in _DERIVED if n in before.__dict__})

    def mounting(self) -> set[str]:
        """UIDs of all pods that mount claims and are not over."""
        return {uid for users in self._users.values() for uid in users}

    def put(self, kind: Kind, new: Mapping[Any, Any], gone: Collection[Any] = ()) -> set[str] | None:
        """Take objects of one kind, by name; the UIDs of pods that they concern, None for no change."""
        part, known = self._parts.get(kind), self.known(kind)
        changed = {key: item for key, item in new.items() if known.get(key) != item}
        lost = [key for key in gone if key in known]
        if not changed and not lost:
            return None
        concerned = self._concerned(kind, known, {*changed, *lost}, changed)
        if part is None:
            part = self._parts[kind] = dict(known)
        part.update(changed)
        for key in lost:
            del part[key]
        return concerned

    def _concerned(
        self, kind: Kind, known: Mapping[Any, Any], keys: Iterable[Any], new: Mapping[Any, Any]
    ) -> set[str]:
        match kind:
            case "claims":
                return {uid for key in keys for uid in self._users.get(key, ())}
            case "volumes":
                found = [v for key in keys for v in (known.get(key), new.get(key)) if v is not None]
                owners = {volume.claim[:2] for volume in found if volume.claim is not None}
                return {uid for owner in owners for uid in self._users.get(owner, ())}
            case "classes" | "node_drivers":
                return self.mounting()
            case "drivers" | "capacities":
                return set()

    # -- pods --------------------------------------------------------------------------------------

    def resolved(self, pod: Pod, shape: Shape) -> Pod:
        """The pod with what its claims come to in its shape; ``shape`` is the one that names them."""
        if not shape.volumes:
            return pod if pod.shape is shape else replace(pod, shape=shape)
        claims = self.claims
        mounts = tuple(self._mount(volume, pod, claims) for volume in shape.volumes)
        own = Counter(
            driver
            for volume in shape.volumes
            if (claim := claims.claims.get((pod.namespace, volume.claim))) is not None
            and len(self._users.get(claim.key, ())) < 2
            and (driver := driver_of(claim, claims)) in claims.limited
        )
        attached = tuple(sorted((f"{ATTACHABLE}{driver}", count) for driver, count in own.items()))
        return replace(pod, shape=_mounted(_bare(shape), mounts, attached))

    def mounts(self, pod: Pod, shape: Shape) -> set[str]:
        """Note what claims a pod mounts; the UIDs of others for whom that makes a difference."""
        if not shape.volumes:
            return set()
        is_over = pod.phase in ("Succeeded", "Failed")
        return self._note(self._users, pod.uid, _keys(pod, shape), is_there=not is_over)

    def gone(self, pod: Pod, shape: Shape) -> set[str]:
        """A pod mounts nothing any more; as ``mounts``."""
        return self._note(self._users, pod.uid, _keys(pod, shape), is_there=False) if shape.volumes else set()

    def charge(self, pod: Pod, filled: Shape, shape: Shape, node: str, sign: int) -> set[str]:
        """A pod comes to hold a node, or no more; the UIDs of others for whom that makes a difference."""
        if not shape.volumes:
            return set()
        for mount in mounts_of(shape):
            if mount.attaches is not None:
                self._attach(node, mount.attaches, pod.uid, sign)
        if sign > 0 and any(mount.wanted is not None for mount in mounts_of(shape)):
            self._providing[pod.uid] = None
        else:
            self._providing.pop(pod.uid, None)
        concerned: set[str] = set()
        for key in _keys(pod, filled):
            self._note(self._holders, pod.uid, [key], is_there=sign > 0)
            claim = self.claims.claims.get(key)
            if claim is not None and claim.is_exclusive:
                concerned.update(self._users.get(key, ()))
        concerned.discard(pod.uid)
        return concerned

    def limiting(self, node: Node) -> Node:
        """The node with how many volumes of each driver it can attach, where some node limits that."""
        limited = self.claims.limited
        bare = {name: n for name, n in node.allocatable.items() if not name.startswith(ATTACHABLE)}
        if not limited and len(bare) == len(node.allocatable):
            return node
        found = self.claims.node_drivers.get(node.name)
        own = {} if found is None else {d.name: d.most for d in found.drivers if d.most is not None}
        most = {f"{ATTACHABLE}{driver}": own.get(driver, UNLIMITED) for driver in sorted(limited)}
        return replace(node, allocatable={**bare, **most})

    # -- reading -----------------------------------------------------------------------------------

    def providing(self) -> tuple[tuple[Shape, str], ...]:
        """Pods on nodes whose volumes are still to be had there: their shapes and nodes."""
        records = (self._pods[uid] for uid in self._providing)
        return tuple((r.charged_shape, r.charged) for r in records if r.charged_shape is not None)

    def attached(self, shapes: Iterable[Shape]) -> tuple[tuple[Attached, tuple[str, ...]], ...]:
        """Where the volumes are attached that pods of these shapes share."""
        asked = {m.attaches: None for shape in shapes for m in mounts_of(shape) if m.attaches is not None}
        return tuple((volume, tuple(self._where.get(volume, ()))) for volume in asked)

    def wanted(self, uid: str) -> dict[Key, Wanted]:
        """The claims of a pod whose volumes are still to be had, and what is asked of each."""
        record, claims = self._pods[uid], self.claims
        found: dict[Key, Wanted] = {}
        for volume in record.filled.volumes:
            key = (record.observed.namespace, volume.claim)
            wanted = self._mount(volume, record.observed, claims).wanted
            if wanted is not None:
                found[key] = wanted
        return found

    def keys(self, uid: str) -> list[Key]:
        """The claims that a pod mounts; none of a pod that is gone."""
        record = self._pods.get(uid)
        return [] if record is None else _keys(record.observed, record.filled)

    def selected(self) -> dict[Key, Claim]:
        """Claims that name the node for which they are to be provisioned, whatever became of that."""
        return {key: claim for key, claim in self.known("claims").items() if claim.selected_node}

    def users(self, key: Key) -> Iterator[Pod]:
        """The pods that mount a claim and are not over."""
        return (self._pods[uid].observed for uid in self._users.get(key, ()))

    def objection(self, assignments: Iterable[Assignment]) -> str | None:
        """Why the volumes of pods that are to be placed cannot all be had or attached any more, or None."""
        mounting = [a for a in assignments if a.pod.shape.volumes]
        if not mounting:
            return None
        if any(counts(a.pod.shape) for a in mounting):
            ledger = Ledger(self.claims)
            for shape, name in self.providing():
                if (row := self._columns.row.get(name)) is not None:
                    ledger.take(shape, self._columns.nodes[row])
            counting = [(a, self._columns.nodes[self._columns.row[a.node]]) for a in mounting]
            if self.claims.open_volumes:
                counting.sort(key=lambda pair: _choice(pair[0].pod.shape, pair[1], self.claims))
            for a, node in counting:
                if counts(a.pod.shape) and not ledger.take(a.pod.shape, node):
                    return f"a volume that pod {a.pod.name} needs was taken meanwhile"
        new: dict[str, dict[Attached, None]] = {}
        own: dict[str, Counter[str]] = {}
        for a in mounting:
            there = self._attached.get(a.node, {})
            own.setdefault(a.node, Counter()).update(dict(a.pod.shape.requests))
            for mount in mounts_of(a.pod.shape):
                if mount.attaches is not None and mount.attaches not in there:
                    new.setdefault(a.node, {})[mount.attaches] = None
        for name, volumes in new.items():
            asked = Counter(f"{ATTACHABLE}{driver}" for driver, _ in volumes)
            for column, count in asked.items():
                if self._columns.left(name, column) < count + own[name][column]:
                    return f"node {name} attaches no more volumes"
        return None

    def attaching(self, shape: Shape) -> tuple[tuple[str, int], ...]:
        """The shape's requests, and a place for each driver of a volume that it shares."""
        drivers = {m.attaches[0]: None for m in mounts_of(shape) if m.attaches is not None}
        return (*shape.requests, *((f"{ATTACHABLE}{driver}", 1) for driver in drivers))

    # -- inside ------------------------------------------------------------------------------------

    def _mount(self, volume: Volume, pod: Pod, claims: Claims) -> Mount:
        key = (pod.namespace, volume.claim)
        other = next((uid for uid in self._holders.get(key, ()) if uid != pod.uid), "")
        is_holder = pod.uid in self._holders.get(key, ())
        return mount_of(
            volume,
            pod.namespace,
            claims,
            uid=pod.uid,
            is_shared=len(self._users.get(key, ())) > 1,
            used_by=f'pod "{self._pods[other].observed.name}"' if other and not is_holder else "",
        )

    def _note(
        self, index: dict[Key, dict[str, None]], uid: str, keys: Iterable[Key], *, is_there: bool
    ) -> set[str]:
        """Put a pod in or out; the others of a claim that one pod mounted, or does now."""
        concerned: set[str] = set()
        for key in keys:
            pods = index.setdefault(key, {})
            was_shared = len(pods) > 1
            if is_there:
                pods[uid] = None
            else:
                pods.pop(uid, None)
            if (len(pods) > 1) != was_shared:
                concerned.update(pods)
            if not pods:
                del index[key]
        concerned.discard(uid)
        return concerned

    def _attach(self, node: str, volume: Attached, uid: str, sign: int) -> None:
        pods = self._attached.setdefault(node, {}).setdefault(volume, set())
        had = bool(pods)
        if sign > 0:
            pods.add(uid)
        else:
            pods.discard(uid)
        if bool(pods) == had:
            return
        self._columns.charge(node, _one_of(volume[0]), sign)
        if pods:
            self._where.setdefault(volume, {})[node] = None
            return
        del self._attached[node][volume]
        if not self._attached[node]:
            del self._attached[node]
        where = self._where.get(volume, {})
        where.pop(node, None)
        if not where:
            self._where.pop(volume, None)


def _choice(shape: Shape, node: Node, claims: Claims) -> int:
    """How many volumes that are there suit a pod of the shape on the node; who has few chooses first."""
    wanted = [mount.wanted for mount in mounts_of(shape) if mount.wanted is not None]
    return sum(len(candidates(each, node, claims)) for each in wanted)


def _keys(pod: Pod, shape: Shape) -> list[Key]:
    return [(pod.namespace, volume.claim) for volume in shape.volumes]


@lru_cache(maxsize=SHAPES_MAX)
def _bare(shape: Shape) -> Shape:
    return replace(shape, volumes=())


@lru_cache(maxsize=SHAPES_MAX)
def _mounted(bare: Shape, mounts: tuple[Mount, ...], attached: tuple[tuple[str, int], ...]) -> Shape:
    """Cached, so that pods whose claims are alike are pods of one shape."""
    requests = tuple(sorted((*bare.requests, *attached))) if attached else bare.requests
    return replace(bare, volumes=tuple(Volume(mount=mount) for mount in mounts), requests=requests)


@lru_cache(maxsize=1_024)
def _one_of(driver: str) -> Shape:
    return Shape(requests=((f"{ATTACHABLE}{driver}", 1),))
