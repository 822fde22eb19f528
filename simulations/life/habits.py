"""What controllers and their users do over hours, each a coroutine that keeps at it until the calm."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Final, Literal

from simulations.life.pods import PodSet, Site, Spec, drop_group, set_group

Habit = Literal[
    "job",
    "train",
    "cron",
    "elastic",
    "rolling",
    "suspends",
    "filler",
    "urgent",
    "service",
    "cancels",
    "besieged",
    "again",
    "uneven",
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


async def besieged(site: Site, spec: Spec, chance: random.Random, at_s: float) -> None:
    """Loses a member now and then, or two, or one for good; is made larger and smaller."""
    work = await once(site, spec, chance, at_s)
    while True:
        await asyncio.sleep(chance.uniform(70.0, 200.0))
        if site.is_calm() or work.is_over:
            return
        running = [rank for rank in sorted(work.ranks) if work.phase(rank) == "Running"]
        if len(running) < 2:
            continue
        what = chance.choice(("fails", "fails", "goes", "goes", "two", "never", "size"))
        one, other = chance.sample(running, 2)
        site.story.tell("users", f"{spec.name} {what} {one} {other}")
        match what:
            case "fails":
                work.fail(one)
            case "goes":
                work.replace(one)
            case "two":
                work.fail(one)
                work.replace(other)
            case "never":
                work.give_up(one)
            case _:
                work.grow(chance.choice((-1, 1, 1, 2)))


async def again(site: Site, spec: Spec, chance: random.Random, at_s: float) -> None:
    """Submitted anew under the same name a while after it was done and cleared away."""
    await asyncio.sleep(at_s)
    set_group(site, spec, spec.minimum)
    number = 0
    while not site.is_calm():
        number += 1
        await _done(PodSet(site, spec, run=f"-{number}"))
        await asyncio.sleep(chance.uniform(5.0, 60.0))


async def _done(work: PodSet) -> None:
    work.start()
    while not work.is_over:
        await asyncio.sleep(5.0)
    work.clear()


async def uneven(site: Site, spec: Spec, chance: random.Random, at_s: float) -> None:
    """The same, of which an index may fail for good while the others run."""
    await asyncio.sleep(at_s)
    number = 0
    while not site.is_calm():
        number += 1
        set_group(site, spec, spec.minimum)
        work = PodSet(site, spec, run=f"-{number}")
        done = asyncio.create_task(_done(work))
        await asyncio.sleep(chance.uniform(5.0, 100.0))
        if spec.dialect == "job" and chance.random() < 0.7:
            work.give_up(chance.choice(sorted(work.ranks)))
        await done
        drop_group(site, spec)
        await asyncio.sleep(chance.uniform(2.0, 60.0))


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
    "besieged": besieged,
    "again": again,
    "uneven": uneven,
}
