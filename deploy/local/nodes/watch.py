"""The pods bound to any node, listed and then watched, for as long as it takes.

Simpler than the scheduler's reflector and independent of it, so that a pod the one overlooks the
other does not. Whatever breaks a watch is answered with a new list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import aclosing
from typing import Literal, Protocol

import msgspec

from deploy.local.nodes.wire import NodePod, Wire
from deploy.local.nodes.writer import TRANSIENT, Writer
from scheduler.kube.transport import BadAnswer, Gone, Transport

PODS = "/api/v1/pods"
_BOUND = {"fieldSelector": "spec.nodeName!="}
_PAGE = "1000"
#: The server ends the watch after this; a silent connection is dropped a little later.
_WATCH_S = 300
_SILENCE_MOST_S = 90.0
_PAUSE_S = 0.2


class Audience(Protocol):
    """Who is told, in order; each call is awaited before the next."""

    def listed(self, pods: list[NodePod]) -> Awaitable[None]: ...

    def changed(self, pod: NodePod) -> Awaitable[None]: ...

    def deleted(self, pod: NodePod) -> Awaitable[None]: ...


class _ListMetadata(Wire, frozen=True):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _PodList(Wire, frozen=True):
    metadata: _ListMetadata
    items: tuple[NodePod, ...] = ()


class _Event(Wire, frozen=True):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: msgspec.Raw


_decode_list = msgspec.json.Decoder(_PodList).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_pod = msgspec.json.Decoder(NodePod).decode


class _Versioned(msgspec.Struct, rename="camel"):
    resource_version: str


class _Bookmark(msgspec.Struct):
    metadata: _Versioned


def bookmarked(found: bytes | msgspec.Raw) -> str:
    """The version of a bookmark: a pod without a name, whose containers are null."""
    return msgspec.json.decode(found, type=_Bookmark).metadata.resource_version


async def watch_pods(transport: Transport, writer: Writer, audience: Audience) -> None:
    """List, watch, and list again after a break, for ever. Raises what ``Writer.send`` raises."""
    while True:
        try:
            version = await _list(writer, audience)
            while version:
                version = await _watch(transport, version, audience)
        except (Gone, BadAnswer, *TRANSIENT):
            await asyncio.sleep(_PAUSE_S)


async def _list(writer: Writer, audience: Audience) -> str:
    pods: list[NodePod] = []
    params = {**_BOUND, "limit": _PAGE}
    while True:
        page = _decode_list(await writer.send("GET", PODS, params=params))
        pods += page.items
        if not page.metadata.continue_:
            await audience.listed(pods)
            return page.metadata.resource_version
        params["continue"] = page.metadata.continue_


async def _watch(transport: Transport, version: str, audience: Audience) -> str:
    """One watch; the version to go on from, or an empty one if only a list helps. Raises ClusterError."""
    params: Mapping[str, str] = {
        **_BOUND,
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(_WATCH_S),
    }
    stream = transport.stream(PODS, params=params, read_timeout_s=_SILENCE_MOST_S)
    async with aclosing(stream):
        async for line in stream:
            event = _decode_event(line)
            if event.type == "ERROR":
                return ""
            if event.type == "BOOKMARK":
                version = bookmarked(event.object)
                continue
            pod = _decode_pod(event.object)
            version = pod.metadata.resource_version
            if event.type == "DELETED":
                await audience.deleted(pod)
            else:
                await audience.changed(pod)
    return version
