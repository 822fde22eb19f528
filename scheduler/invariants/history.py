"""What an auditor saw on the API server: every version of every object, in revision order.

Facts only, read from API objects without the scheduler's own code. Amounts are whole thousandths of
the resource's unit, so that no quantity is rounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

Kind = Literal["Pod", "Node", "GPUNode", "Group", "Gang", "Lease", "Event", "Quota"]


@dataclass(frozen=True, slots=True, order=True)
class GangRef:
    """Who starts together. ``dialect`` and ``name`` are spelled as the label and annotation of a Gang object.

    name: ``OBJECT/PART`` where one object describes several gangs.
    """

    namespace: str
    dialect: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name} ({self.dialect})"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodVersion:
    """``minimum`` is what the pod's own keys say; 0 where a group object says it or nothing readable does.

    ``role``: of the member, as its dialect calls it. ``together``: roles of which one member at least must be
    there too; then ``minimum`` speaks of the pod's own role alone.
    ``told`` is (status, reason, message) of its PodScheduled condition. ``devices``: UUIDs that it names.
    ``share``: what it asks of one device, a fraction of it or bytes of its memory; None for whole ones.
    ``evicted_for``: (reason, message) of its condition stowplan.dev/Evicted. ``on_loss``: what its owner
    wants when the gang loses a member. ``is_plain``: nothing but its requests says where it may go.
    """

    uid: str
    namespace: str
    name: str
    scheduler: str
    created: str = ""
    #: The UID of its controller.
    owner: str = ""
    node: str = ""
    phase: str = "Pending"
    is_deleting: bool = False
    is_gated: bool = False
    #: The Eviction API marked it (condition DisruptionTarget).
    is_evicted: bool = False
    requests: Mapping[str, int]
    gang: GangRef | None = None
    minimum: int = 0
    role: str = ""
    together: tuple[str, ...] = ()
    epoch: int | None = None
    told: tuple[str, str, str] | None = None
    devices: tuple[str, ...] = ()
    share: Fraction | int | None = None
    priority: int = 0
    can_preempt: bool = True
    nominated: str = ""
    evicted_for: tuple[str, str] | None = None
    on_loss: str = ""
    is_plain: bool = True
    #: What its kubelet gives it to stop.
    grace_s: float = 0.0

    @property
    def is_live(self) -> bool:
        return self.phase not in ("Succeeded", "Failed")

    @property
    def stands(self) -> bool:
        """A gang may count on it: bound and staying, or succeeded."""
        if self.is_deleting or self.phase == "Failed":
            return False
        return bool(self.node) or self.phase == "Succeeded"

    @property
    def holds(self) -> bool:
        """Bound, unfinished and staying."""
        return bool(self.node) and self.is_live and not self.is_deleting

    @property
    def waits(self) -> bool:
        return not self.node and self.is_live and not self.is_deleting and not self.is_gated

    @property
    def title(self) -> str:
        return f"pod {self.namespace}/{self.name} ({self.uid})"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeVersion:
    """``is_open``: neither cordoned nor tainted, so that a pod without tolerations may go there."""

    name: str
    allocatable: Mapping[str, int]
    is_open: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class GPUNodeVersion:
    """What an agent says: bytes of memory by UUID, MIG instances among them, and which may be given."""

    name: str
    memory: Mapping[str, int]
    usable: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupVersion:
    """What a PodGroup or a job says of its gang; ``minimum`` is 1 for one that asks for no gang.

    ``roles``: how many of each role the minimum must hold. ``late``: the same of roles whose pods are made
    when the others run; they count from the first of them that stands, and not in ``minimum``.
    """

    ref: GangRef
    minimum: int
    roles: Mapping[str, int] = field(default_factory=dict)
    late: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GangVersion:
    """A Gang object: the scheduler's own word about a gang. ``placement`` is node by UID.

    ``status``: all of it as it was read, by which a version that says nothing new is known.
    """

    ref: GangRef
    phase: str
    epoch: int
    placement: Mapping[str, str]
    status: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseVersion:
    holder: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventVersion:
    """An Event object, regarding the pod of that UID; ``note`` is its text."""

    uid: str
    reason: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaVersion:
    """A TeamQuota that names its namespaces: what it is guaranteed, in thousandths by resource of a pod.

    ``is_plain``: a team at the top, charged by namespace and resource alone.
    """

    name: str
    namespaces: tuple[str, ...]
    guaranteed: Mapping[str, int]
    is_plain: bool = True


Version = (
    PodVersion
    | NodeVersion
    | GPUNodeVersion
    | GroupVersion
    | GangVersion
    | LeaseVersion
    | EventVersion
    | QuotaVersion
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """``version`` is None for a deletion. ``key`` names the object within its kind: a pod's is its UID.

    revision: the API server's resourceVersion; one storage, so it orders entries of all kinds.
    at_s: when the auditor saw it, on the auditor's monotonic clock.
    """

    revision: int
    at_s: float
    kind: Kind
    key: str
    version: Version | None


class History:
    """Entries sorted by revision, and when the auditor stopped looking."""

    def __init__(self, entries: Iterable[Entry], *, until_s: float, ours: str = "stowplan") -> None:
        self._entries = tuple(sorted(entries, key=lambda entry: entry.revision))
        self.until_s = until_s
        #: The schedulerName of the pods that are ours.
        self.ours = ours

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def last_revision(self) -> int:
        return self._entries[-1].revision if self._entries else 0


@dataclass(frozen=True, slots=True)
class Violation:
    """``invariant`` as named in the text of its checker: ``INV1`` and so on."""

    invariant: str
    revision: int
    text: str

    def __str__(self) -> str:
        return f"{self.invariant} at revision {self.revision}: {self.text}"
