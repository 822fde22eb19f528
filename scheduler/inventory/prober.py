"""Probes in a thread of their own, so that a call that hangs stops neither heartbeats nor the event loop.

A thread inside a C call cannot be ended, so a hanging probe is waited for, never repeated beside itself.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from scheduler.inventory.report import DeviceReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A report is as old as its probe's start, in seconds of the clock that the prober was given."""

    report: DeviceReport
    started_s: float
    took_s: float


class Prober:
    """At most one probe at a time. The thread is a daemon: a process that ends does not wait for NVML."""

    def __init__(self, probe: Callable[[], DeviceReport], *, clock: Callable[[], float]) -> None:
        self._probe = probe
        self._clock = clock
        self._wanted: queue.SimpleQueue[asyncio.AbstractEventLoop | None] = queue.SimpleQueue()
        self._running: asyncio.Future[Answer] | None = None
        self._started_s = 0.0
        threading.Thread(target=self._work, name="nvml-probe", daemon=True).start()

    async def ask(self, deadline_s: float) -> Answer | None:
        """A new report, or that of the probe that still runs; None where none comes within ``deadline_s``."""
        running = self._running
        if running is None:
            loop = asyncio.get_running_loop()
            running = self._running = loop.create_future()
            self._started_s = self._clock()
            self._wanted.put(loop)
        done, _ = await asyncio.wait([running], timeout=deadline_s)
        if not done:
            return None
        self._running = None
        return running.result()

    @property
    def age_s(self) -> float:
        """How long the running probe has been running; 0 without one."""
        return 0.0 if self._running is None else self._clock() - self._started_s

    def close(self) -> None:
        """Let the thread end as soon as NVML lets it."""
        self._wanted.put(None)

    def _work(self) -> None:
        while (loop := self._wanted.get()) is not None:
            try:
                report = self._probe()
            except BaseException as error:
                _tell(loop, self._failed, error)
                raise
            started_s = self._started_s
            answer = Answer(report=report, started_s=started_s, took_s=self._clock() - started_s)
            _tell(loop, self._came, answer)

    def _came(self, answer: Answer) -> None:
        if self._running is not None and not self._running.done():
            self._running.set_result(answer)

    def _failed(self, error: BaseException) -> None:
        if self._running is not None and not self._running.done():
            self._running.set_exception(error)


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *words: object) -> None:
    """The loop may have been closed while NVML hung; then nobody listens any more."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(what, *words)
