"""Leader election on a Lease, with an epoch: one number for each leading term, by which writes are fenced.

Decisions are pure functions of what was observed; the Elector around them reads, swaps and waits. Time is
the local monotonic clock: a lease has expired when *this process* saw it unchanged for its whole duration.
``leaseTransitions`` is the epoch, and every term of every process gets a new one, so that the API server's
admission policy (deploy/admission/epoch-fence.yaml) can refuse the writes of an earlier term. The election
alone does not fence; client-go says the same of its own (tools/leaderelection/leaderelection.go).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import structlog

from scheduler.kube import wire
from scheduler.kube.errors import ClusterError, Conflict, NotFound

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: A longer duration in the Lease is not waited for; nobody could take over from a mistyped one.
LEASE_S_MAX = 600.0
TOLD_LENGTH_MAX = 256


class Api(Protocol):
    """The part of ``scheduler.kube.transport.Transport`` that is used here."""

    async def get(self, path: str, kind: type[T], *, timeout_s: float = 10.0) -> T: ...

    async def create(self, path: str, value: object, kind: type[T], *, timeout_s: float = 10.0) -> T: ...

    async def replace(self, path: str, value: object, kind: type[T], *, timeout_s: float = 10.0) -> T: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """In seconds. Raises ValueError unless retry_s, write_timeout_s < renew_deadline_s < lease_s.

    A leader gives up when it could not renew for ``renew_deadline_s``, and lets no write leave that could
    still be under way then. The rest of the lease is the margin for clocks of different rates.
    """

    lease_s: float = 15.0
    renew_deadline_s: float = 10.0
    retry_s: float = 2.0
    #: How long any write of the leader may take, the renewals among them.
    write_timeout_s: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < max(self.retry_s, self.write_timeout_s) < self.renew_deadline_s < self.lease_s:
            raise ValueError(
                f"leader election: retry ({self.retry_s} s) and write timeout ({self.write_timeout_s} s) "
                f"must be below the renew deadline ({self.renew_deadline_s} s), and that below the lease "
                f"({self.lease_s} s)"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The Lease as last read, and since when on our clock it is known not to have changed."""

    uid: str
    resource_version: str
    holder: str
    epoch: int
    lease_s: float
    acquired: str
    since_s: float


Action = Literal["create", "take", "wait"]


def decide(seen: Observed | None, me: str, now_s: float) -> Action:
    """What a candidate does about the lease it sees; None is no Lease at all.

    A released lease is taken at once. One that names us is a take of ours whose answer was lost: taken
    again, with an epoch of its own.
    """
    if seen is None:
        return "create"
    if seen.holder in ("", me):
        return "take"
    return "take" if now_s - seen.since_s > seen.lease_s else "wait"


def may_write(renewed_s: float | None, now_s: float, terms: Terms) -> bool:
    """Whether a write that leaves now has ended when the renew deadline passes.

    renewed_s: when the last successful renewal was *sent*; None when not leading.
    """
    return renewed_s is not None and now_s + terms.write_timeout_s < renewed_s + terms.renew_deadline_s


def is_still_ours(seen: Observed | None, *, uid: str, me: str, epoch: int) -> bool:
    """Whether the term goes on: the same object, naming us and our epoch. A deleted Lease ends it."""
    return seen is not None and (seen.uid, seen.holder, seen.epoch) == (uid, me, epoch)


