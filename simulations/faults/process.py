"""Replicas of the scheduler: each is started again whenever it ends, as a Deployment does."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable
from typing import Final

from scheduler.kube.errors import ClusterError
from scheduler.kube.reflector import Timing
from scheduler.live.config import SchedulerConfiguration
from scheduler.live.run import Scheduler, serve
from scheduler.live.surroundings import CYCLE_MAX_S, Surroundings
from simulations.faults.network import Link
from simulations.faults.server import Call, Server
from simulations.faults.store import EPOCH_S
from simulations.faults.story import Story, who
from simulations.faults.weather import Weather

#: Clocks of processes run at different rates, within what the lease's margin allows.
RATES: Final = (1.0, 1.0, 0.98, 1.02)


class Replica:
    """``lives`` counts its processes. ``faults``: what no storm excuses, such as a broken invariant.

    scheduler: of the process that runs now.
    """

    def __init__(
        self,
        name: str,
        config: SchedulerConfiguration,
        server: Server,
        *,
        seed: str,
        weather: Weather,
        story: Story,
        sending: Callable[[Link, Call], None],
        cycle_max_s: Callable[[], float] = lambda: CYCLE_MAX_S,
        timing: Timing | None = None,
        shows: Callable[[bytes], bytes] = lambda raw: raw,
    ) -> None:
        self.name = name
        self.lives = 0
        self.faults: list[str] = []
        self.scheduler: Scheduler | None = None
        self.link: Link | None = None
        self._config = config
        self._server = server
        self._seed = seed
        self._weather = weather
        self._story = story
        self._sending = sending
        self._cycle_max_s = cycle_max_s
        self._timing = timing or Timing()
        self._shows = shows
        self._stop = asyncio.Event()
        self._task: asyncio.Task[int] | None = None
        self._chance = random.Random(f"{seed} {name}")

    @property
    def is_leading(self) -> bool:
        return self.scheduler is not None and self.scheduler.health.role == "leading"

    async def run(self) -> None:
        """Live and be started again, until cancelled."""
        try:
            while True:
                self.lives += 1
                self._begin(f"{self.name}{self.lives}")
                if self._task is not None:
                    await asyncio.wait({self._task})
                    self._end(self._task)
                await asyncio.sleep(self._chance.uniform(0.3, 4.0))
        finally:
            await self._close()

    def crash(self) -> None:
        """SIGKILL."""
        if self._task is not None and self.link is not None:
            self._story.tell(self.name, "is killed")
            self.link.cut()
            self._task.cancel()

    def stop(self) -> None:
        """SIGTERM, as a rolling restart sends it."""
        self._story.tell(self.name, "is asked to stop")
        self._stop.set()

    def _begin(self, whom: str) -> None:
        loop = asyncio.get_running_loop()
        chance = random.Random(f"{self._seed} {whom}")
        rate, offset_s = chance.choice(RATES), chance.uniform(0.0, 1e5)
        surroundings = Surroundings(
            clock=lambda: offset_s + rate * loop.time(),
            wall=lambda: EPOCH_S + loop.time(),
            chance=chance.random,
            instance=self.name,
            serial=whom,
            cycle_max_s=self._cycle_max_s,
            timing=self._timing,
        )
        self.link = Link(
            self._server,
            self.name,
            chance=random.Random(f"{self._seed} {whom} network"),
            weather=self._weather,
            story=self._story,
            sending=self._sending,
            shows=self._shows,
        )
        self._stop = asyncio.Event()
        self._story.tell(self.name, f"process {self.lives} starts")
        context = contextvars.copy_context()
        context.run(who.set, self.name)
        self.scheduler = context.run(Scheduler, self._config, self.link, surroundings)
        self._task = loop.create_task(serve(self.scheduler, self._stop), context=context)

    def _end(self, task: asyncio.Task[int]) -> None:
        self.scheduler = self._task = None
        if self.link is not None:
            self.link.cut()
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._story.tell(self.name, f"ends with code {task.result()}")
            return
        self._story.tell(self.name, f"ends with {error!r}")
        if not _is_excused(error):
            self.faults.append(f"{self.name}{self.lives} died of {error!r}")

    async def _close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _is_excused(error: BaseException) -> bool:
    """Whether only the API server or the network is to blame: another process may do better."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_excused(part) for part in error.exceptions)
    return isinstance(error, ClusterError)
