"""One storm: everything about it is drawn from its seed, and every revision of it is judged.

First the storm, in which anything may go wrong; then calm, in which all that can be placed must be placed and
the rest must have been told why (the two phases of TigerBeetle's simulator).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from deploy.local.audit import Auditor
from scheduler.invariants import History, Violation, end_state
from simulations.faults import rest
from simulations.faults import server as api
from simulations.faults.agents import Agents
from simulations.faults.network import Clear, Link
from simulations.faults.nodes import Nodes
from simulations.faults.process import Replica
from simulations.faults.scenario import NAMESPACES, STALE_S, STORM_S, draw
from simulations.faults.server import Call, Server
from simulations.faults.store import Change, Collection, Json, Store
from simulations.faults.story import Story
from simulations.faults.users import Users
from simulations.faults.virtual_time import VirtualLoop, run_virtually
from simulations.faults.weather import drawn

#: After the last fault all must be settled within this: INV12's 60 s, and the longest back-off of a storm.
CALM_S: Final = 120.0
LOOK_S: Final = 3.0
#: What the storm has begun ends within this: no eviction and no wait of it is one of peace.
AFTER_S: Final = 30.0
#: How long a gang may be partly bound: 60 s where leaders may crash (INV2).
PARTIAL_S: Final = 60.0
#: A view may grow older than ``STALE_S`` between the look at it and the Binding's leaving.
VIEW_SLACK_S: Final = 0.5
#: Types whose staleness would bind in error (INV6).
SEEN: Final = (api.PODS, api.NODES)
LIMIT_S: Final = 10_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a storm. ``violations`` is empty where every invariant held.

    digest: of everything that happened; two runs of one seed have the same.
    """

    seed: int
    violations: tuple[str, ...]
    story: str
    binds: int
    evictions: int
    rejected: int
    digest: str

    def __str__(self) -> str:
        head = "\n".join((f"storm {self.seed} broke {len(self.violations)} rules:", *self.violations))
        return f"{self.story}\n\n{head}\n\nAgain: python -m simulations.faults {self.seed}"


def run(seed: int) -> Verdict:
    """Run one storm."""
    try:
        return run_virtually(_run(seed), limit_s=LIMIT_S)
    finally:
        structlog.reset_defaults()


async def _run(seed: int) -> Verdict:
    return await Storm(seed).run()


