"""INV5, as far as an election can give it: pauses, losses, delays and clocks of different rates."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.kube.lease import Elector, Terms
from scheduler.kube.wire import Lease
from simulations.faults.virtual_time import elapse, run_virtually
from tests.kube.lease_store import NAME, NAMESPACE, LeaseClient, LeaseStore

TERMS = Terms()
SAMPLE_S = 0.05


class Candidate:
    """A process: its own clock, its own network, its own pauses."""

    def __init__(self, me: str, store: LeaseStore, *, rate: float, chance: random.Random) -> None:
        self.me = me
        self.loop = asyncio.get_running_loop()
        self.rate = rate
        self._offset_s = chance.uniform(0.0, 1e5)
        self.client = LeaseClient(
            store,
            delay_s=lambda: chance.choice((0.001, 0.01, 0.5, 2.0)),
            loses=lambda: chance.choice(("", "", "", "", "request", "answer")),
        )
        self.elector = Elector(
            self.client,
            namespace=NAMESPACE,
            name=NAME,
            me=me,
            terms=TERMS,
            clock=self.clock,
            rng=chance.random,
            stamp=lambda: "",
        )
        self.epochs: list[int] = []
        self.last_acting_s = float("-inf")

    def clock(self) -> float:
        return self._offset_s + self.rate * self.loop.time()

    def acts(self) -> bool:
        """Whether a write may leave now."""
        acts = self.elector.may_act()
        if acts:
            self.last_acting_s = self.loop.time()
        return acts

    async def live(self) -> None:
        while True:
            self.epochs.append(await self.elector.acquire())
            await self.elector.hold()
            await self.client.awake()


async def contend(rates: tuple[float, float], seed: int, minutes: int) -> None:
    chance = random.Random(seed)
    store = LeaseStore()
    candidates = [
        Candidate(me, store, rate=rate, chance=chance) for me, rate in zip("ab", rates, strict=True)
    ]
    granted: list[int] = []

    def written(lease: Lease) -> None:
        """Nobody else's write can still be under way when a lease changes hands."""
        epoch = lease.spec.lease_transitions or 0
        if granted and epoch == granted[-1]:
            return
        granted.append(epoch)
        now_s = asyncio.get_running_loop().time()
        for other in candidates:
            if other.me != lease.spec.holder_identity:
                assert not other.acts(), "two leaders"
                quiet_s = now_s - other.last_acting_s
                assert quiet_s * other.rate > TERMS.write_timeout_s - 2 * SAMPLE_S, (
                    "an old write may be under way"
                )

    store.on_write = written
    tasks = [asyncio.create_task(candidate.live()) for candidate in candidates]
    for _ in range(int(60 * minutes / SAMPLE_S)):
        await elapse(SAMPLE_S)
        assert sum(candidate.acts() for candidate in candidates) <= 1, "two leaders"
        for candidate in candidates:
            if chance.random() < 0.001:
                candidate.client.resume_at_s = candidate.loop.time() + chance.choice((1.0, 8.0, 20.0, 40.0))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert granted == sorted(set(granted)), "an epoch was given twice"
    taken = [epoch for candidate in candidates for epoch in candidate.epochs]
    assert len(taken) == len(set(taken))
    assert taken, "nobody ever led"


@settings(max_examples=12, deadline=None)
@given(
    rates=st.tuples(st.floats(0.85, 1.15), st.floats(0.85, 1.15)),
    seed=st.integers(0, 2**32),
)
def test_two_candidates(rates: tuple[float, float], seed: int) -> None:
    run_virtually(contend(rates, seed, minutes=5))
