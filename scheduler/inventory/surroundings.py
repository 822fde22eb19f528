"""What the agent's own Node says: whose hardware this is, and whether somebody wants the GPUs for himself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Final

import msgspec

from scheduler.kube.transport import ClusterError, Transport
from scheduler.kube.wire.base import Metadata, Wire

#: The GPU operator's word to whoever holds NVML open beside it: absent or "true", or the client shall go
#: (gpu-operator 26.7, mig-parted 0.15, k8s-driver-manager 0.12).
CLIENT: Final = "nvidia.com/gpu.deploy.client"
DEPLOY: Final = "nvidia.com/gpu.deploy."
#: paused-for-mig-change, paused-for-driver-upgrade: what each deploy label says meanwhile.
PAUSED: Final = "paused-for-"
#: NVIDIA's MIG manager: from before it stops its clients until the devices are cut anew.
MIG_STATE: Final = "nvidia.com/mig.config.state"
_CUTTING: Final = frozenset({"pending", "rebooting"})

WATCH_S: Final = 300
RETRY_S: Final = (1.0, 60.0)
_SPARE_S: Final = 15.0


class _Node(Wire, frozen=True):
    metadata: Metadata


class _Event(Wire, frozen=True):
    type: str = ""
    object: _Node | None = None


def reason_to_pause(labels: Mapping[str, str] | None) -> str:
    """Which label asks the agent to let go of the devices, ``key=value``; empty where none does."""
    for key, value in sorted((labels or {}).items()):
        is_told = key == CLIENT and value != "true"
        is_paused = key.startswith(DEPLOY) and value.startswith(PAUSED)
        if is_told or is_paused or (key == MIG_STATE and value in _CUTTING):
            return f"{key}={value}"
    return ""


class Surroundings:
    """``run`` follows the node; ``uid`` and ``pause`` are as last seen, empty where it cannot be read."""

    def __init__(
        self, transport: Transport, node_name: str, changed: Callable[[], None], rng: random.Random
    ) -> None:
        self.uid = ""
        self.pause = ""
        self._transport = transport
        self._path = f"/api/v1/nodes/{node_name}"
        self._name = node_name
        self._changed = changed
        self._rng = rng
        self._version = ""

    async def look(self) -> None:
        """As it is now. Raises: ClusterError."""
        self._take((await self._transport.get(self._path, _Node)).metadata)

    async def run(self) -> None:
        """Until cancelled. Without the right to watch nodes it looks now and then."""
        wait_s = RETRY_S[0]
        while True:
            try:
                await self.look()
                await self._watch()
                wait_s = RETRY_S[0]
            except ClusterError:
                wait_s = min(2 * wait_s, RETRY_S[1])
            await asyncio.sleep(wait_s * self._rng.uniform(0.5, 1.0))

    async def _watch(self) -> None:
        """Until the server ends it. Raises: ClusterError."""
        seconds = self._rng.randint(WATCH_S // 2, WATCH_S)
        params = {
            "watch": "true",
            "fieldSelector": f"metadata.name={self._name}",
            "resourceVersion": self._version,
            "timeoutSeconds": str(seconds),
        }
        async with aclosing(self._lines(params, seconds + _SPARE_S)) as batches:
            async for lines in batches:
                for line in lines:
                    self._read(line)

    def _lines(self, params: Mapping[str, str], timeout_s: float) -> AsyncGenerator[list[bytes], None]:
        return self._transport.stream_batches("/api/v1/nodes", params=params, read_timeout_s=timeout_s)

    def _read(self, line: bytes) -> None:
        try:
            event = msgspec.json.decode(line, type=_Event)
        except msgspec.MsgspecError:
            return
        if event.type in ("ADDED", "MODIFIED") and event.object is not None:
            self._take(event.object.metadata)

    def _take(self, metadata: Metadata) -> None:
        before = (self.uid, self.pause)
        self.uid, self.pause = metadata.uid, reason_to_pause(metadata.labels)
        self._version = metadata.resource_version
        if (self.uid, self.pause) != before:
            self._changed()
