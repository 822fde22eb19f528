"""``python -m tests.benchmarks.held FILE -m MODULE ...``: a program, and what holds its event loop.

Each callback of every asyncio loop is timed by the CPU that its thread uses, so that a busy machine does not
count; the standard loop is used, since uvloop does not say what it runs. FILE gets the longest ones, longest
first, whenever a new one is among them.
"""

from __future__ import annotations

import asyncio
import gc
import runpy
import sys
import time
from asyncio import events
from pathlib import Path
from typing import Final

import msgspec

KEPT: Final = 20
#: Shorter ones are not worth a line.
LEAST_S: Final = 0.02


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """cpu_s: thread time of one callback, and of that the collector's. what: it, as asyncio describes it."""

    cpu_s: float
    collected_s: float
    wall_s: float
    what: str


class Watch:
    """Takes the place of ``asyncio.Handle._run``, which runs every callback of a loop written in Python."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._run = events.Handle._run
        self.longest: list[Hold] = []
        self._collecting_s = 0.0
        self._collected_s = 0.0

    def install(self) -> None:
        timed = self._timed

        def run(self: asyncio.Handle) -> None:
            timed(self)

        gc.callbacks.append(self._collects)
        events.Handle._run = run  # type: ignore[method-assign] # every loop written in Python calls it

    def _collects(self, phase: str, _: object) -> None:
        """Before and after Python's collector of cycles runs, in whichever thread."""
        if phase == "start":
            self._collecting_s = time.thread_time()
        else:
            self._collected_s += time.thread_time() - self._collecting_s

    def _timed(self, handle: asyncio.Handle) -> None:
        begun_s, cpu_s, before_s = time.monotonic(), time.thread_time(), self._collected_s
        try:
            self._run(handle)
        finally:
            cpu_s = time.thread_time() - cpu_s
            if cpu_s >= LEAST_S:
                self._note(
                    Hold(
                        cpu_s=cpu_s,
                        collected_s=self._collected_s - before_s,
                        wall_s=time.monotonic() - begun_s,
                        what=repr(handle)[:300],
                    )
                )

    def _note(self, hold: Hold) -> None:
        self.longest = sorted([*self.longest, hold], key=lambda each: -each.cpu_s)[:KEPT]
        if hold in self.longest:
            self._path.write_bytes(msgspec.json.format(msgspec.json.encode(self.longest), indent=1))


def read(path: Path) -> list[Hold]:
    """What was written; nothing where nothing held a loop for ``LEAST_S``."""
    return msgspec.json.decode(path.read_bytes(), type=list[Hold]) if path.exists() else []


if __name__ == "__main__":
    sys.modules["uvloop"] = None  # type: ignore[assignment] # documented way to make an import fail
    Watch(Path(sys.argv[1])).install()
    module, sys.argv = sys.argv[3], sys.argv[3:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
