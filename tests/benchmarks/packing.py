"""``python -m tests.benchmarks.packing``: the FGD experiment, unallocated GPU % at 100 % arrival.

Ours beside the published FGD figure and beside proven floors (docs/packing.md). Every published trace, all
seeds, nodes in another order per seed, one setting for all. ``TRACE=pods.csv ORDER=o.csv NODES=nodes.csv``
runs any other trace of the format, with FGD run here for comparison; ``TRACES=default,cpu250`` picks some.
Writes ``build/bench/packing.json``.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from binpacking.fgd import FgdScore
from binpacking.floor import Floor, marks, narrowest
from binpacking.shared_score import PriceScore
from binpacking.sharing import SharedScore, Sharing
from tests.benchmarks import figures
from tests.benchmarks.packing_trace import (
    NODES,
    TRACES,
    Trace,
    load,
    published,
    published_names,
    run,
    shuffled,
)

#: Seeds over which the floor and, for other traces, FGD are averaged; ours takes all.
FLOOR_SEEDS: Final = 2
FGD_SEEDS: Final = 2
WINDOW_PARTS: Final = 3


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One trace. All but the counts and seconds are unallocated GPU % at 100 % arrival, means over seeds.

    floor: below it no policy ends that places every pod that fits, as the experiment does.
    floor_refusing: below it no policy ends that may refuse pods too (GPUs, CPU, memory and models in the LP).
    closed: share of the way from FGD to ``floor`` that ours went; closed_refusing: to ``floor_refusing``.
    """

    trace: str
    ours: float
    ours_sd: float
    fgd_published: float | None
    fgd_here: float | None
    floor: float
    floor_refusing: float
    closed: float
    closed_refusing: float
    seeds: int
    seconds_per_seed: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    machine: str
    versions: dict[str, str]
    traces: list[Row]


@cache
def _trace(name: str) -> Trace:
    pods = os.environ.get("TRACE")
    if pods is None:
        return published(name)
    return load(name, Path(pods), Path(os.environ["ORDER"]), Path(os.environ.get("NODES", TRACES / NODES)))


def _ours(name: str, seed: int) -> tuple[float, float]:
    """Unallocated %, and the seconds of the run with its prices."""
    trace = _trace(name)
    started_s = time.perf_counter()
    value = _place(trace, seed, PriceScore(trace.mix))
    return value, time.perf_counter() - started_s


def _fgd(name: str, seed: int) -> float:
    trace = _trace(name)
    return _place(trace, seed, FgdScore(trace.mix))


def _place(trace: Trace, seed: int, score: SharedScore) -> float:
    return run(trace, seed, Sharing(shuffled(trace.nodes, seed), trace.shapes, score))


def _floors(name: str, seed: int) -> tuple[float, float]:
    """The floor, and that for policies that may refuse pods.

    The reported value is a mean over a window of arrivals. What is allocated never falls, so the bound at the
    end of a part of the window holds for all of the part: the floor is the mean over the parts.
    """
    trace = _trace(name)
    window = np.flatnonzero(trace.headline(seed))
    parts = np.array_split(window, WINDOW_PARTS)
    refusing = Floor(trace.nodes, trace.shapes, None)
    first = trace.arrivals[seed][: int(parts[0][-1]) + 1]
    placing = narrowest(trace.nodes, trace.shapes, marks(trace.mix), first)
    floors, weights = [], []
    for part in parts:
        arrivals = trace.arrivals[seed][: int(part[-1]) + 1]
        wide = refusing.most(arrivals)
        floors.append((min(wide, placing.most(arrivals)), wide))
        weights.append(len(part))
    narrow, wide = np.average(np.array(floors), axis=0, weights=weights).tolist()
    return _unallocated(trace, narrow), _unallocated(trace, wide)


def _unallocated(trace: Trace, milli: float) -> float:
    return 100.0 - 100.0 * milli / trace.capacity


def _fgd_published() -> dict[str, float]:
    with (TRACES / "expected" / "summary.csv").open(newline="") as file:
        return {
            row["trace"]: float(row["unalloc_gpu_pct_mean"])
            for row in csv.DictReader(file)
            if row["policy"] == "FGD" and row["arrival_pct"] == "100"
        }


def measure(pool: ProcessPoolExecutor, names: Sequence[str]) -> list[Row]:
    """Every trace; runs and floors side by side on all cores."""
    known = {} if "TRACE" in os.environ else _fgd_published()
    seeds = {name: len(_trace(name).arrivals) for name in names}
    ours = {(n, s): pool.submit(_ours, n, s) for n in names for s in range(seeds[n])}
    fgd = {(n, s): pool.submit(_fgd, n, s) for n in names if n not in known for s in range(FGD_SEEDS)}
    floors = {(n, s): pool.submit(_floors, n, s) for n in names for s in range(min(FLOOR_SEEDS, seeds[n]))}
    rows = []
    for name in names:
        runs = [future.result() for (n, _), future in ours.items() if n == name]
        here = [future.result() for (n, _), future in fgd.items() if n == name]
        bounds = [future.result() for (n, _), future in floors.items() if n == name]
        rows.append(_row(name, runs, here, bounds, known.get(name)))
        console.print(f"{name}: {rows[-1].ours:.2f} %, closed {rows[-1].closed:.0%}")
    return rows


def _row(
    name: str,
    runs: Sequence[tuple[float, float]],
    here: Sequence[float],
    bounds: Sequence[tuple[float, float]],
    known: float | None,
) -> Row:
    values = [value for value, _ in runs]
    ours = float(np.mean(values))
    floor, refusing = (float(np.mean(column)) for column in zip(*bounds, strict=True))
    fgd = known if known is not None else float(np.mean(here))
    return Row(
        trace=name,
        ours=round(ours, 3),
        ours_sd=round(float(np.std(values)), 3),
        fgd_published=known,
        fgd_here=round(float(np.mean(here)), 3) if here else None,
        floor=round(floor, 3),
        floor_refusing=round(refusing, 3),
        closed=round((fgd - ours) / (fgd - floor), 3),
        closed_refusing=round((fgd - ours) / (fgd - refusing), 3),
        seeds=len(runs),
        seconds_per_seed=round(float(np.median([seconds for _, seconds in runs])), 2),
    )


def table(rows: Sequence[Row]) -> Table:
    table = Table(title="unallocated GPU % at 100 % arrival")
    for heading in ("trace", "FGD", "ours", "sd", "floor", "closed", "refusing floor", "closed", "s/seed"):
        table.add_column(heading, justify="left" if heading == "trace" else "right")
    for row in rows:
        fgd = row.fgd_published if row.fgd_published is not None else row.fgd_here or 0.0
        numbers = (fgd, row.ours, row.ours_sd, row.floor)
        table.add_row(
            row.trace,
            *(f"{number:.2f}" for number in numbers),
            f"{row.closed:.0%}",
            f"{row.floor_refusing:.2f}",
            f"{row.closed_refusing:.0%}",
            f"{row.seconds_per_seed:.1f}",
        )
    return table


console: Final = Console(width=120)


def main() -> None:
    """Run, print and write."""
    chosen = os.environ.get("TRACES")
    names = [Path(os.environ["TRACE"]).stem] if "TRACE" in os.environ else published_names()
    names = [name for name in names if chosen is None or name in chosen.split(",")]
    machine = figures.machine()
    with ProcessPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        rows = measure(pool, names)
    console.print(table(rows))
    path = figures.write("packing.json", Report(machine=machine, versions=figures.versions(), traces=rows))
    console.print(f"written to {path.name}")


if __name__ == "__main__":
    main()