class Elector:
    """Acquires, renews and releases one Lease.

    me: unique to this process. clock: monotonic, in seconds. rng: uniform in [0, 1). stamp: the wall clock
    as a MicroTime, for people only. epoch_floor: the greatest epoch seen elsewhere, in the Gang objects, so
    that epochs grow also after somebody deleted the Lease.
    """

    def __init__(
        self,
        api: Api,
        *,
        namespace: str,
        name: str,
        me: str,
        terms: Terms,
        clock: Callable[[], float],
        rng: Callable[[], float],
        stamp: Callable[[], str],
        epoch_floor: Callable[[], int] = lambda: 0,
    ) -> None:
        self._api = api
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._path = f"{self._collection}/{name}"
        self._namespace = namespace
        self._name = name
        self._me = me
        self._terms = terms
        self._clock = clock
        self._rng = rng
        self._stamp = stamp
        self._epoch_floor = epoch_floor
        self._seen: Observed | None = None
        self._uid = ""
        self._epoch_seen = 0
        self._renewed_s: float | None = None
        #: One write of the Lease at a time: a renewal must not overtake the release.
        self._writing = asyncio.Lock()
        self.epoch = 0
        #: Whether the term before did not end with a release: writes of it may still be under way.
        self.took_over = False

    def may_act(self) -> bool:
        """Asked right before every write (INV5)."""
        return may_write(self._renewed_s, self._clock(), self._terms)

    async def acquire(self, ready: asyncio.Event | None = None) -> int:
        """Wait until this process leads; the epoch of the term. Then ``hold`` must run.

        ready: not led before it is set, so that a process with an empty view does not take the lease from
        one that could act; the lease is watched all the while.
        """
        while True:
            try:
                await self._read(self._terms.write_timeout_s)
                if (ready is None or ready.is_set()) and await self._try():
                    log.info("leading", epoch=self.epoch, took_over=self.took_over)
                    return self.epoch
            except ClusterError as error:
                log.warning("lease not acquired", error=str(error)[:TOLD_LENGTH_MAX])
            wait_s = self._terms.retry_s * (0.75 + 0.5 * self._rng())
            if ready is None or ready.is_set():
                await asyncio.sleep(wait_s)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await ready.wait()

    async def hold(self) -> None:
        """Renew until leadership is lost or given up; returns before anybody else can lead."""
        try:
            while (left_s := self._left_s()) > 0:
                await asyncio.sleep(min(self._terms.retry_s, left_s))
                if not await self._goes_on():
                    break
        finally:
            self._renewed_s = None
            log.warning("no longer leading", epoch=self.epoch)

    async def is_ours(self) -> bool:
        """Whether the Lease, read anew, still says that this term is ours. Raises: ClusterError.

        A read of one object comes from etcd itself, also where the API server's caches lag behind it.
        """
        if self._renewed_s is None:
            return False
        timeout_s = self._terms.write_timeout_s
        try:
            found = await self._api.get(self._path, wire.Lease, timeout_s=timeout_s)
        except NotFound:
            return False
        meta, spec = found.metadata, found.spec
        return (meta.uid, spec.holder_identity, spec.lease_transitions) == (self._uid, self._me, self.epoch)

    async def release(self) -> None:
        """Give the lease up so that the next leader need not wait. Failing to is harmless."""
        async with self._writing:
            if self._renewed_s is None or self._seen is None:
                return
            self._renewed_s = None
            try:
                self._note(await self._put(self._seen, "", self.epoch, self._terms.write_timeout_s))
            except ClusterError as error:
                log.info("lease not released", error=str(error)[:TOLD_LENGTH_MAX])

    def _left_s(self) -> float:
        if self._renewed_s is None:
            return 0.0
        return self._renewed_s + self._terms.renew_deadline_s - self._clock()

    async def _try(self) -> bool:
        """One attempt to lead, from the Lease as just read. Raises ClusterError."""
        seen, started_s = self._seen, self._clock()
        if decide(seen, self._me, started_s) == "wait":
            return False
        epoch = max(self._epoch_seen, self._epoch_floor()) + 1
        try:
            found = await (self._create(epoch) if seen is None else self._take(seen, epoch))
        except (Conflict, NotFound):
            return False
        # No Lease but earlier epochs: somebody deleted it, perhaps from under a leader.
        self.took_over = bool(seen.holder) if seen is not None else epoch > 1
        self._note(found)
        self._uid, self.epoch, self._renewed_s = found.metadata.uid, epoch, started_s
        return True

    async def _goes_on(self) -> bool:
        """Renew once; False when the term has ended. A failure is no end: the deadline is."""
        async with self._writing:
            try:
                # A second try at once: the first may have lost against an earlier renewal of ours.
                await self._renew() or await self._renew()
            except (NotFound, _Ended):
                return False
            except ClusterError as error:
                log.warning("lease not renewed", error=str(error)[:TOLD_LENGTH_MAX])
        return True

    async def _renew(self) -> bool:
        """One compare-and-swap; False when it lost against a write that left the lease ours.

        Such a write is a renewal of ours whose answer was lost, or somebody's label. Raises _Ended or
        ClusterError.
        """
        seen, started_s, left_s = self._seen, self._clock(), self._left_s()
        if seen is None or left_s <= 0:
            raise _Ended
        try:
            found = await self._put(seen, self._me, self.epoch, min(left_s, self._terms.write_timeout_s))
        except Conflict:
            await self._read(max(0.1, min(self._left_s(), self._terms.write_timeout_s)))
            if not is_still_ours(self._seen, uid=self._uid, me=self._me, epoch=self.epoch):
                raise _Ended from None
            return False
        self._note(found)
        if not is_still_ours(self._seen, uid=self._uid, me=self._me, epoch=self.epoch):
            raise _Ended
        self._renewed_s = started_s
        return True

    async def _read(self, timeout_s: float) -> None:
        try:
            self._note(await self._api.get(self._path, wire.Lease, timeout_s=timeout_s))
        except NotFound:
            self._seen = None

    def _note(self, found: wire.Lease) -> None:
        meta, spec = found.metadata, found.spec
        self._epoch_seen = max(self._epoch_seen, spec.lease_transitions or 0)
        known = self._seen
        if known is not None and (known.uid, known.resource_version) == (meta.uid, meta.resource_version):
            return
        self._seen = Observed(
            uid=meta.uid,
            resource_version=meta.resource_version,
            holder=spec.holder_identity or "",
            epoch=spec.lease_transitions or 0,
            lease_s=min(max(self._terms.lease_s, float(spec.lease_duration_seconds or 0)), LEASE_S_MAX),
            acquired=spec.acquire_time or "",
            since_s=self._clock(),
        )

    async def _create(self, epoch: int) -> wire.Lease:
        lease = self._lease(None, self._me, epoch)
        return await self._api.create(
            self._collection, lease, wire.Lease, timeout_s=self._terms.write_timeout_s
        )

    async def _take(self, seen: Observed, epoch: int) -> wire.Lease:
        return await self._put(seen, self._me, epoch, self._terms.write_timeout_s)

    async def _put(self, seen: Observed, holder: str, epoch: int, timeout_s: float) -> wire.Lease:
        lease = self._lease(seen, holder, epoch)
        return await self._api.replace(self._path, lease, wire.Lease, timeout_s=timeout_s)

    def _lease(self, seen: Observed | None, holder: str, epoch: int) -> dict[str, object]:
        now = self._stamp()
        is_renewal = seen is not None and (seen.holder, seen.epoch) == (holder, epoch)
        metadata = {"namespace": self._namespace, "name": self._name}
        if seen is not None:
            metadata |= {"uid": seen.uid, "resourceVersion": seen.resource_version}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": math.ceil(self._terms.lease_s),
                "leaseTransitions": epoch,
                "acquireTime": seen.acquired if seen is not None and is_renewal and seen.acquired else now,
                "renewTime": now,
            },
        }


class _Ended(Exception):
    """The term is over: the Lease is somebody else's, or another object, or its time is up."""
