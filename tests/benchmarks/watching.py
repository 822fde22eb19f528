"""The benchmarks' own view of pods: one watch that times every Binding, whoever makes it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import msgspec

from scheduler.kube.transport import Transport
from tests.benchmarks.control import GPU, BenchmarkFailed, pods_path

WATCH_S: Final = 3_600
READ_TIMEOUT_S: Final = 120.0


class _Resources(msgspec.Struct, frozen=True, gc=False):
    limits: dict[str, str] = {}


class _Container(msgspec.Struct, frozen=True, gc=False):
    resources: _Resources = _Resources()


class _Spec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    node_name: str = ""
    #: None in a bookmark.
    containers: tuple[_Container, ...] | None = ()


class _Metadata(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    name: str = ""
    uid: str = ""
    resource_version: str = ""


class _Pod(msgspec.Struct, frozen=True, gc=False):
    metadata: _Metadata = _Metadata()
    spec: _Spec = _Spec()


class _Event(msgspec.Struct, frozen=True, gc=False):
    type: str
    object: _Pod


class _List(msgspec.Struct, frozen=True):
    metadata: _Metadata
    items: tuple[_Pod, ...] | None = ()


@dataclass(slots=True, kw_only=True)
class Sighting:
    """A pod as the watch showed it. ``nodes`` are all it was ever seen on, in order."""

    name: str
    gpus: int
    nodes: list[str] = field(default_factory=list)
    bound_at_s: float = 0.0


class PodWatch:
    """The pods of one namespace. Times are ``time.monotonic`` when the event's bytes arrived."""

    def __init__(self, api: Transport, namespace: str) -> None:
        self._api = api
        self._path = pods_path(namespace)
        self._version = "0"
        self._events = msgspec.json.Decoder(_Event)
        self._changed = asyncio.Event()
        #: By UID.
        self.pods: dict[str, Sighting] = {}

    @property
    def bound(self) -> int:
        return sum(1 for pod in self.pods.values() if pod.nodes)

    async def until(self, holds: Callable[[], bool], what: str, *, timeout_s: float) -> None:
        """Return as soon as ``holds``, which is asked after every batch of events."""
        try:
            async with asyncio.timeout(timeout_s):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            told = f"{self.bound} of {len(self.pods)} pods are bound"
            raise BenchmarkFailed(f"not within {timeout_s:.0f} s: {what}; {told}") from None

    async def run(self) -> None:
        """Follow until cancelled. Raises ClusterError when the watch breaks: its times would be wrong."""
        while True:
            params = {"watch": "true", "resourceVersion": self._version, "timeoutSeconds": str(WATCH_S)}
            params["allowWatchBookmarks"] = "true"
            stream = self._api.stream_batches(self._path, params=params, read_timeout_s=READ_TIMEOUT_S)
            async with aclosing(stream):
                async for lines in stream:
                    now_s = time.monotonic()
                    for line in lines:
                        self._take(self._events.decode(line), now_s)
                    self._changed.set()

    async def start(self) -> None:
        """List what is there; ``run`` follows from it."""
        found = await self._api.get(self._path, _List)
        self._version = found.metadata.resource_version
        for pod in found.items or ():
            self._take(_Event(type="ADDED", object=pod), time.monotonic())

    def _take(self, event: _Event, now_s: float) -> None:
        metadata, spec = event.object.metadata, event.object.spec
        if event.type == "ERROR":
            raise BenchmarkFailed(f"the watch of {self._path} ended with an error")
        self._version = metadata.resource_version or self._version
        if event.type == "BOOKMARK":
            return
        if event.type == "DELETED":
            self.pods.pop(metadata.uid, None)
            return
        pod = self.pods.get(metadata.uid)
        if pod is None:
            gpus = sum(int(c.resources.limits.get(GPU, "0")) for c in spec.containers or ())
            pod = self.pods[metadata.uid] = Sighting(name=metadata.name, gpus=gpus)
        if spec.node_name and spec.node_name not in pod.nodes[-1:]:
            pod.nodes.append(spec.node_name)
            pod.bound_at_s = pod.bound_at_s or now_s


@asynccontextmanager
async def watching(api: Transport, namespace: str) -> AsyncIterator[PodWatch]:
    """A running watch. What breaks it ends the block with an ExceptionGroup."""
    watch = PodWatch(api, namespace)
    await watch.start()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch.run())
        try:
            yield watch
        finally:
            task.cancel()


def faults(pods: Mapping[str, Sighting], *, gpus_a_node: int, wanted: int) -> list[str]:
    """What is wrong with a finished placement: pods unbound or moved, nodes that hold too much."""
    found = [] if len(pods) == wanted else [f"{len(pods)} pods instead of {wanted}"]
    used: Counter[str] = Counter()
    for pod in pods.values():
        if len(pod.nodes) != 1:
            found.append(f"pod {pod.name} was seen on {pod.nodes or 'no node'}")
        for node in pod.nodes[-1:]:
            used[node] += pod.gpus
    found += [f"node {node} holds {n} GPUs of {gpus_a_node}" for node, n in used.items() if n > gpus_a_node]
    return found
