"""An event loop whose clock jumps: hours of timeouts in milliseconds, the same on every run."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple, Unpack

from scheduler.gangs.faults import require

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

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
    """Only for code that reads no socket. What others run in a thread runs at once.

    thinking_s: how long that takes in virtual time, so that the world moves on while a plan is made.
    """

    def __init__(self) -> None:
        self._jumping = _Jumping()
        self.thinking_s: Callable[[], float] = lambda: 0.0
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Call now, answer later."""
        answered: asyncio.Future[T] = self.create_future()
        self.call_later(self.thinking_s(), _give, answered, func(*args))
        return answered


def _give(answered: asyncio.Future[T], found: T) -> None:
    if not answered.done():
        answered.set_result(found)


async def elapse(seconds: float) -> None:
    """Let virtual time pass. Costs no real time, and does not work on an ordinary loop."""
    loop = asyncio.get_running_loop()
    require(isinstance(loop, VirtualLoop), "virtual time passes on a virtual loop only")
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
