"""A listening socket that keeps pods and Events as the API server would, and fails on request.

Only what the announcer relies on: optimistic locking by resourceVersion and UID, and merging of
conditions by type. The same claims are shown on a real kube-apiserver in tests/local and by the demo.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from aiohttp import web

from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import Transport
from scheduler.live.announcements import Condition
from scheduler.model.objects import Pod
from scheduler.model.written import EVICTED

#: What happens to one write: applied; refused with a status; applied but the answer lost.
Fault = Callable[[], int | str | None]


class _Told(msgspec.Struct, rename="camel"):
    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str = ""


class _Meta(msgspec.Struct, rename="camel"):
    uid: str
    resource_version: str = ""


class _Status(msgspec.Struct):
    conditions: list[_Told]


class _Patch(msgspec.Struct):
    metadata: _Meta
    status: _Status


class _Regarding(msgspec.Struct):
    name: str
    uid: str


class _EventMeta(msgspec.Struct):
    name: str


class Reported(msgspec.Struct, rename="camel"):
    """An Event as it arrived."""

    metadata: _EventMeta
    reason: str
    note: str
    type: str
    action: str
    regarding: _Regarding
    event_time: str
    reporting_controller: str
    reporting_instance: str


@dataclass
class Held:
    """One pod of the board."""

    uid: str
    version: int = 1
    node: str = ""
    told: Condition | None = None
    since: str = ""
    #: (status, reason, message, since) of the condition of a pod that was evicted.
    evicted: tuple[str, str, str, str] | None = None


@dataclass
class Board:
    pods: dict[str, Held] = field(default_factory=dict)
    events: dict[str, Reported] = field(default_factory=dict)
    patches: int = 0
    #: Names of the pods whose conditions were written, in the order of arrival.
    order: list[str] = field(default_factory=list)
    #: Conditions written to a pod that was bound: must stay empty.
    untrue: list[str] = field(default_factory=list)
    fault: Fault = field(default_factory=lambda: lambda: None)

    def add(self, *pods: Pod) -> None:
        for pod in pods:
            self.pods[pod.name] = Held(uid=pod.uid, version=int(pod.resource_version))

    def bind(self, name: str, node: str) -> None:
        held = self.pods[name]
        held.node, held.version, held.told = node, held.version + 1, None

    def touch(self, name: str) -> None:
        """Somebody else changes the pod."""
        self.pods[name].version += 1

    def carried(self, uid: str) -> Condition | None:
        """What the watch would show, without its delay."""
        return next((held.told for held in self.pods.values() if held.uid == uid), None)

    async def patch(self, request: web.Request) -> web.StreamResponse:
        fault = self.fault()
        if isinstance(fault, int):
            return _error(fault)
        asked = msgspec.json.decode(await request.read(), type=_Patch)
        held = self.pods.get(request.match_info["name"])
        if held is None:
            return _error(404)
        have = str(held.version)
        if (asked.metadata.uid, asked.metadata.resource_version or have) != (held.uid, have):
            return _error(409)
        (told,) = asked.status.conditions
        self.order.append(request.match_info["name"])
        if told.type == EVICTED:
            held.evicted = (told.status, told.reason, told.message, told.last_transition_time)
            held.version += 1
            return _lost(request) if fault == "lost" else web.json_response({})
        if held.node:
            self.untrue.append(request.match_info["name"])
        held.told = Condition(told.reason, told.message)
        held.since = told.last_transition_time or held.since
        held.version += 1
        self.patches += 1
        return _lost(request) if fault == "lost" else web.json_response({})

    async def get(self, request: web.Request) -> web.StreamResponse:
        held = self.pods.get(request.match_info["name"])
        if held is None:
            return _error(404)
        return web.json_response(
            {
                "metadata": {"uid": held.uid, "resourceVersion": str(held.version)},
                "spec": {"nodeName": held.node} if held.node else {},
            }
        )

    async def post(self, request: web.Request) -> web.StreamResponse:
        fault = self.fault()
        if isinstance(fault, int):
            return _error(fault)
        event = msgspec.json.decode(await request.read(), type=Reported)
        if event.metadata.name in self.events:
            return _error(409, "AlreadyExists")
        self.events[event.metadata.name] = event
        return _lost(request) if fault == "lost" else web.json_response({}, status=201)

    def reasons(self) -> list[tuple[str, str]]:
        """(pod, reason) of every Event, in the order of arrival."""
        return [(event.regarding.name, event.reason) for event in self.events.values()]


@asynccontextmanager
async def served(board: Board) -> AsyncIterator[Transport]:
    """A transport to the board, over a real socket."""
    app = web.Application()
    pod = "/api/v1/namespaces/{namespace}/pods/{name}"
    app.router.add_patch(f"{pod}/status", board.patch)
    app.router.add_get(pod, board.get)
    app.router.add_post("/apis/events.k8s.io/v1/namespaces/{namespace}/events", board.post)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        with tempfile.TemporaryDirectory() as folder:
            endpoint = Endpoint.from_kubeconfig(str(kubeconfig(Path(folder), url)))
        async with Transport(endpoint) as transport:
            yield transport
    finally:
        await runner.cleanup()


def kubeconfig(folder: Path, url: str) -> Path:
    """A kubeconfig file for a server without TLS and without identities."""
    entries = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {}}],
    }
    file = folder / "kubeconfig"
    file.write_bytes(msgspec.json.encode({"apiVersion": "v1", "kind": "Config", **entries}))
    return file


def _error(status: int, reason: str = "") -> web.Response:
    headers = {"Retry-After": "0"} if status == 429 or status >= 500 else {}
    return web.json_response({"reason": reason, "message": "told to"}, status=status, headers=headers)


def _lost(request: web.Request) -> web.StreamResponse:
    """The write happened, the answer did not."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
