"""Unreachable: nothing was changed. OutcomeUnknown: it may have been. ApiError: the server says."""

from __future__ import annotations

import asyncio
import socket

import msgspec
import pytest

from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import (
    AlreadyExists,
    ApiError,
    BadAnswer,
    ClusterError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    OutcomeUnknown,
    ServerError,
    TooManyRequests,
    Transport,
    Unauthorized,
    Unreachable,
)
from scheduler.kube.wire import Lease, LeaseSpec, Metadata
from tests.kube.raw_server import Handler, RawServer, Request, always, answer, client

WRITES = ("POST", "PUT", "PATCH", "DELETE")
HALF_AN_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"


async def hang_up(request: Request, writer: asyncio.StreamWriter) -> None:
    """Take the request and drop the connection: applied or not, the client cannot know."""
    writer.close()


async def hang_up_when_reused(request: Request, writer: asyncio.StreamWriter) -> None:
    if request.nth_on_connection == 1:
        writer.write(answer())
    else:
        writer.close()


async def say_nothing(request: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def nowhere() -> str:
    """A URL where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize("method", ["GET", *WRITES])
async def test_a_refused_connection_changed_nothing(method: str) -> None:
    async with Transport(Endpoint(base_url=nowhere())) as transport:
        with pytest.raises(Unreachable):
            await transport.request(method, "/api")


@pytest.mark.parametrize("method", WRITES)
async def test_a_write_that_was_sent_and_dropped_is_unknown_and_was_sent_once(method: str) -> None:
    async with RawServer(hang_up) as server, client(server) as transport:
        with pytest.raises(OutcomeUnknown):
            await transport.request(method, "/api", body=b"{}")
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", WRITES)
async def test_a_write_on_a_reused_connection_is_not_repeated_in_silence(method: str) -> None:
    """aiohttp repeats PUT and DELETE on its own: a lost success would come back as a Conflict."""
    async with RawServer(hang_up_when_reused) as server, client(server, connections_max=1) as transport:
        await transport.request("GET", "/first")
        with pytest.raises(OutcomeUnknown):
            await transport.request(method, "/second", body=b"{}")
    assert [request.path for request in server.requests] == ["/first", "/second"]


async def test_a_read_on_a_connection_that_died_idle_succeeds() -> None:
    async with RawServer(hang_up_when_reused) as server, client(server, connections_max=1) as transport:
        await transport.request("GET", "/first")
        assert await transport.request("GET", "/second") == b"{}"


@pytest.mark.parametrize(("method", "kind"), [("GET", Unreachable), ("POST", OutcomeUnknown)])
@pytest.mark.parametrize("handler", [hang_up, say_nothing, always(HALF_AN_ANSWER)])
async def test_no_answer_in_time_or_half_of_one(
    method: str, kind: type[ClusterError], handler: Handler
) -> None:
    async with RawServer(handler) as server, client(server) as transport:
        with pytest.raises(kind):
            await transport.request(method, "/api", timeout_s=0.25)


async def test_waiting_for_a_free_connection_is_not_sending() -> None:
    async with RawServer(say_nothing) as server, client(server, connections_max=1) as transport:
        first = asyncio.create_task(transport.request("POST", "/first", timeout_s=0.2))
        while not server.requests:
            await asyncio.sleep(0)
        with pytest.raises(Unreachable):
            await transport.request("POST", "/second", timeout_s=0.1)
        with pytest.raises(OutcomeUnknown):
            await first
    assert [request.path for request in server.requests] == ["/first"]


def status_body(status: int, reason: str, **more: object) -> dict[str, object]:
    return {"kind": "Status", "code": status, "reason": reason, "message": "why", **more}


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "BadRequest", ApiError),
        (401, "Unauthorized", Unauthorized),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (410, "Expired", Gone),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", TooManyRequests),
        (503, "ServiceUnavailable", ServerError),
        (307, "", ApiError),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_each_status_has_its_error(method: str, status: int, reason: str, kind: type[ApiError]) -> None:
    async with RawServer(always(answer(status, status_body(status, reason)))) as server:
        async with client(server) as transport:
            with pytest.raises(ApiError) as caught:
                await transport.request(method, "/api")
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.reason, caught.value.message) == (status, reason, "why")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_server_that_failed_at_a_write_may_have_applied_it(status: int) -> None:
    async with RawServer(always(answer(status, status_body(status, "Timeout")))) as server:
        async with client(server) as transport:
            with pytest.raises(OutcomeUnknown):
                await transport.request("POST", "/api")
            with pytest.raises(ServerError):
                await transport.request("GET", "/api")


async def test_a_proxys_page_is_an_error_like_any_other() -> None:
    page = b"<html>\xff bad gateway" + b"x" * 10_000
    async with RawServer(always(answer(503, page))) as server, client(server) as transport:
        with pytest.raises(ServerError) as caught:
            await transport.request("POST", "/api")
    assert caught.value.message.startswith("<html>")
    assert len(caught.value.message) <= 2048


async def test_causes_of_an_invalid_object_are_kept() -> None:
    cause = {"reason": "FieldValueInvalid", "message": "must be positive", "field": "spec.size"}
    body = status_body(422, "Invalid", details={"causes": [cause]})
    async with RawServer(always(answer(422, body))) as server, client(server) as transport:
        with pytest.raises(Invalid) as caught:
            await transport.request("POST", "/api")
    assert [(c.field, c.message) for c in caught.value.causes] == [("spec.size", "must be positive")]


@pytest.mark.parametrize(
    ("header", "in_body", "expected"),
    [
        ("7", None, 7.0),
        (None, 3, 3.0),
        ("7", 3, 7.0),
        (None, None, None),
        ("soon", None, None),
        ("-1", 2, 2.0),
    ],
)
async def test_retry_after_is_read_from_the_header_then_the_body(
    header: str | None, in_body: int | None, expected: float | None
) -> None:
    details = {"details": {"retryAfterSeconds": in_body}} if in_body else {}
    headers = {"Retry_After": header} if header else {}
    content = answer(429, status_body(429, "TooManyRequests", **details), **headers)
    async with RawServer(always(content)) as server, client(server) as transport:
        with pytest.raises(TooManyRequests) as caught:
            await transport.request("POST", "/api")
    assert caught.value.retry_after_s == expected


@pytest.mark.parametrize("method", WRITES)
async def test_the_server_is_told_to_give_up_a_write_before_the_client_does(method: str) -> None:
    async with RawServer(always(answer())) as server, client(server) as transport:
        await transport.request(method, "/api", params={"fieldManager": "a b"}, timeout_s=4.0)
    params = server.requests[0].params
    assert params["fieldManager"] == "a b"
    assert params["timeout"].endswith("ms")
    assert 0 < int(params["timeout"].removesuffix("ms")) < 4000


async def test_reads_name_no_timeout_and_ask_for_plain_json() -> None:
    async with RawServer(always(answer())) as server, client(server) as transport:
        await transport.request("GET", "/api")
    request = server.requests[0]
    assert "timeout" not in request.params
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"] == "tests"


async def test_an_answer_of_another_type_is_a_bad_answer() -> None:
    async with RawServer(always(answer(body=b'{"metadata": 5}'))) as server, client(server) as transport:
        with pytest.raises(BadAnswer):
            await transport.get("/lease", Lease)
        for write in (transport.create, transport.replace, transport.patch):
            with pytest.raises(OutcomeUnknown):
                await write("/lease", {}, Lease)


async def test_what_is_written_and_read_back_is_the_object() -> None:
    lease = Lease(metadata=Metadata(name="l"), spec=LeaseSpec(holder_identity="me"))
    async with RawServer(always(answer(body=msgspec.json.encode(lease)))) as server:
        async with client(server) as transport:
            for write in (transport.create, transport.replace, transport.patch):
                assert await write("/lease", lease, Lease) == lease
            await transport.delete("/lease", uid="u", grace_s=0)
    assert [r.method for r in server.requests] == ["POST", "PUT", "PATCH", "DELETE"]
    assert server.requests[2].headers["content-type"] == "application/merge-patch+json"
    options = msgspec.json.decode(server.requests[3].body)
    assert (options["preconditions"], options["gracePeriodSeconds"]) == ({"uid": "u"}, 0)
