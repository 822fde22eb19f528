"""What goes wrong with a watch."""

from __future__ import annotations

import asyncio

import msgspec

from tests.faults.calls import Call, Lines, WatchAction


class _Name(msgspec.Struct, frozen=True):
    name: str = ""
    namespace: str = ""


class _Object(msgspec.Struct, frozen=True):
    metadata: _Name = _Name()


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: _Object


class Shown:
    """Nothing goes wrong: what a watch has passed on is remembered, as (type, namespace, name)."""

    def __init__(self) -> None:
        self._events: set[tuple[str, str, str]] = set()
        self._news = asyncio.Event()

    async def until(self, events: set[tuple[str, str, str]]) -> None:
        """Return once all of these were passed on."""
        while not events <= self._events:
            self._news.clear()
            await self._news.wait()

    async def __call__(self, call: Call, lines: Lines) -> Lines:
        async for line in lines:
            yield line
            found = msgspec.json.decode(line, type=_Event)
            self._events.add((found.type, found.object.metadata.namespace, found.object.metadata.name))
            self._news.set()


def stall(gate: asyncio.Event) -> WatchAction:
    """The connection stays open and silent until the gate opens; what came meanwhile follows then."""

    async def act(call: Call, lines: Lines) -> Lines:
        await gate.wait()
        async for line in lines:
            yield line

    return act


def stall_when(closed: asyncio.Event, gate: asyncio.Event) -> WatchAction:
    """As ``stall``, from the moment ``closed`` is set. The end of the watch is held back too."""

    async def act(call: Call, lines: Lines) -> Lines:
        async for line in lines:
            if closed.is_set():
                await gate.wait()
            yield line
        if closed.is_set():
            await gate.wait()

    return act


def drop_event(number: int) -> WatchAction:
    """The k-th event, from 1, never arrives."""

    async def act(call: Call, lines: Lines) -> Lines:
        count = 0
        async for line in lines:
            count += 1
            if count != number:
                yield line

    return act


def close_after(number: int) -> WatchAction:
    """The server ends the watch after so many events."""

    async def act(call: Call, lines: Lines) -> Lines:
        count = 0
        async for line in lines:
            yield line
            count += 1
            if count >= number:
                return

    return act


def expire_after(number: int) -> WatchAction:
    """After so many events the server says that the version is too old."""
    told = {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}

    async def act(call: Call, lines: Lines) -> Lines:
        count = 0
        async for line in lines:
            yield line
            count += 1
            if count >= number:
                yield msgspec.json.encode({"type": "ERROR", "object": told})
                return

    return act
