"""One Lease in memory, compared-and-swapped as an API server does, behind a network that may misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import msgspec

from scheduler.kube.transport import AlreadyExists, Conflict, NotFound, OutcomeUnknown, Unreachable
from scheduler.kube.wire import Lease, LeaseSpec, Metadata
from simulations.faults.virtual_time import elapse

T = TypeVar("T")

NAMESPACE, NAME = "stowplan-system", "stowplan"


class LeaseStore:
    """The server's side."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self._revision = 0
        #: Called with each lease that is written, before anybody else can see it.
        self.on_write: Callable[[Lease], None] = lambda lease: None

    @property
    def holder(self) -> str:
        return (self.lease.spec.holder_identity or "") if self.lease else ""

    @property
    def epoch(self) -> int:
        return (self.lease.spec.lease_transitions or 0) if self.lease else 0

    def delete(self) -> None:
        self.lease = None

    def edit(self, **changes: object) -> None:
        """An admin's ``kubectl edit``: the spec changes, whoever holds it."""
        assert self.lease is not None
        self.write(msgspec.structs.replace(self.lease.spec, **changes), self.lease.metadata.uid)

    def label(self) -> None:
        """A change that touches nothing of ours but the resourceVersion."""
        assert self.lease is not None
        self.write(self.lease.spec, self.lease.metadata.uid)

    def get(self) -> Lease:
        if self.lease is None:
            raise NotFound(404)
        return self.lease

    def create(self, found: Lease) -> Lease:
        if self.lease is not None:
            raise AlreadyExists(409, "AlreadyExists")
        return self.write(found.spec, f"uid-{self._revision}")

    def replace(self, found: Lease) -> Lease:
        if self.lease is None:
            raise NotFound(404)
        mine, theirs = self.lease.metadata, found.metadata
        if (mine.uid, mine.resource_version) != (theirs.uid, theirs.resource_version):
            raise Conflict(409, "Conflict")
        return self.write(found.spec, mine.uid)

    def write(self, spec: LeaseSpec, uid: str) -> Lease:
        self._revision += 1
        meta = Metadata(namespace=NAMESPACE, name=NAME, uid=uid, resource_version=str(self._revision))
        self.lease = Lease(metadata=meta, spec=spec)
        self.on_write(self.lease)
        return self.lease


class LeaseClient:
    """One candidate's way to the store.

    there_s, back_s: how long the next request and its answer take. loses: whether the next request is
    lost before it arrives, or its answer after. ``resume_at_s``: the process is stopped until then.
    """

    def __init__(
        self,
        store: LeaseStore,
        *,
        delay_s: Callable[[], float] = lambda: 0.01,
        loses: Callable[[], str] = lambda: "",
    ) -> None:
        self._store = store
        self._delay_s = delay_s
        self._loses = loses
        self.resume_at_s = 0.0

    async def get(self, path: str, kind: type[T], *, timeout_s: float = 10.0) -> T:
        return await self._ask(lambda: self._store.get(), kind, timeout_s, lost=Unreachable)

    async def create(self, path: str, value: object, kind: type[T], *, timeout_s: float = 10.0) -> T:
        assert not path.endswith(NAME)
        return await self._ask(
            lambda: self._store.create(_lease(value)), kind, timeout_s, lost=OutcomeUnknown
        )

    async def replace(self, path: str, value: object, kind: type[T], *, timeout_s: float = 10.0) -> T:
        assert path.endswith(f"/{NAMESPACE}/leases/{NAME}")
        return await self._ask(
            lambda: self._store.replace(_lease(value)), kind, timeout_s, lost=OutcomeUnknown
        )

    async def _ask(
        self, act: Callable[[], Lease], kind: type[T], timeout_s: float, *, lost: type[Exception]
    ) -> T:
        await self.awake()
        try:
            async with asyncio.timeout(timeout_s):
                loss = self._loses()
                await elapse(self._delay_s())
                if loss == "request":
                    await asyncio.Event().wait()
                found = act()
                await elapse(self._delay_s())
                if loss == "answer":
                    await asyncio.Event().wait()
        except TimeoutError:
            raise lost("no answer") from None
        finally:
            await self.awake()
        assert isinstance(found, kind)
        return found

    async def awake(self) -> None:
        """Return when the process is not stopped."""
        loop = asyncio.get_running_loop()
        while (left_s := self.resume_at_s - loop.time()) > 0:
            await elapse(left_s)


def _lease(value: object) -> Lease:
    return msgspec.json.decode(msgspec.json.encode(value), type=Lease)
