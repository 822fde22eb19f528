"""One gRPC call without streams over a unix socket: as much of HTTP/2 (RFC 9113) as that takes.

The agent asks its kubelet one question every few seconds. gRPC's own library would be a third of the agent's
memory (docs/decisions). What the server's headers say is not decoded: an answer is a message, a refusal none.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7, 0x8
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
FRAME_BYTES_MAX: Final = 1 << 14
#: Of an answer in all: a kubelet with a thousand pods says less than a megabyte.
ANSWER_BYTES_MAX: Final = 16 << 20
_HEAD: Final = 9
_STREAM: Final = 1
_INITIAL_WINDOW, _WINDOW_MAX = 0x4, (1 << 31) - 1
_CONNECTION_WINDOW: Final = 65_535
_PREFIX: Final = struct.Struct(">BI")
_CONTENT: Final = "application/grpc"


class CallFailed(Exception):
    """No answer: nobody listens, the server refused, or it said what is no answer."""


async def call(socket: Path, method: str, request: bytes, *, timeout_s: float) -> bytes:
    """The answer's message. method: such as ``/v1.PodResourcesLister/List``. Raises: CallFailed."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                writer.write(_opening(method, request))
                return await _answer(reader, writer)
            finally:
                await shut(writer)
    except (OSError, EOFError, ValueError, TimeoutError) as error:
        raise CallFailed(f"{socket}: {error or type(error).__name__}") from error


async def shut(writer: asyncio.StreamWriter) -> None:
    """Close a connection, however it ends."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


async def frames(reader: asyncio.StreamReader) -> AsyncGenerator[tuple[int, int, int, bytes], None]:
    """Type, flags, stream and payload of each frame. Raises: EOFError at the end, ValueError."""
    while True:
        head = await reader.readexactly(_HEAD)
        length = int.from_bytes(head[:3], "big")
        if length > FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {length} bytes")
        stream = int.from_bytes(head[5:], "big") & _WINDOW_MAX
        yield head[3], head[4], stream, await reader.readexactly(length)


def content(flags: int, payload: bytes) -> bytes:
    """Of a DATA frame, without its padding."""
    if not flags & PADDED:
        return payload
    return payload[1 : len(payload) - payload[0]]


def headers(fields: Mapping[str, str]) -> bytes:
    """A header block: each field literal, none indexed, none compressed (RFC 7541, 6.2.2)."""
    return b"".join(b"\x00" + _string(name) + _string(value) for name, value in fields.items())


def message(data: bytes) -> bytes:
    """With gRPC's prefix: not compressed, its length."""
    return _PREFIX.pack(0, len(data)) + data


def messages(data: bytes) -> Iterator[bytes]:
    """Without the prefixes. Raises: ValueError for a part of one, or one that is compressed."""
    while data:
        if len(data) < _PREFIX.size:
            raise ValueError("an answer that ends in the middle of a message")
        compressed, length = _PREFIX.unpack_from(data)
        body, data = data[_PREFIX.size : _PREFIX.size + length], data[_PREFIX.size + length :]
        if compressed or len(body) < length:
            raise ValueError("an answer that ends in the middle of a message, or is compressed")
        yield body


def _opening(method: str, request: bytes) -> bytes:
    """All that the client says: windows large enough for any answer, and the request."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": "localhost",
        "content-type": _CONTENT,
        "te": "trailers",
    }
    settings = struct.pack(">HI", _INITIAL_WINDOW, _WINDOW_MAX)
    more = (_WINDOW_MAX - _CONNECTION_WINDOW).to_bytes(4, "big")
    return b"".join(
        (
            PREFACE,
            frame(SETTINGS, 0, 0, settings),
            frame(WINDOW, 0, 0, more),
            frame(HEADERS, END_HEADERS, _STREAM, headers(fields)),
            frame(DATA, END_STREAM, _STREAM, message(request)),
        )
    )


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Raises: EOFError, ValueError."""
    body = bytearray()
    async with aclosing(frames(reader)) as heard:
        async for kind, flags, stream, payload in heard:
            if kind == SETTINGS and not flags & ACK:
                writer.write(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                writer.write(frame(PING, ACK, 0, payload))
            elif kind in (RESET, GOAWAY) and stream in (0, _STREAM):
                raise ValueError("the server refused the call")
            elif stream == _STREAM and kind == DATA:
                body += content(flags, payload)
                if len(body) > ANSWER_BYTES_MAX:
                    raise ValueError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
            if stream == _STREAM and kind in (DATA, HEADERS) and flags & END_STREAM:
                break
    answers = list(messages(bytes(body)))
    if len(answers) != 1:
        raise ValueError("the server refused the call")
    return answers[0]


def _string(text: str) -> bytes:
    data = text.encode("ascii")
    if len(data) >= 127:
        raise ValueError(f"{text[:32]!r} is too long for a header")
    return bytes((len(data),)) + data
