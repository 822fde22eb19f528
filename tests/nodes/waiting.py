"""Waiting for what the operating system does, without guessing how long that takes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

PATIENCE_S = 30.0


async def appears(path: Path) -> None:
    """Until the file is there."""
    async with asyncio.timeout(PATIENCE_S):
        while not path.exists():
            await asyncio.to_thread(os.sched_yield)


async def ends(pid: int) -> None:
    """Until no such process runs (one that ended and was not reaped yet counts as ended)."""
    status = Path(f"/proc/{pid}/stat")
    async with asyncio.timeout(PATIENCE_S):
        while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
            await asyncio.to_thread(os.sched_yield)
