"""A proxy that fails on purpose: plain HTTP on loopback in, the API server out.

It knows what a request is for, so a rule can speak of the third Binding or of the claim of a gang, and
can do what a network can: also apply a write and lose its answer. Every rule that matches is asked in
the order the rules were added; the first whose turn it is acts. Crash points are made here, by a
callback before a write is forwarded or after it was applied: the product has none.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec
from aiohttp import web
from yarl import URL

from scheduler.kube.endpoint import Endpoint
from scheduler.kube.lines import LineSplitter
from tests.faults.calls import Action, Answer, Call, Dropped, Forward, Lines, Match, WatchAction
from tests.faults.watches import close_after as close_after
from tests.faults.watches import drop_event as drop_event
from tests.faults.watches import expire_after as expire_after
from tests.faults.watches import stall as stall
from tests.faults.watches import stall_when as stall_when

BODY_BYTES_MAX: Final = 64 * 2**20
CALLS_MAX: Final = 200_000
#: Zero would mean for ever.
SHUTDOWN_S: Final = 0.1

_PATH = re.compile(
    r"^/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<resource>[^/?]+)(?:/(?P<name>[^/?]+))?(?:/(?P<subresource>[^/?]+))?$"
)


@dataclass(kw_only=True)
class Rule:
    """``when`` says for which of the matching requests, counted from 1, the action is taken."""

    match: Match
    action: Action | None = None
    watch: WatchAction | None = None
    when: Callable[[int], bool] = lambda _: True
    #: Count requests of each path apart: ``nth(1)`` is then the first try of every Binding.
    by_path: bool = False
    seen: Counter[str] = field(default_factory=Counter)
    #: Set when the action was taken for the first time.
    fired: asyncio.Event = field(default_factory=asyncio.Event)

    def takes(self, call: Call) -> bool:
        if call.is_watch != (self.watch is not None) or not self.match(call):
            return False
        slot = call.path if self.by_path else ""
        self.seen[slot] += 1
        return self.when(self.seen[slot])


def nth(*numbers: int) -> Callable[[int], bool]:
    return lambda number: number in numbers


@dataclass(frozen=True, slots=True)
class Logged:
    """A forwarded request and the API server's answer to it, whether or not the client got it."""

    call: Call
    status: int
    #: The beginning of an error's body.
    told: str = ""


