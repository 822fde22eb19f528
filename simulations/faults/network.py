"""One process's way to the API server of a storm, and all that can happen to a request on it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Final

import msgspec

from scheduler.kube.client import JSON, Client
from scheduler.kube.errors import NotFound, OutcomeUnknown, Unreachable, answer_error, failure
from scheduler.kube.transport import CONNECT_SHARE, SERVER_SHARE
from simulations.faults.server import Answer, Call, Server, refusal, target_of
from simulations.faults.store import Collection
from simulations.faults.story import Story
from simulations.faults.weather import Fate, Weather

BOOKMARK_S: Final = 60.0
#: A connection that lost a read is noticed to be dead after this.
READ_LOST_S: Final = 10.0
#: Of its timeout, when a write given up may still land: the transport asks the server to give up before.
LANDS_SHARE: Final = CONNECT_SHARE + SERVER_SHARE
EXPIRED: Final = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
#: The words by which an authorizer refuses (``scheduler.kube.errors.lacks_role``).
ROLELESS: Final = 'User "system:serviceaccount:stowplan-system:stowplan" cannot do this'
_REASONS: Final = {429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}
_encode = msgspec.json.Encoder().encode


class Clear(Client):
    """A way on which nothing ever goes wrong: for whoever judges."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = JSON,
        timeout_s: float = 10.0,
    ) -> bytes:
        call = _call(method, path, body, params)
        answer = self._server.answer(call)
        if answer.status >= 300:
            raise failure(str(call), answer.status, answer.body, answer.retry_after, is_write=call.is_write)
        return answer.body

    async def stream_batches(
        self, path: str, *, params: Mapping[str, str], read_timeout_s: float
    ) -> AsyncGenerator[list[bytes], None]:
        target = target_of(path)
        collection = _served(self._server, path)
        moved = asyncio.Event()
        collection.subscribe(moved)
        shown = int(params["resourceVersion"])
        yield []
        try:
            while True:
                moved.clear()
                if lines := collection.after(shown, target.namespace):
                    shown = self._server.store.revision
                    yield lines
                await moved.wait()
        finally:
            collection.leave(moved)


