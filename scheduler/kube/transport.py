"""HTTP to the API server: requests whose failure says what may have happened, and streams of lines."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from scheduler.kube.client import (
    JSON,
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_MERGE_PATCH,
    Client,
    closing,
)
from scheduler.kube.credential import Credential
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.errors import (
    AlreadyExists,
    ApiError,
    BadAnswer,
    Cause,
    ClusterError,
    Conflict,
    EndpointError,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    OutcomeUnknown,
    ServerError,
    TooLong,
    TooManyRequests,
    Unauthorized,
    Unreachable,
    answer_error,
    failure,
)
from scheduler.kube.lines import LineSplitter

__all__ = [
    "JSON",
    "JSON_PATCH",
    "MERGE_PATCH",
    "STRATEGIC_MERGE_PATCH",
    "AlreadyExists",
    "ApiError",
    "BadAnswer",
    "Cause",
    "Client",
    "ClusterError",
    "Conflict",
    "Endpoint",
    "EndpointError",
    "Forbidden",
    "Gone",
    "Invalid",
    "NotFound",
    "OutcomeUnknown",
    "ServerError",
    "TooManyRequests",
    "Transport",
    "Unauthorized",
    "Unreachable",
]

BODY_BYTES_MAX = 256 * 2**20
STREAMS_MAX = 128
STREAM_CONNECT_TIMEOUT_S = 10.0
#: A connection idle longer is not reused. Below the API server's 90 s and the usual 60 s of a load balancer.
KEEPALIVE_S = 30.0
READ_BUFFER_BYTES = 2**20
#: Waiting for a connection and the server's own deadline together stay below the caller's timeout, so
#: that once a write is given up here, the server has given it up too (``timeout=`` on every write).
CONNECT_SHARE = 0.3
SERVER_SHARE = 0.6

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_NEVER_LEFT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ServerFingerprintMismatch,
)
_BROKEN = (aiohttp.ClientError, TimeoutError, OSError)


class _Severed(Exception):
    """A connection broke under a write. No aiohttp error, so that aiohttp does not send the write again."""


async def _sent_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a PUT or DELETE on its own when a reused connection breaks."""
    try:
        return await handler(request)
    except _NEVER_LEFT:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Severed(_told(error)) from error


