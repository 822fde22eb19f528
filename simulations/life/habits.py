"""What controllers and their users do over hours, each a coroutine that keeps at it until the calm."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Final, Literal

from simulations.life.pods import PodSet, Site, Spec, set_group

Habit = Literal[
    "job", "train", "cron", "elastic", "rolling", "suspends", "filler", "urgent", "service", "cancels"
]


async def once(site: Site, spec: Spec, chance: random.Random, at_s: float) -> PodSet:
    """Submitted once; kept until it is done."""
    await asyncio.sleep(at_s)
    set_group(site, spec, spec.minimum)
    work = PodSet(site, spec)
    work.start()
    return work


async def cron(site: Site, spec: Spec, chance: random.Random, at_s: float) -> None:
    """The same gang again and again; what is left of a run stays until the one after the next."""
    await asyncio.sleep(at_s)
    set_group(site, spec, spec.minimum)
    period_s = chance.choice((120.0, 300.0, 600.0))
    history: list[PodSet] = []
    keeps = chance.choice((0, 1, 1, 2))
    number = 0
    while not site.is_calm():
        if not history or history[-1].is_over:
            number += 1
            run = PodSet(site, replace(spec, clear_s=None if keeps else 5.0), run=f"-{number}")
            history.append(run)
            run.start()
            while len(history) > keeps + 1:
                history.pop(0).clear()
        await asyncio.sleep(period_s)


async def elastic(site: Site, spec: Spec, chance: random.Random, at_s: float) -> None:
    """Grows and shrinks while it runs, and says so first."""
    work = await once(site, spec, chance, at_s)
    size = spec.pods
    while not work.is_over:
        await asyncio.sleep(chance.uniform(60.0, 400.0))
        if site.is_calm() or work.is_over:
            return
        size = max(1, min(spec.pods + 2, size + chance.choice((-1, 1, 1, 2))))
        site.story.tell("users", f"scale {spec.name} to {size}")
        work.minimum = size
        set_group(site, spec, size)
        await asyncio.sleep(chance.choice((0.0, 0.0, 1.0)))
        work.scale(size)


async def rolling(site: Site, spec: Spec, chance: random.Random, at_s: float) -> None:
    """One pod after the other is made anew, from the highest rank down, each when the one before runs."""
    work = await once(site, spec, chance, at_s)
    while not work.is_over:
        await asyncio.sleep(chance.uniform(100.0, 500.0))
        if site.is_calm():
            return
        site.story.tell("users", f"roll {spec.name}")
        for rank in sorted(work.ranks, reverse=True):
            if work.phase(rank) == "Running":
                work.replace(rank)
            await _until_runs(work, rank)
            if site.is_calm():
                return


async def _until_runs(work: PodSet, rank: int) -> None:
    """Or until a rollout would be called stuck."""
    for _ in range(60):
        await asyncio.sleep(2.0)
        if work.phase(rank) == "Running" or work.is_over:
            return


async def suspends(site: Site, spec: Spec, chance: random.Random, at_s: float) -> None:
    work = await once(site, spec, chance, at_s)
    while not work.is_over:
        await asyncio.sleep(chance.uniform(60.0, 400.0))
        if site.is_calm() or work.is_over:
            return
        site.story.tell("users", f"suspend {spec.name}")
        work.suspend()
        await asyncio.sleep(chance.uniform(1.0, 90.0))
        site.story.tell("users", f"resume {spec.name}")
        work.resume()


async def service(site: Site, spec: Spec, chance: random.Random, at_s: float) -> None:
    """Pods that start one by one, scaled up and down."""
    work = await once(site, spec, chance, at_s)
    while True:
        await asyncio.sleep(chance.uniform(40.0, 300.0))
        if site.is_calm():
            return
        size = max(1, min(spec.pods + 2, len(work.ranks) + chance.choice((-1, 1))))
        site.story.tell("users", f"scale {spec.name} to {size}")
        work.scale(size)


async def cancels(site: Site, spec: Spec, chance: random.Random, at_s: float) -> None:
    """Given up by its user after a while, wherever it is then, and submitted again under the same name."""
    number = 0
    await asyncio.sleep(at_s)
    while not site.is_calm():
        set_group(site, spec, spec.minimum)
        number += 1
        work = PodSet(site, spec, run=f"-{number}")
        work.start()
        await asyncio.sleep(chance.choice((0.05, 0.5, 2.0, 30.0, 200.0)) * chance.uniform(0.5, 1.5))
        site.story.tell("users", f"cancel {spec.name}")
        work.end()
        await asyncio.sleep(chance.uniform(5.0, 400.0))


HABITS: Final[
    dict[Habit, Callable[[Site, Spec, random.Random, float], Coroutine[object, object, object]]]
] = {
    "job": once,
    "train": once,
    "cron": cron,
    "elastic": elastic,
    "rolling": rolling,
    "suspends": suspends,
    "filler": once,
    "urgent": cancels,
    "service": service,
    "cancels": cancels,
}
