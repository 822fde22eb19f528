"""Every revision of the objects of one type, listed and watched as an API server serves them."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Callable, Mapping

from scheduler.kube.transport import Gone, Unreachable
from simulations.faults.virtual_time import elapse

Object = dict[str, object]

FIRST_REVISION = 100
STATUS_410 = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
EMPTY_AND_OLD = json.dumps({"metadata": {"resourceVersion": str(FIRST_REVISION - 1)}, "items": []}).encode()


class Store:
    """``put``, ``delete`` and ``compact`` move it; ``page`` and ``events_after`` are what clients see."""

    def __init__(self) -> None:
        self.revision = FIRST_REVISION
        self.compacted = 0
        self._objects: dict[str, Object] = {}
        self._history: list[tuple[int, str, Object]] = []
        self._uids = itertools.count(1)
        self._moved: list[asyncio.Event] = []

    def put(self, name: str, *, is_odd: bool = False) -> int:
        """Create or modify; the new revision. An odd object breaks its type."""
        known = self._objects.get(name)
        uid = _meta(known)["uid"] if known else f"uid-{next(self._uids)}"
        self.revision += 1
        meta = {"name": name, "uid": uid, "resourceVersion": str(self.revision)}
        found: Object = {"metadata": {**meta, "labels": {"n": 8 if is_odd else "8"}}}
        self._objects[name] = found
        self._record("MODIFIED" if known else "ADDED", found)
        return self.revision

    def delete(self, name: str) -> None:
        gone = self._objects.pop(name, None)
        if gone is not None:
            self.revision += 1
            self._record("DELETED", {"metadata": {**_meta(gone), "resourceVersion": str(self.revision)}})

    def compact(self) -> None:
        """Forget the history: watches and pages from before are 410."""
        self.compacted = self.revision
        self._history.clear()

    def contents(self) -> dict[str, tuple[str, int]]:
        """UID and version by name."""
        return {name: _identity(found) for name, found in self._objects.items()}

    def odd_names(self) -> set[str]:
        """Names of the objects that break their type."""
        return {name for name, found in self._objects.items() if _meta(found)["labels"] == {"n": 8}}

    def page(self, *, limit: int, token: str) -> bytes:
        """One page. Raises Gone for a token from before the compaction."""
        revision, start = (int(part) for part in token.split(":")) if token else (self.revision, 0)
        if revision < self.compacted:
            raise Gone(410, "Expired", "the provided continue parameter is too old")
        found = [at for _, at in sorted(self._at(revision).items())]
        more = f"{revision}:{start + limit}" if start + limit < len(found) else ""
        return json.dumps(
            {
                "metadata": {"resourceVersion": str(revision), "continue": more},
                "items": found[start : start + limit],
            }
        ).encode()

    def events_after(self, revision: int) -> list[bytes]:
        """Watch lines. Raises Gone when they are no longer all known."""
        if revision < self.compacted:
            raise Gone(410, "Expired", "too old resource version")
        return [_line(kind, found) for at, kind, found in self._history if at > revision]

    def subscribe(self) -> asyncio.Event:
        """Set at every change."""
        event = asyncio.Event()
        self._moved.append(event)
        return event

    def _record(self, kind: str, found: Object) -> None:
        self._history.append((self.revision, kind, found))
        for event in self._moved:
            event.set()

    def _at(self, revision: int) -> dict[str, Object]:
        """The objects as they were: today's, with the changes since undone by replaying the history."""
        if revision == self.revision:
            return self._objects
        found = {name: at for name, at in self._objects.items() if _identity(at)[1] <= revision}
        for at, kind, change in self._history:
            if at <= revision:
                name = str(_meta(change)["name"])
                found.pop(name, None) if kind == "DELETED" else found.update({name: change})
        return found


#: What becomes of the next request or watch. The number says after how many events.
Fault = tuple[str, int]


class MemoryReader:
    """Reads the store without a network; ``faults`` are used up one a request, then ``always`` decides."""

    def __init__(self, store: Store, *, faults: list[Fault] | None = None) -> None:
        self.store = store
        self._faults = list(faults or ())
        #: The fault of every request, once the list is used up.
        self.always: Callable[[Mapping[str, str]], Fault] = lambda params: ("", 0)
        self.requests: list[tuple[float, Mapping[str, str]]] = []
        #: Called before each page of a list, to move the store under the reader.
        self.before_page: Callable[[Mapping[str, str]], None] = lambda params: None
        self.is_silent = False

    async def request(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float = 10.0
    ) -> bytes:
        asked = dict(params or {})
        self._note(asked)
        kind, _ = self._next_fault(asked)
        await elapse(0.01)
        if kind == "cut":
            raise Unreachable("cut")
        if kind == "expire" and "continue" in asked:
            raise Gone(410, "Expired", "the provided continue parameter is too old")
        self.before_page(asked)
        if kind == "old":
            return json.dumps(
                {"metadata": {"resourceVersion": str(FIRST_REVISION - 1)}, "items": []}
            ).encode()
        return self.store.page(limit=int(asked["limit"]), token=asked.get("continue", ""))

    async def stream_batches(
        self, path: str, *, params: Mapping[str, str], read_timeout_s: float
    ) -> AsyncGenerator[list[bytes], None]:
        self._note(params)
        kind, count = self._next_fault(params)
        if kind == "refuse":
            raise Unreachable("refused")
        if kind == "gone":
            raise Gone(410, "Expired", "too old resource version")
        yield []
        revision = int(params["resourceVersion"])
        if kind == "replay":
            # A server that begins too early: a version that is refused here is one that went back in time.
            yield self.store.events_after(max(self.store.compacted, revision - count)) or []
        until_s = asyncio.get_running_loop().time() + float(params["timeoutSeconds"])
        sent = 0
        async for batch in self._follow(revision, until_s):
            while self.is_silent or kind == "stall":
                await elapse(1.0)
            for line in batch:
                if kind in ("cut", "end") and sent >= count:
                    break
                sent += 1
                yield [line] if kind else []
            if kind == "cut" and sent >= count:
                raise Unreachable("cut")
            if kind == "end" and sent >= count:
                return
            if not kind:
                yield batch

    async def _follow(self, revision: int, until_s: float) -> AsyncGenerator[list[bytes], None]:
        moved = self.store.subscribe()
        loop = asyncio.get_running_loop()
        while loop.time() < until_s:
            moved.clear()
            try:
                yield self.store.events_after(revision)
            except Gone:
                yield [json.dumps({"type": "ERROR", "object": STATUS_410}).encode()]
                return
            revision = max(revision, self.store.revision)
            bookmark = {"metadata": {"resourceVersion": str(revision)}}
            try:
                async with asyncio.timeout(min(60.0, max(0.0, until_s - loop.time()))):
                    await moved.wait()
            except TimeoutError:
                if loop.time() < until_s:
                    yield [_line("BOOKMARK", bookmark)]

    def _note(self, params: Mapping[str, str]) -> None:
        self.requests.append((asyncio.get_running_loop().time(), params))

    def _next_fault(self, params: Mapping[str, str]) -> Fault:
        return self._faults.pop(0) if self._faults else self.always(params)


def _line(kind: str, found: Mapping[str, object]) -> bytes:
    return json.dumps({"type": kind, "object": found}).encode()


def _meta(found: Mapping[str, object] | None) -> dict[str, object]:
    meta = (found or {}).get("metadata")
    return meta if isinstance(meta, dict) else {}


def _identity(found: Mapping[str, object]) -> tuple[str, int]:
    meta = _meta(found)
    return str(meta["uid"]), int(str(meta["resourceVersion"]))
