"""Without a TeamQuota, higher priority has lower evicted: as few as it takes, whole gangs, within budgets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.disruption import DisruptionBudget
from scheduler.model.objects import GPU, Pod
from scheduler.model.selection import Requirement, Selector
from scheduler.state import ClusterState
from tests.builders import gang, node, pod
from tests.teams.living import Living, live
from tests.teams.worlds import World

NODE_GPUS = 4


def _budget(name: str, app: str, allowed: int) -> DisruptionBudget:
    selector = Selector(requirements=(Requirement(key=name, operator="In", values=(app,)),))
    return DisruptionBudget(namespace="team", name=name, selector=selector, allowed=allowed)


class _Drawn:
    """Full nodes, gangs of one-GPU pods of several priorities and sizes, budgets, and who comes."""

    def __init__(self, seed: int) -> None:
        rng = Random(seed)
        state = ClusterState("stowplan")
        for index in range(rng.randint(1, 2)):
            state.set_node(node(f"n{index}", gpu=NODE_GPUS))
        self.world = World(state)
        self.gangs: dict[str, tuple[list[Pod], int]] = {}
        self.budgets = [_budget("app", app, rng.randint(0, 3)) for app in "xy" if rng.random() < 0.6]
        self.budgets += [_budget("tier", "t", rng.randint(0, 2))] if rng.random() < 0.3 else []
        for budget in self.budgets:
            budget_key = replace(budget, name=f"{budget.name}-{len(state.disruption.all(0.0))}")
            state.disruption.put(budget_key)
        left = NODE_GPUS * len(state.columns.nodes)
        while left:
            size = min(left, rng.randint(1, 3))
            left -= size
            self._run(rng, f"g{left}", size)
        self.world.settle()
        self.wanted = rng.randint(1, NODE_GPUS)
        self.priority = rng.randint(0, 4)
        self.world.submit(pod("comes", gpu=self.wanted, priority=self.priority, created_s=1.0))

    def _run(self, rng: Random, name: str, size: int) -> None:
        minimum = rng.randint(1, size)
        words = {"stowplan.dev/gang": name, "stowplan.dev/gang-min-member": str(minimum)}
        labels = {"app": rng.choice("xyz")} | ({"tier": "t"} if rng.random() < 0.3 else {})
        pods = [
            pod(f"{name}-{i}", gpu=1, annotations=words, labels=labels, priority=rng.randint(0, 3))
            for i in range(size)
        ]
        self.gangs[name] = (pods, minimum)
        self.world.submit(*pods)

    def may_go(self, pods: list[Pod]) -> bool:
        asked = Counter(
            index for one in pods for index, budget in enumerate(self.budgets) if _selects(budget, one)
        )
        twice = any(sum(_selects(budget, one) for budget in self.budgets) > 1 for one in pods)
        return not twice and all(count <= self.budgets[index].allowed for index, count in asked.items())

    def sets(self) -> Iterator[list[Pod]]:
        """All sets that may be evicted for who comes: gangs whole, or members beyond the minimum."""
        ways: list[list[list[Pod]]] = []
        for pods, minimum in self.gangs.values():
            extra = pods[minimum:]
            some = [list(c) for size in range(len(extra) + 1) for c in combinations(extra, size)]
            ways.append([*some, pods])
        for chosen in product(*ways):
            gone = [one for part in chosen for one in part]
            if self.may_go(gone) and all(one.priority < self.priority for one in gone):
                yield gone

    def fits(self, gone: list[Pod]) -> bool:
        free = {one.name: NODE_GPUS for one in self.world.state.columns.nodes}
        for one in self.world.pods.values():
            if one.node_name and one.uid not in {p.uid for p in gone}:
                free[one.node_name] -= dict(one.shape.requests)[GPU]
        return max(free.values()) >= self.wanted


def _selects(budget: DisruptionBudget, one: Pod) -> bool:
    assert budget.selector is not None
    (wanted,) = budget.selector.requirements
    return dict(one.labels).get(wanted.key) in wanted.values


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**48))
def test_somebody_leaves_if_and_only_if_some_set_may_and_no_subset_of_it_would_do(seed: int) -> None:
    drawn = _Drawn(seed)
    good = [gone for gone in drawn.sets() if drawn.fits(gone)]
    done = drawn.world.cycle()
    assert bool(done.clearings) == bool(good)
    for clearing in done.clearings:
        gone = {one.uid for victim in clearing.victims for one in victim.pods}
        sets = [{one.uid for one in some} for some in good]
        assert gone in sets
        assert not any(some < gone for some in sets)
        assert len(gone) <= 2 * min(map(len, sets)) + 2
    drawn.world.settle()
    assert ("comes" in drawn.world.running("team")) == bool(good)


def test_who_may_not_preempt_waits() -> None:
    state = ClusterState("stowplan")
    state.set_node(node("n0", gpu=1))
    world = World(state)
    world.submit(pod("low", gpu=1))
    world.settle()
    world.submit(replace(pod("never", gpu=1, priority=9, created_s=1.0), can_preempt=False))
    world.settle()
    assert world.running("team") == ["low"]
    world.submit(pod("high", gpu=1, priority=9, created_s=2.0))
    world.settle()
    assert world.running("team") == ["high"]


@pytest.mark.parametrize("priority", [0, 10])
def test_nobody_leaves_for_an_equal(priority: int) -> None:
    state = ClusterState("stowplan")
    state.set_node(node("n0", gpu=2))
    state.set_node(node("n1", gpu=1))
    world = World(state)
    # Somebody counts for less, but its place would not do.
    world.submit(pod("first", gpu=2, priority=priority), pod("low", gpu=1, priority=-1))
    world.settle()
    world.submit(pod("second", gpu=2, priority=priority, created_s=1.0))
    for _ in range(3):
        assert not world.cycle().clearings


def test_a_gang_of_high_priority_takes_the_place_of_gangs_of_lower_ones_whole() -> None:
    async def story() -> None:
        living = Living(namespaces=("a", "b"))
        living.nodes(4)
        for index in range(4):
            living.gang(f"low{index}", "a", 2, 4, grace_s=30)
        await living.passes(30)
        living.gang("high", "b", 2, 8, priority=100)
        await living.passes(60)
        assert living.running("b") == {"high-0", "high-1"}
        assert len(living.evicted) == 4
        assert len({name.partition("-")[0] for name in living.evicted}) == 2
        await living.end()

    live(story())


def test_a_gang_whose_budget_does_not_let_all_of_it_go_is_no_victim() -> None:
    async def story() -> None:
        living = Living(namespaces=("a",))
        living.nodes(2)
        living.gang("old", "a", 4, 2, labels={"app": "old"})
        await living.passes(600)
        living.gang("guarded", "a", 4, 2, labels={"app": "guarded"})
        living.budget("guarded", "a", {"app": "guarded"}, maxUnavailable=1)
        await living.passes(30)
        living.pod("urgent", "a", 8, priority=100)
        await living.passes(60)
        assert living.running("a") == {"urgent", *(f"guarded-{i}" for i in range(4))}
        assert sorted(living.evicted) == [f"old-{i}" for i in range(4)]
        # And when no other is left, it stays as well.
        living.pod("next", "a", 8, priority=50)
        await living.passes(120)
        assert len(living.evicted) == 4
        await living.end()

    live(story())


def test_a_name_that_once_took_room_is_served_again() -> None:
    state = ClusterState("stowplan")
    state.set_node(node("n0", gpu=2))
    world = World(state)
    for run in range(3):
        low = [replace(one, uid=f"{one.uid}-{run}") for one in gang("low", 2, gpu=1)]
        world.submit(*low)
        world.settle()
        assert world.running("team") == ["low-0", "low-1"]
        high = gang("high", 2, gpu=1, priority=10, created_s=float(run))
        high = [replace(one, uid=f"{one.uid}-{run}") for one in high]
        world.submit(*high)
        world.settle()
        assert world.running("team") == ["high-0", "high-1"], run
        world.end(*(one.uid for one in high))
        world.now_s += 30 * 86_400
