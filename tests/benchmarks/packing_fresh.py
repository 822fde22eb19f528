"""``python -m tests.benchmarks.packing_fresh``: the FGD experiment on traces that nobody tuned on.

New arrival orders, other mixes, other sizes of fractions, other amounts of CPU, other nodes, all drawn with a
seed from the default trace and written in its format to ``build/bench/fresh``, from where
``TRACE= ORDER= NODES= make bench-packing`` reads them too. ``SEED=1`` draws others. Writes
``build/bench/packing_fresh.json``.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np

from tests.benchmarks import figures
from tests.benchmarks.packing import Report, console, measure, table
from tests.benchmarks.packing_trace import NODES, TRACES

FRESH: Final = figures.FOLDER / "fresh"
ORDERS: Final = 3
#: Demand is drawn until it is this many times the cluster's GPUs, so that the headline point is passed.
INFLATION: Final = 1.1
KINDS: Final = ("orders", "mix", "sizes", "cpu-less", "cpu-more", "few-nodes", "small-pods")

Record = dict[str, str]


def draw(kind: str, seed: int) -> tuple[Path, Path, Path]:
    """Pods, order and nodes of one trace, as files."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    pods, nodes = _read(TRACES / "pods" / "openb_pod_list_default.csv"), _read(TRACES / NODES)
    if kind == "few-nodes":
        nodes = [nodes[i] for i in rng.permutation(len(nodes))[:300].tolist()]
    weights = rng.dirichlet(np.full(64, 0.5))[rng.integers(0, 64, len(pods))] if kind == "mix" else None
    sizes = rng.permutation(np.arange(50, 1000, 10)).tolist()
    pods = [_changed(pod, kind, sizes) for pod in pods]
    folder = FRESH / f"{kind}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    orders = [_order(rng, pods, nodes, weights) for _ in range(ORDERS)]
    rows = [
        {"pos": str(i)} | {str(s): str(o[i]) if i < len(o) else "" for s, o in enumerate(orders)}
        for i in range(max(map(len, orders)))
    ]
    return (
        _write(folder / f"{kind}.csv", pods),
        _write(folder / "order.csv", rows),
        _write(folder / "nodes.csv", nodes),
    )


def _changed(pod: Record, kind: str, sizes: Sequence[int]) -> Record:
    """The pod as this kind of trace has it; every old fraction becomes the same new one."""
    milli, cpu = int(pod["gpu_milli"]), int(pod["cpu_milli"])
    if kind in ("cpu-less", "cpu-more"):
        cpu = int(cpu * (0.6 if kind == "cpu-less" else 1.15))
    if kind == "sizes" and 0 < milli < 1000:
        milli = sizes[milli % len(sizes)]
    if kind == "small-pods" and 0 < milli < 1000:
        milli, cpu = max(milli // 2, 1), cpu // 2
    return pod | {"gpu_milli": str(milli), "cpu_milli": str(cpu)}


def _order(
    rng: np.random.Generator,
    pods: Sequence[Record],
    nodes: Sequence[Record],
    weights: np.ndarray[tuple[int], np.dtype[np.float64]] | None,
) -> list[int]:
    """Pods drawn until they ask for more than the cluster has."""
    capacity = INFLATION * 1000 * sum(int(node["gpu"]) for node in nodes)
    totals = np.array([int(pod["num_gpu"]) * int(pod["gpu_milli"]) for pod in pods], dtype=np.int64)
    shares = np.ones(len(pods)) if weights is None else weights
    mean = float((totals * shares).sum() / shares.sum())
    drawn = rng.choice(len(pods), size=int(2 * capacity / mean), p=shares / shares.sum())
    last = int(np.searchsorted(np.cumsum(totals[drawn]), capacity))
    return [int(i) for i in drawn[: last + 1]]


def _read(path: Path) -> list[Record]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def main() -> None:
    """Draw, run, print and write."""
    seed, machine = int(os.environ.get("SEED", "0")), figures.machine()
    rows = []
    for kind in os.environ.get("KINDS", ",".join(KINDS)).split(","):
        for name, path in zip(("TRACE", "ORDER", "NODES"), draw(kind, seed), strict=True):
            os.environ[name] = str(path)
        with ProcessPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            rows += measure(pool, [kind])
    console.print(table(rows))
    figures.write("packing_fresh.json", Report(machine=machine, versions=figures.versions(), traces=rows))


if __name__ == "__main__":
    main()
