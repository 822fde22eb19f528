"""``make bench-flood``: what one tenant's flood costs another tenant's gangs.

On a real API server with 1,000 nodes of which one GPU each is free: gangs of four of one tenant, one after
another, beside ``stowplan run``; then 50,000 pods of another tenant, in 10,000 shapes, with affinity and
large annotations, none of which fits; then such gangs again. Measured: from a gang's last pod to its last
Binding, the CPU that one callback of the scheduler's event loop takes, and memory. Writes
build/bench/flood.json.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.progress import track

from tests.benchmarks import figures, held
from tests.benchmarks.control import GPU, GPUS_A_NODE, Control, console, control_plane, pods_path
from tests.benchmarks.session import carried_out
from tests.benchmarks.subjects import Launcher, Subject
from tests.benchmarks.watching import PodWatch, watching

FLOODED: Final = "flood"
OTHER: Final = "other"
BUSY: Final = "busy"
GANG_SIZE: Final = 4
BIND_TIMEOUT_S: Final = 600.0
PAUSE_S: Final = 5.0
NOTE: Final = "x" * 4_000
HELD_S_MAX: Final = 0.1
RATIO_MAX: Final = 2.0
RSS_MIB_MAX: Final = 1_536.0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Waits are seconds from a gang's last pod to its last Binding. coming: while the flood was being made.

    held_cpu_s: thread time of the longest callback of the scheduler's event loop, and which it was.
    """

    machine: str
    nodes: int
    pods: int
    shapes: int
    alone_s: figures.Spread
    coming_s: figures.Spread
    beside_s: figures.Spread
    settled_s: figures.Spread
    ratio: float
    held_cpu_s: float
    held_by: list[held.Hold]
    peak_mib: float
    cpu_s: float
    flood_s: float


class Tenant:
    """Another tenant, who starts one gang after another."""

    def __init__(self, control: Control, watch: PodWatch, subject: Subject) -> None:
        self._control = control
        self._watch = watch
        self._subject = subject
        self._made = 0

    async def gangs(self, count: int) -> list[float]:
        return [await self.gang() for _ in track(range(count), description="gangs", console=console)]

    async def gang(self) -> float:
        """Seconds until it was bound. Raises BenchmarkFailed where that takes too long."""
        self._made += 1
        name = f"gang-{self._made}"
        bodies = [_member(name, index) for index in range(GANG_SIZE)]
        await self._control.create((pods_path(OTHER), body) for body in bodies)
        made_s = time.monotonic()
        bound = self._watch.until(
            lambda: len(self._watch.pods) == self._watch.bound == GANG_SIZE,
            f"{name} is bound",
            timeout_s=BIND_TIMEOUT_S,
        )
        await self._subject.while_alive(bound)
        took_s = max(pod.bound_at_s for pod in self._watch.pods.values()) - made_s
        await self._control.clear_pods(OTHER)
        await self._watch.until(lambda: not self._watch.pods, f"{name} is gone", timeout_s=BIND_TIMEOUT_S)
        return max(took_s, 0.0)


async def measure(asked: argparse.Namespace) -> Report:
    """Everything, on a cluster of its own."""
    machine = figures.machine()
    path = figures.FOLDER / "flood-held.json"
    path.unlink(missing_ok=True)
    async with control_plane() as control:
        nodes = await control.nodes(asked.nodes)
        for name in (FLOODED, OTHER, BUSY):
            await control.namespace(name)
        await control.create((pods_path(BUSY), _busy(name)) for name in nodes)
        async with _running(control, path) as (watch, subject):
            tenant = Tenant(control, watch, subject)
            await tenant.gang()
            alone = await tenant.gangs(asked.gangs)
            began_s = time.monotonic()
            coming = await _while_flooded(control, tenant, asked)
            flood_s = time.monotonic() - began_s
            beside = await tenant.gangs(asked.gangs)
            await subject.lives_on(asked.settle_s)
            settled = await tenant.gangs(asked.gangs)
            usage = subject.usage()
    holds = held.read(path)
    told = [figures.spread(each) for each in (alone, coming, beside, settled)]
    return Report(
        machine=machine,
        nodes=asked.nodes,
        pods=asked.pods,
        shapes=asked.shapes,
        alone_s=told[0],
        coming_s=told[1],
        beside_s=told[2],
        settled_s=told[3],
        ratio=round(max(told[2].median, told[3].median) / told[0].median, 2),
        held_cpu_s=round(max((hold.cpu_s for hold in holds), default=0.0), 4),
        held_by=holds[:5],
        peak_mib=round(usage.peak_mib, 1),
        cpu_s=round(usage.cpu_s, 1),
        flood_s=round(flood_s, 1),
    )