class Storm:
    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._loop = asyncio.get_running_loop()
        clock = self._loop.time
        self._scenario = scenario = draw(self._chance("scenario"))
        self._story = story = Story(clock)
        self._store = Store(clock, api.SERVED)
        self._server = server = Server(self._store, clock, is_fenced=scenario.is_fenced)
        self._weather = drawn(
            self._chance("weather"),
            until_s=STORM_S,
            whoms=scenario.replicas,
            paths=(*SEEN, api.GANGS, api.JOBS),
        )
        self._nodes = Nodes(server, story, chance=self._chance("nodes"), until_s=STORM_S)
        self._agents = Agents(server, story, chance=self._chance("agents"), until_s=STORM_S)
        self._users = Users(server, story, chance=self._chance("users"), jobs=scenario.jobs, until_s=STORM_S)
        self._blind: list[str] = []
        self._replicas = [self._replica(name) for name in scenario.replicas]

    def _chance(self, what: str) -> random.Random:
        """Each has its own, so that one more draw of one changes nothing for the others."""
        return random.Random(f"{self._seed} {what}")

    def _replica(self, name: str) -> Replica:
        return Replica(
            name,
            self._scenario.configuration,
            self._server,
            seed=str(self._seed),
            weather=self._weather,
            story=self._story,
            sending=self._sending,
        )

    async def run(self) -> Verdict:
        self._story.listen()
        self._build()
        async with Auditor(Clear(self._server), clock=self._loop.time) as auditor:
            tasks = [asyncio.create_task(work) for work in self._work()]
            self._users.start()
            await asyncio.sleep(STORM_S)
            self._story.tell("storm", "the last fault")
            found = await self._settle(auditor)
            found += [str(one) for one in await self._judged(auditor)]
            history = auditor.history()
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        found += [repr(end) for end in ended if isinstance(end, Exception)]
        found += self._blind + [fault for replica in self._replicas for fault in replica.faults]
        found += rest.over_limit(history, self._scenario.limits)
        return self._verdict(history, found)

    async def _judged(self, auditor: Auditor) -> list[Violation]:
        """The storm excuses who was bound in vain, who waited, and who left for more than was needed."""
        troubles = ((0.0, STORM_S + AFTER_S),)
        return await auditor.violations(
            partial_s=PARTIAL_S, troubles=troubles, is_served=True, is_useful=False
        )

    def _work(self) -> Iterator[Coroutine[object, object, None]]:
        yield from (replica.run() for replica in self._replicas)
        yield from (self._nodes.meddle(), self._nodes.collect(), self._users.meddle(), self._strike())
        if self._scenario.has_agents:
            yield from (self._agents.run(), self._agents.meddle())

    def _verdict(self, history: History, found: list[str]) -> Verdict:
        end = end_state(history)
        return Verdict(
            seed=self._seed,
            violations=tuple(found),
            story=self._story.text(),
            binds=end.binds,
            evictions=end.evictions,
            rejected=self._nodes.rejected,
            digest=self._store.digest(),
        )

    # -- the world -----------------------------------------------------------------------------------

    def _build(self) -> None:
        self._store.told.append(self._copy_lease)
        for name in NAMESPACES:
            self._store.create(api.NAMESPACES, {"metadata": {"name": name}})
        for name, gpus in self._scenario.nodes.items():
            self._nodes.add(name, gpus)
        for quota in self._scenario.quotas:
            self._store.create(api.TEAM_QUOTAS, quota)
        for spell in self._weather.spells:
            told = f"{spell.whom or 'everybody'}: {spell}"
            self._loop.call_at(spell.from_s, self._story.tell, "weather", told)
        chance = self._chance("budgets")
        if chance.random() < 0.2:
            from_s = chance.uniform(0.0, STORM_S - 8.0)
            until_s = from_s + chance.uniform(1.0, 8.0)
            self._server.may_evict = lambda pod: not from_s < self._loop.time() < until_s
        if isinstance(self._loop, VirtualLoop):
            thinking = self._chance("thinking")
            self._loop.thinking_s = lambda: thinking.choice((0.0, 0.001, 0.02, 0.5))

    def _copy_lease(self, collection: Collection, change: Change, lease: Json) -> None:
        """The API server's admission sees a new Lease a moment later."""
        if collection.path == api.LEASES and change.key == api.LEASE:
            term = None if change.type == "DELETED" else int(lease["spec"].get("leaseTransitions") or 0)
            self._loop.call_later(0.02, setattr, self._server, "term", term)

    async def _strike(self) -> None:
        """Kill and stop processes, restart the API server."""
        chance = self._chance("strikes")
        kinds = [kind for kind in ("kill", "stop", "restart", "break") if chance.random() < 0.5]
        while kinds:
            await asyncio.sleep(chance.expovariate(0.08))
            if self._loop.time() >= STORM_S:
                return
            replica = chance.choice(self._replicas)
            match chance.choice(kinds):
                case "kill":
                    replica.crash()
                case "stop":
                    replica.stop()
                case "restart":
                    self._story.tell("storm", "the API server restarts: history is gone, watches break")
                    self._store.forget()
                    self._break_streams()
                case _:
                    self._story.tell("storm", "watches break")
                    self._break_streams()

    def _break_streams(self) -> None:
        for replica in self._replicas:
            if replica.link is not None:
                replica.link.break_streams()

    def _sending(self, link: Link, call: Call) -> None:
        """INV6, seen from outside: no Binding leaves on a view that is older than allowed."""
        if not call.is_binding:
            return
        now_s = self._loop.time()
        for path in SEEN:
            since_s = self._store.at(path).unseen_since(link.shown.get(path, 0))
            if since_s is not None and now_s - since_s > STALE_S + VIEW_SLACK_S:
                text = f"{link.whom} sends {call}, and was last shown {path} {now_s - since_s:.1f} s ago"
                self._blind.append(f"INV6 at {now_s:.3f} s: {text}")

    # -- the end ---------------------------------------------------------------------------------------

    async def _settle(self, auditor: Auditor) -> list[str]:
        """Wait for rest, two looks in a row; what is wrong then, or with there being none."""
        looks = 0
        wrong: list[str] = []
        for _ in range(int(CALM_S / LOOK_S)):
            await asyncio.sleep(LOOK_S)
            leaders = [replica for replica in self._replicas if replica.is_leading]
            unplaced = [] if self._scenario.limits else rest.unplaced(self._server, auditor.world)
            wrong = [*unplaced, *rest.misremembered(self._server, auditor.world, leaders)]
            is_quiet = bool(leaders) and rest.is_settled(auditor.world, auditor.history) and not wrong
            looks = looks + 1 if is_quiet else 0
            if looks == 2:
                return []
        return [f"INV12: not settled {CALM_S:.0f} s after the last fault", *wrong]
