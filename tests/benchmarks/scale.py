"""``python -m tests.benchmarks.scale``: 5,000 nodes and 140,000 bound pods; restart, memory, snapshot, plan.

Fills one API server, then starts ``stowplan run`` with one pod waiting: after a start from nothing, after a
clean end (the lease is given back) and after SIGKILL (the lease must run out). Then
``tests.benchmarks.in_process`` measures what the state costs. Writes ``build/bench/scale.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.benchmarks import figures, profiling
from tests.benchmarks.control import GPUS_A_NODE, BenchmarkFailed, Control, console, control_plane, pods_path
from tests.benchmarks.in_process import WIDE_GANG, Costs
from tests.benchmarks.population import EMPTY_ONE_IN, NAMESPACES, Population, namespace, waiting_pod
from tests.benchmarks.session import carried_out
from tests.benchmarks.subjects import Launcher, Subject, end_with_parent
from tests.benchmarks.watching import PodWatch, faults, watching

WAITING: Final = "waiting"
BIND_TIMEOUT_S: Final = 600.0
IN_PROCESS_TIMEOUT_S: Final = 900.0
TOLD_EVERY_S: Final = 20.0
CLEAN: Final = "a clean end"
#: So that a node holds at most 8 of our pods, of one GPU each.
PODS_A_NODE_MAX: Final = 28
#: As promised for this size of cluster.
BUDGET: Final = {
    "restart_s": 30.0,
    "rss_mib": 1_536.0,
    "snapshot_ms": 50.0,
    "plan_ms": 100.0,
    "list_decode_us": 25.0,
    "watch_decode_us": 25.0,
    "kib_held_a_pod": 8.0,
}


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """One start of ``stowplan run``.

    after: what came before it. first_bind_s: exec to the Binding of the pod that waited. next_bind_s: a
    pod created then, until its Binding. cpu_s until the first Binding; memory after the second.
    """

    after: str
    first_bind_s: float
    next_bind_s: float
    cpu_s: float
    rss_mib: float
    peak_mib: float


class Target(msgspec.Struct, frozen=True, kw_only=True):
    measured: float
    budget: float

    @property
    def is_met(self) -> bool:
        return self.measured <= self.budget


class Report(msgspec.Struct, frozen=True, kw_only=True):
    machine: str
    versions: dict[str, str]
    nodes: int
    pods: int
    pods_ours: int
    create_s: float
    starts: list[Start]
    in_process: Costs
    targets: dict[str, Target]


class Bench:
    """Starts the scheduler again and again on one full cluster."""

    def __init__(self, watch: PodWatch, control: Control, launcher: Launcher) -> None:
        self._watch = watch
        self._control = control
        self._launcher = launcher
        self._created = 0

    async def start(self, after: str, *, is_killed: bool, python: Sequence[str] = ()) -> Start:
        """One life, ended by SIGTERM or by SIGKILL. Raises BenchmarkFailed for a wrong placement."""
        await self._create()
        async with self._launcher.started("stowplan", python=python) as subject:
            first_s = await self._bound(subject) - subject.started_s
            at_first = subject.usage()
            created_s = time.monotonic()
            await self._create()
            next_s = await self._bound(subject) - created_s
            at_next = subject.usage()
            if is_killed:
                await subject.kill()
        found = faults(self._watch.pods, gpus_a_node=GPUS_A_NODE, wanted=self._created)
        if found:
            raise BenchmarkFailed("; ".join(found))
        return Start(
            after=after,
            first_bind_s=round(first_s, 2),
            next_bind_s=round(next_s, 3),
            cpu_s=round(at_first.cpu_s, 2),
            rss_mib=round(at_next.rss_mib, 1),
            peak_mib=round(at_next.peak_mib, 1),
        )

    async def _create(self) -> None:
        await self._control.create([(pods_path(WAITING), waiting_pod(f"waiting-{self._created}"))])
        self._created += 1

    async def _bound(self, subject: Subject) -> float:
        """When the last of those created was bound."""
        waiting = self._watch.until(
            lambda: self._watch.bound == self._created, "the waiting pod is bound", timeout_s=BIND_TIMEOUT_S
        )
        await subject.while_alive(waiting)
        return max(pod.bound_at_s for pod in self._watch.pods.values())


async def fill(control: Control, population: Population) -> float:
    """Create all pods; the seconds it took."""
    for index in range(NAMESPACES):
        await control.namespace(namespace(index))
    begun_s = time.monotonic()
    with _progress("pods", population.pods) as done:
        await control.create(population.bodies(), done=done)
    return time.monotonic() - begun_s


async def measure(arguments: argparse.Namespace) -> Report:
    """Everything, on a cluster of its own."""
    machine = figures.machine()
    async with control_plane() as control:
        console.print(f"registering {arguments.nodes} nodes")
        nodes = await control.nodes(arguments.nodes)
        await control.namespace(WAITING)
        population = Population(nodes=tuple(nodes), pods=arguments.pods)
        create_s = await fill(control, population)
        async with watching(control.api, WAITING) as watch:
            bench = Bench(watch, control, Launcher(control.cluster, figures.FOLDER / "scale-logs"))
            starts = [await bench.start("nothing", is_killed=False)]
            for number in range(2 * arguments.runs):
                is_clean = number % 2 == 0
                console.print(told(starts[-1]))
                starts.append(await bench.start(CLEAN if is_clean else "SIGKILL", is_killed=is_clean))
            console.print(told(starts[-1]))
            if arguments.profile:
                await _profile(bench)
        console.print("measuring the state in a process of its own")
        costs = await _in_process(control)
    return report(machine, population, create_s, starts, costs)


async def _profile(bench: Bench) -> None:
    """Where a restart's time goes, in the event loop's thread. A profiled start is slower: not counted."""
    profile = figures.FOLDER / "scale-restart.prof"
    start = await bench.start(CLEAN, is_killed=False, python=("-m", "cProfile", "-o", str(profile)))
    console.print(f"{told(start)} (profiled: {profiling.functions(profile)})")


async def _in_process(control: Control) -> Costs:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.in_process"),
        *("--kubeconfig", str(control.cluster.admin_kubeconfig)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=end_with_parent,
    )
    try:
        async with asyncio.timeout(IN_PROCESS_TIMEOUT_S):
            told, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise BenchmarkFailed(complaint.decode(errors="replace")[-2_000:])
    return msgspec.json.decode(told, type=Costs)


def report(
    machine: str, population: Population, create_s: float, starts: Sequence[Start], costs: Costs
) -> Report:
    """Medians where something was repeated, maxima for memory."""
    restart_s = statistics.median(start.first_bind_s for start in starts if start.after == CLEAN)
    peak_mib = max(start.peak_mib for start in starts)
    measured = {
        "restart_s": restart_s,
        "rss_mib": peak_mib,
        "snapshot_ms": costs.snapshot_ms.median,
        "plan_ms": costs.plan_ms.median,
        "list_decode_us": costs.list_decode_us,
        "watch_decode_us": costs.watch_decode_us,
        "kib_held_a_pod": costs.kib_held_a_pod,
    }
    return Report(
        machine=machine,
        versions=figures.versions(),
        nodes=len(population.nodes),
        pods=population.pods,
        pods_ours=population.ours,
        create_s=round(create_s, 1),
        starts=list(starts),
        in_process=costs,
        targets={name: Target(measured=measured[name], budget=most) for name, most in BUDGET.items()},
    )


def table(found: Report) -> Table:
    shown = Table(
        title=f"{found.nodes} nodes, {found.pods} bound pods of {found.in_process.bytes_a_pod} bytes"
    )
    for heading in ("figure", "measured", "budget", ""):
        shown.add_column(heading, justify="left" if heading == "figure" else "right")
    for name, target in found.targets.items():
        shown.add_row(
            name, f"{target.measured:g}", f"{target.budget:g}", "" if target.is_met else "[red]over"
        )
    return shown


def told(start: Start) -> str:
    return (
        f"after {start.after}: first Binding {start.first_bind_s:.1f} s after exec "
        f"({start.cpu_s:.1f} s CPU), the next {start.next_bind_s:.2f} s after its pod; "
        f"{start.rss_mib:.0f} MiB, peak {start.peak_mib:.0f} MiB"
    )


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Something to call for each one done: a bar on a terminal, a line now and then in a log."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        count, told_s = 0, time.monotonic()

        def done() -> None:
            nonlocal count, told_s
            count += 1
            progress.advance(task)
            if not console.is_terminal and time.monotonic() - told_s >= TOLD_EVERY_S:
                told_s = time.monotonic()
                console.print(f"{what}: {count} of {total}")

        yield done


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--nodes", type=int, default=5_000)
    parser.add_argument("--pods", type=int, default=140_000)
    parser.add_argument("--runs", type=int, default=3, help="restarts of each kind")
    parser.add_argument("--profile", action="store_true", help="then profile one restart into build/bench")
    return parser


def main() -> int:
    """Exit codes: 0 measured, 1 a start failed, 2 wrong arguments, 130 interrupted."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.runs < 1 or arguments.nodes < EMPTY_ONE_IN * WIDE_GANG:
        parser.error(f"at least one run, and {EMPTY_ONE_IN * WIDE_GANG} nodes")
    if not 1 <= arguments.pods <= PODS_A_NODE_MAX * arguments.nodes:
        parser.error(f"at most {PODS_A_NODE_MAX} pods a node")
    found = carried_out(measure(arguments))
    console.print(table(found))
    console.print(found.machine)
    print(figures.write("scale.json", found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
