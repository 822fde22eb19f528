"""The probes over a real socket: live while the loop beats, ready while it leads or stands by in sync."""

from __future__ import annotations

import aiohttp
import pytest

from scheduler.live.health import BEAT_AGE_S_MAX, Health, HealthServer, Role
from scheduler.live.metrics import Metrics


class World:
    """A clock that stands still and views that sync when told."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.unsynced: tuple[str, ...] = ("pods", "nodes")
        self.health = Health(unsynced=lambda: self.unsynced, clock=lambda: self.now_s)


async def _get(port: int, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        return answer.status, await answer.text()


READY: dict[str, tuple[Role, tuple[str, ...], int, str]] = {
    "leading in sync": ("leading", (), 200, "ok"),
    "standing by in sync": ("standby", (), 200, "ok"),
    "leading on a stale view": ("leading", ("pods",), 503, "not synced: pods"),
    "starting": ("starting", (), 503, "starting: neither leading nor standing by"),
    "stopping": ("stopping", (), 503, "stopping: neither leading nor standing by"),
}


@pytest.mark.parametrize("case", READY)
async def test_ready(case: str) -> None:
    world = World()
    world.health.role, world.unsynced, status, text = READY[case]
    async with HealthServer(world.health, Metrics().registry, address="127.0.0.1", port=0) as server:
        assert await _get(server.port, "/readyz") == (status, f"{text}\n")


async def test_live_until_the_loop_gives_no_sign() -> None:
    world = World()
    async with HealthServer(world.health, Metrics().registry, address="127.0.0.1", port=0) as server:
        world.now_s += BEAT_AGE_S_MAX
        assert (await _get(server.port, "/livez"))[0] == 200
        world.now_s += 1
        assert await _get(server.port, "/livez") == (503, "the scheduling loop gave no sign for 121 s\n")
        world.health.beat()
        assert (await _get(server.port, "/livez"))[0] == 200


async def test_metrics_are_served_and_nothing_else() -> None:
    metrics = Metrics()
    metrics.bind("bound")
    async with HealthServer(World().health, metrics.registry, address="127.0.0.1", port=0) as server:
        status, text = await _get(server.port, "/metrics")
        assert status == 200
        assert 'stowplan_binds_total{outcome="bound"} 1.0' in text
        assert (await _get(server.port, "/"))[0] == 404


async def test_a_port_in_use_is_told_at_once() -> None:
    world = World()
    async with HealthServer(world.health, Metrics().registry, address="127.0.0.1", port=0) as first:
        second = HealthServer(world.health, Metrics().registry, address="127.0.0.1", port=first.port)
        with pytest.raises(OSError, match="address already in use"):
            await second.__aenter__()
