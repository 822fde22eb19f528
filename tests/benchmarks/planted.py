"""``python -m tests.benchmarks.planted``: instances that fit by construction, how much of them is placed.

Greedy in the order presented, the joint solver with five units of work, and kube-scheduler with native
PodGroups and MostAllocated on the local control plane, on both families, 40 and 200 nodes. ``SEEDS=20`` sets
how many instances of each, ``KUBE_SEEDS`` how many of them kube-scheduler gets (all unless said, which takes
about half an hour; 0: none). Writes ``build/bench/planted.json``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from binpacking.check import check
from binpacking.greedy import Packing
from binpacking.joint import greedy_in_order, solve_joint
from binpacking.score import PACK
from tests.benchmarks import figures
from tests.benchmarks.planted_cases import Family, Planted, plant
from tests.benchmarks.planted_kube import shares
from tests.benchmarks.session import carried_out

BUDGET: Final = 5.0
SIZES: Final = (40, 200)
FAMILIES: Final[tuple[Family, ...]] = ("easy", "hard")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of GPUs placed, means over instances; ``complete`` is the share of instances placed whole.

    kube_scheduler: over the first ``kube_instances`` instances; None where it was not asked.
    solved_within_1_s: of the instances in which greedy left gangs over, the share placed whole within 1 s.
    Seconds are of one core's time: planning is one thread, and other work on the machine does not count.
    """

    family: Family
    nodes: int
    instances: int
    greedy: float
    ours: float
    ours_least: float
    complete: float
    kube_scheduler: float | None
    kube_instances: int
    solved_within_1_s: float
    seconds: figures.Spread


class Report(msgspec.Struct, frozen=True, kw_only=True):
    machine: str
    versions: dict[str, str]
    rows: list[Row]


class InvalidPlacement(RuntimeError):
    """The independent checker refused an answer."""


def measure(family: Family, nodes: int, seeds: int, kube: Sequence[float]) -> Row:
    """Place every instance with both; ``kube`` is what kube-scheduler placed of the first ones."""
    greedy, ours, seconds = [], [], []
    for seed in range(seeds):
        case = plant(family, nodes, seed)
        packing = Packing(case.nodes, score=PACK)
        alone = greedy_in_order(packing, case.gangs)
        greedy.append(_share(case, [placement is not None for placement in alone]))
        started_s = time.process_time()
        answers = solve_joint(packing, case.gangs, budget=BUDGET, seed=0, mode="throughput")
        seconds.append(time.process_time() - started_s)
        wrong = check(case.nodes, case.gangs, answers)
        if wrong:
            raise InvalidPlacement("; ".join(wrong[:3]))
        ours.append(_share(case, [answer.placement is not None for answer in answers]))
    failed = [i for i, share in enumerate(greedy) if share < 1.0]
    return Row(
        family=family,
        nodes=nodes,
        instances=seeds,
        greedy=round(float(np.mean(greedy)), 4),
        ours=round(float(np.mean(ours)), 4),
        ours_least=round(min(ours), 4),
        complete=round(float(np.mean([share == 1.0 for share in ours])), 4),
        kube_scheduler=round(float(np.mean(kube)), 4) if kube else None,
        kube_instances=len(kube),
        solved_within_1_s=_share_of([ours[i] == 1.0 and seconds[i] <= 1.0 for i in failed]),
        seconds=figures.spread(seconds),
    )


def _share_of(solved: Sequence[bool]) -> float:
    """Of those in which greedy failed; 1 where it never did."""
    return round(sum(solved) / len(solved), 4) if solved else 1.0


def _share(case: Planted, stands: list[bool]) -> float:
    placed = sum(gang.weight for gang, is_standing in zip(case.gangs, stands, strict=True) if is_standing)
    return placed / case.gpus


def main() -> None:
    """Run, print and write."""
    seeds, machine = int(os.environ.get("SEEDS", "20")), figures.machine()
    asked = min(int(os.environ.get("KUBE_SEEDS", seeds)), seeds)
    kube = {nodes: carried_out(shares(FAMILIES, nodes, asked)) if asked else {} for nodes in SIZES}
    rows = [
        measure(family, nodes, seeds, kube[nodes].get(family, [])) for family in FAMILIES for nodes in SIZES
    ]
    table = Table(title="share of GPUs placed where everything fits")
    for heading in (
        "family",
        "nodes",
        "greedy",
        "ours",
        "least",
        "complete",
        "kube",
        "within 1 s",
        "median s",
        "p99 s",
    ):
        table.add_column(heading, justify="left" if heading == "family" else "right")
    for row in rows:
        numbers = [row.greedy, row.ours, row.ours_least, row.complete]
        numbers += [row.kube_scheduler or 0.0, row.solved_within_1_s]
        times = (row.seconds.median, row.seconds.p99)
        table.add_row(
            row.family,
            str(row.nodes),
            *(f"{share:.2%}" for share in numbers),
            *(f"{seconds:.3f}" for seconds in times),
        )
    Console(width=120).print(table)
    figures.write("planted.json", Report(machine=machine, versions=figures.versions(), rows=rows))


if __name__ == "__main__":
    main()
