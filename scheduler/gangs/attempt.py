"""One try to place a gang, as a value: where it is, where each member is, and how it came there."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from dataclasses import dataclass
from enum import Enum

from msgspec import Struct, field
from msgspec.structs import replace

from scheduler.gangs.events import Event, MemberEvent
from scheduler.gangs.faults import BrokenInvariant, require
from scheduler.model.gang import GangKey

#: Why an attempt failed of which nothing was bound in time.
OVERDUE = "the deadline passed"
STORY_MAX = 50
REASON_MAX = 512


class _State(Enum):
    """Keys of tables at every step; nothing goes through a set of them in its order, so identity will do."""

    __hash__ = object.__hash__


class Phase(_State):
    CLAIMING = "Claiming"
    #: The volumes of its pods are bound or provisioned; none of the pods is bound before.
    PROVISIONING = "Provisioning"
    BINDING = "Binding"
    BOUND = "Bound"
    UNWINDING = "Unwinding"
    UNWOUND = "Unwound"
    DONE = "Done"


class MemberState(_State):
    PLANNED = "Planned"
    BINDING = "Binding"
    #: Certainly not bound; tried again at a known time.
    BACKOFF = "Backoff"
    #: Outcome unknown, read in flight.
    READING = "Reading"
    #: Outcome unknown, read again at a known time.
    UNKNOWN = "Unknown"
    BOUND = "Bound"
    EVICTING = "Evicting"
    EVICT_BACKOFF = "EvictBackoff"
    EVICT_READING = "EvictReading"
    EVICT_UNKNOWN = "EvictUnknown"
    #: Will not be bound by this attempt.
    REFUSED = "Refused"
    EVICTED = "Evicted"
    #: Deleted, failed or replaced by others.
    GONE = "Gone"
    #: Bound, and its eviction was refused too often.
    STUCK = "Stuck"


#: May still become bound by this attempt.
OPEN = frozenset(
    {
        MemberState.PLANNED,
        MemberState.BINDING,
        MemberState.BACKOFF,
        MemberState.READING,
        MemberState.UNKNOWN,
    }
)
#: Bound, and on its way out.
LEAVING = frozenset(
    {
        MemberState.EVICTING,
        MemberState.EVICT_BACKOFF,
        MemberState.EVICT_READING,
        MemberState.EVICT_UNKNOWN,
    }
)
_VIABLE = OPEN | {MemberState.BOUND}


class Writing(Enum):
    """Where the attempt's own write is: the claim while claiming, the status at the end."""

    IDLE = "Idle"
    SENT = "Sent"
    READING = "Reading"
    WRITE_BACKOFF = "WriteBackoff"
    READ_BACKOFF = "ReadBackoff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every wait and every count has an end."""

    #: An attempt of which nothing was bound for this long unwinds (INV2 allows 30 s in all).
    deadline_s: float = 20.0
    #: A write with no answer cannot land later than this after its answer was given up.
    write_timeout_s: float = 5.0
    backoff_max_s: float = 10.0
    bind_tries: int = 8
    evict_tries: int = 30
    write_tries: int = 5


class Member(Struct, frozen=True, kw_only=True):
    uid: str
    node: str
    role: str
    state: MemberState = MemberState.PLANNED
    #: Bindings, later evictions, sent and failed.
    tries: int = 0
    #: No Binding of ours sent so far can land after this moment.
    quiet_at_s: float = 0.0
    #: When the last read was asked for; only one asked for after ``quiet_at_s`` is conclusive.
    asked_at_s: float = 0.0


