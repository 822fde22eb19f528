"""``stowplan snapshot``: the live cluster in a file, as far as scheduling reads it."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

from prometheus_client import CollectorRegistry

from scheduler.cli.configuration import read as read_configuration
from scheduler.cli.connection import ask
from scheduler.cli.failure import Failure
from scheduler.kube.transport import Transport
from scheduler.live.claims import ClaimBook
from scheduler.live.config import SchedulerConfiguration
from scheduler.live.views import Views
from simulations.snapshots import ClusterSnapshot, Recorder, write_snapshot

SYNC_S = 60.0
#: Of a book of claims that nothing is ever written to.
WRITE_TIMEOUT_S = 1.0


def save(file: Path, kubeconfig: Path | None, context: str | None, *, config: Path | None) -> None:
    """Raises: Failure."""
    settings = read_configuration(config)
    found = ask(kubeconfig, context, lambda transport: take(transport, settings))
    try:
        size = write_snapshot(file, found)
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}; give a file that can be written") from error
    print(
        f"{file}: {len(found.nodes):,} nodes, {len(found.pods) + len(found.refused):,} pods, "
        f"{len(found.inventories):,} inventories, {len(found.quotas):,} TeamQuotas, {size:,} bytes"
    )


async def take(transport: Transport, settings: SchedulerConfiguration) -> ClusterSnapshot:
    """All that the scheduler watches, by its own watches, once each of them is complete. Raises: Failure."""
    state = Recorder(settings.scheduler_name, settings.teams.units())
    views = Views(
        transport,
        state,
        ClaimBook(transport, clock=time.monotonic, may_act=lambda: False, write_timeout_s=WRITE_TIMEOUT_S),
        registry=CollectorRegistry(),
        seen=lambda uid, pod: None,
        wake=lambda: None,
        clock=time.monotonic,
        chance=random.random,
    )
    running = asyncio.create_task(views.run())
    synced = asyncio.create_task(views.synced())
    try:
        await asyncio.wait({running, synced}, timeout=SYNC_S, return_when=asyncio.FIRST_COMPLETED)
        if not synced.done():
            missing = ", ".join(views.unsynced())
            text = f"no answer within {SYNC_S:.0f} s to lists of {missing}; `stowplan doctor` says more"
            raise Failure(text)
        return state.told(time.time())
    finally:
        for task in (running, synced):
            task.cancel()
        await asyncio.gather(running, synced, return_exceptions=True)
