"""One long course: drawn from its seed, lived through by the real live shell, judged by what the API shows.

A course is not about what goes wrong at once, as a storm is, but about what goes on: a full cluster, works
that end and come again, and an hour in which nobody may be evicted for nothing, and nobody wait for nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from deploy.local.audit import Auditor
from scheduler.invariants import (
    History,
    PodVersion,
    at_every_revision,
    end_state,
    no_idle_hole,
    no_lasting_harm,
    no_useless_eviction,
    recovered,
)
from simulations.faults import server as api
from simulations.faults.budgets import BUDGETS
from simulations.faults.network import Clear
from simulations.faults.nodes import Nodes
from simulations.faults.process import Replica
from simulations.faults.server import Server
from simulations.faults.store import Change, Collection, Json, Store
from simulations.faults.story import Story
from simulations.faults.virtual_time import run_virtually
from simulations.faults.weather import FATES, Kind, Spell, Weather
from simulations.life import strangers
from simulations.life.drills import draw
from simulations.life.habits import HABITS
from simulations.life.pods import Site, Spec
from simulations.life.scenario import FAULT_S, NAMESPACES, TIMING, Scenario
from simulations.life.strikes import REFUSED_S, strike

#: After the last habit, for what is under way to end.
CALM_S: Final = 200.0
LIMIT_S: Final = 1e6
#: While something happened within this, the loop looks around more often.
BUSY_S: Final = 35.0
BUSY_CYCLE_S: Final = 4.0
IDLE_CYCLE_S: Final = 30.0
#: How long a gang may be partly bound, while members are waited for.
PARTIAL_S: Final = 600.0
#: A leader that is killed is followed within this: its lease of 40 s, and what it takes to see that.
FAILOVER_S: Final = 65.0
#: Who was refused an eviction is asked again no sooner than a minute later.
AFTER_REFUSED_S: Final = 65.0
#: What is counted, by its name in the report.
KINDS: Final = (
    "useless_evictions",
    "idle_holes",
    "lasting_harm",
    "not_recovered",
    "process_ends",
    "safety",
)
SPELLS: Final[tuple[Kind, ...]] = ("lossy", "slow", "down", "shedding")
QUIET: Final = (api.LEASES, api.EVENTS, api.TEAM_QUOTAS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """``ends``: why processes ended that should not have. ``troubles``: when nobody could act.

    ``leaderless``: from the kill of a leader on, until another one must lead. ``refused``: when nobody could
    be evicted.
    """

    history: History
    ends: tuple[str, ...]
    troubles: tuple[tuple[float, float], ...]
    leaderless: tuple[tuple[float, float], ...]
    refused: tuple[tuple[float, float], ...]
    story: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a course: what was broken, in words, by kind."""

    seed: int
    broken: dict[str, tuple[str, ...]]
    story: str
    binds: int
    evictions: int
    lasted_s: float
    digest: str

    @property
    def is_clean(self) -> bool:
        return not any(self.broken.values())

    def __str__(self) -> str:
        lines = [f"{kind}: {text}" for kind, texts in self.broken.items() for text in texts]
        head = "\n".join((f"course {self.seed} broke {len(lines)} rules:", *lines))
        return f"{self.story}\n\n{head}\n\nAgain: python -m simulations.life {self.seed}"


def drawn(seed: int) -> Scenario:
    return draw(random.Random(f"{seed} scenario"))


def subjects(seed: int) -> tuple[str, str]:
    """What the course of a seed is about: its kind, and its one matter where it has one."""
    scenario = drawn(seed)
    return scenario.kind, scenario.about


def run(seed: int) -> Verdict:
    """Live through one course, and where it is about one thing, through the same without that."""
    scenario = drawn(seed)
    lived = live(seed, scenario)
    broken = judged(lived, scenario)
    if scenario.fault is not None:
        reference = live(seed, replace(scenario, fault=None))
        fault_s = scenario.fault[1] + FAULT_S
        broken["not_recovered"] = recovered(lived.history, reference.history, fault_s=fault_s)
    if scenario.stranger_s is not None:
        reference = live(seed, replace(scenario, stranger_s=None))
        who = {strangers.NAMESPACE}
        broken["lasting_harm"] = no_lasting_harm(lived.history, reference.history, strangers=who)
    end = end_state(lived.history)
    return Verdict(
        seed=seed,
        broken={kind: tuple(map(str, found)) for kind, found in broken.items()},
        story=lived.story,
        binds=end.binds,
        evictions=end.evictions,
        lasted_s=lived.history.until_s,
        digest=lived.digest,
    )