class Proxy:
    """``async with Proxy(endpoint) as proxy``; ``proxy.url`` is where clients go, with their own token."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.rules: list[Rule] = []
        self.calls: list[Logged] = []
        self.watches: list[Logged] = []
        self.port = 0
        self._endpoint = endpoint
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.ServerRunner | None = None
        self._answered = asyncio.Event()
        self._handlers: set[asyncio.Task[web.StreamResponse]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, ssl=self._endpoint.tls or True)
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding",),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()
        if self._session is not None:
            await self._session.close()

    async def listen(self) -> None:
        """Take connections, on the same port as before."""
        server = web.Server(self._handle, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def refuse(self) -> None:
        """Break every connection and refuse new ones until ``listen``."""
        if self._runner is not None:
            for handler in self._handlers:
                handler.cancel()
            await self._runner.cleanup()
            self._runner = None

    def add(
        self,
        match: Match,
        action: Action | None = None,
        *,
        watch: WatchAction | None = None,
        when: Callable[[int], bool] = lambda _: True,
        by_path: bool = False,
    ) -> Rule:
        rule = Rule(match=match, action=action, watch=watch, when=when, by_path=by_path)
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Be a good proxy from now on. Requests that are held stay held until released."""
        self.rules.clear()

    def answered(self, match: Match) -> list[Logged]:
        """Requests that match and that the API server answered, in the order of its answers."""
        return [logged for logged in self.calls if match(logged.call)]

    async def next_answer(self) -> None:
        """Return when the API server has answered one more request."""
        self._answered.clear()
        await self._answered.wait()

    def last_refusals(self) -> str:
        """The last errors that the API server answered, for a test that failed."""
        refused = [logged for logged in self.calls if logged.status >= 400][-20:]
        return "\n".join(f"{one.call.method} {one.call.path}: {one.status} {one.told}" for one in refused)

    def applied(self, match: Match) -> list[Call]:
        """Requests that match and that the API server answered with success."""
        return [logged.call for logged in self.calls if logged.status < 300 and match(logged.call)]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = asyncio.create_task(self._serve(request))
        self._handlers.add(handler)
        handler.add_done_callback(self._handlers.discard)
        return await handler

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        request._client_max_size = BODY_BYTES_MAX  # A claim of a large gang is longer than the default.
        call = _call(request, await request.read())
        rule = next((rule for rule in self.rules if rule.takes(call)), None)
        try:
            if call.is_watch:
                return await self._stream(request, call, rule)
            answer = await self._answer(call, rule)
        except (Dropped, aiohttp.ClientError, ConnectionError):
            # The API server's own failures reach the client as what they are: no answer.
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=502)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    async def _answer(self, call: Call, rule: Rule | None) -> Answer:
        if rule is None or rule.action is None:
            return await self._forward(call)
        rule.fired.set()
        return await rule.action(call, lambda: self._forward(call))

    async def _forward(self, call: Call) -> Answer:
        async with self._open().request(
            call.method, self._url(call), data=call.body or None, headers=call.headers, allow_redirects=False
        ) as answer:
            body = await answer.read()
        if len(self.calls) < CALLS_MAX:
            self.calls.append(
                Logged(
                    call, answer.status, "" if answer.status < 400 else body[:400].decode(errors="replace")
                )
            )
        self._answered.set()
        kept = {
            k: v
            for k, v in answer.headers.items()
            if k in ("Content-Type", "Content-Encoding", "Retry-After")
        }
        return Answer(status=answer.status, body=body, headers=kept)

    async def _stream(self, request: web.BaseRequest, call: Call, rule: Rule | None) -> web.StreamResponse:
        async with self._open().get(self._url(call), headers=call.headers) as answer:
            if len(self.watches) < CALLS_MAX:
                self.watches.append(Logged(call, answer.status))
            response = web.StreamResponse(status=answer.status)
            response.content_type = "application/json"
            await response.prepare(request)
            lines = _lines(answer)
            if rule is not None and rule.watch is not None:
                rule.fired.set()
                lines = rule.watch(call, lines)
            try:
                async with aclosing(lines):
                    async for line in lines:
                        await response.write(line + b"\n")
            finally:
                # A watch that is left early would otherwise take its time to say goodbye.
                if answer.connection is not None and answer.connection.transport is not None:
                    answer.connection.transport.abort()
            await response.write_eof()
            return response

    def _open(self) -> aiohttp.ClientSession:
        assert self._session is not None, "the proxy is closed"
        return self._session

    def _url(self, call: Call) -> URL:
        tail = f"?{call.query}" if call.query else ""
        return URL(f"{self._endpoint.base_url}{call.path}{tail}", encoded=True)


async def _lines(answer: aiohttp.ClientResponse) -> Lines:
    splitter = LineSplitter()
    async for chunk in answer.content.iter_any():
        for line in splitter.feed(chunk):
            yield line


def _call(request: web.BaseRequest, body: bytes) -> Call:
    path = request.rel_url.raw_path
    query = request.rel_url.raw_query_string
    found = _PATH.match(path)
    parts = {key: value or "" for key, value in found.groupdict().items()} if found else {}
    parts.pop("version", None)
    kept = ("Authorization", "Content-Type", "Accept", "Accept-Encoding", "User-Agent")
    return Call(
        method=request.method,
        path=path,
        query=query,
        headers={key: request.headers[key] for key in kept if key in request.headers},
        body=body,
        is_watch="watch=true" in query.split("&"),
        **parts,
    )


