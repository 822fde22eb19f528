"""``/livez`` and ``/metrics`` of the agent, from its own event loop."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

_SHUTDOWN_S = 1.0


class AgentServer:
    """An async context manager. Raises OSError on entry when address and port cannot be bound.

    A hanging NVML does not fail ``/livez``: a restart would only wait in the same driver.
    """

    def __init__(self, registry: CollectorRegistry, *, address: str, port: int) -> None:
        app = web.Application()
        app.router.add_get("/livez", _alive)
        app.router.add_get("/metrics", make_aiohttp_handler(registry))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        self._address = address
        self.port = port

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._address, self.port).start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()


async def _alive(_: web.Request) -> web.StreamResponse:
    return web.Response(text="ok\n")