class Link(Client):
    """``shown``: by path of a list, the revision up to which the process has been shown everything.

    sending: told of each request as it leaves. shows: how an answer or a line looks to the process.
    """

    def __init__(
        self,
        server: Server,
        whom: str,
        *,
        chance: random.Random,
        weather: Weather,
        story: Story,
        sending: Callable[[Link, Call], None],
        shows: Callable[[bytes], bytes] = lambda raw: raw,
    ) -> None:
        self.whom = whom
        self.shown: dict[str, int] = {}
        self._server = server
        self._chance = chance
        self._weather = weather
        self._story = story
        self._sending = sending
        self._shows = shows
        self._loop = asyncio.get_running_loop()
        self._is_cut = False
        self._open: dict[asyncio.Event, None] = {}
        self._broken: set[asyncio.Event] = set()

    def cut(self) -> None:
        """The process is dead: nothing leaves any more; what has left goes on."""
        self._is_cut = True

    def break_streams(self) -> None:
        """Every watch of the process breaks."""
        self._broken.update(self._open)
        for moved in self._open:
            moved.set()

    # -- requests ----------------------------------------------------------------------------------

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = JSON,
        timeout_s: float = 10.0,
    ) -> bytes:
        call = _call(method, path, body, params)
        now_s = self._loop.time()
        fate = self._weather.fate(
            self.whom, call.target.collection, now_s, self._chance, is_write=call.is_write
        )
        if self._is_cut or fate == "refused":
            await asyncio.sleep(0.001)
            raise Unreachable(f"{call}: connection refused")
        self._sending(self, call)
        answer = await self._send(call, fate, now_s, now_s + timeout_s)
        if answer is None:
            raise (OutcomeUnknown if call.is_write else Unreachable)(f"{call}: no answer")
        if answer.status >= 300:
            raise failure(str(call), answer.status, answer.body, answer.retry_after, is_write=call.is_write)
        return self._shows(answer.body)

    def _send(self, call: Call, fate: Fate, now_s: float, until_s: float) -> asyncio.Future[Answer | None]:
        """The answer, or None where none comes, at the time when the client knows."""
        answered: asyncio.Future[Answer | None] = self._loop.create_future()
        arrives_s = now_s + self._weather.latency_s(self.whom, now_s, self._chance)
        match fate:
            case "vanishes":
                self._note(call, fate)
                lost_s = until_s if call.is_write else min(until_s, now_s + READ_LOST_S)
                self._loop.call_at(lost_s, _give, answered, None)
            case "late":
                # The server gives a write up when its client has (``timeout=`` on every write).
                self._note(call, fate)
                lands_s = now_s + self._chance.uniform(0.0, LANDS_SHARE * (until_s - now_s))
                self._loop.call_at(lands_s, self._arrive, call, None, fate, until_s)
                self._loop.call_at(arrives_s, _give, answered, None)
            case _:
                self._loop.call_at(arrives_s, self._arrive, call, answered, fate, until_s)
        return answered

    def _arrive(
        self, call: Call, answered: asyncio.Future[Answer | None] | None, fate: Fate, until_s: float
    ) -> None:
        now_s = self._loop.time()
        if now_s >= until_s:
            _give(answered, None)
            return
        answer = self._answer(call, fate)
        back_s = self._weather.latency_s(self.whom, now_s, self._chance)
        if fate == "twice":
            self._note(call, fate)
            self._loop.call_at(now_s + back_s, self._server.answer, call)
        if fate == "loses":
            self._note(call, fate)
            answer = None
            longest_s = until_s - now_s if call.is_write else min(until_s - now_s, READ_LOST_S)
            back_s = self._chance.choice((back_s, longest_s))
        if answered is not None:
            is_in_time = now_s + back_s < until_s
            self._loop.call_at(
                min(now_s + back_s, until_s), self._take, call, answered, answer if is_in_time else None
            )

    def _answer(self, call: Call, fate: Fate) -> Answer | None:
        if not isinstance(fate, int):
            answer = self._server.answer(call)
            if call.is_write:
                self._note(call, answer.status)
            return answer
        # A failure of the storage does not say whether the write was applied.
        if fate in (500, 504) and call.is_write and self._chance.random() < 0.5:
            self._server.answer(call)
        self._note(call, fate)
        if fate == 403:
            return refusal(403, "Forbidden", ROLELESS)
        return refusal(fate, _REASONS[fate], "by the storm", retry_after_s=1 if fate == 429 else None)

    def _take(self, call: Call, answered: asyncio.Future[Answer | None], answer: Answer | None) -> None:
        target = call.target
        if answer is not None and answer.status == 200 and call.method == "GET" and not target.name:
            self._show(target.collection, _version(answer.body))
        _give(answered, answer)

    def _show(self, path: str, revision: int) -> None:
        self.shown[path] = max(self.shown.get(path, 0), revision)

    def _note(self, call: Call, what: object) -> None:
        if call.target.collection.endswith(("/leases", "/events")) and what in (200, 201):
            return
        self._story.tell(self.whom, f"{call}: {what}")

    # -- watches -----------------------------------------------------------------------------------

    async def stream_batches(
        self, path: str, *, params: Mapping[str, str], read_timeout_s: float
    ) -> AsyncGenerator[list[bytes], None]:
        now_s = self._loop.time()
        fate = self._weather.fate(self.whom, path, now_s, self._chance, is_write=False)
        await asyncio.sleep(self._weather.latency_s(self.whom, now_s, self._chance))
        if fate == "vanishes":
            await asyncio.sleep(min(read_timeout_s, READ_LOST_S))
        if self._is_cut or fate in ("refused", "vanishes"):
            raise Unreachable(f"GET {path}: connection refused")
        if isinstance(fate, int):
            refused = refusal(fate, _REASONS.get(fate, "Forbidden"), ROLELESS, retry_after_s=1)
            raise answer_error(refused.status, refused.body, refused.retry_after)
        collection = _served(self._server, path)
        moved = asyncio.Event()
        collection.subscribe(moved)
        self._open[moved] = None
        try:
            yield []
            until_s = now_s + float(params["timeoutSeconds"])
            shown = int(params["resourceVersion"])
            if shown < collection.floor:
                yield [_line("ERROR", EXPIRED)]
                return
            # A server may begin too early: what is older than the view changes nothing.
            early = self._chance.random() < 0.05 and now_s < self._weather.until_s
            follow = self._follow(collection, moved, shown - 20 * early, until_s, read_timeout_s)
            async for lines, revision in follow:
                self._show(path, revision)
                yield [self._shows(line) for line in lines]
        finally:
            collection.leave(moved)
            self._open.pop(moved, None)
            self._broken.discard(moved)

    async def _follow(
        self, collection: Collection, moved: asyncio.Event, shown: int, until_s: float, read_timeout_s: float
    ) -> AsyncGenerator[tuple[list[bytes], int], None]:
        """What a watch brings until it ends, and the revision up to which that is all."""
        loop, path, opened_s = self._loop, collection.path, self._loop.time()
        while True:
            await self._through(path, opened_s, read_timeout_s)
            if moved in self._broken:
                raise Unreachable(f"GET {path}: the connection broke")
            moved.clear()
            now_s = loop.time()
            lines, shown = collection.after(shown), max(shown, self._server.store.revision)
            if lines or now_s >= until_s:
                yield lines, shown
            if now_s >= until_s:
                return
            try:
                async with asyncio.timeout_at(min(until_s, now_s + BOOKMARK_S)):
                    await moved.wait()
            except TimeoutError:
                if loop.time() < until_s:
                    yield [_line("BOOKMARK", {"metadata": {"resourceVersion": str(shown)}})], shown

    async def _through(self, path: str, opened_s: float, read_timeout_s: float) -> None:
        """Return when the next bytes of a watch come through. Raises: Unreachable after a long silence."""
        loop, weather = self._loop, self._weather
        since_s = loop.time()
        while True:
            now_s = loop.time()
            wait_s = weather.silent_until(self.whom, path, now_s, opened_s) - now_s
            if wait_s <= 0 and now_s > since_s:
                return
            await asyncio.sleep(
                min(wait_s, read_timeout_s)
                if wait_s > 0
                else weather.latency_s(self.whom, now_s, self._chance)
            )
            if loop.time() - since_s >= read_timeout_s:
                raise Unreachable(f"GET {path}: silent for {read_timeout_s:g} s")


def _give(answered: asyncio.Future[Answer | None] | None, answer: Answer | None) -> None:
    if answered is not None and not answered.done():
        answered.set_result(answer)


def _call(method: str, path: str, body: bytes | None, params: Mapping[str, str] | None) -> Call:
    return Call(method=method, target=target_of(path), body=body or b"", is_dry="dryRun" in (params or ()))


def _served(server: Server, path: str) -> Collection:
    collection = server.store.find(target_of(path).collection)
    if collection is None:
        raise NotFound(404, "NotFound", "the server could not find the requested resource")
    return collection


def _version(body: bytes) -> int:
    """Of a list: its head is written by the server of this package."""
    return int(body[: body.index(b'"}')].rpartition(b'"')[2])


def _line(kind: str, found: object) -> bytes:
    return _encode({"type": kind, "object": found})
