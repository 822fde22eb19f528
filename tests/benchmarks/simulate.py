"""``python -m tests.benchmarks.simulate``: how fast loads and traces run, Muri's beside published figures.

Invented loads go through ``stowplan simulate`` (``simulated_loads``), a live cycle through ``ClusterState``
and ``Cycles`` (``cycle``). Traces are read from ``--traces`` (fgd-openb, itp-elasticflow, muri-philly as
published). Each run is a process of its own, so that its memory is nobody else's. Writes
build/bench/simulate.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from deploy.local.nodes.pools import uniform
from scheduler.model.plan import Ordering, Policy
from simulations.engine import Engine, Setting
from simulations.loads.formats import arrivals, read
from simulations.nodes import pooled, read_nodes
from simulations.summary import summarise
from simulations.workload import Workload, repeated, workload
from tests.benchmarks.cycle import Measured as CycleMeasured
from tests.benchmarks.figures import machine
from tests.benchmarks.simulated_loads import LOADS, Measured, line, measured

TRACES: Final = Path("../shared/traces")
OUT: Final = Path("build/bench/simulate.json")
JOBS: Final = 100_000
#: Cluster04 keeps 495 GPUs busy on average and 2,025 at its peak: 2,048 GPUs leave hardly a queue.
JOBS_NODES: Final = 256
NEVER_ENDS_S: Final = 1e9
POLICIES: Final[dict[str, tuple[Ordering, bool]]] = {
    "oldest": ("oldest", False),
    "least-service": ("least-service", True),
    "shortest-time": ("shortest-time", True),
    "shortest-service": ("shortest-service", True),
}
#: Average JCT and makespan (s) of trace1 on 64 GPUs, Zhao et al., SIGCOMM 2022, figures 9 and 10.
PUBLISHED: Final = {
    "shortest-time": ("SRTF", 1_370_603, 26_045_466),
    "shortest-service": ("SRSF", 980_141, 26_065_759),
    "least-service": ("Tiresias", 3_330_371, 23_556_410),
}


class Run(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    jobs: int
    ended: int
    wall_s: float
    rss_mib: float
    avg_jct_s: float
    makespan_s: float
    gpu_share: float
    evictions: int
    cycles: int


def fgd_stream(traces: Path, seed: int) -> Workload:
    """Pods one by one in the published order, never leaving, with their shares of GPUs."""
    pods = traces / "fgd-openb/pods/openb_pod_list_default.csv"
    order = traces / "fgd-openb/arrival_order/order_default.csv.gz"
    by_name = {job.name: job for job in read(pods).jobs}
    return workload(
        f"fgd-{seed}",
        (
            replace(by_name[name], name=f"{name}-{at}", submit_s=float(at), duration_s=NEVER_ENDS_S)
            for at, name in enumerate(arrivals(pods, order, seed))
        ),
    )


def run(what: str, traces: Path) -> Run:
    """One run, by name: ``fgd:SEED``, ``jobs`` or ``muri:POLICY``."""
    kind, _, choice = what.partition(":")
    policy = Policy()
    patience_s: float | None = None
    if kind == "fgd":
        patience_s = 0.5  # never retried: gone before the next arrival
        load = fgd_stream(traces, int(choice))
        nodes = read_nodes(traces / "fgd-openb/openb_node_list_gpu_node.csv")
    elif kind == "jobs":
        load = repeated(read(traces / "itp-elasticflow/cluster04.csv.gz"), JOBS)
        nodes = pooled(uniform(JOBS_NODES))
    else:
        order, displaces = POLICIES[choice]
        policy = Policy(order=order, displaces=displaces)
        load, nodes = read(traces / "muri-philly/trace1.csv"), pooled(uniform(8))
    begun_s = time.perf_counter()
    outcome = Engine(load, nodes, Setting(policy=policy, patience_s=patience_s)).run()
    wall_s = time.perf_counter() - begun_s
    found = summarise(outcome)
    return Run(
        name=what,
        jobs=found.total.jobs,
        ended=found.total.ended,
        wall_s=round(wall_s, 2),
        rss_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        avg_jct_s=round(found.total.avg_jct_s),
        makespan_s=round(found.makespan_s),
        gpu_share=round(found.gpu_share, 4),
        evictions=found.total.evictions,
        cycles=found.cycles,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.simulate", description=__doc__)
    parser.add_argument("--traces", type=Path, default=TRACES)
    parser.add_argument("--seeds", type=int, default=1, help="arrival orders of the FGD experiment")
    parser.add_argument("--what", choices=["all", "loads", "traces"], default="all")
    parser.add_argument("--only", help="one run in this process, as JSON")
    given = parser.parse_args()
    if given.only:
        print(msgspec.json.encode(run(given.only, given.traces)).decode())
        return 0
    names = [f"fgd:{42 + i}" for i in range(given.seeds)] + ["jobs"] + [f"muri:{name}" for name in POLICIES]
    loads: list[Measured] = []
    for load in LOADS if given.what != "traces" else ():
        loads.append(measured(load))
        print(line(loads[-1]), flush=True)
    cycle = _cycle() if given.what != "traces" else None
    runs: list[Run] = []
    for name in names if given.what != "loads" else ():
        command = [sys.executable, "-m", "tests.benchmarks.simulate", "--only", name]
        told = subprocess.run(
            [*command, "--traces", str(given.traces)], check=True, capture_output=True, text=True
        )
        runs.append(msgspec.json.decode(told.stdout, type=Run))
        print(_line(runs[-1]), flush=True)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    columns = ("as", "avg_jct_s", "makespan_s")
    published = {name: dict(zip(columns, row, strict=True)) for name, row in PUBLISHED.items()}
    report = {"machine": machine(), "loads": loads, "live_cycle": cycle, "runs": runs, "published": published}
    OUT.write_text(json.dumps(msgspec.to_builtins(report), indent=2) + "\n")
    return 0


def _cycle() -> CycleMeasured:
    told = subprocess.run([sys.executable, "-m", "tests.benchmarks.cycle"], check=True, capture_output=True)
    found = msgspec.json.decode(told.stdout, type=CycleMeasured)
    print(
        f"a live cycle while {found.waiting:,} gangs and pods of {found.shapes:,} shapes wait: "
        f"{found.wall_s * 1e3:.0f} ms, at most {found.worst_s * 1e3:.0f} ms",
        flush=True,
    )
    return found


def _line(one: Run) -> str:
    line = (
        f"{one.name}: {one.jobs:,} jobs in {one.wall_s:.1f} s, {one.rss_mib:.0f} MiB, "
        f"avg JCT {one.avg_jct_s:,.0f} s, makespan {one.makespan_s:,.0f} s, {one.evictions:,} evictions"
    )
    known = PUBLISHED.get(one.name.partition(":")[2])
    return line if known is None else f"{line}; published {known[0]} {known[1]:,} / {known[2]:,}"


if __name__ == "__main__":
    sys.exit(main())