@asynccontextmanager
async def _running(control: Control, path: Path) -> AsyncIterator[tuple[PodWatch, Subject]]:
    launcher = Launcher(control.cluster, figures.FOLDER / "flood-logs")
    async with watching(control.api, OTHER) as watch:
        async with launcher.started("stowplan", python=("-m", held.__name__, str(path))) as subject:
            yield watch, subject


async def _while_flooded(control: Control, tenant: Tenant, asked: argparse.Namespace) -> list[float]:
    """Make the flood; meanwhile one gang after another."""
    bodies = track(flood(asked.pods, asked.shapes), total=asked.pods, description="flood", console=console)
    making = asyncio.create_task(control.create(bodies))
    waits: list[float] = []
    while not making.done():
        waits.append(await tenant.gang())
        await asyncio.wait({making}, timeout=PAUSE_S)
    making.result()
    return waits


def flood(count: int, shapes: int, seed: int = 1) -> Iterator[tuple[str, bytes]]:
    """Path and body of waiting pods of one tenant; each asks for more GPUs than any node has free."""
    rng = random.Random(seed)
    asked = [_shape(rng, index) for index in range(shapes)]
    for index in range(count):
        spec = asked[rng.randrange(shapes)]
        labels = {"app": f"a{index % 50}", "index": str(index)}
        meta = {"name": f"f{index}", "labels": labels, "annotations": {"example.com/note": NOTE}}
        yield pods_path(FLOODED), _pod(meta, spec)


def _shape(rng: random.Random, index: int) -> dict[str, Any]:
    spec = _spec(rng.randint(2, GPUS_A_NODE), {"cpu": f"{100 + index}m", "memory": f"{64 + index}Mi"})
    zone = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["z1", f"q{index}"]}
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {"app": f"a{index % 50}"}},
    }
    match index % 4:
        case 0:
            node = {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}
            return spec | {
                "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": node}}
            }
        case 1:
            rule = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
            return spec | {"affinity": {"podAntiAffinity": rule}}
        case _:
            return spec


def _member(gang: str, index: int) -> bytes:
    words = {"stowplan.dev/gang": gang, "stowplan.dev/gang-min-member": str(GANG_SIZE)}
    return _pod({"name": f"{gang}-{index}", "annotations": words}, _spec(1))


def _busy(node: str) -> bytes:
    return _pod({"name": f"busy-{node}"}, _spec(GPUS_A_NODE - 1) | {"nodeName": node})


def _spec(gpus: int, requests: dict[str, str] | None = None) -> dict[str, Any]:
    resources = {"limits": {GPU: str(gpus)}, "requests": requests or {}}
    container = {"name": "main", "image": "none", "resources": resources}
    return {"schedulerName": "stowplan", "containers": [container]}


def _pod(meta: dict[str, Any], spec: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


def over(found: Report) -> Sequence[str]:
    """Which budgets are not met."""
    budgets = {
        "ratio": (found.ratio, RATIO_MAX),
        "held_cpu_s": (found.held_cpu_s, HELD_S_MAX),
        "peak_mib": (found.peak_mib, RSS_MIB_MAX),
    }
    return [f"{name} {has:g} of at most {most:g}" for name, (has, most) in budgets.items() if has > most]


def main() -> int:
    """Exit codes: 0 within the budgets, 1 over one of them or no result, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.flood", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--pods", type=int, default=50_000)
    parser.add_argument("--shapes", type=int, default=10_000)
    parser.add_argument("--gangs", type=int, default=10, help="measured in each state")
    parser.add_argument("--settle-s", type=float, default=60.0, help="from beside the flood to settled")
    found = carried_out(measure(parser.parse_args()))
    console.print_json(msgspec.json.encode(found).decode())
    print(figures.write("flood.json", found))
    for text in over(found):
        console.print(f"[red]over its budget:[/] {text}")
    return 1 if over(found) else 0


if __name__ == "__main__":
    sys.exit(main())
