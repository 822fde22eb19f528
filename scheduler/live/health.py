"""``/livez``, ``/readyz`` and ``/metrics``, served from the scheduler's own event loop.

Sharing the loop is the point of ``/livez``: a loop that is stuck does not answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

Role = Literal["starting", "standby", "leading", "stopping"]

#: No beat of the scheduling loop for this long: it hangs, and a restart is the cure.
BEAT_AGE_S_MAX = 120.0
_SHUTDOWN_S = 1.0


class Health:
    """What the probes are told; the scheduling loop writes it.

    ``unsynced`` names the resource kinds whose first list is not complete or whose view is stale.
    """

    def __init__(self, *, unsynced: Callable[[], tuple[str, ...]], clock: Callable[[], float]) -> None:
        self.role: Role = "starting"
        self._unsynced = unsynced
        self._clock = clock
        self._beat_s = clock()

    def beat(self) -> None:
        """The scheduling loop is alive; called at least once per cycle and idle wait."""
        self._beat_s = self._clock()

    def not_live(self) -> str | None:
        """Why a restart would help, or None."""
        age_s = self._clock() - self._beat_s
        if age_s > BEAT_AGE_S_MAX:
            return f"the scheduling loop gave no sign for {age_s:.0f} s"
        return None

    def not_ready(self) -> str | None:
        """Why this process neither leads nor could take over at once, or None."""
        if self.role not in ("leading", "standby"):
            return f"{self.role}: neither leading nor standing by"
        waiting = self._unsynced()
        return f"not synced: {', '.join(waiting)}" if waiting else None


class HealthServer:
    """The HTTP endpoint, as an async context manager; ``port`` is the one in use, also for port 0.

    Raises OSError on entry when address and port cannot be bound.
    """

    def __init__(self, health: Health, registry: CollectorRegistry, *, address: str, port: int) -> None:
        app = web.Application()
        app.router.add_get("/livez", _probe(health.not_live))
        app.router.add_get("/readyz", _probe(health.not_ready))
        app.router.add_get("/metrics", make_aiohttp_handler(registry))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        self._address = address
        self.port = port

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._address, self.port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.shield(self._runner.cleanup())


def _probe(problem: Callable[[], str | None]) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        reason = problem()
        return web.Response(text="ok\n") if reason is None else web.Response(status=503, text=f"{reason}\n")

    return answer
