"""A thousand hours of random load on three teams: nobody is evicted twice in a row, and never for nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from scheduler.model.objects import Pod
from scheduler.model.plan import Clearing
from tests.builders import gang, pod
from tests.teams.worlds import World, cluster, quota

HOURS = 1_000
MIN_RUNTIME_S = 1_800
GRACE_S = 30.0
TEAMS = ("a", "b", "c")


class Load:
    """Work comes, runs for a while, ends; what is evicted comes again under its old name."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        quotas = [
            quota("a", {"guaranteed": {"gpu": 12}, "minRuntimeSeconds": MIN_RUNTIME_S}),
            quota("b", {"guaranteed": {"gpu": 8}, "minRuntimeSeconds": MIN_RUNTIME_S, "weight": 3}),
            quota("c", {"minRuntimeSeconds": MIN_RUNTIME_S, "limit": {"gpu": 16}}),
        ]
        self.world = World(cluster([8, 8, 4, 4], quotas), grace_s=GRACE_S)
        self.ends: dict[str, float] = {}
        self.serial = 0
        self.evicted_at: dict[str, float] = {}
        self.promised: dict[str, float] = {}
        self.evictions = Counter[str]()

    def run(self, hours: float) -> None:
        world = self.world
        until_s = world.now_s + hours * 3600
        arrival_s = world.now_s
        while world.now_s < until_s:
            if arrival_s <= world.now_s:
                self._arrive()
                arrival_s = world.now_s + self.chance.expovariate(1 / 2400)
            for uid in [uid for uid, at_s in self.ends.items() if at_s <= world.now_s and uid in world.pods]:
                if not world.pods[uid].is_deleting:
                    world.end(uid)
                    del self.ends[uid]
            self._cycle()
            coming = [arrival_s, world.now_s + 1800, *world.leaving.values()]
            coming += [at_s for uid, at_s in self.ends.items() if uid in world.pods]
            world.now_s = max(min(coming), world.now_s + 1.0)

    def _arrive(self) -> None:
        self.serial += 1
        team, priority = self.chance.choice(TEAMS), self.chance.choice((0, 0, 0, 10))
        name = f"{team}{self.serial}"
        gpus = self.chance.choice((1, 1, 2, 4))
        if self.chance.random() < 0.5:
            pods = [pod(name, gpu=gpus, namespace=team)]
        else:
            size = self.chance.randint(2, 4)
            pods = gang(name, size, minimum=self.chance.randint(2, size), gpu=gpus, namespace=team)
        now_s = self.world.now_s
        self.world.submit(*(replace(each, priority=priority, created_s=now_s) for each in pods))

    def _cycle(self) -> None:
        world = self.world
        gone = [world.pods[uid] for uid, at_s in world.leaving.items() if at_s <= world.now_s]
        done = world.cycle()
        for old in gone:
            self.ends.pop(old.uid, None)
            self.serial += 1
            fresh = replace(
                old,
                uid=f"{old.uid.split('#')[0]}#{self.serial}",
                node_name="",
                phase="Pending",
                is_deleting=False,
                started_s=0.0,
            )
            world.submit(fresh)
        for place in done.places:
            life_s = self.chance.expovariate(1 / 14_400)
            for a in place.assignments:
                self.ends[a.pod.uid] = world.now_s + life_s
                self.promised.pop(a.pod.uid, None)
        for clearing in done.clearings:
            self._note(clearing)
        late = [uid for uid, at_s in self.promised.items() if at_s < world.now_s - GRACE_S - 5.0]
        assert not late, f"evicted for {late}, which did not start"

    def _note(self, clearing: Clearing) -> None:
        now_s = self.world.now_s
        for uid in clearing.nominated:
            self.promised[uid] = now_s
        for victim in clearing.victims:
            self.evictions[clearing.rule] += 1
            if victim.is_whole:
                name = _name(victim.pods[0]) if victim.gang.key.is_single else str(victim.gang.key)
                before_s = self.evicted_at.get(name)
                assert before_s is None or now_s - before_s >= MIN_RUNTIME_S, name
                self.evicted_at[name] = now_s
                assert min(each.started_s for each in victim.pods) <= now_s - MIN_RUNTIME_S, name
            else:
                assert max(each.started_s for each in victim.pods) <= now_s - MIN_RUNTIME_S, victim


def _name(each: Pod) -> str:
    return f"{each.namespace}/{each.name}"


@pytest.mark.parametrize("seed", [1, 2])
def test_no_gang_is_evicted_twice_within_its_minimum_run_time_and_every_beneficiary_starts(seed: int) -> None:
    load = Load(seed)
    load.run(HOURS / 2)
    assert load.evictions["reclaim"] > 20
    assert load.evictions["preempt"] > 5
