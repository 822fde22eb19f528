"""Node leases, renewed evenly over the interval."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence

from deploy.local.nodes import status
from deploy.local.nodes.writer import MERGE, STRATEGIC_MERGE, TRANSIENT
from scheduler.kube.transport import Conflict, NotFound, Transport

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
#: A kubelet's own pace, kept up to this many writes a second over all nodes.
KUBELET_INTERVAL_S = 10.0
WRITES_MOST_PER_S = 50.0
#: A lease that is older than so many intervals is late.
_LATE_INTERVALS = 1.5
#: A node that was late says for so many intervals that it is ready: the lifecycle controller may have written
#: that it is not, or be about to, and takes that back for no lease.
_SAID_INTERVALS = 6
_TICK_S = 0.25
_AT_ONCE = 16


def default_interval_s(nodes: int) -> float:
    """10 s as a kubelet, longer above 500 nodes: 5,000 nodes renew every 100 s, 50 writes/s."""
    return max(KUBELET_INTERVAL_S, nodes / WRITES_MOST_PER_S)


class Heartbeats:
    """Renews the lease of every node once per interval.

    A renewal lost to the network is a missed one; one the API server refuses is raised.
    """

    def __init__(
        self,
        transport: Transport,
        nodes: Sequence[str],
        *,
        interval_s: float,
        clock: Callable[[], float],
        is_silent: Callable[[str], bool],
    ) -> None:
        self._transport = transport
        self._nodes = tuple(nodes)
        self._interval_s = interval_s
        self._clock = clock
        self._is_silent = is_silent
        self._slots = asyncio.Semaphore(_AT_ONCE)
        #: When each node was last heard of, and until when it says that it is ready.
        self._renewed_s: dict[str, float] = {}
        self._says_until_s: dict[str, float] = {}
        self.renewed = 0
        self.missed = 0

    @property
    def writes_per_s(self) -> float:
        return len(self._nodes) / self._interval_s

    async def run(self) -> None:
        """Renew for ever; a late round drops what it missed instead of catching up."""
        loop = asyncio.get_running_loop()
        begun_s, position = loop.time(), 0
        while True:
            reached = int((loop.time() - begun_s) * self.writes_per_s) + 1
            first = max(position, reached - len(self._nodes))
            names = (self._nodes[turn % len(self._nodes)] for turn in range(first, reached))
            await asyncio.gather(*(self._beat(name) for name in names))
            position = reached
            await asyncio.sleep(_TICK_S)

    async def _beat(self, name: str) -> None:
        if self._is_silent(name):
            return
        async with self._slots:
            try:
                await self._renew(name)
                await self._say_ready(name)
                self.renewed += 1
            except TRANSIENT:
                self.missed += 1

    async def _say_ready(self, name: str) -> None:
        """As a kubelet that is back, or was slow, writes its status."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._renewed_s.get(name, now_s) > _LATE_INTERVALS * self._interval_s:
            self._says_until_s[name] = now_s + _SAID_INTERVALS * self._interval_s
        self._renewed_s[name] = now_s
        if now_s < self._says_until_s.get(name, 0.0):
            path = f"/api/v1/nodes/{name}/status"
            body = status.is_ready(self._clock())
            with contextlib.suppress(NotFound):  # Somebody took the node away.
                await self._transport.request("PATCH", path, body=body, content_type=STRATEGIC_MERGE)

    async def _renew(self, name: str) -> None:
        body = status.renewal(self._clock())
        try:
            await self._transport.request("PATCH", f"{_LEASES}/{name}", body=body, content_type=MERGE)
        except NotFound:
            await self._create(name)

    async def _create(self, name: str) -> None:
        body = status.lease(name, math.ceil(4 * self._interval_s), self._clock())
        try:
            await self._transport.request("POST", _LEASES, body=body)
        except Conflict:
            return