# -- what a request is for ---------------------------------------------------------------------


def call(
    method: str = "", resource: str = "", subresource: str | None = None, *, path: str = "", name: str = ""
) -> Match:
    """Requests of a method, resource and subresource ("" for none), a path pattern, a name."""
    pattern = re.compile(path)

    def matches(one: Call) -> bool:
        return (
            method in ("", one.method)
            and resource in ("", one.resource)
            and subresource in (None, one.subresource)
            and name in ("", one.name)
            and (not path or pattern.search(one.path) is not None)
        )

    return matches


def binding(one: Call) -> bool:
    """A Binding; not the canary by which a leader learns that the fence stands."""
    return one.subresource == "binding" and "dryRun=All" not in one.query


eviction: Final = call("POST", "pods", "eviction")
pod_status: Final = call("PATCH", "pods", "status")
gang_create: Final = call("POST", "gangs", "")
event_create: Final = call("POST", "events", "")


def gang_status(phase: str) -> Match:
    """A write of a Gang object's status that says a phase: ``Binding`` is the claim."""
    at = call("PATCH", "gangs", "status")
    return lambda one: at(one) and (one.json() or {}).get("status", {}).get("phase") == phase


def lease_create(one: Call) -> bool:
    return one.resource == "leases" and one.method == "POST"


def lease_renewal(one: Call) -> bool:
    return one.resource == "leases" and one.method == "PUT"


# -- what goes wrong with a request ------------------------------------------------------------


def drop_answer() -> Action:
    """Applied, and nobody is told."""

    async def act(one: Call, forward: Forward) -> Answer:
        await forward()
        raise Dropped

    return act


def reset() -> Action:
    """The connection breaks before the API server hears of it."""

    async def act(one: Call, forward: Forward) -> Answer:
        raise Dropped

    return act


def refuse_with(
    status: int, *, reason: str = "", message: str = "by the proxy", retry_after_s: int | None = None
) -> Action:
    """An error answer without asking the API server."""
    headers = {"Content-Type": "application/json"}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    told = {
        "kind": "Status",
        "status": "Failure",
        "code": status,
        "reason": reason,
        "message": message,
    }

    async def act(one: Call, forward: Forward) -> Answer:
        return Answer(status=status, body=msgspec.json.encode(told), headers=headers)

    return act


def delay(seconds: float) -> Action:
    async def act(one: Call, forward: Forward) -> Answer:
        await elapse(seconds)
        return await forward()

    return act


def duplicate() -> Action:
    """The network delivers the request twice; the client gets the first answer."""

    async def act(one: Call, forward: Forward) -> Answer:
        answer = await forward()
        await forward()
        return answer

    return act


def hold(gate: asyncio.Event) -> Action:
    """In the proxy's hand until the gate opens; applied then, whoever still waits for it."""

    async def act(one: Call, forward: Forward) -> Answer:
        await gate.wait()
        return await forward()

    return act


def before(callback: Callable[[], object]) -> Action:
    """Call back in the moment before the request is forwarded, which then is not."""

    async def act(one: Call, forward: Forward) -> Answer:
        callback()
        raise Dropped

    return act


def after(callback: Callable[[], object]) -> Action:
    """Call back when the request was applied; its answer is lost."""

    async def act(one: Call, forward: Forward) -> Answer:
        await forward()
        callback()
        raise Dropped

    return act


def then(callback: Callable[[], Awaitable[object]]) -> Action:
    """Do something else first, then forward as if nothing had been."""

    async def act(one: Call, forward: Forward) -> Answer:
        await callback()
        return await forward()

    return act


async def elapse(seconds: float) -> None:
    """Let time pass on purpose: it is the fault, not a wait for something."""
    loop = asyncio.get_running_loop()
    passed = loop.create_future()
    timer = loop.call_later(seconds, passed.set_result, None)
    try:
        await passed
    finally:
        timer.cancel()
