"""Gang objects: the written intent before the first Binding, and what ``kubectl get gangs`` shows.

A claim is a compare-and-swap on the Gang object's status: phase, epoch and placement with pod UIDs, so
that the next leader can finish or unwind what this one began.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from scheduler.gangs import events
from scheduler.gangs.attempt import Attempt
from scheduler.gangs.recovery import TAKING_BACK
from scheduler.inventory import times
from scheduler.kube import wire
from scheduler.kube.client import Client
from scheduler.kube.depth import decode
from scheduler.kube.transport import (
    AlreadyExists,
    ApiError,
    BadAnswer,
    ClusterError,
    NotFound,
    OutcomeUnknown,
)
from scheduler.model.gang import Finished, GangKey, PendingGang

API_VERSION = "stowplan.dev/v1alpha1"
DIALECT = "stowplan.dev/dialect"
NAME_MAX = 253
MESSAGE_MAX = 1024
RETRY_S = 0.5
#: Of larger gangs the members of the last attempt alone are written down: each that joins would cost as much.
PLACES_MAX = 1_000
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
MERGE_PATCH = "application/merge-patch+json"
_GANG = msgspec.json.Decoder(wire.Gang)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A Gang object as last seen: what its writer promised."""

    key: GangKey
    uid: str
    resource_version: str
    phase: str
    epoch: int
    #: (uid, pod, node) as claimed.
    placement: tuple[tuple[str, str, str], ...]
    reason: str
    message: str
    #: The minimum under which the gang started, 0 while it never stood.
    started: int = 0
    #: Members that did their work and were deleted since.
    finished: tuple[Finished, ...] = ()


class Place(NamedTuple):
    """Where a member is, or was lost; without a name where only its room is known."""

    pod: str
    uid: str
    node: str


def object_name(key: GangKey) -> str:
    """The Gang object's name: the gang's own, with its dialect where that is not stowplan's."""
    parts = key.name.replace("/", ".")
    name = parts if key.dialect == "own" else f"{parts}.{key.dialect}"
    is_legal = _SUBDOMAIN.fullmatch(name) is not None
    if is_legal and len(name) <= NAME_MAX:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    like = name if is_legal else re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return f"{like[: NAME_MAX - 17].rstrip('.-')}.{digest}"


def claim_of(found: wire.Gang) -> Claim | None:
    """The Gang object as a claim; None for one that does not say whose it is."""
    labels = found.metadata.labels or {}
    dialect, name = labels.get(DIALECT, ""), (found.metadata.annotations or {}).get(DIALECT, "")
    if not dialect or not name:
        return None
    status = found.status
    return Claim(
        key=GangKey(namespace=found.metadata.namespace, dialect=dialect, name=name),
        uid=found.metadata.uid,
        resource_version=found.metadata.resource_version,
        phase=status.phase,
        epoch=status.epoch,
        placement=tuple((p.uid, p.pod, p.node) for p in status.placement or ()),
        reason=status.reason,
        message=status.message,
        started=status.started_min_member,
        finished=tuple(_finished(pod) for pod in status.succeeded or ()),
    )


def _finished(found: wire.FinishedPod) -> Finished:
    return Finished(
        uid=found.uid,
        name=found.pod,
        owner=found.owner,
        created_s=times.read(found.created) or 0.0,
        ended_s=times.read(found.ended) or 0.0,
    )


