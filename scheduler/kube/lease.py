"""Leader election on a Lease, with an epoch: one number for each leading term, which fences writes.

The decision is a pure function; the shell around it reads, compares-and-swaps and waits. Time is the
local monotonic clock only: a lease is expired when *we* saw it unchanged for its whole duration.
``leaseTransitions`` is the epoch, and each term gets a new one, so the API server's admission policy
(deploy/admission/epoch-fence.yaml) refuses the Bindings of every earlier term.
Not fencing by itself: client-go says the same of its own (tools/leaderelection/leaderelection.go).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec
import structlog

from scheduler.kube import wire
from scheduler.kube.transport import AlreadyExists, ApiError, ClusterError, NotFound, Transport

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """lease_s > renew_deadline_s > retry_s; a write lasts at most write_timeout_s.

    ``renew_deadline_s + write_timeout_s <= lease_s``, so that no write outlives the lease.
    """

    lease_s: float = 15.0
    renew_deadline_s: float = 10.0
    retry_s: float = 2.0
    write_timeout_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The Lease as last read, and since when on our clock it has not changed."""

    holder: str
    epoch: int
    resource_version: str
    lease_s: float
    since_s: float


Action = Literal["create", "take", "wait"]


def decide(seen: Observed | None, me: str, now_s: float) -> Action:
    """What a candidate does about the lease it sees. None: there is no Lease."""
    if seen is None:
        return "create"
    if not seen.holder or seen.holder == me:
        return "take"
    return "take" if now_s - seen.since_s > seen.lease_s else "wait"


def may_write(renewed_s: float | None, now_s: float, terms: Terms) -> bool:
    """Whether a write may leave now: it ends before any other candidate can take the lease."""
    return renewed_s is not None and now_s < renewed_s + terms.renew_deadline_s


class Elector:
    """Acquires, renews and releases one Lease. ``me`` must be unique to this process."""

    def __init__(
        self,
        transport: Transport,
        *,
        namespace: str,
        name: str,
        me: str,
        terms: Terms,
        clock: Callable[[], float],
        rng: Callable[[], float],
        stamp: Callable[[], str],
    ) -> None:
        self._transport = transport
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._namespace = namespace
        self._name = name
        self._me = me
        self._terms = terms
        self._clock = clock
        self._rng = rng
        self._stamp = stamp
        self._decode = msgspec.json.Decoder(wire.Lease)
        self._seen: Observed | None = None
        self._renewed_s: float | None = None
        self.epoch = 0
        #: Whether the term began by taking over from a leader that had not released.
        self.took_over = False

    def may_act(self) -> bool:
        """Asked right before every write."""
        return may_write(self._renewed_s, self._clock(), self._terms)

    async def acquire(self) -> int:
        """Wait until this process leads; returns the epoch of the term."""
        while True:
            try:
                await self._read()
                if await self._try():
                    return self.epoch
            except ClusterError as error:
                log.warning("lease not acquired", error=str(error)[:256])
            await asyncio.sleep(self._terms.retry_s * (0.75 + 0.5 * self._rng()))

    async def hold(self) -> None:
        """Renew until leadership is lost; returns before anybody else can lead."""
        while True:
            await asyncio.sleep(self._terms.retry_s)
            if not self.may_act():
                break
            try:
                if not await self._renew():
                    break
            except ClusterError as error:
                log.warning("lease not renewed", error=str(error)[:256])
            if not self.may_act():
                break
        self._renewed_s = None
        log.error("leadership lost", epoch=self.epoch)

    async def release(self) -> None:
        """Give the lease up so that the next leader need not wait. Failing to is harmless."""
        if self._renewed_s is None or self._seen is None:
            return
        self._renewed_s = None
        try:
            await self._put(holder="", epoch=self.epoch, version=self._seen.resource_version)
        except ClusterError as error:
            log.info("lease not released", error=str(error)[:256])

    async def _try(self) -> bool:
        now_s = self._clock()
        match decide(self._seen, self._me, now_s):
            case "wait":
                return False
            case "create":
                try:
                    self._note(await self._create())
                except AlreadyExists:
                    return False
                self.took_over = False
            case "take":
                seen = self._seen
                if seen is None:
                    return False
                try:
                    found = await self._put(
                        holder=self._me, epoch=seen.epoch + 1, version=seen.resource_version
                    )
                except ApiError as error:
                    if error.status in (404, 409):
                        return False
                    raise
                self.took_over = bool(seen.holder)
                self._note(found)
        self._renewed_s = now_s
        self.epoch = self._seen.epoch if self._seen is not None else 0
        log.info("leading", epoch=self.epoch, took_over=self.took_over)
        return True

    async def _renew(self) -> bool:
        """One renewal; False when the lease is somebody else's, edited or gone. Raises: ClusterError."""
        seen = self._seen
        if seen is None:
            return False
        started_s = self._clock()
        try:
            found = await self._put(holder=self._me, epoch=self.epoch, version=seen.resource_version)
        except NotFound:
            return False
        except ApiError as error:
            if error.status != 409:
                raise
            await self._read()
            now = self._seen
            # Our own renewal may have landed although its answer was lost.
            return now is not None and now.holder == self._me and now.epoch == self.epoch
        self._note(found)
        self._renewed_s = started_s
        return True

    async def _read(self) -> None:
        try:
            answer = await self._transport.request(
                "GET", f"{self._path}/{self._name}", timeout_s=self._terms.retry_s * 2
            )
        except NotFound:
            self._seen = None
            return
        self._note(self._decode.decode(answer))

    def _note(self, found: wire.Lease) -> None:
        version = found.metadata.resource_version
        if self._seen is not None and self._seen.resource_version == version:
            return
        self._seen = Observed(
            holder=found.spec.holder_identity or "",
            epoch=found.spec.lease_transitions or 0,
            resource_version=version,
            lease_s=float(found.spec.lease_duration_seconds or self._terms.lease_s),
            since_s=self._clock(),
        )

    async def _create(self) -> wire.Lease:
        body = self._body(self._me, 1, "")
        answer = await self._transport.request(
            "POST", self._path, body=body, timeout_s=self._terms.write_timeout_s
        )
        return self._decode.decode(answer)

    async def _put(self, *, holder: str, epoch: int, version: str) -> wire.Lease:
        answer = await self._transport.request(
            "PUT",
            f"{self._path}/{self._name}",
            body=self._body(holder, epoch, version),
            timeout_s=self._terms.write_timeout_s,
        )
        return self._decode.decode(answer)

    def _body(self, holder: str, epoch: int, version: str) -> bytes:
        metadata = {"name": self._name, "namespace": self._namespace}
        if version:
            metadata["resourceVersion"] = version
        now = self._stamp()
        return msgspec.json.encode(
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": metadata,
                "spec": {
                    "holderIdentity": holder,
                    "leaseDurationSeconds": max(1, round(self._terms.lease_s)),
                    "leaseTransitions": epoch,
                    "acquireTime": now,
                    "renewTime": now,
                },
            }
        )
