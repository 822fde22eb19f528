"""Watches over a socket: lines whole however they were cut, and an end that says what it was."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.kube.lines import LineSplitter
from scheduler.kube.transport import BadAnswer, Gone, Transport, Unreachable
from tests.kube.raw_server import STREAM, STREAM_END, RawServer, Request, always, answer, chunk, client

lines_of_bytes = st.lists(st.binary(min_size=1, max_size=40).filter(lambda line: b"\n" not in line))


@given(lines=lines_of_bytes, cuts=st.lists(st.integers(0, 400)), rest=st.binary(max_size=5))
def test_lines_survive_any_cut(lines: list[bytes], cuts: list[int], rest: bytes) -> None:
    rest = rest.replace(b"\n", b"")
    stream = b"".join(line + b"\n" for line in lines) + rest
    bounds = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    splitter = LineSplitter()
    found = [line for a, b in pairwise(bounds) for line in splitter.feed(stream[a:b])]
    assert found == lines
    assert splitter.held_bytes == len(rest)


@given(
    chunks=st.lists(st.sampled_from([b"", b"\n", b"1234", b"12345678", b"1\n2", b"12345678\n"]), max_size=9)
)
def test_no_line_and_nothing_held_exceeds_the_limit(chunks: list[bytes]) -> None:
    splitter = LineSplitter(line_bytes_max=8)
    longest = max(map(len, b"".join(chunks).split(b"\n")))
    try:
        for part in chunks:
            assert all(len(line) <= 8 for line in splitter.feed(part))
            assert splitter.held_bytes <= 8
    except BadAnswer:
        assert longest > 8
    else:
        assert longest <= 8


async def read(transport: Transport, read_timeout_s: float = 5.0) -> list[bytes]:
    stream = transport.stream("/watch", params={"watch": "true"}, read_timeout_s=read_timeout_s)
    async with aclosing(stream):
        return [line async for line in stream]


async def test_lines_cut_by_the_network_arrive_whole_and_blank_ones_do_not() -> None:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        for part in (b'{"a"', b':1}\n\n{"b":2}\n{"c', b'":3}', b"\n"):
            writer.write(chunk(part))
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(STREAM_END)

    async with RawServer(handle) as server, client(server) as transport:
        assert await read(transport) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


async def test_a_burst_is_few_batches() -> None:
    burst = b"".join(b'{"n":%d}\n' % n for n in range(4000))
    async with RawServer(always(STREAM + chunk(burst) + STREAM_END)) as server:
        async with client(server) as transport:
            batches = [batch async for batch in transport.stream_batches("/w", params={}, read_timeout_s=5.0)]
    assert batches[0] == []
    assert sum(map(len, batches)) == 4000
    assert len(batches) < 40


@pytest.mark.parametrize("ending", [b'{"b"', chunk(b'{"b"')[:-2], b""], ids=["line", "chunk", "nothing"])
async def test_a_stream_that_breaks_gives_only_whole_lines_and_then_fails(ending: bytes) -> None:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + chunk(b'{"a":1}\n') + ending)
        await writer.drain()
        writer.close()

    found: list[bytes] = []

    async def follow(transport: Transport) -> None:
        async for line in transport.stream("/watch", params={}, read_timeout_s=5.0):
            found.append(line)

    async with RawServer(handle) as server, client(server) as transport:
        with pytest.raises(Unreachable):
            await follow(transport)
    assert found in ([], [b'{"a":1}'])


async def test_a_stream_that_ends_inside_a_line_is_no_clean_end() -> None:
    async with RawServer(always(STREAM + chunk(b'{"a":1}\n{"b') + STREAM_END)) as server:
        async with client(server) as transport:
            with pytest.raises(Unreachable):
                await read(transport)


async def test_silence_ends_a_stream() -> None:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        await asyncio.Event().wait()

    async with RawServer(handle) as server, client(server) as transport:
        with pytest.raises(Unreachable):
            await read(transport, read_timeout_s=0.03)


async def test_a_refused_stream_is_its_error() -> None:
    body: dict[str, object] = {"kind": "Status", "code": 410, "reason": "Expired"}
    async with RawServer(always(answer(410, body))) as server, client(server) as transport:
        with pytest.raises(Gone):
            await read(transport)


async def test_leaving_early_closes_the_connection() -> None:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        while not writer.is_closing():
            writer.write(chunk(b"{}\n"))
            await writer.drain()
            await asyncio.sleep(0)

    async with RawServer(handle) as server, client(server) as transport:
        stream = transport.stream("/watch", params={}, read_timeout_s=5.0)
        async with aclosing(stream):
            assert await anext(stream) == b"{}"
        async with asyncio.timeout(5.0):
            await server.closed.wait()
