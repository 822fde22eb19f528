"""Gangs: pods that start together, as every dialect describes them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from msgspec import Struct

from scheduler.model.objects import Pod, Rejected, Shape
from scheduler.model.structs import like_dataclass


@like_dataclass
class GangKey(Struct, frozen=True, kw_only=True, order=True, cache_hash=True, gc=False):
    """Identity of a gang: a bare name never keys anything."""

    namespace: str
    #: ``pod`` for a single pod, else the dialect's short name (``own``, ``podgroup``, ``job`` ...).
    dialect: str
    #: Name of the group object or group key; the pod's UID for a single pod.
    name: str

    @property
    def is_single(self) -> bool:
        return self.dialect == SINGLE

    @property
    def object_name(self) -> str:
        """Name of the object that defines the gang; several gangs of one object are ``OBJECT/PART``."""
        return self.name.partition("/")[0]

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


SINGLE = "pod"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSpec:
    """What a dialect says of one role: how many of it must stand for the gang to stand."""

    name: str
    minimum: int
    #: Its pods come when the other roles run, so it stands, or does not stand yet, by itself.
    is_late: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSpec:
    """A role whose pods make up replicas: beyond its minimum it starts replica by replica, each whole."""

    role: str
    #: Pods of one replica, 2 or more.
    size: int
    #: Replicas that the role's minimum counts.
    minimum: int
    #: Key of the pods' label that names their replica; pods without it are alike, and any ``size`` make one.
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologySpec:
    """All pods of the gang inside one domain of a node label."""

    label: str
    is_required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GangSpec:
    """A gang as its dialect describes it, from the group object or the pods' own keys."""

    key: GangKey
    #: Members that must stand together before any starts; 1 <= min_member <= 10,000.
    min_member: int
    #: Changes whenever the description does (the group object's generation), so that a claim
    #: written for an older description is noticed.
    generation: int
    roles: tuple[RoleSpec, ...] = ()
    replicas: tuple[ReplicaSpec, ...] = ()
    topology: tuple[TopologySpec, ...] = ()
    #: Overrides the members' priority when the group object sets one.
    priority: int | None = None
    #: Owner of the Gang object: (apiVersion, kind, name, uid), or None.
    owner: tuple[str, str, str, str] | None = None
    #: What the gang's owner should know although the gang may start; empty mostly.
    notice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A gang that cannot be planned yet and is nobody's error: members or group object to come."""

    reason: str


#: Who keeps a gang from being planned; each of them for itself.
HeldBy = Literal["back-off", "restart", "eviction"]


@like_dataclass
class Vacancy(Struct, frozen=True, kw_only=True, gc=False):
    """Room that a member of a running gang left, kept for the one that comes in its place.

    is_coming: it is still on its way out.
    """

    gang: GangKey
    #: Of the member that left.
    uid: str
    node: str
    shape: Shape
    priority: int
    is_coming: bool = False


def taken_by(rooms: Iterable[Vacancy], node: str, shape: Shape) -> Vacancy | None:
    """Which of its gang's rooms a member takes that comes to a node: one there, else one for its shape."""
    rooms = tuple(rooms)
    here = (room for room in rooms if room.node == node)
    alike = (room for room in rooms if room.shape == shape)
    return next(chain(here, alike), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A member that did its work and was deleted: what is to be known of it to go on counting on it."""

    uid: str
    name: str
    #: UID of the object that made it, empty for a bare pod: another run of the name has another one.
    owner: str
    created_s: float
    #: 0 where its status did not tell.
    ended_s: float


@like_dataclass
class PendingRole(Struct, frozen=True, kw_only=True, gc=False):
    """Unbound pods of one role and one shape, in the order in which they get their places.

    One role of a dialect becomes several of these where its pods differ in shape.
    """

    name: str
    shape: Shape
    #: How many of these must be placed for the role to stand, given what already stands.
    minimum: int
    pods: tuple[Pod, ...]
    #: Of pods beyond the gang's minimum that start together or not at all: the replica they make up.
    replica: str = ""


@like_dataclass
class PendingGang(Struct, frozen=True, kw_only=True, gc=False):
    """A gang with unbound members, as the snapshot shows it."""

    key: GangKey
    generation: int
    priority: int
    created_s: float
    #: Of one that is broken, one more than stand.
    min_member: int
    #: Members that stand: bound and not failed, or succeeded.
    standing: int
    #: Node names of members that run, for topology that is already decided.
    standing_nodes: tuple[str, ...]
    roles: tuple[PendingRole, ...]
    topology: tuple[TopologySpec, ...] = ()
    owner: tuple[str, str, str, str] | None = None
    #: Set when the gang must not be planned; the reason goes to every pending member.
    blocked: Rejected | Waiting | None = None
    #: As ``GangSpec.notice``.
    notice: str = ""
    #: Nodes whose kubelet turned down a pod of it, for a time (``scheduler.state.refusals``).
    avoided: tuple[str, ...] = ()
    #: None of them did so twice in a row: it is tried there again soon, and nobody is evicted for it before.
    is_turned_down_once: bool = False
    #: The minimum by which it stands since it started, 0 while it never stood; more may be asked of it since.
    stood: int = 0
    #: It does not stand by that any more: what it waits for comes in the place of lost members.
    is_broken: bool = False
    #: Of its members that did their work those that are not there any more, no more than it takes to stand.
    finished: tuple[Finished, ...] = ()

    @property
    def is_started(self) -> bool:
        """Whether it holds something that is of no use without the rest."""
        return self.standing > 0 and self.need > 0 and (self.is_broken or not self.stood)

    @property
    def need(self) -> int:
        """How many more must be placed for the gang to stand."""
        return max(0, self.min_member - self.standing)

    @property
    def pods(self) -> tuple[Pod, ...]:
        return tuple(pod for role in self.roles for pod in role.pods)

    def tears(self, uids: Collection[str]) -> bool:
        """Whether some replica has a part of its pods among these, and a part not."""
        there: dict[str, set[bool]] = {}
        for role in self.roles:
            if role.replica:
                there.setdefault(role.replica, set()).update(pod.uid in uids for pod in role.pods)
        return any(len(answers) > 1 for answers in there.values())
