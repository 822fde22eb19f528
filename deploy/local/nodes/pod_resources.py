"""A kubelet's pod-resources API on a unix socket, for one node: the List call, from the node's ledger.

Written from the kubelet's api.proto; the agent's own client, or any other of gRPC, reads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from itertools import groupby
from pathlib import Path

from deploy.local.nodes.devices import Given
from scheduler.inventory.unary import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES_MAX,
    PING,
    PREFACE,
    SETTINGS,
    frame,
    frames,
    headers,
    message,
    shut,
)
from scheduler.inventory.unary import HEADERS as HEADERS_FRAME


class PodResourcesServer:
    """``async with PodResourcesServer(socket, given)``: served until the block ends."""

    def __init__(self, socket: Path, given: Callable[[], Iterable[Given]]) -> None:
        self.socket = socket
        self._given = given
        self._server: asyncio.Server | None = None
        self.calls = 0

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.socket))

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()
            self.socket.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; each request on it gets the list as it is then."""
        try:
            if await reader.readexactly(len(PREFACE)) != PREFACE:
                return
            writer.write(frame(SETTINGS, 0, 0))
            async with aclosing(frames(reader)) as heard:
                async for kind, flags, stream, payload in heard:
                    if kind == SETTINGS and not flags & ACK:
                        writer.write(frame(SETTINGS, ACK, 0))
                    elif kind == PING and not flags & ACK:
                        writer.write(frame(PING, ACK, 0, payload))
                    if kind in (DATA, HEADERS_FRAME) and flags & END_STREAM:
                        self.calls += 1
                        writer.write(_answer(stream, listed(self._given())))
                    await writer.drain()
        except (OSError, EOFError):
            # The client is gone.
            return
        finally:
            await shut(writer)


def listed(given: Iterable[Given]) -> bytes:
    """A ListPodResourcesResponse."""
    pods = groupby(
        sorted(given, key=lambda one: (one.namespace, one.name)), lambda one: (one.namespace, one.name)
    )
    return b"".join(_field(1, _pod(*key, list(devices))) for key, devices in pods)


def _pod(namespace: str, name: str, devices: list[Given]) -> bytes:
    container = _field(1, b"main") + b"".join(
        _field(
            2, _field(1, one.resource.encode()) + b"".join(_field(2, uuid.encode()) for uuid in one.devices)
        )
        for one in devices
    )
    return _field(1, name.encode()) + _field(2, namespace.encode()) + _field(3, container)


def _answer(stream: int, body: bytes) -> bytes:
    data = message(body)
    parts = [data[at : at + FRAME_BYTES_MAX] for at in range(0, len(data), FRAME_BYTES_MAX)]
    opening = b"\x88" + headers({"content-type": "application/grpc"})
    return b"".join(
        (
            frame(HEADERS_FRAME, END_HEADERS, stream, opening),
            *(frame(DATA, 0, stream, part) for part in parts),
            frame(HEADERS_FRAME, END_HEADERS | END_STREAM, stream, headers({"grpc-status": "0"})),
        )
    )


def _field(number: int, value: bytes) -> bytes:
    """A string or message."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
