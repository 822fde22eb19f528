"""Two API servers on one etcd, of which one learns of every change late: as behind a load balancer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from yarl import URL

from deploy.local import components, manifests, processes
from deploy.local.build import ensure_binary
from deploy.local.cluster import Cluster, free_port
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import Transport
from tests.faults.calls import Call
from tests.faults.proxy import Proxy, elapse

PREFACE: Final = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
HEAD: Final = 9
DATA, HEADERS, END_STREAM = 0x0, 0x1, 0x1


class LateWatches:
    """A way to etcd on which watches bring everything ``lag_s`` late, and nothing else waits.

    It reads the frames of HTTP/2: who calls and waits for one answer ends its side of the stream with the
    request; a stream whose client does not is a watch.
    """

    def __init__(self, etcd: Path, socket: Path, lag_s: float) -> None:
        self.lag_s = lag_s
        self._etcd = etcd
        self._socket = socket
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> LateWatches:
        self._server = await asyncio.start_unix_server(self._connected, path=str(self._socket))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        there: asyncio.StreamWriter | None = None
        try:
            back, there = await asyncio.open_unix_connection(str(self._etcd))
            asked: set[int] = set()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._to_etcd(reader, there, asked))
                group.create_task(self._from_etcd(back, writer, asked))
        except* (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(task)
            for side in (writer, there):
                if side is not None:
                    side.close()

    async def _to_etcd(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: set[int]
    ) -> None:
        """asked: takes the streams of which the client has said everything."""
        writer.write(await reader.readexactly(PREFACE))
        while True:
            kind, flags, stream, frame = await _frame(reader)
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                asked.add(stream)
            writer.write(frame)
            await writer.drain()

    async def _from_etcd(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: set[int]
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            kind, flags, stream, frame = await _frame(reader)
            if kind == DATA and stream not in asked:
                loop.call_later(self.lag_s, _write, writer, frame)
            else:
                writer.write(frame)
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                asked.discard(stream)


async def _frame(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    """Type, flags, stream and all bytes of the next frame. Raises: IncompleteReadError at the end."""
    head = await reader.readexactly(HEAD)
    body = await reader.readexactly(int.from_bytes(head[:3], "big"))
    return head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF, head + body


def _write(writer: asyncio.StreamWriter, frame: bytes) -> None:
    if not writer.is_closing():
        writer.write(frame)


class Balanced(Proxy):
    """Every request goes to the next API server in turn, watches too. ``served`` counts them by server.

    bindings_at: where set, the server that gets every Binding.
    """

    def __init__(self, endpoint: Endpoint, other: str) -> None:
        super().__init__(endpoint)
        self.bindings_at: str | None = None
        self.other = other
        self._turns = itertools.cycle((endpoint.base_url, other))

    def _url(self, call: Call) -> URL:
        base = next(self._turns)
        if self.bindings_at is not None and call.subresource in ("binding", "eviction"):
            base = self.bindings_at
        tail = f"?{call.query}" if call.query else ""
        return URL(f"{base}{call.path}{tail}", encoded=True)


@asynccontextmanager
async def second_server(cluster: Cluster, lag_s: float) -> AsyncIterator[str]:
    """The URL of another API server on the cluster's etcd, whose caches are ``lag_s`` behind."""
    socket = cluster.directory / "late.sock"
    socket.unlink(missing_ok=True)
    binary = await asyncio.to_thread(ensure_binary)
    port = free_port()
    command = components.kube_apiserver(port=port, has_service_accounts=False)
    command = ["--etcd-servers=unix://late.sock" if "--etcd-servers" in one else one for one in command]
    async with LateWatches(cluster.directory / "etcd.sock", socket, lag_s):
        process = await asyncio.to_thread(
            processes.spawn,
            [binary, *command],
            directory=cluster.directory,
            log=cluster.directory / "logs" / "late-apiserver.log",
            is_tethered=True,
        )
        url = f"https://127.0.0.1:{port}"
        endpoint = Endpoint.from_kubeconfig(cluster.admin_kubeconfig)
        try:
            async with (
                Transport(replace(endpoint, base_url=url), connections_max=2) as admin,
                asyncio.timeout(60),
            ):
                while not await manifests.ready(admin):
                    assert process.is_alive, "the second API server ended"
                    await elapse(0.1)
            yield url
        finally:
            with suppress(ProcessLookupError):
                await asyncio.to_thread(processes.end, process)
