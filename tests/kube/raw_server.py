"""A server on a socket whose answers are bytes, so that a test decides where they break."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import Transport


@dataclass(frozen=True, kw_only=True)
class Request:
    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes
    #: 1 for the first request on its connection.
    nth_on_connection: int


Handler = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def answer(status: int = 200, body: bytes | dict[str, object] = b"{}", **headers: str) -> bytes:
    """A whole answer. Underscores in header names stand for dashes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM_END = b"0\r\n\r\n"


def chunk(content: bytes) -> bytes:
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


class RawServer:
    """``async with RawServer(handler)``; a handler that closes the writer ends the connection."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.requests: list[Request] = []
        self.closed = asyncio.Event()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.close()
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        count = 0
        try:
            while not writer.is_closing() and (head := await _head(reader)):
                count += 1
                request = await _request(head, reader, count)
                self.requests.append(request)
                await self._handler(request, writer)
        except ConnectionError:
            pass
        finally:
            self._open.discard(writer)
            writer.close()
            self.closed.set()


async def _head(reader: asyncio.StreamReader) -> Sequence[str]:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    except asyncio.IncompleteReadError:
        return ()


async def _request(head: Sequence[str], reader: asyncio.StreamReader, count: int) -> Request:
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    split = urlsplit(target)
    return Request(
        method=method,
        path=split.path,
        params=dict(parse_qsl(split.query)),
        headers=headers,
        body=await reader.readexactly(int(headers.get("content-length", "0"))),
        nth_on_connection=count,
    )


def always(content: bytes) -> Handler:
    """Every request gets the same answer."""

    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(content)

    return handle


def client(server: RawServer, *, connections_max: int = 4) -> Transport:
    endpoint = Endpoint(base_url=server.url)
    return Transport(endpoint, user_agent="tests", connections_max=connections_max)
