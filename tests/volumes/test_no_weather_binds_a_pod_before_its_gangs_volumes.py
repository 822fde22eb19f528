"""Seeds: lost answers, killed leaders, provisioners that are slow or give up; in the end all are bound."""

from __future__ import annotations

import asyncio
import random

import pytest

from simulations.faults import server as api
from simulations.faults.storage import BOUND, CLAIMS, slowly
from simulations.faults.store import Change, Collection, Json
from simulations.faults.virtual_time import elapse
from simulations.faults.weather import FATES, Weather
from tests.volumes.course import Course, led, virtually

STORM_S = 120.0


class Judge:
    """Notes each pod that is bound while a claim of its gang has no volume."""

    def __init__(self, course: Course) -> None:
        self.early: list[str] = []
        self._course = course
        self._seen: set[str] = set()
        course.store.told.append(self._told)

    def _told(self, collection: Collection, change: Change, pod: Json) -> None:
        name = change.key[1]
        if collection.path != api.PODS or not pod["spec"].get("nodeName") or name in self._seen:
            return
        self._seen.add(name)
        gang = name.rpartition("-")[0]
        for (_, claim), stored in self._course.store.at(CLAIMS).objects.items():
            words = stored.read()["metadata"].get("annotations") or {}
            if claim.startswith(f"{gang}-") and BOUND not in words:
                self.early.append(f"{name} before {claim}")


@pytest.mark.parametrize("seed", range(12))
def test_seeds(seed: int) -> None:
    async def main() -> None:
        chance = random.Random(seed)
        fates = chance.sample(FATES, 3)
        weather = Weather(spells=(), odds=dict.fromkeys(fates, 0.08), until_s=STORM_S, delay_s=0.01)
        course = Course(weather=weather)
        judge = Judge(course)
        for zone in "ab":
            for i in range(3):
                course.node(f"{zone}{i}", zone, most=chance.choice((None, 4)))
        course.storage.takes_s = slowly(chance, 0.1, 30.0)
        course.storage.gives = lambda claim, node: chance.random() < 0.85
        async with led(course):
            for number in range(4):
                course.gang(f"g{number}", chance.randint(1, 4), gpus=chance.choice((1, 2, 4)))
                await elapse(chance.uniform(0.0, 20.0))
                if chance.random() < 0.4:
                    course.replica.crash()
            await elapse(max(0.0, STORM_S - asyncio.get_running_loop().time()))
            course.storage.gives = lambda claim, node: True
            # Where provisioning failed it is not asked for again for 300 s.
            await course.until(lambda: all(_has_node(course, key[1]) for key in _pods(course)), 1_000.0)
            assert judge.early == []

    virtually(main())


def _pods(course: Course) -> list[tuple[str, str]]:
    return list(course.store.at(api.PODS).objects)


def _has_node(course: Course, name: str) -> bool:
    pod = course.read(api.PODS, name)
    return pod is not None and bool(pod["spec"].get("nodeName"))
