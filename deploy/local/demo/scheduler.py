"""The scheduler as a process of its own: ``stowplan run``, as anybody would start it."""

from __future__ import annotations

import asyncio
import ctypes
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

STOP_S = 10.0
#: linux/prctl.h
PR_SET_PDEATHSIG = 1
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
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
        try:
            yield process
        finally:
            await _stop(process)


def _end_with_parent() -> None:
    """Runs in the child: the kernel ends it when the demo ends, however that ends (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


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
