"""An event loop whose clock jumps: hours of timeouts in milliseconds, the same on every run."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")

TICK_S = 1e-6


class _Jumping(selectors.SelectSelector):
    """Does not wait: moves the clock to when the next timer is due."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("deadlock: nothing is due and nothing can happen")
        # Never by nothing: who waits for the rest of a nanosecond would wait for ever.
        self.now_s += max(TICK_S, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Only for code that reads no socket and uses no thread."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


async def elapse(seconds: float) -> None:
    """Let virtual time pass. Costs no real time, and does not work on an ordinary loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    passed = loop.create_future()
    timer = loop.call_later(seconds, passed.set_result, None)
    try:
        await passed
    finally:
        timer.cancel()


def run_virtually(main: Coroutine[object, object, T], *, limit_s: float = 1e6) -> T:
    """Run ``main`` to its end in virtual time, at most ``limit_s`` of it."""

    async def limited() -> T:
        async with asyncio.timeout(limit_s):
            return await main

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(limited())
