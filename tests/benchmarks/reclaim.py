"""``python -m tests.benchmarks.reclaim``: how fast a team gets back what it is guaranteed.

500 nodes of 8 GPUs are full of single-GPU pods of a team that borrowed half of them. A gang of 2,000 GPUs
comes, within the guarantee of its team. The time runs from its last pod's creation to its last Binding. Nodes
delete evicted pods at once. Writes ``build/bench/reclaim.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from tests.benchmarks import figures
from tests.benchmarks.bind import GROUP, Case, body
from tests.benchmarks.control import GPUS_A_NODE, BenchmarkFailed, Control, console, control_plane, pods_path
from tests.benchmarks.session import carried_out
from tests.benchmarks.subjects import Launcher, Subject
from tests.benchmarks.watching import PodWatch, watching

QUOTAS: Final = "/apis/stowplan.dev/v1alpha1/teamquotas"
BORROWER: Final = "borrower"
OWNER: Final = "owner"
TIMEOUT_S: Final = 120.0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """plan_s: the planning run that chose the victims. gone_s: until the last victim was gone."""

    plan_s: float
    gone_s: float
    bound_s: float
    evictions: int
    cpu_s: float
    peak_mib: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    machine: str
    versions: dict[str, str]
    nodes: int
    gpus_taken_back: int
    plan_s: float
    bound_s: float
    runs: list[Run]


class _Line(msgspec.Struct, frozen=True):
    event: str = ""
    clearings: int = 0
    plan_s: float = 0.0


async def measure(arguments: argparse.Namespace) -> Report:
    nodes: int = arguments.nodes
    runs: list[Run] = []
    async with control_plane() as control:
        console.print(f"registering {nodes} nodes")
        await control.nodes(nodes)
        half = nodes * GPUS_A_NODE // 2
        for name in (BORROWER, OWNER):
            await control.namespace(name)
            await _team(control, name, half)
        launcher = Launcher(control.cluster, figures.FOLDER / "reclaim-logs")
        async with watching(control.api, BORROWER) as theirs, watching(control.api, OWNER) as mine:
            for _ in range(arguments.runs):
                async with launcher.started("stowplan") as subject:
                    runs.append(await _run(control, subject, theirs, mine, nodes))
                    console.print(str(runs[-1]))
                await _clear(control, theirs, mine)
    return Report(
        machine=figures.machine(),
        versions=figures.versions(),
        nodes=nodes,
        gpus_taken_back=nodes * GPUS_A_NODE // 2,
        plan_s=round(statistics.median(run.plan_s for run in runs), 3),
        bound_s=round(statistics.median(run.bound_s for run in runs), 3),
        runs=runs,
    )


async def _run(control: Control, subject: Subject, theirs: PodWatch, mine: PodWatch, nodes: int) -> Run:
    gpus = nodes * GPUS_A_NODE
    borrowed = Case(name="singles", pods=gpus, gpus=1, is_gang=False)
    wanted = Case(name="gang", pods=nodes // 2, gpus=GPUS_A_NODE, is_gang=True)
    await control.create((pods_path(BORROWER), body(borrowed, "stowplan", i)) for i in range(borrowed.pods))
    full = theirs.until(lambda: theirs.bound == gpus, "the borrower runs everywhere", timeout_s=TIMEOUT_S)
    await subject.while_alive(full)
    await control.pod_group(OWNER, GROUP, min_count=wanted.pods)
    await control.create((pods_path(OWNER), body(wanted, "stowplan", i)) for i in range(wanted.pods))
    began_s, gone_s = time.monotonic(), 0.0

    def is_half_gone() -> bool:
        nonlocal gone_s
        if len(theirs.pods) == gpus // 2 and not gone_s:
            gone_s = time.monotonic() - began_s
        return bool(gone_s)

    watched = asyncio.create_task(theirs.until(is_half_gone, "victims gone", timeout_s=TIMEOUT_S))
    bound = mine.until(lambda: mine.bound == wanted.pods, "the gang is bound", timeout_s=TIMEOUT_S)
    await subject.while_alive(bound)
    await watched
    usage = subject.usage()
    if len(theirs.pods) != gpus // 2:
        raise BenchmarkFailed(f"{gpus - len(theirs.pods)} pods were evicted for {gpus // 2} GPUs")
    return Run(
        plan_s=_plan_s(subject.log),
        gone_s=round(gone_s, 3),
        bound_s=round(max(pod.bound_at_s for pod in mine.pods.values()) - began_s, 3),
        evictions=gpus - len(theirs.pods),
        cpu_s=round(usage.cpu_s, 2),
        peak_mib=round(usage.peak_mib, 1),
    )


async def _clear(control: Control, theirs: PodWatch, mine: PodWatch) -> None:
    for namespace, watch in ((BORROWER, theirs), (OWNER, mine)):
        await control.clear_pods(namespace)
        await watch.until(lambda watch=watch: not watch.pods, "all pods gone", timeout_s=TIMEOUT_S)  # type: ignore[misc] # bound early
    await control.drop_pod_group(OWNER, GROUP)
    await control.clear_gangs(OWNER)


async def _team(control: Control, name: str, gpus: int) -> None:
    quota = {
        "apiVersion": "stowplan.dev/v1alpha1",
        "kind": "TeamQuota",
        "metadata": {"name": name},
        "spec": {"namespaces": [name], "guaranteed": {"gpu": gpus}},
    }
    await control.api.request("POST", QUOTAS, body=msgspec.json.encode(quota))


def _plan_s(log: Path) -> float:
    """Of the planning run that chose the victims, as the scheduler logged it."""
    lines = [line for line in log.read_bytes().splitlines() if line.startswith(b"{")]
    found = [msgspec.json.decode(line, type=_Line) for line in lines]
    return max((line.plan_s for line in found if line.event == "planned" and line.clearings), default=0.0)


def main() -> int:
    """Exit codes: 0 measured, 1 a run failed, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.reclaim", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=500)
    found = carried_out(measure(parser.parse_args()))
    console.print(f"plan {found.plan_s} s, all bound {found.bound_s} s after the gang was there")
    print(figures.write("reclaim.json", found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
