"""Waiting for a container as a readiness probe does."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp

from tests.deploy.containers import Container

SETTLE_S: Final = 40.0


async def until_ready(container: Container) -> None:
    async with aiohttp.ClientSession() as session, asyncio.timeout(SETTLE_S):
        while True:
            assert container.process.returncode is None, container.tail()
            try:
                async with session.get(container.url / "readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0)
