"""After any sequence of events the columnar state equals what a plain recount of the objects says."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.columns import ALWAYS, OVERFLOW, RESOURCES_MAX
from scheduler.gangs.view import is_pending
from scheduler.model.objects import Node, Pod, Shape
from scheduler.model.plan import Assignment
from scheduler.state import ClusterState
from tests.builders import gang, node, pod, shape

NODES = [f"n{i}" for i in range(4)]
#: Resources that some nodes offer at times, and pods ask for at any time.
ODD = ("example.com/a", "example.com/b", "example.com/c")


class Recount:
    """The same facts in dictionaries, counted from scratch each time."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.pods: dict[str, Pod] = {}
        self.assumed: dict[str, str] = {}

    def used(self, name: str) -> Counter[str]:
        total = Counter[str]()
        for one in self.pods.values():
            on = one.node_name or self.assumed.get(one.uid, "")
            if on == name and one.phase not in ("Succeeded", "Failed"):
                total.update(dict(one.shape.requests))
        return total

    def pending(self) -> set[str]:
        return {
            p.uid
            for p in self.pods.values()
            if p.scheduler_name == "stowplan" and is_pending(p) and p.uid not in self.assumed
        }


def one_event(rng: random.Random, state: ClusterState, told: Recount, pool: list[Pod]) -> None:
    kind = rng.choice(("node", "node gone", "pod", "pod", "pod", "pod gone", "assume", "forget"))
    name = rng.choice(NODES)
    chosen = rng.choice(pool)
    match kind:
        case "node":
            now = node(name, gpu=rng.randint(0, 8))
            offered = {odd: rng.randint(0, 4) for odd in ODD if rng.random() < 0.3}
            now = replace(now, allocatable={**now.allocatable, **offered})
            told.nodes[name] = now
            state.set_node(now)
        case "node gone":
            told.nodes.pop(name, None)
            state.remove_node(name)
        case "pod":
            on = rng.choice(("", "", name))
            phase = rng.choice(("Pending", "Running", "Succeeded", "Failed")) if on else "Pending"
            before = told.pods.get(chosen.uid)
            if before is not None and before.node_name:
                on = before.node_name  # the API never moves or unbinds a pod
            now_pod = replace(chosen, node_name=on, phase=phase)  # type: ignore[arg-type] # drawn above
            told.pods[chosen.uid] = now_pod
            if on:
                told.assumed.pop(chosen.uid, None)
            state.set_pod(now_pod)
        case "pod gone":
            told.pods.pop(chosen.uid, None)
            told.assumed.pop(chosen.uid, None)
            state.remove_pod(chosen.uid)
        case "assume":
            known = told.pods.get(chosen.uid)
            if known is not None and not known.node_name:
                told.assumed[chosen.uid] = name
                state.assume(Assignment(pod=known, node=name))
        case _:
            told.assumed.pop(chosen.uid, None)
            state.forget(chosen.uid)


@given(seed=st.integers(0, 2**32), steps=st.integers(1, 120))
@settings(max_examples=200, deadline=None)
def test_free_capacity_and_pending_pods_equal_a_recount(seed: int, steps: int) -> None:
    rng = random.Random(seed)
    pool = [pod(f"p{i}", gpu=rng.randint(0, 8)) for i in range(6)]
    pool += [pod(f"odd{i}", of=_asking(rng)) for i in range(4)]
    pool += [*gang("g", 4, minimum=1, gpu=2), pod("foreign", gpu=1, scheduler="other")]
    state, told = ClusterState("stowplan"), Recount()
    for _ in range(steps):
        one_event(rng, state, told, pool)
        if rng.random() < 0.3:
            state.snapshot()  # caches must not change what comes after
    snapshot = state.snapshot()
    assert {n.name for n in snapshot.nodes} == set(told.nodes)
    offered = {name for known in told.nodes.values() for name in known.allocatable}
    assert set(snapshot.resources) == {*ALWAYS, *offered}
    for row, known in enumerate(snapshot.nodes):
        used = told.used(known.name)
        for column, resource in enumerate(snapshot.resources):
            expected = known.allocatable.get(resource, 0) - used[resource]
            if resource == OVERFLOW:
                expected = -sum(amount for name, amount in used.items() if name not in snapshot.resources)
            assert int(snapshot.free[row, column]) == expected, (known.name, resource)
    shown = {p.uid for g in snapshot.gangs for p in g.pods}
    assert shown == told.pending()


def _asking(rng: random.Random) -> Shape:
    asked = {**dict(shape().requests), **{odd: rng.randint(1, 3) for odd in ODD if rng.random() < 0.5}}
    return replace(shape(), requests=tuple(sorted(asked.items())))


def test_what_a_tenant_asks_for_leaves_no_trace() -> None:
    """However many names are invented and however many such pods run, columns are for what nodes offer."""
    state = ClusterState("stowplan")
    state.set_node(node("n0"))
    for i in range(2_000):
        odd = replace(shape(), requests=tuple(sorted((*shape().requests, (f"example.com/r{i}", 1)))))
        state.set_pod(pod(f"p{i}", of=odd, node="n0" if i % 2 else ""))
    assert len(state.snapshot().resources) == len(ALWAYS)
    offering = {**node("n1").allocatable, "nvidia.com/mig-3g.40gb": 2, "example.com/r1": 1}
    state.set_node(node("n1", allocatable=offering))
    snapshot = state.snapshot()
    assert set(snapshot.resources) == {*ALWAYS, "nvidia.com/mig-3g.40gb", "example.com/r1"}
    assert snapshot.free[:, snapshot.resources.index("example.com/r1")].tolist() == [-1, 1]
    state.remove_node("n1")
    assert len(state.snapshot().resources) == len(ALWAYS)


def test_more_names_than_there_are_columns_wait_for_one_to_come_free() -> None:
    state = ClusterState("stowplan")
    names = [f"example.com/r{i}" for i in range(RESOURCES_MAX)]
    for i, name in enumerate(names):
        state.set_node(node(f"n{i}", allocatable={**node("n").allocatable, name: 1}))
    known = set(state.snapshot().resources)
    assert len(known) == RESOURCES_MAX
    late = next(name for name in names if name not in known)
    state.remove_node("n0")
    assert late in state.snapshot().resources