class ClaimBook:
    """Every Gang object of ours as the watch and our own writes show it, and the writer of them."""

    def __init__(
        self,
        transport: Client,
        *,
        clock: Callable[[], float],
        may_act: Callable[[], bool],
        write_timeout_s: float,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._may_act = may_act
        self._timeout_s = write_timeout_s
        self._claims: dict[GangKey, Claim] = {}

    def get(self, key: GangKey) -> Claim | None:
        return self._claims.get(key)

    def all(self) -> Sequence[Claim]:
        return tuple(self._claims.values())

    def seen(self, found: wire.Gang) -> None:
        """Take a version of a Gang object; one older than a write of ours told is ignored."""
        claim = claim_of(found)
        if claim is None:
            return
        known = self._claims.get(claim.key)
        if known is None or known.uid != claim.uid or _newer(claim, known):
            self._claims[claim.key] = claim

    def lost(self, uid: str) -> None:
        """A Gang object is gone."""
        for key in [key for key, claim in self._claims.items() if claim.uid == uid]:
            del self._claims[key]

    async def write(self, attempt: Attempt, gang: PendingGang, places: Sequence[Place]) -> events.Event:
        """WriteClaim. places: of the attempt's members."""
        status = _intent(attempt, gang) | {
            "epoch": attempt.epoch,
            "placement": [place._asdict() for place in places],
        }
        try:
            if not self._may_act():
                return events.LeadershipLost(at_s=self._clock())
            if attempt.key not in self._claims:
                await self._create(attempt.key, gang)
            await self._put_status(attempt.key, status, epoch=attempt.epoch)
        except _Overtaken as error:
            return events.ClaimRefused(at_s=self._clock(), reason=str(error))
        except OutcomeUnknown:
            return events.ClaimUnknown(at_s=self._clock())
        except ApiError as error:
            if error.status == 429 or error.status >= 500 or error.status in (404, 409):
                self._claims.pop(attempt.key, None) if error.status == 404 else None
                return events.ClaimRetry(at_s=self._clock(), after_s=error.retry_after_s or RETRY_S)
            return events.ClaimRefused(at_s=self._clock(), reason=f"{error.status} {error.message}"[:256])
        except ClusterError:
            return events.ClaimRetry(at_s=self._clock(), after_s=RETRY_S)
        return events.ClaimAcked(at_s=self._clock())

    async def read(self, attempt: Attempt) -> events.Event:
        """ReadClaim: whether the object holds this attempt's epoch and placement."""
        try:
            claim = await self._fetch(attempt.key)
        except ClusterError:
            return events.ClaimReadRetry(at_s=self._clock(), after_s=RETRY_S)
        is_ours = (
            claim is not None
            and claim.epoch == attempt.epoch
            and {uid: node for uid, _, node in claim.placement} == dict(attempt.placement)
        )
        return events.ClaimRead(at_s=self._clock(), is_ours=is_ours)

    async def finish(
        self, attempt: Attempt, written: events.WriteStatus, places: Sequence[Place] = ()
    ) -> events.Event:
        """WriteStatus: how the attempt ended. places: of all members, where it was not about all of them."""
        status: dict[str, object] = {
            "phase": written.phase,
            "reason": written.phase,
            "message": written.message[:MESSAGE_MAX],
            "epoch": attempt.epoch,
            "bound": attempt.standing + len(written.bound)
            if written.phase == "Bound"
            else len(written.bound),
        }
        if written.phase == "Pending":
            status["placement"] = []
        elif written.phase == "Bound" and 0 < len(places) <= PLACES_MAX:
            status["placement"] = [place._asdict() for place in places]
        if attempt.leaves_it_whole:
            status["startedMinMember"] = attempt.min_member
        try:
            if not self._may_act():
                return events.LeadershipLost(at_s=self._clock())
            await self._put_status(attempt.key, status, epoch=attempt.epoch)
        except _Overtaken:
            return events.StatusRefused(at_s=self._clock())
        except NotFound:
            self._claims.pop(attempt.key, None)
            return events.StatusRefused(at_s=self._clock())
        except ApiError as error:
            return events.StatusRetry(at_s=self._clock(), after_s=error.retry_after_s or RETRY_S)
        except ClusterError:
            return events.StatusRetry(at_s=self._clock(), after_s=RETRY_S)
        return events.StatusAcked(at_s=self._clock())

    async def show(
        self, key: GangKey, gang: PendingGang, *, epoch: int, phase: str, reason: str, message: str
    ) -> None:
        """Show a pending gang's verdict in its object, creating it when needed. Raises: ClusterError."""
        if key not in self._claims:
            await self._create(key, gang)
        status = {
            "phase": phase,
            "reason": reason,
            "message": message[:MESSAGE_MAX],
            "epoch": epoch,
            "minMember": gang.stood if gang.is_broken else gang.min_member,
            **_members(gang, gang.standing),
        }
        try:
            await self._put_status(key, status, epoch=epoch)
        except _Overtaken:
            return

    async def drop(self, key: GangKey) -> None:
        """Delete the object of a gang that no longer exists. Raises: ClusterError."""
        claim = self._claims.get(key)
        if claim is None:
            return
        body = msgspec.json.encode(
            {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": claim.uid}}
        )
        with contextlib.suppress(NotFound):
            await self._transport.request("DELETE", _path(key), body=body, timeout_s=self._timeout_s)
        self._claims.pop(key, None)

    async def _create(self, key: GangKey, gang: PendingGang) -> None:
        metadata: dict[str, object] = {
            "name": object_name(key),
            "namespace": key.namespace,
            "labels": {DIALECT: key.dialect},
            "annotations": {DIALECT: key.name},
        }
        if gang.owner is not None:
            version, kind, name, uid = gang.owner
            metadata["ownerReferences"] = [{"apiVersion": version, "kind": kind, "name": name, "uid": uid}]
        body = {"apiVersion": API_VERSION, "kind": "Gang", "metadata": metadata}
        path = f"/apis/{API_VERSION}/namespaces/{key.namespace}/gangs"
        try:
            answer = await self._transport.request(
                "POST", path, body=msgspec.json.encode(body), timeout_s=self._timeout_s
            )
        except (AlreadyExists, OutcomeUnknown):
            if await self._fetch(key) is None:
                raise
            return
        self.seen(_read(answer, OutcomeUnknown))

    async def _put_status(self, key: GangKey, status: Mapping[str, object], *, epoch: int) -> None:
        """Compare-and-swap the status. Raises: _Overtaken when a newer leader wrote, ClusterError."""
        for is_last in (False, True):
            claim = self._claims.get(key)
            if claim is None:
                claim = await self._fetch(key)
                if claim is None:
                    raise _Overtaken("the Gang object is not ours")
            if claim.epoch > epoch:
                raise _Overtaken(f"a leader of epoch {claim.epoch} wrote the Gang object")
            body = {"metadata": {"resourceVersion": claim.resource_version}, "status": status}
            try:
                answer = await self._transport.request(
                    "PATCH",
                    f"{_path(key)}/status",
                    body=msgspec.json.encode(body),
                    content_type=MERGE_PATCH,
                    timeout_s=self._timeout_s,
                )
            except ApiError as error:
                if error.status != 409 or is_last:
                    raise
                self._claims.pop(key, None)
                continue
            self.seen(_read(answer, OutcomeUnknown))
            return

    async def _fetch(self, key: GangKey) -> Claim | None:
        """Quorum-read the object into the book; None when it is missing or not this gang's."""
        try:
            answer = await self._transport.request("GET", _path(key), timeout_s=self._timeout_s)
        except NotFound:
            self._claims.pop(key, None)
            return None
        found = _read(answer, BadAnswer)
        self.seen(found)
        claim = claim_of(found)
        return claim if claim is not None and claim.key == key else None


def _read(answer: bytes, failure: type[ClusterError]) -> wire.Gang:
    """failure: what an answer that is no Gang object raises."""
    try:
        return decode(_GANG, answer)
    except msgspec.MsgspecError as error:
        raise failure(f"no Gang object: {error}") from error


class _Overtaken(Exception):
    """Another leader owns the object now."""


def _intent(attempt: Attempt, gang: PendingGang) -> dict[str, object]:
    """What the attempt is about to do to the pods of its placement."""
    if attempt.is_taking_back:
        return {"phase": TAKING_BACK, "reason": "TakenBack", "message": attempt.failure[:MESSAGE_MAX]}
    first = "having their volumes provided, then " if attempt.needs_volumes else ""
    return {
        "phase": "Binding",
        "reason": "Claimed",
        "message": f"{first}binding {len(attempt.members)} pods",
        "minMember": attempt.min_member,
        **_members(gang, attempt.standing),
    }


def _members(gang: PendingGang, standing: int) -> dict[str, object]:
    """What every status says of who is there, who stands and who is done."""
    return {
        "startedMinMember": gang.stood,
        "members": standing + len(gang.pods),
        "bound": standing,
        "succeeded": _succeeded(gang),
    }


def _succeeded(gang: PendingGang) -> list[dict[str, object]]:
    return [
        {
            "pod": pod.name,
            "uid": pod.uid,
            "owner": pod.owner,
            "created": times.written(pod.created_s),
            "ended": times.written(pod.ended_s or None),
        }
        for pod in gang.finished
    ]


def _newer(one: Claim, other: Claim) -> bool:
    return int(one.resource_version) >= int(other.resource_version)


def _path(key: GangKey) -> str:
    return f"/apis/{API_VERSION}/namespaces/{key.namespace}/gangs/{object_name(key)}"