class Members(Mapping[str, Member]):
    """The members by uid: an immutable mapping whose changed copy costs about the root of its size.

    The last changes lie in a small overlay, which alone is copied; a full overlay becomes a new base.
    With a plain dict the events of a gang of 10,000 pods would copy 10,000 entries 10,000 times.
    """

    __slots__ = ("_base", "_overlay")
    _OVERLAY_MAX = 100

    def __init__(self, base: Mapping[str, Member], overlay: Mapping[str, Member] | None = None) -> None:
        self._base = dict(base) if overlay is None else base
        self._overlay = overlay or {}

    def put(self, member: Member) -> Members:
        """A copy with one member, which must exist, changed."""
        if member.uid not in self._base:
            raise BrokenInvariant(f"no member {member.uid}")
        overlay = {**self._overlay, member.uid: member}
        if len(overlay) > self._OVERLAY_MAX:
            return Members({**self._base, **overlay})
        return Members(self._base, overlay)

    def __getitem__(self, uid: str) -> Member:
        found = self._overlay.get(uid)
        return self._base[uid] if found is None else found

    def __iter__(self) -> Iterator[str]:
        return iter(self._base)

    def __len__(self) -> int:
        return len(self._base)

    # A mapping's own views ask for each key anew.
    def items(self) -> ItemsView[str, Member]:
        return self._all().items()

    def values(self) -> ValuesView[Member]:
        return self._all().values()

    def _all(self) -> Mapping[str, Member]:
        return {**self._base, **self._overlay} if self._overlay else self._base


class Attempt(Struct, frozen=True, kw_only=True):
    key: GangKey
    #: Leading term of the leader that made the attempt.
    epoch: int
    generation: int
    min_member: int
    #: Members that stood before and are not placed by this attempt.
    standing: int
    #: The gang stood before it, so that its other members are no affair of this attempt.
    is_added: bool = False
    #: The gang lost members: each that comes in the place of one is of use by itself.
    is_healing: bool = False
    #: (role, how many of the placed must stand), for roles with a minimum.
    role_needs: tuple[tuple[str, int], ...]
    members: Members
    deadline_s: float
    limits: Limits
    phase: Phase = Phase.CLAIMING
    writing: Writing = Writing.IDLE
    write_tries: int = 0
    #: A claim write of ours had no answer, so a claim we cannot see may be our own.
    is_claim_doubtful: bool = False
    #: Some member mounts a claim that waits for its first consumer.
    needs_volumes: bool = False
    #: Why the first member was lost, or the claim; empty while all is well.
    failure: str = ""
    #: The failure would come again: back off before the next attempt (INV12).
    is_permanent: bool = False
    is_abandoned: bool = False
    #: A gang that stands is taken back: what is claimed is to evict its members, not to bind them.
    is_taking_back: bool = False
    #: An earlier leader began it, and some of its evictions landed: each member is read first.
    is_inherited: bool = False
    #: Last 50 events, oldest first.
    story: tuple[str, ...] = ()
    #: Members by state, and viable (open or bound) members by role; kept with ``members``.
    tally: dict[MemberState, int] = field(default_factory=dict)
    viable: dict[str, int] = field(default_factory=dict)

    @property
    def placement(self) -> Mapping[str, str]:
        """uid -> node, as claimed."""
        return {uid: member.node for uid, member in self.members.items()}

    @property
    def need(self) -> int:
        """How many of the placed must be bound for the gang to stand."""
        return 1 if self.is_healing else max(0, self.min_member - self.standing)

    @property
    def is_lost(self) -> bool:
        """Whether the gang can no longer stand through this attempt."""
        viable = self.viable
        if sum(viable.values()) < max(self.need, 1):
            return True
        return any(viable.get(role, 0) < count for role, count in self.role_needs)

    @property
    def leaves_it_whole(self) -> bool:
        """Whether the API server has acknowledged as many Bindings as the gang needs to stand."""
        bound = self.tally.get(MemberState.BOUND, 0)
        return not (self.key.is_single or self.is_abandoned or self.is_taking_back) and (
            self.standing + bound >= self.min_member
        )

    @property
    def is_unanswered(self) -> bool:
        """Whether time alone ended it, before anything came of it: nothing was refused, and nobody bound."""
        is_untouched = self.tally.get(MemberState.REFUSED, 0) == len(self.members)
        return self.failure == OVERDUE and is_untouched and not self.is_permanent

    @property
    def is_done(self) -> bool:
        return self.phase is Phase.DONE

    def count(self, states: frozenset[MemberState]) -> int:
        return sum(count for state, count in self.tally.items() if state in states)

    def uids(self, *states: MemberState) -> tuple[str, ...]:
        """Members in any of the states, sorted. O(members)."""
        return tuple(sorted([uid for uid, member in self.members.items() if member.state in states]))

    def put(self, member: Member) -> Attempt:
        """The attempt with one member changed."""
        before = self.members[member.uid]
        members = self.members.put(member)
        if before.state is member.state:
            return replace(self, members=members)
        tally = {**self.tally, member.state: self.tally.get(member.state, 0) + 1}
        tally[before.state] -= 1
        change = (member.state in _VIABLE) - (before.state in _VIABLE)
        viable = self.viable
        if change:
            viable = {**viable, member.role: viable[member.role] + change}
        return replace(self, members=members, tally=tally, viable=viable)

    def put_all(self, members: Mapping[str, Member]) -> Attempt:
        """The attempt with all members as given, counted anew. O(members)."""
        tally, viable = counted(members)
        return replace(self, members=Members(members), tally=tally, viable=viable)

    def told(self, event: Event) -> Attempt:
        """The attempt with the event in its story."""
        whom = f" {event.uid}" if isinstance(event, MemberEvent) else ""
        line = f"{event.at_s:.3f} {self.phase.value}: {type(event).__name__}{whom}"
        return replace(self, story=(*self.story, line)[-STORY_MAX:])

    def failed(self, reason: str, *, is_permanent: bool) -> Attempt:
        """The attempt with a reason; the first one stays, and a permanent one stays permanent."""
        return replace(
            self,
            failure=self.failure or reason[:REASON_MAX],
            is_permanent=self.is_permanent or is_permanent,
        )


