"""Clusters with teams as a seed draws them: trees, nodes, gangs that run and gangs that come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from scheduler.model.objects import Pod
from scheduler.parse.teamquota import TeamQuota
from tests.builders import gang, pod
from tests.teams.worlds import START_S, World, cluster, quota

#: Work that runs is older than this when the next gang comes.
AGE_S = 10_000.0


def drawn(rng: Random) -> tuple[World, list[str]]:
    """A cluster on which random teams' work runs, placed by the planner; and the teams' names.

    Only one or two teams fill it, so that others can take back.
    """
    nodes = [rng.choice((2, 3, 4, 4)) for _ in range(rng.randint(1, 3))]
    quotas = drawn_quotas(rng, sum(nodes))
    teams = [one.spec.name for one in quotas]
    world = World(cluster(nodes, quotas))
    fillers = rng.sample(teams, min(len(teams), rng.randint(1, 2)))
    for k in range(rng.randint(3, 8)):
        world.submit(*work(rng, f"w{k}", rng.choice(fillers), largest=max(nodes)))
    world.settle(cycles=6)
    world.end(*[uid for uid, each in world.pods.items() if not each.node_name])
    world.now_s += AGE_S
    return world, teams


def drawn_quotas(rng: Random, gpus: int) -> list[TeamQuota]:
    """Two to five teams under shuffled names; what leaves are guaranteed is there."""
    count = rng.randint(2, 5)
    names = [f"t{i}" for i in range(count)]
    rng.shuffle(names)
    left, made = gpus, list[tuple[str, dict[str, Any]]]()
    for i, name in enumerate(names):
        spec: dict[str, Any] = {"weight": rng.choice((0, 1, 1, 2, 5))}
        if i and rng.random() < 0.4:
            spec["parent"] = rng.choice(names[:i])
        owned = min(left, rng.choice((0, 0, 1, 2, 3, 4, 6, 8)))
        left -= owned
        spec["guaranteed"] = {"gpu": owned}
        if owned and rng.random() < 0.3:
            spec["lendingLimit"] = {"gpu": rng.randint(0, owned)}
        if rng.random() < 0.2:
            spec["limit"] = {"gpu": owned + rng.randint(1, 6)}
        if rng.random() < 0.2:
            spec["borrowingLimit"] = {"gpu": rng.randint(0, 6)}
        made.append((name, spec))
    parents = {spec.get("parent") for _, spec in made}
    for name, spec in made:
        if name in parents:
            # What its teams are guaranteed together; what it would lend goes with that.
            del spec["guaranteed"]
            spec.pop("lendingLimit", None)
            spec.pop("limit", None)
    return [quota(name, spec) for name, spec in made]


def work(rng: Random, name: str, team: str, *, largest: int) -> list[Pod]:
    """One gang, often elastic, or a single pod."""
    priority, gpus = rng.choice((0, 0, 5, 10)), rng.choice((1, 1, 2, 3, 4))
    gpus = min(gpus, largest)
    if rng.random() < 0.4:
        pods = [pod(name, gpu=gpus, namespace=team)]
    else:
        size = rng.randint(1, 4)
        pods = gang(name, size, minimum=rng.randint(1, size), gpu=min(gpus, 2), namespace=team)
    return [replace(each, priority=priority, created_s=START_S) for each in pods]


def copied(world: World, pods: Sequence[Pod]) -> World:
    """A cluster alike with these pods."""
    state = world.state
    other = cluster([], list(state.roll.quotas.values()))
    for node in state.columns.nodes:
        other.set_node(node)
    found = World(other, now_s=world.now_s)
    found.submit(*pods)
    return found
