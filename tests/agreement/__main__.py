"""``python -m tests.agreement --count 1000``: how often Stowplan and kube-scheduler agree, case by case.

Writes build/bench/agreement.json and ends with 1 where they ever disagree.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec
from rich.console import Console

from deploy.local.cluster import running_cluster_async
from tests.agreement.cases import case
from tests.agreement.referee import refereed
from tests.agreement.stage import Verdict, staged

OUT = Path("build/bench")
TOLD_EVERY = 50
console = Console(stderr=True, soft_wrap=True)


class Report(msgspec.Struct):
    """empty: cases of which no node would do; nodes: verdicts in all, allowed: those that were yes."""

    first_seed: int
    cases: int = 0
    agreed: int = 0
    empty: int = 0
    nodes: int = 0
    allowed: int = 0
    disagreements: list[dict[str, object]] = []


async def main(first: int, count: int) -> int:
    report = Report(first_seed=first)
    async with (
        running_cluster_async() as cluster,
        refereed(cluster, OUT / "agreement-logs") as referee,
        staged(cluster, referee) as stage,
    ):
        for seed in range(first, first + count):
            _count(report, seed, await stage.judge(case(seed)))
            if report.cases % TOLD_EVERY == 0:
                console.print(f"{report.agreed} of {report.cases} agree")
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "agreement.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    console.print(
        f"{report.agreed} of {report.cases} agree; {report.allowed} of {report.nodes} nodes allowed, "
        f"{report.empty} cases without any"
    )
    return int(report.agreed != report.cases)


def _count(report: Report, seed: int, verdict: Verdict) -> None:
    report.cases += 1
    report.agreed += verdict.agrees
    report.empty += not verdict.theirs
    report.nodes += len(verdict.nodes)
    report.allowed += len(verdict.theirs)
    if not verdict.agrees:
        told = {"seed": seed, "theirs": sorted(verdict.theirs), "ours": sorted(verdict.ours)}
        report.disagreements.append(told)
        console.print(str(told))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=2026)
    chosen = parser.parse_args()
    sys.exit(asyncio.run(main(chosen.seed, chosen.count)))
