"""``stowplan run``: configuration, logs and endpoint, then the live shell takes over."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path

from scheduler.cli.configuration import read
from scheduler.cli.connection import endpoint
from scheduler.live import logs


def start(config_file: Path | None, kubeconfig: Path | None, context: str | None) -> int:
    """Run the scheduler until it is told to stop or must stop; its exit code.

    Raises: Failure for a wrong file or an endpoint that cannot be made out.
    """
    # The objects of a large cluster are reference-counted trees; looking for cycles in them all the time
    # costs more than the few cycles that the requests leave behind.
    gc.set_threshold(100_000, 20, 100)
    config = read(config_file)
    logs.configure(config.log.format, config.log.level)
    where = endpoint(kubeconfig, context)
    # Planner and solver come with this import; what can fail cheaply has not failed by now.
    from scheduler.live.run import run

    # Modules and classes stay: the collector, which holds the event loop while it looks, need not look there.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(run(config, where))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed (extra ``speed``), else the standard loop."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
