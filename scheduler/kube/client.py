"""What this program asks of an API server, whatever carries it there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec

from scheduler.kube.depth import decode
from scheduler.kube.errors import BadAnswer, ClusterError, OutcomeUnknown

T = TypeVar("T")

JSON: Final = "application/json"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH: Final = "application/strategic-merge-patch+json"

#: One reused decoder a type: building one walks the whole type.
_DECODERS: dict[object, msgspec.json.Decoder[Any]] = {}


class Client(ABC):
    """Requests and watches of one API server. ``scheduler.kube.transport`` carries them by HTTP."""

    @abstractmethod
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

        Raises Unreachable, OutcomeUnknown (writes only), BadAnswer or an ApiError.
        A caller that cancels a write must treat it as of unknown outcome.
        """

    @abstractmethod
    def stream_batches(
        self, path: str, *, params: Mapping[str, str], read_timeout_s: float
    ) -> AsyncGenerator[list[bytes], None]:
        """The lines of a watch, all that arrived together at a time: one wakeup for a burst of events.

        The first batch is empty and says that the server has accepted the watch. Raises Unreachable
        when the stream breaks or is silent for ``read_timeout_s``, BadAnswer when a line is too long, an
        ApiError when the server refuses.
        """

    async def stream(
        self, path: str, *, params: Mapping[str, str], read_timeout_s: float
    ) -> AsyncGenerator[bytes, None]:
        """The lines of a watch, one at a time. Close it (``contextlib.aclosing``) when leaving early.

        Ends when the server ends the watch. Raises as ``stream_batches``.
        """
        async with closing(
            self.stream_batches(path, params=params, read_timeout_s=read_timeout_s)
        ) as batches:
            async for batch in batches:
                for line in batch:
                    yield line

    async def get(
        self, path: str, kind: type[T], *, params: Mapping[str, str] | None = None, timeout_s: float = 10.0
    ) -> T:
        """Read an object (or a list) as ``kind``. Raises as ``request``; BadAnswer if it does not decode."""
        return _decode(kind, await self.request("GET", path, params=params, timeout_s=timeout_s), path)

    async def create(
        self,
        path: str,
        value: object,
        kind: type[T],
        *,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
    ) -> T:
        """POST ``value`` (anything msgspec encodes) to a collection or subresource."""
        body = msgspec.json.encode(value)
        answer = await self.request("POST", path, body=body, params=params, timeout_s=timeout_s)
        return _decode(kind, answer, path, OutcomeUnknown)

    async def replace(self, path: str, value: object, kind: type[T], *, timeout_s: float = 10.0) -> T:
        """PUT ``value``: a compare-and-swap if its metadata carries a resourceVersion."""
        body = msgspec.json.encode(value)
        answer = await self.request("PUT", path, body=body, timeout_s=timeout_s)
        return _decode(kind, answer, path, OutcomeUnknown)

    async def patch(
        self,
        path: str,
        value: object,
        kind: type[T],
        *,
        content_type: str = MERGE_PATCH,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
    ) -> T:
        """PATCH with ``value`` in the manner of ``content_type``."""
        body = msgspec.json.encode(value)
        answer = await self.request(
            "PATCH", path, body=body, params=params, content_type=content_type, timeout_s=timeout_s
        )
        return _decode(kind, answer, path, OutcomeUnknown)

    async def delete(
        self, path: str, *, uid: str | None = None, grace_s: int | None = None, timeout_s: float = 10.0
    ) -> None:
        """DELETE, with the UID as precondition if given (another UID is a Conflict)."""
        options: dict[str, object] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        await self.request("DELETE", path, body=msgspec.json.encode(options), timeout_s=timeout_s)


@asynccontextmanager
async def closing(stream: AsyncGenerator[T, None]) -> AsyncGenerator[AsyncGenerator[T, None], None]:
    try:
        yield stream
    finally:
        await stream.aclose()


def _decode(kind: type[T], content: bytes, path: str, failure: type[ClusterError] = BadAnswer) -> T:
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind)
    try:
        value: T = decode(decoder, content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise failure(f"{path}: {error}") from error
    return value
