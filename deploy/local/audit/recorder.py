"""Follows one resource type by list and watch, and records every version in the order of revisions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Final

import msgspec

from deploy.local.audit import wire
from deploy.local.audit.facts import Source
from scheduler.invariants import Entry
from scheduler.kube.client import Client
from scheduler.kube.transport import ApiError, BadAnswer, ClusterError, Gone

PAGE: Final = "1000"
WATCH_S: Final = 300
PAUSE_S: Final = 0.05
PAUSE_S_MAX: Final = 1.0
#: Revisions of the whole API server; each costs a list of the type.
RETRACED_MAX: Final = 2_000

_list = msgspec.json.Decoder(wire.ListOfObjects)
_watch_event = msgspec.json.Decoder(wire.WatchEvent)
_any = msgspec.json.Decoder(wire.AnyObject)


class Recorder:
    """``record`` is called once for each version seen. ``revisions`` holds the last one of each object.

    A watch that cannot go on where it ended (410) is bridged by one list for each revision since, so that no
    version is missing: an API server forgets what it watched whenever the definition of a custom resource
    changes, and etcd does not for some minutes. ``retraced`` counts such revisions.

    gaps: how often that was in vain, because etcd was compacted or too much happened. Versions may be missing
    then: each that the next list shows is recorded at its own revision, and what is gone at the list's.
    """

    def __init__(
        self,
        transport: Client,
        source: Source,
        record: Callable[[Entry], None],
        *,
        clock: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self.source = source
        self.revisions: dict[str, int] = {}
        self.gaps = 0
        self.retraced = 0
        self.listed = asyncio.Event()
        #: All changes up to this one are recorded; empty before the first list.
        self._version = ""
        self._transport = transport
        self._record = record
        self._clock = clock
        self._changed = changed

    async def run(self) -> None:
        """Record until cancelled. Raises: ClusterError for what asking again would not mend."""
        pause_s = PAUSE_S
        is_forgotten = False
        while True:
            try:
                if not self._version:
                    await self._relist()
                elif is_forgotten:
                    await self._retrace()
                is_forgotten = False
                await self._watch()
                pause_s = PAUSE_S
            except Gone:
                is_forgotten = True
            except BadAnswer:
                raise
            except ApiError as error:
                if error.status not in (429, 500, 502, 503, 504):
                    raise
                pause_s = await _paused(pause_s)
            except ClusterError:
                pause_s = await _paused(pause_s)

    async def objects(self, *, at: int | None = None) -> tuple[dict[str, tuple[int, bytes]], str]:
        """A quorum list: (revision, object) by key, and the list's version. Raises: ClusterError.

        at: the revision as of which; now, unless given. Raises Gone for one that etcd no longer has.
        """
        found: dict[str, tuple[int, bytes]] = {}
        version = ""
        further = {} if at is None else {"resourceVersion": str(at), "resourceVersionMatch": "Exact"}
        while True:
            params = {"limit": PAGE, **further}
            page = _list.decode(await self._transport.request("GET", self.source.path, params=params))
            version = version or page.metadata.resource_version
            for raw in page.items:
                if (fact := self.source.fact(bytes(raw))) is not None:
                    found[fact[0]] = (int(_any.decode(raw).metadata.resource_version), bytes(raw))
            if not page.metadata.continue_:
                return found, version
            further = {"continue": page.metadata.continue_}

    async def _relist(self) -> None:
        listed, version = await self.objects()
        self._compare(listed, version)
        self.listed.set()

    async def _retrace(self) -> None:
        """Record what happened since the last version that is recorded, revision by revision."""
        listed, newest = await self.objects()
        try:
            missed = range(int(self._version) + 1, int(newest))
            if len(missed) > RETRACED_MAX:
                raise Gone(410, "Expired", f"{len(missed)} revisions were missed")
            for revision in missed:
                then, _ = await self.objects(at=revision)
                self._compare(then, str(revision))
                self.retraced += 1
        except Gone:
            self.gaps += 1
        self._compare(listed, newest)

    def _compare(self, listed: Mapping[str, tuple[int, bytes]], version: str) -> None:
        """Record what this list, of all objects at that version, shows for the first time."""
        for key in [key for key in self.revisions if key not in listed]:
            self._delete(key, int(version))
        for key, (revision, raw) in listed.items():
            if self.revisions.get(key, 0) < revision:
                self._take(raw)
        self._version = version
        self._changed()

    async def _watch(self) -> None:
        params = {
            "watch": "true",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_S),
        }
        stream = self._transport.stream_batches(
            self.source.path, params=params, read_timeout_s=WATCH_S + 15.0
        )
        async with aclosing(stream):
            async for lines in stream:
                for line in lines:
                    self._line(line)
                if lines:
                    self._changed()

    def _line(self, line: bytes) -> None:
        event = _watch_event.decode(line)
        if event.type == "ERROR":
            raise Gone(410, "Expired", bytes(event.object).decode(errors="replace")[:256])
        meta = _any.decode(event.object).metadata
        if event.type == "DELETED":
            fact = self.source.fact(bytes(event.object))
            if fact is not None and fact[0] in self.revisions:
                self._delete(fact[0], int(meta.resource_version))
        elif event.type != "BOOKMARK":
            self._take(bytes(event.object))
        self._version = meta.resource_version

    def _take(self, raw: bytes) -> None:
        fact = self.source.fact(raw)
        if fact is None:
            return
        key, version = fact
        revision = int(_any.decode(raw).metadata.resource_version)
        self.revisions[key] = revision
        self._record(
            Entry(revision=revision, at_s=self._clock(), kind=self.source.kind, key=key, version=version)
        )

    def _delete(self, key: str, revision: int) -> None:
        del self.revisions[key]
        self._record(
            Entry(revision=revision, at_s=self._clock(), kind=self.source.kind, key=key, version=None)
        )


async def _paused(pause_s: float) -> float:
    await asyncio.sleep(pause_s)
    return min(2 * pause_s, PAUSE_S_MAX)