def judged(lived: Lived, scenario: Scenario) -> dict[str, Sequence[object]]:
    """What is wrong with one history by itself."""
    history, troubles = lived.history, lived.troubles
    kept = [work.spec for work in scenario.works if work.spec.least is not None]
    return {
        "safety": [*at_every_revision(history, partial_s=PARTIAL_S)],
        "useless_evictions": no_useless_eviction(
            history, troubles=troubles, refused=(*lived.refused, *lived.leaderless)
        ),
        "idle_holes": no_idle_hole(
            history,
            troubles=(*troubles, *lived.leaderless),
            strangers={strangers.NAMESPACE},
            is_firm=lambda pod: any(_is_of(pod, spec) for spec in kept),
            preempts=not scenario.configuration.policy.displaces,
            refused=lived.refused,
        ),
        "process_ends": [*lived.ends],
    }


def _is_of(pod: PodVersion, spec: Spec) -> bool:
    return pod.namespace == spec.namespace and f"{pod.owner}-".startswith(f"{spec.name}-")


def live(seed: int, scenario: Scenario) -> Lived:
    """Live through a scenario in virtual time."""

    async def begin() -> Lived:
        return await Course(seed, scenario).live()

    try:
        return run_virtually(begin(), limit_s=LIMIT_S)
    finally:
        structlog.reset_defaults()