class Transport(Client):
    """Requests and streams to one API server. An async context manager.

    connections_max: connections for requests; streams have their own, ``STREAMS_MAX``. A request that
        finds no free connection within ``CONNECT_SHARE`` of its timeout is Unreachable.
    """

    def __init__(
        self, endpoint: Endpoint, *, user_agent: str = "stowplan", connections_max: int = 64
    ) -> None:
        self._endpoint = endpoint
        self._credential = Credential(
            endpoint.token, is_refreshing=endpoint.is_refreshing, clock=time.monotonic
        )
        self._headers = {"User-Agent": user_agent, "Accept": JSON, "Accept-Encoding": "identity"}
        self._connections_max = connections_max
        self._requests: aiohttp.ClientSession | None = None
        self._streams: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._requests = self._session(self._connections_max)
        self._streams = self._session(STREAMS_MAX)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._requests, self._streams):
            if session is not None:
                await session.close()
        self._requests = self._streams = None
        await self._credential.close()

    def _session(self, connections_max: int) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=connections_max, ssl=self._endpoint.tls or True, keepalive_timeout=KEEPALIVE_S
        )
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=READ_BUFFER_BYTES,
        )

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
        """Send one request, give the body of its answer. A write is sent at most once.

        Raises Unreachable, OutcomeUnknown (writes only), BadAnswer or an ApiError. A 401 makes the token
        be loaded anew and the request sent again, once: the server did nothing with the first.
        A caller that cancels a write must treat it as of unknown outcome.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        token = await self._credential.current()
        try:
            return await self._send(method, path, body, params, content_type, token, timeout_s)
        except Unauthorized:
            renewed = await self._credential.renew(token)
            left_s = deadline - loop.time()
            if renewed == token or left_s <= 0:
                raise
        return await self._send(method, path, body, params, content_type, renewed, left_s)

    async def _send(
        self,
        method: str,
        path: str,
        body: bytes | None,
        params: Mapping[str, str] | None,
        content_type: str,
        token: str | None,
        timeout_s: float,
    ) -> bytes:
        is_write = method not in _READS
        query = dict(params or {})
        if is_write:
            query.setdefault("timeout", f"{max(1, int(timeout_s * SERVER_SHARE * 1000))}ms")
        headers = _bearer(token)
        if body is not None:
            headers["Content-Type"] = content_type
        lost = OutcomeUnknown if is_write else Unreachable
        try:
            async with _open(self._requests).request(
                method,
                self._url(path, query),
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout_s, connect=timeout_s * CONNECT_SHARE),
                allow_redirects=False,
                server_hostname=self._endpoint.server_hostname,
                proxy=self._endpoint.proxy,
                middlewares=(_sent_once,) if is_write else (),
            ) as answer:
                content = await _read(answer)
        except _NEVER_LEFT as error:
            raise Unreachable(f"{method} {path}: {_told(error)}") from error
        except (*_BROKEN, _Severed) as error:
            raise lost(f"{method} {path}: {_told(error)}") from error
        except BadAnswer as error:
            raise (lost if is_write else type(error))(f"{method} {path}: {error}") from error
        if answer.status < 300:
            return content
        raise failure(
            f"{method} {path}", answer.status, content, answer.headers.get("Retry-After"), is_write=is_write
        )

    async def stream_batches(
        self, path: str, *, params: Mapping[str, str], read_timeout_s: float
    ) -> AsyncGenerator[list[bytes], None]:
        """The lines of a watch, all that arrived together at a time: one wakeup for a burst of events.

        The first batch is empty and says that the server has accepted the watch. Raises Unreachable
        when the stream breaks or is silent for ``read_timeout_s``, BadAnswer when a line is too long, an
        ApiError when the server refuses.
        """
        token = await self._credential.current()
        try:
            async with closing(self._stream(path, params, read_timeout_s, token)) as batches:
                async for batch in batches:
                    yield batch
        except Unauthorized:
            renewed = await self._credential.renew(token)
            if renewed == token:
                raise
        else:
            return
        async with closing(self._stream(path, params, read_timeout_s, renewed)) as batches:
            async for batch in batches:
                yield batch

    async def _stream(
        self, path: str, params: Mapping[str, str], read_timeout_s: float, token: str | None
    ) -> AsyncGenerator[list[bytes], None]:
        splitter = LineSplitter()
        timeout = aiohttp.ClientTimeout(
            total=None, connect=STREAM_CONNECT_TIMEOUT_S, sock_read=read_timeout_s
        )
        try:
            async with _open(self._streams).get(
                self._url(path, params),
                headers=_bearer(token),
                timeout=timeout,
                allow_redirects=False,
                server_hostname=self._endpoint.server_hostname,
                proxy=self._endpoint.proxy,
            ) as answer:
                if answer.status >= 300:
                    raise answer_error(answer.status, await _read(answer), answer.headers.get("Retry-After"))
                yield []
                async for chunk in answer.content.iter_any():
                    if lines := splitter.feed(chunk):
                        yield lines
        except _BROKEN as error:
            raise Unreachable(f"GET {path}: {_told(error)}") from error
        if splitter.held_bytes:
            raise Unreachable(f"GET {path}: the stream ended in the middle of a line")

    def _url(self, path: str, query: Mapping[str, str]) -> URL:
        # yarl would decode and encode each part again; names and our queries are already encoded.
        return URL(f"{self._endpoint.base_url}{path}{_tail(tuple(query.items()))}", encoded=True)


@lru_cache(maxsize=64)
def _tail(query: tuple[tuple[str, str], ...]) -> str:
    """Of a URL: thousands of Bindings ask the same."""
    return f"?{urlencode(query)}" if query else ""


def _open(session: aiohttp.ClientSession | None) -> aiohttp.ClientSession:
    if session is None:
        raise Unreachable("the transport is closed")
    return session


def _bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise TooLong(f"the answer is longer than {BODY_BYTES_MAX} bytes")
        parts.append(chunk)
    return b"".join(parts)


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__