def counted(members: Mapping[str, Member]) -> tuple[dict[MemberState, int], dict[str, int]]:
    """Members by state, and viable members by role. O(members)."""
    tally: dict[MemberState, int] = {}
    viable: dict[str, int] = {}
    for member in members.values():
        tally[member.state] = tally.get(member.state, 0) + 1
        viable[member.role] = viable.get(member.role, 0) + (member.state in _VIABLE)
    return tally, viable


class InvalidTransition(BrokenInvariant):
    """An event the machine does not declare where it came: the shell's bug or ours, with the story."""

    def __init__(self, attempt: Attempt, event: Event, where: str) -> None:
        story = "\n  ".join((*attempt.story, repr(event)))
        super().__init__(f"{type(event).__name__} in {where} of gang {attempt.key}:\n  {story}")
        self.attempt = attempt
        self.event = event


def verify(attempt: Attempt) -> None:
    """Everything that must hold between steps, in O(members). Raises: BrokenInvariant."""
    counted = attempt.put_all(attempt.members)
    occupied = {state: count for state, count in attempt.tally.items() if count}
    require(occupied == counted.tally, f"tally of {attempt.key} disagrees with its members")
    require(counted.viable == attempt.viable, f"roles of {attempt.key} disagree with its members")
    require(len(attempt.story) <= STORY_MAX, f"story of {attempt.key} is too long")
    open_, leaving = attempt.count(OPEN), attempt.count(LEAVING)
    match attempt.phase:
        case Phase.BOUND:
            require(open_ + leaving == 0, f"{attempt.key} is bound too early")
        case Phase.UNWOUND:
            bound = attempt.count(frozenset({MemberState.BOUND}))
            require(open_ + leaving + bound == 0, f"{attempt.key} is unwound too early")
        case Phase.CLAIMING | Phase.PROVISIONING | Phase.BINDING:
            require(leaving == 0, f"{attempt.key} evicts before it unwinds")
        case Phase.UNWINDING | Phase.DONE:
            pass
