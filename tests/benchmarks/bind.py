"""``python -m tests.benchmarks.bind``: how fast pods are bound, beside kube-scheduler on one API server.

Everything is pending, and the API server's garbage collected, before a scheduler's process starts; the time
runs from its exec to the last Binding that one watch, shared by both, shows. Runs alternate, and who begins
alternates too. Writes ``build/bench/bind.json``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
from rich.table import Table

from tests.benchmarks import figures, profiling
from tests.benchmarks.control import (
    GPU,
    GPUS_A_NODE,
    BenchmarkFailed,
    Control,
    console,
    control_plane,
    pods_path,
)
from tests.benchmarks.session import carried_out
from tests.benchmarks.subjects import NAMES, SCHEDULER_NAME, Launcher, Name, Subject
from tests.benchmarks.watching import PodWatch, faults, watching

NAMESPACE: Final = "bench"
GROUP: Final = "gang"
RUN_TIMEOUT_S: Final = 300.0
#: Of the first case, by both. By then the API server's heap has been as large as between two collections.
WARM_UP_ROUNDS: Final = 2
CaseName = Literal["singles", "gang"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``pods`` pods of ``gpus`` GPUs each, single or one native PodGroup that must start whole."""

    name: CaseName
    pods: int
    gpus: int
    is_gang: bool


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from exec to the first and to the last Binding; CPU and peak memory until the last."""

    case: CaseName
    scheduler: Name
    pods: int
    seconds: float
    first_s: float
    cpu_s: float
    peak_mib: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """``*_ratio``: kube-scheduler's median seconds by stowplan's; above 1 stowplan is faster.

    ``warm_up`` holds the runs before those that count.
    """

    machine: str
    versions: dict[str, str]
    nodes: int
    gpus_a_node: int
    singles_ratio: float
    gang_ratio: float
    median_s: dict[str, dict[str, float]]
    median_pods_per_s: dict[str, dict[str, float]]
    warm_up: list[Run]
    runs: list[Run]


class Bench:
    """Runs cases on one control plane and judges each from the watch."""

    def __init__(self, control: Control, watch: PodWatch, launcher: Launcher) -> None:
        self._control = control
        self._watch = watch
        self._launcher = launcher
        #: Of the latest run.
        self.log = Path()

    async def run(self, case: Case, name: Name, *, python: Sequence[str] = ()) -> Run:
        """One run on an empty cluster, which it leaves empty. Raises BenchmarkFailed for a wrong result."""
        await self._submit(case, name)
        await self._control.collect()
        async with self._launcher.started(name, python=python) as subject:
            self.log = subject.log
            run = await self._timed(case, name, subject)
        found = faults(self._watch.pods, gpus_a_node=GPUS_A_NODE, wanted=case.pods)
        if found:
            raise BenchmarkFailed(f"{name}, {case.name}: " + "; ".join(found[:10]))
        await self._clear(case)
        return run

    async def _submit(self, case: Case, name: Name) -> None:
        if case.is_gang:
            await self._control.pod_group(NAMESPACE, GROUP, min_count=case.pods)
        path = pods_path(NAMESPACE)
        await self._control.create((path, body(case, name, index)) for index in range(case.pods))
        await self._watch.until(
            lambda: len(self._watch.pods) == case.pods, f"{case.pods} pods created", timeout_s=RUN_TIMEOUT_S
        )

    async def _timed(self, case: Case, name: Name, subject: Subject) -> Run:
        bound = self._watch.until(
            lambda: self._watch.bound == case.pods, f"{name} binds {case.name}", timeout_s=RUN_TIMEOUT_S
        )
        await subject.while_alive(bound)
        usage = subject.usage()
        times = [pod.bound_at_s - subject.started_s for pod in self._watch.pods.values()]
        return Run(
            case=case.name,
            scheduler=name,
            pods=case.pods,
            seconds=round(max(times), 3),
            first_s=round(min(times), 3),
            cpu_s=round(usage.cpu_s, 2),
            peak_mib=round(usage.peak_mib, 1),
        )

    async def _clear(self, case: Case) -> None:
        await self._control.clear_pods(NAMESPACE)
        await self._watch.until(lambda: not self._watch.pods, "all pods gone", timeout_s=RUN_TIMEOUT_S)
        if case.is_gang:
            await self._control.drop_pod_group(NAMESPACE, GROUP)
        await self._control.clear_gangs(NAMESPACE)


def body(case: Case, name: Name, index: int) -> bytes:
    """A pod of the case as its scheduler wants it; nothing else differs between the two."""
    asked = {"cpu": str(4 * case.gpus), "memory": f"{32 * case.gpus}Gi", GPU: str(case.gpus)}
    spec: dict[str, object] = {
        "schedulerName": SCHEDULER_NAME[name],
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "train", "image": "train", "resources": {"limits": asked}}],
    }
    if case.is_gang:
        spec["schedulingGroup"] = {"podGroupName": GROUP}
    return msgspec.json.encode({"metadata": {"name": f"{case.name}-{index}"}, "spec": spec})


async def measure(arguments: argparse.Namespace) -> Report:
    """All runs, in alternation."""
    machine = figures.machine()
    nodes: int = arguments.nodes
    cases = (
        Case(name="singles", pods=arguments.singles, gpus=1, is_gang=False),
        Case(name="gang", pods=arguments.gang, gpus=GPUS_A_NODE, is_gang=True),
    )
    logs = figures.FOLDER / "bind-logs"
    runs: list[Run] = []
    async with control_plane() as control:
        console.print(f"registering {nodes} nodes")
        await control.lift_tenant_rules()
        await control.namespace(NAMESPACE)
        await control.nodes(nodes)
        async with watching(control.api, NAMESPACE) as watch:
            bench = Bench(control, watch, Launcher(control.cluster, logs))
            warm_up = await _warm_up(bench, cases[0])
            for case in cases:
                for number in range(arguments.runs):
                    for name in NAMES if number % 2 == 0 else reversed(NAMES):
                        runs.append(await bench.run(case, name))
                        console.print(told(runs[-1]))
            if arguments.profile:
                await _profile(bench, cases)
    return report(machine, nodes, warm_up, runs)


async def _warm_up(bench: Bench, case: Case) -> list[Run]:
    """Runs that do not count: the first start of either reads its files from disk, and until the API
    server's heap has been at its largest, whichever run grows it pays for memory touched for the first time
    (on a virtual machine 3 ms of CPU a MiB, up to 2.6 s a run).
    """
    runs: list[Run] = []
    for _ in range(WARM_UP_ROUNDS):
        for name in NAMES:
            runs.append(await bench.run(case, name))
            console.print(f"{told(runs[-1])} (not counted)")
    return runs


async def _profile(bench: Bench, cases: Sequence[Case]) -> None:
    """Where stowplan's time goes, case by case. A profiled run is slower, so none of these count.

    cProfile sees the main thread: the event loop, not the planner's thread.
    """
    for case in cases:
        run = await bench.run(case, "stowplan", python=("-X", "importtime"))
        slowest = profiling.imports(bench.log, figures.FOLDER / f"bind-{case.name}-imports.txt")
        console.print(f"{told(run)} (profiled: {slowest})")
        profile = figures.FOLDER / f"bind-{case.name}.prof"
        run = await bench.run(case, "stowplan", python=("-m", "cProfile", "-o", str(profile)))
        console.print(f"{told(run)} (profiled: {profiling.functions(profile)})")


def report(machine: str, nodes: int, warm_up: Sequence[Run], runs: Sequence[Run]) -> Report:
    medians: dict[str, dict[str, float]] = {}
    rates: dict[str, dict[str, float]] = {}
    for case in ("singles", "gang"):
        for name in NAMES:
            chosen = [run for run in runs if (run.case, run.scheduler) == (case, name)]
            seconds = statistics.median(run.seconds for run in chosen)
            medians.setdefault(case, {})[name] = round(seconds, 3)
            rates.setdefault(case, {})[name] = round(chosen[0].pods / seconds, 1)
    ratios = {case: round(m["kube-scheduler"] / m["stowplan"], 2) for case, m in medians.items()}
    return Report(
        machine=machine,
        versions=figures.versions(),
        nodes=nodes,
        gpus_a_node=GPUS_A_NODE,
        singles_ratio=ratios["singles"],
        gang_ratio=ratios["gang"],
        median_s=medians,
        median_pods_per_s=rates,
        warm_up=list(warm_up),
        runs=list(runs),
    )


def told(run: Run) -> str:
    return (
        f"{run.scheduler:>14} {run.case}: {run.pods} pods in {run.seconds:.2f} s, "
        f"first at {run.first_s:.2f} s, {run.cpu_s:.1f} s CPU, {run.peak_mib:.0f} MiB"
    )


def table(found: Report) -> Table:
    shown = Table(title=f"exec to last Binding, {found.nodes} nodes x {found.gpus_a_node} GPUs")
    for heading in ("case", "scheduler", "seconds", "median", "pods/s", "CPU s", "peak MiB"):
        shown.add_column(heading, justify="left" if heading in ("case", "scheduler") else "right")
    for case, medians in found.median_s.items():
        for name, median_s in medians.items():
            runs = [run for run in found.runs if (run.case, run.scheduler) == (case, name)]
            shown.add_row(
                case,
                name,
                " ".join(f"{run.seconds:.2f}" for run in runs),
                f"{median_s:.2f}",
                f"{found.median_pods_per_s[case][name]:.0f}",
                f"{statistics.median(run.cpu_s for run in runs):.1f}",
                f"{max(run.peak_mib for run in runs):.0f}",
            )
    shown.caption = (
        f"singles_ratio {found.singles_ratio}, gang_ratio {found.gang_ratio} (above 1: stowplan is faster)"
    )
    return shown


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bind", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of each scheduler and case")
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--singles", type=int, default=4_000, help="single-GPU pods")
    parser.add_argument("--gang", type=int, default=480, help="members of the gang, a whole node each")
    parser.add_argument("--profile", action="store_true", help="then profile stowplan into build/bench")
    return parser


def main() -> int:
    """Exit codes: 0 measured, 1 a run failed, 2 wrong arguments, 130 interrupted."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.runs < 1 or not 1 <= arguments.gang <= arguments.nodes:
        parser.error("at least one run, and no more gang members than nodes")
    if not 1 <= arguments.singles <= arguments.nodes * GPUS_A_NODE:
        parser.error("more pods than GPUs")
    found = carried_out(measure(arguments))
    console.print(table(found))
    console.print(found.machine)
    print(figures.write("bind.json", found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
