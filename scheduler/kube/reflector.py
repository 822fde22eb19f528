"""Keeps a view of one resource type true: list, watch, resume, relist.

``age_s`` says how long ago the view was last known to be current. A watch can hang for ever and look idle, so
an idle one is probed: a second, short watch from the view's version must bring nothing that the first did
not. What the view then holds, and the order of telling, is ``scheduler.kube.view``.

What no client can see: an API server whose own watch cache lags behind etcd (kubernetes/kubernetes#59848).
Against that stand the preconditions on every write, not this module.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import structlog
from prometheus_client import CollectorRegistry

from scheduler.kube.decoding import Bookmark, Change, HasMetadata, ObjectDecoder, RawPage, Undecodable
from scheduler.kube.errors import (
    ApiError,
    BadAnswer,
    ClusterError,
    EndpointError,
    Forbidden,
    Gone,
    NotFound,
    TooLong,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from scheduler.kube.pace import Backoff
from scheduler.kube.view import Ref, Regressed, Sink, View
from scheduler.kube.watch_metrics import WatchMetrics

__all__ = ["HasMetadata", "Ref", "Reflector", "Regressed", "Sink", "Timing", "Undecodable"]

log = structlog.get_logger(__name__)

TOLD_LENGTH_MAX = 256
#: Why a type cannot be read that may be there.
FORBIDDEN = "forbidden"
#: Objects of a page taken in without looking at the event loop.
SLICE = 250

T = TypeVar("T", bound=HasMetadata)


class Reader(Protocol):
    """The part of ``scheduler.kube.transport.Transport`` that is used here."""

    async def request(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float = 10.0
    ) -> bytes: ...

    def stream_batches(
        self, path: str, *, params: Mapping[str, str], read_timeout_s: float
    ) -> AsyncGenerator[list[bytes], None]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """In seconds but for ``page`` and ``page_most``, objects, and ``probe_s``, whole seconds for the API.

    The first page of a list is small, so that work on it begins early; each next is twice as long, up to
    ``page_most``: for every page the API server walks over all that is left of the list (measured at
    140,000 pods: 36 s of its CPU in pages of 500, 12 s in pages of 4,000).

    The age of a healthy idle view stays below probe_after_s + probe_s and one answer's time. A silent watch
    is dropped after at most probe_after_s + probe_s + probe_grace_s.
    """

    page: int = 500
    page_most: int = 4_000
    #: No page is asked for that would be longer, were its objects as long as those before.
    page_bytes: int = 24 * 2**20
    list_timeout_s: float = 60.0
    watch_s_min: float = 240.0
    watch_s_max: float = 480.0
    #: The server ends a watch at its time; a connection still silent this much later is dead.
    read_slack_s: float = 15.0
    probe_after_s: float = 2.0
    probe_s: int = 1
    probe_grace_s: float = 1.0
    probe_timeout_s: float = 4.0
    backoff_first_s: float = 0.25
    backoff_most_s: float = 10.0
    not_served_s: float = 60.0
    missing_s: float = 4.0
    #: A view so old is listed anew: resuming may be what fails (a restored backup knows no such version).
    relist_after_s: float = 60.0
    #: After so long of a refused credential, or of a server behind the view, the process should end.
    hopeless_s: float = 60.0


class _Stalled(ClusterError):
    """The watch is open and does not bring what another one brings."""


class Reflector(Generic[T]):
    """One resource type. ``run`` feeds the sink; ``synced`` is set once the first list is complete.

    path: of the list, such as ``/api/v1/pods``. params: selectors, kept for list and watch.
    clock: monotonic, in seconds. rng: uniform in [0, 1).
    A type that is not served (404) counts as synced and empty, and is looked for again now and then, or
    at once after ``look_again``. So does an ``is_optional`` one that we may not list (403).
    versions: paths of the type's other versions; the first that is served is read.
    unreadable: told the reason when the type turns out to be such, and None when it can be read.
    """

    def __init__(
        self,
        reader: Reader,
        path: str,
        kind: type[T],
        sink: Sink[T],
        *,
        clock: Callable[[], float],
        rng: Callable[[], float],
        params: Mapping[str, str] | None = None,
        timing: Timing | None = None,
        metrics: WatchMetrics | None = None,
        is_optional: bool = False,
        versions: Sequence[str] = (),
        unreadable: Callable[[str | None], None] | None = None,
    ) -> None:
        #: Of the version that is read, or looked for.
        self.path = path
        self._paths = (path, *versions)
        #: Versions found missing one after the other.
        self._absent = 0
        self.synced = asyncio.Event()
        self.is_served = True
        self._reader = reader
        self._decoder = ObjectDecoder(kind)
        self._view = View(sink)
        self._clock = clock
        self._rng = rng
        self._params = dict(params or {})
        self._timing = timing or Timing()
        self._backoff = Backoff(
            first_s=self._timing.backoff_first_s, most_s=self._timing.backoff_most_s, rng=rng
        )
        self._needs_list = True
        self._page_first = self._timing.page
        self._is_optional = is_optional
        self._unreadable = unreadable
        self._was_served = False
        self._missing_since_s: float | None = None
        self._looked_s = float("-inf")
        self._look = asyncio.Event()
        self._evidence_s = float("-inf")
        self._hopeless_since_s: float | None = None
        series = metrics or WatchMetrics(CollectorRegistry())
        self._series = series.of(resource_of(path), age_s=self.age_s, objects=lambda: len(self._view))

    @property
    def version(self) -> int:
        """The version up to which the view holds every change. It never decreases."""
        return self._view.version

    def age_s(self) -> float:
        """Seconds since the view was last known to be current; infinite before the first list.

        0 for a type that is not served: there is nothing to be behind of.
        """
        return self._clock() - self._evidence_s if self.is_served else 0.0

    def looked_age_s(self) -> float:
        """Seconds since a type that is not served was last looked for."""
        return self._clock() - self._looked_s

    def look_again(self) -> None:
        """Look now whether a type that was not served is."""
        self._look.set()

    async def run(self) -> None:
        """Keep the view until cancelled.

        Raises Unauthorized, EndpointError or Regressed when they have lasted for ``hopeless_s``: only a new
        process, with a fresh credential or an empty view, can help.
        """
        while True:
            wait_s = await self._step()
            if wait_s > 0:
                await self._rest(wait_s)

    async def _rest(self, wait_s: float) -> None:
        if self.is_served:
            await asyncio.sleep(wait_s)
            return
        # Not wait_for: in Python 3.11 it can swallow the cancellation that ends this task.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._look.wait()
        self._look.clear()

    async def _step(self) -> float:
        """List if need be, then one watch; returns how long to wait before the next step."""
        try:
            if self._needs_list:
                await self._list()
            started_s = self._clock()
            await self._watch()
        except NotFound as error:
            if self._turns_to_another_version():
                return 0.0
            return self._missing(error, "the API is not served")
        except _Stalled as error:
            self._note(error)
            return 0.0
        except (Gone, BadAnswer) as error:
            self._needs_list = True
            self._note(error)
            return self._backoff.wait_s()
        except ClusterError as error:
            if self._is_optional and isinstance(error, Forbidden):
                return self._missing(error, FORBIDDEN)
            self._note(error)
            self._give_up_on(error)
            self._needs_list |= _is_refusal(error) or self.age_s() > self._timing.relist_after_s
            return self._backoff.wait_s(error)
        # A server that ends every watch at once must not be asked at once.
        return 0.0 if self._clock() - started_s >= 1.0 else self._backoff.wait_s()

    def _note(self, error: ClusterError) -> None:
        self._series.breaks.inc()
        log.warning(
            "watch broke", path=self.path, kind=type(error).__name__, error=str(error)[:TOLD_LENGTH_MAX]
        )

    def _give_up_on(self, error: ClusterError) -> None:
        if not isinstance(error, (Unauthorized, EndpointError, Regressed)):
            return
        now_s = self._clock()
        if self._hopeless_since_s is None:
            self._hopeless_since_s = now_s
        elif now_s - self._hopeless_since_s > self._timing.hopeless_s:
            raise error

    def _current_at(self, at_s: float) -> None:
        """There is evidence that the view was current at ``at_s``."""
        self._evidence_s = max(self._evidence_s, at_s)
        self._hopeless_since_s = None
        self._backoff.reset()

    def _turns_to_another_version(self) -> bool:
        """Read the type's next version from here on; whether it is one that was not looked for since."""
        self._absent = (self._absent + 1) % len(self._paths)
        self.path = self._paths[(self._paths.index(self.path) + 1) % len(self._paths)]
        self._needs_list = True
        return self._absent != 0

    def _missing(self, error: ClusterError, why: str) -> float:
        """The type may not be there for us; returns how long to wait before the next step.

        An API server that just started refuses, and does not find, what it will serve in a moment. So a
        type that was served, quotas above all, is believed to be gone only after ``missing_s``; a refusal
        that comes first is not believed at once either.
        """
        if self._missing_since_s is None:
            self._missing_since_s = self._clock()
        is_believed = self._clock() - self._missing_since_s >= self._timing.missing_s
        was_never_there = not self._was_served and isinstance(error, NotFound)
        if not self.is_served or was_never_there or is_believed:
            return self._not_served(why)
        self._note(error)
        self._needs_list = True
        return min(self._backoff.wait_s(error), self._timing.missing_s / 4)

    def _not_served(self, why: str) -> float:
        """There is nothing to read; returns how long until the next look."""
        self._looked_s = self._clock()
        self._needs_list = True
        self.is_served = False
        self._was_served = False
        self._view.clear()
        if self._unreadable is not None:
            self._unreadable(why)
        self.synced.set()
        return self._timing.not_served_s * (0.5 + self._rng())

    async def _list(self) -> None:
        """A consistent list, page by page, all of one version."""
        started_s = self._clock()
        version: int | None = None
        async with aclosing(self._pages()) as pages:
            async for page in pages:
                if version is None:
                    version = page.version
                    self._view.open_list(version)
                elif page.version != version:
                    raise BadAnswer(
                        f"{self.path}: pages of versions {version} and {page.version} in one list"
                    )
                for start in range(0, len(page.items), SLICE):
                    items = self._decoder.items(page.items[start : start + SLICE])
                    self._count_odd(items)
                    self._view.add_page(items)
                    # The next page is being sent: a connection that nobody reads holds up the server.
                    await asyncio.sleep(0)
        self._view.close_list()
        if self._unreadable is not None:
            self._unreadable(None)
        self._series.lists.inc()
        self._needs_list = False
        self.is_served = True
        self._was_served = True
        self._missing_since_s = None
        self._absent = 0
        self._current_at(started_s)
        self.synced.set()

    async def _pages(self) -> AsyncGenerator[RawPage, None]:
        """The pages of one list; the server works on the next while the caller takes one in."""
        limit = self._page_first
        asked = asyncio.ensure_future(self._page(limit, {}))
        try:
            while True:
                page = await asked
                if page.token:
                    limit = self._next_limit(limit, page)
                    asked = asyncio.ensure_future(self._page(limit, {"continue": page.token}))
                    await asyncio.sleep(0)
                yield page
                if not page.token:
                    return
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

    def _next_limit(self, limit: int, page: RawPage) -> int:
        """Twice as many objects, unless these are so long that they would make a page too large."""
        grown = min(2 * limit, max(self._timing.page_most, self._timing.page))
        each = sum(len(memoryview(item)) for item in page.items) // max(1, len(page.items))
        return max(1, min(grown, self._timing.page_bytes // max(1, each)))

    async def _page(self, limit: int, further: Mapping[str, str]) -> RawPage:
        params = {**self._params, "limit": str(limit), **further}
        try:
            body = await self._reader.request(
                "GET", self.path, params=params, timeout_s=self._timing.list_timeout_s
            )
        except TooLong:
            self._page_first = max(1, limit // 8)
            raise
        return self._decoder.split(body)

    async def _watch(self) -> None:
        """Watch from the view's version until the server ends it, with probes beside it while it is idle."""
        timing = self._timing
        seconds = timing.watch_s_min + (timing.watch_s_max - timing.watch_s_min) * self._rng()
        await _until_first(self._read(seconds), self._probe_while_idle())

    async def _read(self, seconds: float) -> None:
        stream = self._reader.stream_batches(
            self.path,
            params=self._watch_params(int(seconds)),
            read_timeout_s=seconds + self._timing.read_slack_s,
        )
        async with aclosing(stream):
            async for lines in stream:
                if lines:
                    self._take(lines)
                    self._current_at(self._clock())

    def _watch_params(self, seconds: int) -> dict[str, str]:
        return {
            **self._params,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": str(self._view.version),
            "timeoutSeconds": str(max(1, seconds)),
        }

    def _take(self, lines: Sequence[bytes]) -> None:
        """Deliver all events that came together, in order, with few calls of the sink."""
        stale = self._view.stale
        try:
            for line in lines:
                event = self._decoder.event(line)
                if isinstance(event, Bookmark):
                    self._view.advance(event.version)
                else:
                    self._series.events[event.type].inc()
                    self._count_odd((event.item,))
                    self._view.apply(event)
        finally:
            # Also before an ERROR event: what came ahead of it is true.
            self._view.deliver()
            self._series.stale.inc(self._view.stale - stale)

    def _count_odd(self, items: Sequence[object]) -> None:
        for item in items:
            if isinstance(item, Undecodable):
                self._series.odd.inc()
                log.warning(
                    "object not understood",
                    path=self.path,
                    namespace=item.namespace[:TOLD_LENGTH_MAX],
                    name=item.name[:TOLD_LENGTH_MAX],
                    reason=item.reason,
                )

    async def _probe_while_idle(self) -> None:
        """Prove an idle view current every few seconds. Raises _Stalled when it is not."""
        while True:
            idle_s = self._clock() - self._evidence_s
            if idle_s < self._timing.probe_after_s:
                await asyncio.sleep(self._timing.probe_after_s - idle_s)
                continue
            started_s, before = self._clock(), self._view.version
            try:
                async with asyncio.timeout(self._timing.probe_timeout_s):
                    newest = await self._probe()
            except (Unreachable, TimeoutError):
                await asyncio.sleep(self._backoff.wait_s())
                continue
            if newest > self._view.version:
                await asyncio.sleep(self._timing.probe_grace_s)
                if self._view.version == before:
                    raise _Stalled(f"the watch of {self.path} is stalled at {before}; there is {newest}")
            self._current_at(started_s)

    async def _probe(self) -> int:
        """The newest change that a second watch from the view's version brings; 0 if it brings none."""
        newest = 0
        stream = self._reader.stream_batches(
            self.path,
            params=self._watch_params(self._timing.probe_s),
            read_timeout_s=self._timing.probe_timeout_s,
        )
        async with aclosing(stream):
            async for lines in stream:
                for line in lines:
                    event = self._decoder.event(line)
                    if isinstance(event, Change):
                        newest = max(newest, event.item.version)
        return newest


def resource_of(path: str) -> str:
    """``pods``, or ``mpijobs.v1.kubeflow.org``, as kubectl names the type and version of a list's path."""
    parts = path.strip("/").split("/")
    return f"{parts[-1]}.{parts[2]}.{parts[1]}" if parts[0] == "apis" else parts[-1]


def group_version_of(path: str) -> str:
    """``apiVersion`` of the objects under a list's path."""
    parts = path.strip("/").split("/")
    return f"{parts[1]}/{parts[2]}" if parts[0] == "apis" else parts[1]


def _is_refusal(error: ClusterError) -> bool:
    """Whether the same request would be refused again, whoever asks and whenever."""
    return (
        isinstance(error, ApiError)
        and 400 <= error.status < 500
        and not isinstance(error, (Unauthorized, Forbidden, TooManyRequests))
    )


async def _until_first(*work: Coroutine[object, object, None]) -> None:
    """Run all until one returns or raises; end the rest, and raise what the first raised."""
    tasks = [asyncio.ensure_future(part) for part in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if task in done:
            task.result()
