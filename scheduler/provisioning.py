"""Which waiting gangs deserve a ProvisioningRequest, what it asks for, and when it is withdrawn.

``autoscaling.x-k8s.io/v1``, the API by which Cluster Autoscaler adds all that a gang needs or nothing. Pure:
a shell lists the requests, carries out the steps and tells what they say (``scheduler.live.provisioner``).
Source of the schema and of the conditions' meanings: kubernetes/autoscaler, cluster-autoscaler/apis.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from scheduler.model.gang import PendingGang
from scheduler.model.objects import Pod
from scheduler.model.plan import Verdict

#: The verdicts that more nodes would change: ``NeverFits`` as well, which speaks of the nodes there are.
LACKING: Final = frozenset({"Unschedulable", "NeverFits", "Unproven"})
#: A pod that has one of these consumes a request that somebody else made.
CONSUMES: Final = frozenset(
    {
        "autoscaling.x-k8s.io/consume-provisioning-request",
        "cluster-autoscaler.kubernetes.io/consume-provisioning-request",
    }
)
#: The API's own limit.
SETS_MAX: Final = 32
MESSAGE_MAX: Final = 1024
#: A request that no autoscaler accepts for so long keeps the gang's pods from the usual way no longer.
UNANSWERED_S: Final = 60.0
NAME_PREFIX: Final = "stowplan-"
#: Conditions that end a request, the most telling first.
ENDS: Final = ("CapacityRevoked", "Failed", "BookingExpired")
ACCEPTED: Final = "Accepted"
PROVISIONED: Final = "Provisioned"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningPolicy:
    """A gang is asked for when it lacked capacity for ``after_s``; anew ``retry_s`` after a failure."""

    class_name: str
    parameters: tuple[tuple[str, str], ...] = ()
    after_s: float = 10.0
    retry_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSet:
    """So many pods like this one."""

    pod: Pod
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What one gang's request asks for. ``mark`` changes when that does, and not with a restart."""

    gang: PendingGang
    sets: tuple[PodSet, ...]
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One condition of a request. ``since_s``: seconds since the epoch, 0 where it cannot be read."""

    kind: str
    is_true: bool
    message: str
    since_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A ProvisioningRequest of ours as the API server shows it."""

    namespace: str
    name: str
    uid: str
    #: UID of the Gang object that owns it.
    gang_uid: str
    mark: str
    created_s: float
    templates: tuple[str, ...] = ()
    said: Mapping[str, Said] = field(default_factory=dict)

    @property
    def end(self) -> Said | None:
        """The condition that ended it, if one did."""
        return next((self.said[kind] for kind in ENDS if self._is(kind)), None)

    def is_answered(self, now_s: float) -> bool:
        """Whether an autoscaler works on it, or may still come to."""
        if self.end is not None:
            return False
        is_known = self._is(ACCEPTED) or self._is(PROVISIONED)
        return is_known or now_s - self.created_s < UNANSWERED_S

    def told(self, now_s: float) -> str:
        """How it stands, in words."""
        word = self.end or self.said.get(PROVISIONED) or self.said.get(ACCEPTED)
        if word is None:
            is_late = not self.is_answered(now_s)
            return "no autoscaler has accepted it" if is_late else "not accepted yet"
        kind = word.kind if word.is_true else f"not {word.kind} yet"
        return f"{kind}: {word.message}" if word.message else kind

    def _is(self, kind: str) -> bool:
        return kind in self.said and self.said[kind].is_true


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What to do about requests, by the UID of the Gang object where one is to be made."""

    withdrawn: tuple[Request, ...]
    made: tuple[tuple[str, Ask], ...]


def name_of(gang_uid: str) -> str:
    """One name a Gang object, whoever asks and how often: so there are never two requests of one gang."""
    return NAME_PREFIX + gang_uid


def is_lacking(verdict: Verdict, gang: PendingGang) -> bool:
    """Whether the gang waits for capacity that new nodes may bring and that nobody else asked for.

    A single pod needs no request: it is added for whole. A verdict without a certificate judges no
    capacity: the gang is held behind another. A gang that stands and grows has its minimum.
    """
    return (
        verdict.reason in LACKING
        and verdict.certificate is not None
        and not gang.key.is_single
        and gang.blocked is None
        and sum(_counts(gang)) > 0
        and not any(key in CONSUMES for pod in gang.pods for key, _ in pod.annotations)
    )


def ask(gang: PendingGang, policy: ProvisioningPolicy) -> Ask | None:
    """The pods of each role that the gang's minimum still lacks; None where the API cannot say so many.

    What fits on nodes that are there is not left out: the autoscaler finds that by itself.
    """
    counted = [(role, count) for role, count in zip(gang.roles, _counts(gang), strict=True) if count]
    if not counted or len(counted) > SETS_MAX:
        return None
    asked = [(role.name, repr(role.shape), count) for role, count in counted]
    text = repr((policy.class_name, policy.parameters, asked))
    return Ask(
        gang=gang,
        sets=tuple(PodSet(pod=role.pods[0], count=count) for role, count in counted),
        mark=hashlib.sha256(text.encode()).hexdigest()[:16],
    )


def steps(
    lacking: Mapping[str, Ask],
    due: Iterable[str],
    found: Iterable[Request],
    policy: ProvisioningPolicy,
    now_s: float,
) -> Steps:
    """lacking: what each gang that lacks capacity would ask for, by its Gang object's UID. due: of those, the
    ones that have lacked it for long enough. found: every request of ours.

    A request goes when its gang is bound, gone or waits for something else, when what it asks for changed,
    and some time after it failed. What is withdrawn is made anew at a later look, when it is seen to be gone.
    """
    requests = tuple(found)
    withdrawn = tuple(one for one in requests if _is_past(one, lacking.get(one.gang_uid), policy, now_s))
    known = {one.gang_uid for one in requests}
    return Steps(
        withdrawn=withdrawn,
        made=tuple((uid, lacking[uid]) for uid in due if uid in lacking and uid not in known),
    )


def noted(verdict: Verdict, request: Request | None, now_s: float, trouble: str = "") -> Verdict:
    """The verdict of a gang that lacks capacity, with what became of its request.

    As long as a request may bring the nodes, the reason is one that autoscalers pass over: they would add
    nodes for the pods beside those for the request. trouble: why there is no request, in words.
    """
    if request is None and trouble:
        return replace(verdict, message=_joined(verdict.message, f"no ProvisioningRequest: {trouble}"))
    if request is None:
        return replace(verdict, reason="WaitingForNodes")
    message = _joined(verdict.message, f"ProvisioningRequest {request.name}: {request.told(now_s)}")
    if not request.is_answered(now_s):
        return replace(verdict, message=message)
    return replace(verdict, reason="WaitingForNodes", message=message)


def _counts(gang: PendingGang) -> list[int]:
    """Pods of each role that the minimum lacks: its own first, then in the roles' order."""
    counts = [min(role.minimum, len(role.pods)) for role in gang.roles]
    left = gang.need - sum(counts)
    for index, role in enumerate(gang.roles):
        more = max(0, min(left, len(role.pods) - counts[index]))
        counts[index] += more
        left -= more
    return counts


def _is_past(request: Request, wanted: Ask | None, policy: ProvisioningPolicy, now_s: float) -> bool:
    if wanted is None or wanted.mark != request.mark:
        return True
    return request.end is not None and now_s - request.end.since_s >= policy.retry_s


def _joined(message: str, more: str) -> str:
    """Both, the first cut where there is no room for it: what became of the request is the news."""
    more = f"; {more}"[:MESSAGE_MAX]
    return message[: MESSAGE_MAX - len(more)] + more
