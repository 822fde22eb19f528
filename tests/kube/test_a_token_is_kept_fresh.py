"""Tokens that expire, are refused, or cannot be had."""

from __future__ import annotations

import asyncio
import threading

import pytest

from scheduler.kube.credential import Credential
from scheduler.kube.endpoint import Endpoint, EndpointError
from scheduler.kube.transport import Transport, Unauthorized
from tests.kube.raw_server import STREAM, STREAM_END, Handler, RawServer, Request, answer, chunk


class Issuer:
    """Gives token1, token2, ...; ``error`` makes it fail."""

    def __init__(self) -> None:
        self.issued = 0
        self.error: EndpointError | None = None
        self.now_s = 0.0

    def __call__(self) -> str:
        if self.error is not None:
            raise self.error
        self.issued += 1
        return f"token{self.issued}"

    def credential(self, *, is_refreshing: bool = True) -> Credential:
        return Credential(self, is_refreshing=is_refreshing, clock=lambda: self.now_s)


def only(*tokens: str) -> Handler:
    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.headers.get("authorization") not in [f"Bearer {token}" for token in tokens]:
            writer.write(answer(401, {"kind": "Status", "reason": "Unauthorized"}))
        elif "watch" in request.params:
            writer.write(STREAM + chunk(b"{}\n") + STREAM_END)
        else:
            writer.write(answer())

    return handle


def client(server: RawServer, issuer: Issuer, *, is_refreshing: bool = True) -> Transport:
    return Transport(Endpoint(base_url=server.url, token=issuer, is_refreshing=is_refreshing))


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_refused_token_is_replaced_once_and_the_request_sent_again(method: str) -> None:
    async with RawServer(only("token2")) as server, client(server, Issuer()) as transport:
        assert await transport.request(method, "/api", body=b"{}") == b"{}"
    assert [request.body for request in server.requests] == [b"{}", b"{}"]


async def test_a_stream_too_is_opened_again_with_a_new_token() -> None:
    async with RawServer(only("token2")) as server, client(server, Issuer()) as transport:
        stream = transport.stream("/api", params={"watch": "true"}, read_timeout_s=5.0)
        assert [line async for line in stream] == [b"{}"]


async def test_a_second_refusal_is_final() -> None:
    issuer = Issuer()
    async with RawServer(only("token9")) as server, client(server, issuer) as transport:
        with pytest.raises(Unauthorized):
            await transport.request("GET", "/api")
    assert len(server.requests) == issuer.issued == 2


async def test_a_token_that_cannot_change_is_not_tried_twice() -> None:
    issuer = Issuer()
    async with RawServer(only("other")) as server:
        async with client(server, issuer, is_refreshing=False) as transport:
            with pytest.raises(Unauthorized):
                await transport.request("POST", "/api")
    assert len(server.requests) == issuer.issued == 1


async def settle(issuer: Issuer, issued: int) -> None:
    while issuer.issued < issued:
        await asyncio.sleep(0)


async def test_an_old_token_is_loaded_anew_without_anybody_waiting() -> None:
    issuer = Issuer()
    credential = issuer.credential()
    assert await credential.current() == "token1"
    issuer.now_s = 29.0
    assert await credential.current() == "token1"
    issuer.now_s = 31.0
    assert await credential.current() == "token1", "a slow plugin must not hold up requests"
    await settle(issuer, 2)
    while await credential.current() == "token1":
        await asyncio.sleep(0)
    assert issuer.issued == 2


async def test_many_refusals_at_once_are_one_load() -> None:
    issuer = Issuer()
    credential = issuer.credential()
    old = await credential.current()
    assert await asyncio.gather(*(credential.renew(old) for _ in range(50))) == ["token2"] * 50
    assert await credential.renew(old) == "token2", "another request has already replaced it"
    assert issuer.issued == 2


async def test_a_plugin_that_fails_later_leaves_the_old_token_in_use() -> None:
    issuer = Issuer()
    credential = issuer.credential()
    await credential.current()
    issuer.error = EndpointError("no network")
    assert await credential.renew("token1") == "token1"
    issuer.error = None
    assert await credential.renew("token1") == "token2"


async def test_a_plugin_that_fails_at_first_is_told() -> None:
    issuer = Issuer()
    issuer.error = EndpointError("plugin not found")
    credential = issuer.credential()
    with pytest.raises(EndpointError, match="plugin not found"):
        await credential.current()
    issuer.error = None
    assert await credential.current() == "token1"


async def test_a_caller_that_is_cancelled_does_not_take_the_load_from_the_others() -> None:
    go = threading.Event()

    def load() -> str:
        go.wait(5.0)
        return "token"

    credential = Credential(load, is_refreshing=True, clock=lambda: 0.0)
    first, second = (asyncio.create_task(credential.current()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    go.set()
    assert await second == "token"
    await credential.close()
