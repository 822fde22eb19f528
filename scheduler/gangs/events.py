"""What the gang machine is told and what it answers. Events say *this happened*, instructions *do this*.

The shell answers every BindPod, ReadPod, EvictPod, WriteClaim, ReadClaim and WriteStatus with exactly
one event of its kind, and every Wake with one wake-up. It feeds nothing else from the watch than
MemberGone and StandingGone. How an API answer becomes an event:

============================  ==========================================================================
bind: 201                     BindAcked
bind: 409                     BindConflict: the pod is read before anything is decided
bind: 403, 404, 422           BindRefused, permanent
bind: 429, 5xx, unreachable   BindRetry: certainly not applied
bind: fenced                  LeadershipLost where the Lease is no longer ours, else BindRetry
bind: sent, no answer         BindUnknown
read: 200, 404                PodRead; anything else ReadRetry
evict: 201                    EvictAcked
evict: 404, 409 (uid)         EvictGone
evict: 429, 5xx, unreachable  EvictRetry
evict: sent, no answer        EvictUnknown
============================  ==========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happened; ``at_s`` is the shell's monotonic clock."""

    at_s: float


# -- the claim ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimAcked(Event):
    """The Gang object now holds our placement and epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRefused(Event):
    """The claim was certainly not written: lost compare-and-swap, forbidden, invalid."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRetry(Event):
    """The claim was certainly not written, and may be when tried again."""

    after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimUnknown(Event):
    """The claim was sent and no answer came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRead(Event):
    """A quorum read of the Gang object; ours means our epoch and this attempt's placement."""

    is_ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimReadRetry(Event):
    after_s: float


# -- volumes -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumesReady(Event):
    """Every claim of every pod that is still to be bound has its volume, in reach of the pod's node."""


# -- members -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEvent(Event):
    """Something happened to one placed pod."""

    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BindAcked(MemberEvent):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class BindRefused(MemberEvent):
    """Certainly not bound. Permanent: the same Binding would be refused again (INV12)."""

    reason: str
    is_permanent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BindConflict(MemberEvent):
    """409: this request did nothing, but an earlier one of ours may be why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BindRetry(MemberEvent):
    after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BindUnknown(MemberEvent):
    """The Binding left this process and no answer came: it may have landed, or may land yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRead(MemberEvent):
    """A quorum read of the pod by name; another uid under that name is ``is_gone``."""

    #: Empty while not bound.
    node: str = ""
    is_gone: bool = False
    is_deleting: bool = False
    #: It did its work on its node: nothing is left to evict, and nothing is missing.
    has_succeeded: bool = False
    resource_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRetry(MemberEvent):
    after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictAcked(MemberEvent):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictGone(MemberEvent):
    """There was nothing left to evict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictRetry(MemberEvent):
    """Not evicted. is_refused: by a disruption budget or a rule, so that asking again at once is no use."""

    after_s: float
    is_refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictUnknown(MemberEvent):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumesFailed(MemberEvent):
    """A volume of the pod cannot be had for its node, or was not in time."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberWoken(MemberEvent):
    """The time of a WakeMember has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberGone(MemberEvent):
    """The watch showed the placed pod deleted, deleting, failed or replaced under another uid."""


# -- the attempt -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingGone(Event):
    """A member of the gang that stood and is not among the attempt's members stands no longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusAcked(Event):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRetry(Event):
    """The status was not written, or nobody knows; writing it again does no harm."""

    after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRefused(Event):
    """The Gang object is gone or another leader's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptWoken(Event):
    """The time of a WakeAttempt has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinePassed(Event):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadershipLost(Event):
    pass


# -- instructions ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteClaim:
    """Compare-and-swap the Gang object: phase Binding, epoch, placement with uids, of the attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadClaim:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvideVolumes:
    """Have the claims of all planned members bound or provisioned for their nodes. Answered by VolumesReady
    once, when all that are still planned are ready, and before by VolumesFailed for each that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BindPod:
    """Send a Binding with the uid and a resourceVersion: this one, or the observed one if empty."""

    uid: str
    node: str
    resource_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPod:
    """Quorum read, not from the cache."""

    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictPod:
    """Evict with a uid precondition."""

    uid: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeMember:
    uid: str
    after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeAttempt:
    after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteStatus:
    """Write the outcome into the Gang object, unless its epoch is newer than the attempt's."""

    phase: Literal["Bound", "Pending", "Stuck"]
    bound: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Give back capacity assumed for the pod: it is certainly not bound by us."""

    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Announce:
    """Tell the world (Event, metric, log) what the API has already acknowledged (INV14)."""

    kind: Literal["Scheduled", "Evicted", "NotPlaced", "Stuck"]
    uids: tuple[str, ...]
    message: str


Instruction = (
    WriteClaim
    | ReadClaim
    | ProvideVolumes
    | BindPod
    | ReadPod
    | EvictPod
    | WakeMember
    | WakeAttempt
    | WriteStatus
    | Forget
    | Announce
)