class Course:
    def __init__(self, seed: int, scenario: Scenario) -> None:
        self._seed = seed
        self._loop = asyncio.get_running_loop()
        clock = self._loop.time
        self._scenario = scenario
        self._story = story = Story(clock)
        self._store = Store(clock, api.SERVED)
        self._server = server = Server(self._store, clock, is_fenced=True)
        self._site = Site(server=server, story=story, seed=seed, loop=self._loop)
        lost = self._chance("lost")
        server.forgets = lambda: lost.random() < scenario.lost
        self._weather = self._drawn_weather()
        self._nodes = Nodes(
            server,
            story,
            chance=self._chance("nodes"),
            until_s=scenario.lasts_s,
            begins_s=scenario.begins_s,
            ends_s=self._ends_s,
        )
        self._moved_s = 0.0
        self._replicas = [self._replica(name) for name in scenario.replicas]

    def _chance(self, what: str) -> random.Random:
        return random.Random(f"{self._seed} {what}")

    def _drawn_weather(self) -> Weather:
        chance, scenario = self._chance("weather"), self._scenario
        spells: list[Spell] = []
        for _ in range(chance.randint(1, 3) if scenario.trouble else 0):
            from_s = chance.uniform(5.0, scenario.lasts_s)
            kind = chance.choice(SPELLS)
            spells.append(Spell(kind=kind, from_s=from_s, to_s=from_s + chance.uniform(2.0, 15.0)))
        fault, from_s = scenario.fault or ("none", 0.0)
        spells += [
            Spell(kind=kind, from_s=from_s, to_s=from_s + chance.uniform(1.0, FAULT_S))
            for kind in SPELLS
            if kind == fault
        ]
        return Weather(
            spells=tuple(spells),
            odds=dict.fromkeys(FATES, 0.0),
            until_s=scenario.lasts_s,
            delay_s=scenario.delay_s,
        )

    def _ends_s(self, pod: Json, chance: random.Random) -> float:
        """A kubelet stops a pod at once, or takes all of its grace."""
        grace_s = float(pod["spec"].get("terminationGracePeriodSeconds", 30))
        is_slow = chance.random() < self._scenario.slowness
        return grace_s if is_slow else chance.uniform(0.2, min(grace_s, 3.0))

    def _replica(self, name: str) -> Replica:
        return Replica(
            name,
            self._scenario.configuration,
            self._server,
            seed=str(self._seed),
            weather=self._weather,
            story=self._story,
            sending=lambda link, call: None,
            cycle_max_s=self._cycle_max_s,
            timing=TIMING,
            shows=strangers.deepened,
        )

    def _cycle_max_s(self) -> float:
        return BUSY_CYCLE_S if self._loop.time() - self._moved_s < BUSY_S else IDLE_CYCLE_S

    async def live(self) -> Lived:
        self._story.listen()
        self._build()
        async with Auditor(Clear(self._server), clock=self._loop.time) as auditor:
            tasks = [asyncio.create_task(work) for work in self._work()]
            await asyncio.sleep(self._scenario.lasts_s)
            self._site.calm_down()
            self._story.tell("course", "calm")
            await asyncio.sleep(CALM_S)
            await auditor.catch_up()
            history = auditor.history()
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        ends = [repr(end) for end in ended if isinstance(end, Exception)]
        return Lived(
            history=history,
            ends=tuple(fault for replica in self._replicas for fault in (*replica.faults, *ends)),
            leaderless=tuple(
                (at_s, at_s + FAILOVER_S) for at_s, fault in self._scenario.strikes if fault == "kill"
            ),
            refused=tuple(
                (at_s, at_s + REFUSED_S + AFTER_REFUSED_S)
                for at_s, fault in self._scenario.strikes
                if fault == "refuse"
            ),
            troubles=tuple((spell.from_s, spell.to_s + 30.0) for spell in self._weather.spells),
            story=self._story.text(),
            digest=self._store.digest(),
        )

    def _work(self) -> Iterator[Coroutine[object, object, object]]:
        scenario = self._scenario
        yield from (replica.run() for replica in self._replicas)
        yield self._nodes.collect()
        yield self._change_nodes()
        yield self._strike()
        for work in scenario.works:
            chance = self._chance(work.spec.name)
            yield HABITS[work.habit](self._site, work.spec, chance, work.at_s)
        if scenario.stranger_s is not None:
            yield strangers.write(self._site, self._chance("stranger"), scenario.stranger_s)

    def _build(self) -> None:
        scenario = self._scenario
        self._store.told += [self._copy_lease, self._note]
        for name in NAMESPACES:
            self._store.create(api.NAMESPACES, {"metadata": {"name": name}})
        for name, gpus in scenario.nodes.items():
            self._nodes.add(name, gpus)
        if scenario.kind == "stranger":
            self._nodes.add(strangers.SILENT, 0)
            self._nodes.silence(strangers.SILENT)
        for quota in scenario.quotas:
            self._store.create(api.TEAM_QUOTAS, quota)
        for work in scenario.works:
            spec = work.spec
            if spec.least is not None:
                self._store.create(BUDGETS, _budget(spec))

    def _copy_lease(self, collection: Collection, change: Change, lease: Json) -> None:
        """The API server's admission sees a new Lease a moment later."""
        if collection.path == api.LEASES and change.key == api.LEASE:
            term = None if change.type == "DELETED" else int(lease["spec"].get("leaseTransitions") or 0)
            self._loop.call_later(0.02, setattr, self._server, "term", term)

    def _note(self, collection: Collection, change: Change, body: Json) -> None:
        if collection.path not in QUIET:
            self._moved_s = self._loop.time()

    async def _strike(self) -> None:
        """What goes wrong, at its time."""
        chance = self._chance("strikes")
        for at_s, fault in sorted(self._scenario.strikes):
            await asyncio.sleep(at_s - self._loop.time())
            strike(fault, self._replicas, self._nodes, self._site, chance)

    async def _change_nodes(self) -> None:
        chance, number = self._chance("changes"), 0
        while self._scenario.node_rate:
            await asyncio.sleep(chance.expovariate(self._scenario.node_rate))
            if self._site.is_calm():
                return
            number += 1
            self._nodes.change(number)


def _budget(spec: Spec) -> Json:
    selector = {"matchLabels": {"app": spec.name}}
    meta = {"namespace": spec.namespace, "name": spec.name, "generation": 1}
    return {"metadata": meta, "spec": {"minAvailable": spec.least, "selector": selector}}
