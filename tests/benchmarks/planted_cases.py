"""Instances in which everything fits by construction: full nodes cut at random into pods, pods into gangs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from binpacking.problem import Gang, Nodes, Role

Family = Literal["easy", "hard"]

GPUS: Final = 8
CPUS: Final = 96
GANG_PODS_MAX: Final = 32
#: The easy family's pods: GPUs and CPUs, from light to heavy.
SHAPES: Final = ((1, 4), (1, 8), (1, 12), (1, 20), (2, 16), (2, 24), (2, 36), (4, 32), (4, 48), (8, 88))


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """Gangs in the order in which they are presented; ``gpus`` is what all of them ask."""

    nodes: Nodes
    gangs: tuple[Gang, ...]
    gpus: int


def plant(family: Family, nodes: int, seed: int) -> Planted:
    """Empty nodes of 8 GPUs and 96 CPUs, and gangs that fill them.

    easy: ten shapes, each node's CPU at least 90 % full, gangs of equal pods. hard: CPU in any size, both
    resources exactly full, gangs of unlike pods.
    """
    rng = np.random.default_rng(seed)
    pods = [pod for _ in range(nodes) for pod in (_easy(rng) if family == "easy" else _hard(rng))]
    groups = _alike(rng, pods) if family == "easy" else _mixed(rng, pods)
    order = rng.permutation(len(groups)).tolist()
    gangs = tuple(_gang(f"gang{i}", groups[at]) for i, at in enumerate(order))
    amounts = np.tile(np.array([GPUS, CPUS], dtype=np.int64), (nodes, 1))
    empty = Nodes(free=amounts, total=amounts, resources=("gpu", "cpu"))
    return Planted(nodes=empty, gangs=gangs, gpus=sum(gpu for gpu, _ in pods))


def _easy(rng: np.random.Generator) -> list[tuple[int, int]]:
    """One node's pods: all GPUs, and 90 to 100 % of the CPU."""
    while True:
        pods: list[tuple[int, int]] = []
        gpus, cpus = GPUS, CPUS
        while gpus:
            fitting = [s for s in SHAPES if s[0] <= gpus and s[1] <= cpus]
            if not fitting:
                break
            shape = fitting[int(rng.integers(len(fitting)))]
            pods.append(shape)
            gpus, cpus = gpus - shape[0], cpus - shape[1]
        if gpus == 0 and cpus <= CPUS // 10:
            return pods


def _hard(rng: np.random.Generator) -> list[tuple[int, int]]:
    """One node's pods: GPUs and CPUs cut at random, nothing left."""
    gpus: list[int] = []
    while sum(gpus) < GPUS:
        gpus.append(int(rng.integers(1, GPUS - sum(gpus) + 1)))
    cuts = np.sort(rng.choice(np.arange(1, CPUS), size=len(gpus) - 1, replace=False))
    cpus = np.diff(np.concatenate([[0], cuts, [CPUS]]))
    return list(zip(gpus, cpus.tolist(), strict=True))


def _alike(rng: np.random.Generator, pods: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    groups: list[list[tuple[int, int]]] = []
    for shape, count in sorted(Counter(pods).items()):
        left = count
        while left:
            size = min(left, int(rng.integers(1, GANG_PODS_MAX + 1)))
            groups.append([shape] * size)
            left -= size
    return groups


def _mixed(rng: np.random.Generator, pods: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    shuffled = [pods[i] for i in rng.permutation(len(pods)).tolist()]
    groups: list[list[tuple[int, int]]] = []
    while shuffled:
        size = int(rng.integers(1, GANG_PODS_MAX + 1))
        groups.append(shuffled[:size])
        shuffled = shuffled[size:]
    return groups


def _gang(name: str, pods: list[tuple[int, int]]) -> Gang:
    roles = tuple(
        Role(name=f"{gpu}x{cpu}", count=n, minimum=n, request=np.array([gpu, cpu], dtype=np.int64))
        for (gpu, cpu), n in sorted(Counter(pods).items())
    )
    gpus = sum(gpu for gpu, _ in pods)
    return Gang(name=name, roles=roles, minimum=len(pods), weight=gpus)
