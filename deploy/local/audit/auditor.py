"""The auditor: reads the API server directly, never through the scheduler, and remembers every revision."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from deploy.local.audit.facts import Source, described, sources
from deploy.local.audit.recorder import Recorder
from scheduler.invariants import (
    Entry,
    History,
    PodVersion,
    Violation,
    World,
    at_every_revision,
    no_idle_hole,
    no_useless_eviction,
    settled,
)
from scheduler.invariants.world import Change
from scheduler.kube.client import Client
from scheduler.kube.transport import NotFound, TooManyRequests

T = TypeVar("T")


class Overdue(AssertionError):
    """What was waited for did not come in time; the message says how the world looks instead."""


class Auditor:
    """``async with Auditor(transport) as auditor:``; on entry every resource type has been listed.

    Of gangs whose descriptions the API server does not serve on entry the pods count as singles.

    transport: of an identity that may read everything, straight to the API server.
    ours: the schedulerName whose pods are judged. lease: of the scheduler.
    """

    def __init__(
        self,
        transport: Client,
        *,
        ours: str = "stowplan",
        lease_namespace: str = "stowplan-system",
        lease: str = "stowplan",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.world = World(ours)
        #: The UID of every pod there ever was.
        self.met: set[str] = set()
        self.bound_at_s: dict[str, float] = {}
        self._ours = ours
        self._clock = clock
        self._entries: list[Entry] = []
        self._turned = asyncio.Event()
        self._transport = transport
        self._lease = (lease_namespace, lease)
        self._recorders: tuple[Recorder, ...] = ()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        served = [source for source in described() if await self._is_served(source)]
        namespace, lease = self._lease
        dialects = frozenset(source.dialect for source in served)
        others = sources(lease_namespace=namespace, lease=lease, served=dialects)
        self._recorders = tuple(
            Recorder(self._transport, source, self._take, clock=self._clock, changed=self._turn)
            for source in (*others, *served)
        )
        self._tasks = [asyncio.create_task(recorder.run()) for recorder in self._recorders]
        await self._with_recorders(asyncio.gather(*(recorder.listed.wait() for recorder in self._recorders)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        failures = [end for end in ended if isinstance(end, Exception)]
        if failures and error is None:
            raise failures[0]

    @property
    def gaps(self) -> int:
        """How often a watch had to be begun anew, so that versions may be missing."""
        return sum(recorder.gaps for recorder in self._recorders)

    @property
    def retraced(self) -> int:
        """How many revisions were listed one by one, because a watch could not go on where it ended."""
        return sum(recorder.retraced for recorder in self._recorders)

    def pods(self, namespace: str) -> dict[str, PodVersion]:
        """The pods of a namespace as last seen, by name."""
        return {pod.name: pod for pod in self.world.pods.values() if pod.namespace == namespace}

    def history(self) -> History:
        """All that was seen so far."""
        return History(self._entries, until_s=self._clock(), ours=self._ours)

    async def wait_until(self, holds: Callable[[World], bool], timeout_s: float, *, what: str = "") -> None:
        """Return as soon as something is true of the world. Raises: Overdue."""

        async def wait() -> None:
            while not holds(self.world):
                self._turned.clear()
                await self._turned.wait()

        try:
            async with asyncio.timeout(timeout_s):
                await self._with_recorders(wait())
        except TimeoutError as error:
            raise Overdue(f"{what or holds} after {timeout_s:.0f} s; {self._picture()}") from error

    async def catch_up(self, timeout_s: float = 30.0) -> None:
        """Return when everything that is on the API server now has been recorded. Raises: Overdue."""
        for recorder in self._recorders:
            # What is deleted or made after this list is no reason to wait.
            known = set(recorder.revisions)
            listed, _ = await recorder.objects()
            then = {key: revision for key, (revision, _) in listed.items()}

            def is_there(
                _: World, recorder: Recorder = recorder, then: dict[str, int] = then, known: set[str] = known
            ) -> bool:
                seen = recorder.revisions
                is_current = all(seen.get(key, revision) >= revision for key, revision in then.items())
                is_complete = all(key in seen for key in then if key not in known)
                return is_current and is_complete and all(key in then for key in known & set(seen))

            await self.wait_until(is_there, timeout_s, what=f"{recorder.source.path} is recorded")

    async def violations(
        self,
        *,
        partial_s: float = 30.0,
        is_quiet: bool = True,
        troubles: Sequence[tuple[float, float]] = (),
        is_served: bool = False,
        is_useful: bool = True,
    ) -> list[Violation]:
        """What the invariants say about everything so far; INV12 too where the end is quiet.

        partial_s: how long a gang may be partly bound; 60 s where a leader crashed. troubles: when somebody
        kept the scheduler from acting (INV17, INV18). is_served: a scheduler led all that time, so that who
        waited while there was room is told as well (INV18). is_useful: whether evictions are judged (INV17).
        """
        await self.catch_up()
        history = self.history()
        found = at_every_revision(history, partial_s=partial_s)
        if is_useful:
            found += no_useless_eviction(history, troubles=troubles)
        if is_served:
            found += no_idle_hole(history, troubles=troubles)
        return found + settled(history) if is_quiet else found

    async def _is_served(self, source: Source) -> bool:
        try:
            await self._transport.request("GET", source.path, params={"limit": "1"})
        except NotFound:
            return False
        except TooManyRequests:
            # The storage of a custom resource that was defined just now is being set up.
            return True
        return True

    def _take(self, entry: Entry) -> None:
        self._entries.append(entry)
        change: Change = self.world.apply(entry)
        if change.pod is not None:
            self.met.add(change.pod.uid)
        if change.pod is not None and change.is_bind:
            self.bound_at_s[change.pod.uid] = entry.at_s

    def _turn(self) -> None:
        self._turned.set()

    async def _with_recorders(self, work: Awaitable[T]) -> None:
        """Until the work is done. Raises what a recorder raised, if one ends before."""
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait({task, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        if task not in done:
            task.cancel()
            for ended in done:
                ended.result()
        await task

    def _picture(self) -> str:
        pods = [
            f"{pod.namespace}/{pod.name} {pod.phase} on {pod.node or 'no node'} {pod.told or ''}"
            for pod in self.world.pods.values()
        ]
        return f"lease {self.world.lease}, {len(pods)} pods:\n  " + "\n  ".join(sorted(pods)[:40])
