"""The scheduler as a process of its own: ``stowplan run``, as anybody would start it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

STOP_S = 10.0
_CONFIGURATION = """\
apiVersion: stowplan.dev/v1alpha1
kind: SchedulerConfiguration
health: {port: 0}
"""


class SchedulerEnded(Exception):
    """The scheduler's process ended before it was told to."""


@asynccontextmanager
async def running_scheduler(kubeconfig: Path, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """``stowplan run`` until the block is left; its log goes to ``folder``/scheduler.log."""
    config = folder / "stowplan.yaml"
    config.write_text(_CONFIGURATION, encoding="utf-8")
    command = ["-m", "scheduler.cli", "run", "--config", str(config), "--kubeconfig", str(kubeconfig)]
    with (folder / "scheduler.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=log, stderr=log)
        try:
            yield process
        finally:
            await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def log_tail(folder: Path, lines: int = 20) -> str:
    """The end of the scheduler's log, for a demo that failed."""
    text = (folder / "scheduler.log").read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.splitlines()[-lines:])
