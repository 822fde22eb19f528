"""``make storms``: many courses on all cores; what was broken, by kind, in ``build/bench/life.json``."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import track

from simulations.life.course import KINDS, Verdict, run

REPORT: Final = Path("build/bench/life.json")
SHOWN_MAX: Final = 20


def figures(verdicts: Iterable[Verdict]) -> tuple[dict[str, int], dict[str, list[int]]]:
    """The counts by the names of the report, and the seeds that broke each."""
    counts: Counter[str] = Counter()
    seeds: dict[str, list[int]] = {}
    for verdict in verdicts:
        counts["seeds"] += 1
        for kind, texts in verdict.broken.items():
            counts[kind] += len(texts)
            if texts:
                seeds.setdefault(kind, []).append(verdict.seed)
    return {name: counts[name] for name in ("seeds", *KINDS)}, seeds


def main() -> int:
    """0 when no course broke a rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="?", default=10_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=REPORT)
    asked = parser.parse_args()
    wanted = range(asked.first, asked.first + asked.seeds)
    console = Console(stderr=True)
    with ProcessPoolExecutor(asked.workers) as pool:
        found = pool.map(run, wanted, chunksize=4)
        told = track(found, total=len(wanted), description="courses", console=console)
        counts, seeds = figures(_announced(told, console))
    safety = counts.pop("safety")
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_bytes(msgspec.json.format(msgspec.json.encode(counts), indent=2))
    print(counts, f"and {safety} breaches of safety")
    for kind, broken in sorted(seeds.items()):
        print(f"{kind}: {len(broken)} seeds, such as {broken[:SHOWN_MAX]}")
    return 1 if seeds else 0


def _announced(verdicts: Iterable[Verdict], console: Console) -> Iterable[Verdict]:
    for verdict in verdicts:
        for kind, texts in verdict.broken.items():
            for text in texts:
                console.print(f"{verdict.seed} {kind}: {text}", markup=False, highlight=False, soft_wrap=True)
        yield verdict


if __name__ == "__main__":
    sys.exit(main())
