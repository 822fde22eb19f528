"""Writes the node's GPUNode: at once when something that decides changed, else with a slow heartbeat."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import msgspec

from scheduler.inventory.publish import meaning
from scheduler.kube.transport import JSON_PATCH, AlreadyExists, ApiError, NotFound, Transport
from scheduler.kube.wire.base import Metadata, ObjectOnly
from scheduler.kube.wire.inventory import GPUNode, GPUNodeStatus

PATH: Final = "/apis/stowplan.dev/v1alpha1/gpunodes"
#: An admin's word that devices are well: their UUIDs, comma-separated, or "all". The agent takes it off.
CLEAR_ANNOTATION: Final = "stowplan.dev/clear"
_CLEAR_POINTER: Final = "/metadata/annotations/stowplan.dev~1clear"
CLEAR_LENGTH_MAX: Final = 4_096
#: A node without GPUs has nothing to tell that could grow old.
EMPTY_HEARTBEAT_S: Final = 300.0

_DOUBLINGS_MAX: Final = 4

Patch = list[dict[str, object]]


class Pace:
    """When to write: on a change, at most one write per ``gap_s``, and a heartbeat otherwise.

    Heartbeats are spread over the last tenth of the interval, so that nodes that booted together do not
    write together. Pure but for the chance it is given.
    """

    def __init__(self, *, heartbeat_s: float, gap_s: float, rng: random.Random) -> None:
        self._heartbeat_s = heartbeat_s
        self._gap_s = gap_s
        self._rng = rng
        self._told: GPUNodeStatus | None = None
        self._written_s = -float("inf")
        self._beat_s = -float("inf")
        self._failures = 0

    def due_s(self, status: GPUNodeStatus, now_s: float) -> float:
        """When this status is to be written: ``now_s`` or later."""
        if self._told is not None and meaning(status) == self._told:
            return max(now_s, self._beat_s)
        return max(now_s, self._written_s + self._gap_s * (1 << min(self._failures, _DOUBLINGS_MAX)))

    def written(self, status: GPUNodeStatus, now_s: float) -> None:
        """It was: the API server said so."""
        interval_s = self._heartbeat_s if status.gpus else max(self._heartbeat_s, EMPTY_HEARTBEAT_S)
        self._told = meaning(status)
        self._failures = 0
        self._written_s = now_s
        self._beat_s = now_s + interval_s * self._rng.uniform(0.9, 1.0)

    def failed(self, now_s: float) -> None:
        """It was not, or nobody knows: it is written again, after a gap that doubles with each failure."""
        self._told = None
        self._failures += 1
        self._written_s = now_s


class GPUNodes:
    """The API of one node's GPUNode. Every method raises ClusterError as the transport does."""

    def __init__(self, transport: Transport, node_name: str, *, counted: Callable[[], None]) -> None:
        self._transport = transport
        self._name = node_name
        self._counted = counted

    async def found(self) -> GPUNode | None:
        """The object as it is, None without one. One that does not decode counts as none: it is replaced."""
        try:
            body = await self._transport.request("GET", f"{PATH}/{self._name}")
        except NotFound:
            return None
        try:
            return msgspec.json.decode(body, type=GPUNode)
        except msgspec.MsgspecError:
            return None

    async def write(self, status: GPUNodeStatus) -> str:
        """Replace the status, creating the object first where it is missing; what CLEAR_ANNOTATION says."""
        try:
            kept = await self._write(status)
        except NotFound:
            await self._create()
            kept = await self._write(status)
        return words_of(kept)

    async def take_off(self, words: str) -> None:
        """Remove the annotation, unless it changed meanwhile."""
        patch: Patch = [
            {"op": "test", "path": _CLEAR_POINTER, "value": words},
            {"op": "remove", "path": _CLEAR_POINTER},
        ]
        await self._patch(f"{PATH}/{self._name}", patch)

    async def _write(self, status: GPUNodeStatus) -> ObjectOnly:
        patch: Patch = [{"op": "add", "path": "/status", "value": status}]
        return await self._patch(f"{PATH}/{self._name}/status", patch)

    async def _patch(self, path: str, patch: Patch) -> ObjectOnly:
        self._counted()
        return await self._transport.patch(path, patch, ObjectOnly, content_type=JSON_PATCH)

    async def _create(self) -> None:
        metadata: dict[str, object] = {"name": self._name}
        try:
            node = await self._transport.get(f"/api/v1/nodes/{self._name}", _Named)
            # Deleted with its node by the garbage collector.
            owner = {"apiVersion": "v1", "kind": "Node", "name": self._name, "uid": node.metadata.uid}
            metadata["ownerReferences"] = [owner]
        except ApiError:
            # Without the right to read nodes, or before the node registered, it has no owner.
            pass
        body = {"apiVersion": "stowplan.dev/v1alpha1", "kind": "GPUNode", "metadata": metadata}
        self._counted()
        try:
            await self._transport.create(PATH, body, ObjectOnly)
        except AlreadyExists:
            return


def words_of(found: GPUNode | ObjectOnly | None) -> str:
    """What CLEAR_ANNOTATION says; empty without it."""
    annotations = None if found is None else found.metadata.annotations
    return (annotations or {}).get(CLEAR_ANNOTATION, "")[:CLEAR_LENGTH_MAX]


class _Named(msgspec.Struct, frozen=True):
    metadata: Metadata
