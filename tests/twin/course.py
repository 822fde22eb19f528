"""A course of submissions, ends and one lost node, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

NODES: Final = 4
GPUS: Final = 8
TEAMS: Final = ("red", "blue")
PRIORITIES: Final = ("twin-low", "twin-high")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    name: str
    team: str
    size: int
    gpus: int
    #: Of one device, in the place of whole ones; empty for none.
    share: str
    priority: str


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One of what runs, or of the nodes, chosen among those that are there by ``draw`` of 0 to 1."""

    what: Literal["gang", "node"]
    draw: float

    def among(self, names: Sequence[str]) -> str:
        return sorted(names)[int(self.draw * len(names))]


def course(seed: int, gangs: int) -> Iterator[Submit | End]:
    """``gangs`` submissions, an end after most of them, and a node lost half way."""
    rng = random.Random(seed)
    for i in range(gangs):
        yield Submit(
            name=f"g{i}",
            team=rng.choice(TEAMS),
            size=rng.choice([1, 1, 2, 3, 4]),
            gpus=rng.choice([1, 2, 4, 8]),
            share=rng.choice(["", "", "", "0.25", "0.5"]),
            priority=rng.choice(PRIORITIES),
        )
        if i == gangs // 2:
            yield End(what="node", draw=rng.random())
        if rng.random() < 0.6:
            yield End(what="gang", draw=rng.random())
