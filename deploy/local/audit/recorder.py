"""Follows one resource type by list and watch, and records every version in the order of revisions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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

_list = msgspec.json.Decoder(wire.ListOfObjects)
_watch_event = msgspec.json.Decoder(wire.WatchEvent)
_any = msgspec.json.Decoder(wire.AnyObject)


class Recorder:
    """``record`` is called once for each version seen. ``revisions`` holds the last one of each object.

    gaps: how often the history broke (410): versions between the two lists may be missing, so each one
    that a list then shows is recorded at its own revision, and what is gone at the list's.
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
        self.listed = asyncio.Event()
        self._transport = transport
        self._record = record
        self._clock = clock
        self._changed = changed

    async def run(self) -> None:
        """Record until cancelled. Raises: ClusterError for what asking again would not mend."""
        version = ""
        pause_s = PAUSE_S
        while True:
            try:
                if not version:
                    version = await self._relist()
                version = await self._watch(version)
                pause_s = PAUSE_S
            except Gone:
                version = ""
                self.gaps += 1
            except BadAnswer:
                raise
            except ApiError as error:
                if error.status not in (429, 500, 502, 503, 504):
                    raise
                pause_s = await _paused(pause_s)
            except ClusterError:
                pause_s = await _paused(pause_s)

    async def objects(self) -> tuple[dict[str, tuple[int, bytes]], str]:
        """A quorum list: (revision, object) by key, and the list's version. Raises: ClusterError."""
        found: dict[str, tuple[int, bytes]] = {}
        version = rest = ""
        while True:
            params = {"limit": PAGE, **({"continue": rest} if rest else {})}
            page = _list.decode(await self._transport.request("GET", self.source.path, params=params))
            version = version or page.metadata.resource_version
            for raw in page.items:
                if (fact := self.source.fact(bytes(raw))) is not None:
                    found[fact[0]] = (int(_any.decode(raw).metadata.resource_version), bytes(raw))
            rest = page.metadata.continue_
            if not rest:
                return found, version

    async def _relist(self) -> str:
        listed, version = await self.objects()
        for key in [key for key in self.revisions if key not in listed]:
            self._delete(key, int(version))
        for key, (revision, raw) in listed.items():
            if self.revisions.get(key, 0) < revision:
                self._take(raw)
        self.listed.set()
        self._changed()
        return version

    async def _watch(self, version: str) -> str:
        params = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_S),
        }
        stream = self._transport.stream_batches(
            self.source.path, params=params, read_timeout_s=WATCH_S + 15.0
        )
        async with aclosing(stream):
            async for lines in stream:
                for line in lines:
                    version = self._line(line, version)
                if lines:
                    self._changed()
        return version

    def _line(self, line: bytes, version: str) -> str:
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
        return meta.resource_version

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
