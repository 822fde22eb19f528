"""``python -m tests.benchmarks.verdict``: how fast "cannot fit" is proven, planned and told.

Planning is timed in process on the very ``plan`` that runs live; the live part runs ``stowplan run`` on a
real API server and takes the time from the creation of the last pod to the first condition that a watch
shows. Writes ``build/bench/verdict.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from contextlib import aclosing
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np
from rich.table import Table

from binpacking.answer import Infeasible
from binpacking.greedy import Packing
from binpacking.problem import Gang, Nodes, Role
from binpacking.score import PACK
from binpacking.victims import Part, Victim, victims
from scheduler.model.objects import Pod
from scheduler.model.plan import Budget, Plan, Policy
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.benchmarks import figures
from tests.benchmarks.control import BenchmarkFailed, Control, console, control_plane, pods_path
from tests.benchmarks.session import carried_out
from tests.benchmarks.subjects import SCHEDULER_NAME, Launcher
from tests.builders import gang, node, pod

NODES: Final = 500
NAMESPACE: Final = "verdict"
REPEATS: Final = 20


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Planning seconds; ``answer`` is the certificate, ``core`` what binds."""

    name: str
    seconds: figures.Spread
    target_s: float
    answer: str
    core: tuple[str, ...]


def full_but_for_seven() -> ClusterState:
    """500 nodes of 8 GPUs, all taken but one on each of seven nodes."""
    return _cluster(free_on=7)


def enough_but_in_no_rack() -> ClusterState:
    """160 GPUs free, five on each of 32 nodes, one a rack."""
    return _cluster(free_on=32, free=5, racks=32)


def enough_but_scattered() -> ClusterState:
    """80 GPUs free, one on each of 80 nodes."""
    return _cluster(free_on=80)


def enough_but_tainted() -> ClusterState:
    """80 GPUs free on ten nodes that the gang's node selector leaves out."""
    return _cluster(free_on=10, free=8)


def _cluster(*, free_on: int, free: int = 1, racks: int = 16) -> ClusterState:
    state = ClusterState("stowplan")
    rng = random.Random(7)
    open_nodes = set(range(free_on)) if racks == 32 else set(rng.sample(range(NODES), free_on))
    for i in range(NODES):
        labels = {"rack": f"r{i % racks}", "pool": "other" if i in open_nodes else "mine"}
        state.set_node(node(f"n{i:03}", gpu=8, labels=labels))
        held = 8 - (free if i in open_nodes else 0)
        if held:
            state.set_pod(pod(f"held-{i}", gpu=held, node=f"n{i:03}", phase="Running"))
    return state


def _offline(
    name: str, state: ClusterState, pods: list[Pod], *, target_s: float, is_placed: bool = False
) -> Case:
    """Repeated plans of one snapshot; the first, which pays for caches, is among them."""
    for one in pods:
        state.set_pod(one)
    snapshot = state.snapshot()
    times: list[float] = []
    planned: Plan | None = None
    for _ in range(REPEATS):
        started_s = time.perf_counter()
        planned = plan(snapshot, Policy(), Budget())
        times.append(time.perf_counter() - started_s)
    if planned is None or bool(planned.places) is not is_placed:
        raise BenchmarkFailed(f"{name}: the plan is not what the case was built for")
    if is_placed:
        return Case(name=name, seconds=figures.spread(times), target_s=target_s, answer="placed", core=())
    certificate = planned.verdicts[0].certificate
    if not isinstance(certificate, Infeasible):
        raise BenchmarkFailed(f"{name}: not proven: {certificate}")
    core = tuple(f"{b.what} {b.name}: need {b.need}, have {b.have}" for b in certificate.core)
    return Case(name=name, seconds=figures.spread(times), target_s=target_s, answer="Infeasible", core=core)


def _victims(name: str, gpus_a_pod: int, *, target_s: float) -> Case:
    """500 full nodes, 2,000 gangs of two GPUs that may be taken, costs at random; a gang of 80 GPUs."""
    rng = random.Random(11)
    full = Nodes(
        free=np.zeros((NODES, 1), dtype=np.int64),
        total=np.full((NODES, 1), 8, dtype=np.int64),
        resources=("nvidia.com/gpu",),
    )
    wanted = Gang(
        name="gang",
        roles=(
            Role(
                name="member",
                count=80 // gpus_a_pod,
                minimum=0,
                request=np.array([gpus_a_pod], dtype=np.int64),
            ),
        ),
        minimum=80 // gpus_a_pod,
    )
    candidates = [
        Victim(
            name=f"victim-{i}",
            base=Part(
                cost=rng.randint(1, 1000),
                nodes=np.array([i // 4], dtype=np.int64),
                amounts=np.array([[2]], dtype=np.int64),
            ),
        )
        for i in range(4 * NODES)
    ]
    times: list[float] = []
    kind = ""
    for seed in range(5):
        started_s = time.perf_counter()
        found = victims(Packing(full, score=PACK), wanted, candidates, budget=1.0, seed=seed)
        times.append(time.perf_counter() - started_s)
        kind = type(found.certificate).__name__
        if found.placement is None:
            raise BenchmarkFailed(f"{name}: no victims found")
    return Case(name=name, seconds=figures.spread(times), target_s=target_s, answer=kind, core=())


def offline() -> list[Case]:
    """Every planning case, with its target from DESIGN section 13."""
    eighty = gang("g", 80, gpu=1)
    racked = [_with(p, {"stowplan.dev/topology-required": "rack"}) for p in eighty]
    selected = [_selecting(p) for p in eighty]
    large = ClusterState("stowplan")
    for i in range(5_000):
        large.set_node(node(f"n{i:04}", gpu=8))
    return [
        _offline("80 GPUs, 7 free on 500 nodes", full_but_for_seven(), eighty, target_s=0.1),
        _offline("80 GPUs in one rack, 160 free over 32", enough_but_in_no_rack(), racked, target_s=0.1),
        _offline("10 pods of 8, 80 scattered", enough_but_scattered(), gang("g", 10, gpu=8), target_s=0.1),
        _offline("80 GPUs, 80 free behind a selector", enough_but_tainted(), selected, target_s=0.1),
        _offline("512 pods on 5,000 nodes", large, gang("g", 512, gpu=1), target_s=0.1, is_placed=True),
        _victims("80 x 1 GPU, 2,000 victims", 1, target_s=1.0),
        _victims("10 x 8 GPUs, 2,000 victims", 8, target_s=1.0),
    ]


def _with(one: Pod, words: dict[str, str]) -> Pod:
    return pod(one.name, of=one.shape, annotations={**dict(one.annotations), **words})


def _selecting(one: Pod) -> Pod:
    return replace(one, shape=replace(one.shape, node_selector=(("pool", "mine"),)))


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from the creation of the gang's last pod until the API server shows the verdict."""

    gang: int
    seconds: figures.Spread
    target_s: float
    messages: tuple[str, ...]


async def live(runs: int) -> Live:
    """A running scheduler, 500 nodes with seven free GPUs, a fresh gang of 80 each time."""
    async with control_plane() as control:
        await control.namespace(NAMESPACE)
        names = await control.nodes(NODES)
        held = [
            (pods_path(NAMESPACE), _body(f"held-{i:03}", 7 if i < 7 else 8, node_name=name))
            for i, name in enumerate(names)
        ]
        await control.create(held)
        launcher = Launcher(control.cluster, figures.FOLDER / "verdict-logs")
        async with launcher.started("stowplan"):
            told = [await _told(control, f"gang{run}") for run in range(runs + 1)]
    # The first one waits for the scheduler to start.
    times = [seconds for seconds, _ in told[1:]]
    return Live(
        gang=80,
        seconds=figures.spread(times),
        target_s=0.25,
        messages=tuple(sorted({text for _, text in told[1:]})),
    )


async def _told(control: Control, name: str) -> tuple[float, str]:
    """Create a gang and wait for its verdict; then delete it."""
    found = await control.api.get(pods_path(NAMESPACE), _List)
    created: list[float] = []
    words = {"stowplan.dev/gang": name, "stowplan.dev/gang-min-member": "80"}
    params = {
        "watch": "true",
        "resourceVersion": found.metadata.resource_version,
        "timeoutSeconds": "60",
    }
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_verdict(control, params, name))
        bodies = [(pods_path(NAMESPACE), _body(f"{name}-{i:02}", 1, words=words)) for i in range(80)]
        await control.create(bodies, done=lambda: created.append(time.monotonic()))
        seen_s, message = await watching
    selector = {"gracePeriodSeconds": "0", "labelSelector": "role=waiting"}
    await control.api.request("DELETE", pods_path(NAMESPACE), params=selector, timeout_s=30.0)
    return max(0.0, seen_s - created[-1]), message


async def _verdict(control: Control, params: dict[str, str], name: str) -> tuple[float, str]:
    stream = control.api.stream_batches(pods_path(NAMESPACE), params=params, read_timeout_s=70.0)
    async with aclosing(stream):
        async for lines in stream:
            now_s = time.monotonic()
            for line in lines:
                one = msgspec.json.decode(line, type=_Event).object
                for condition in one.status.conditions or ():
                    is_told = condition.type == "PodScheduled" and "nvidia.com/gpu" in condition.message
                    if is_told and one.metadata.name.startswith(name):
                        return now_s, condition.message
    raise BenchmarkFailed(f"no verdict for {name} within a minute")


class _Condition(msgspec.Struct):
    type: str = ""
    message: str = ""


class _Status(msgspec.Struct, frozen=True):
    conditions: list[_Condition] | None = None


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    resource_version: str = ""


class _Pod(msgspec.Struct):
    metadata: _Metadata
    status: _Status = _Status()


class _Event(msgspec.Struct):
    object: _Pod


class _List(msgspec.Struct):
    metadata: _Metadata


def _body(name: str, gpus: int, *, node_name: str = "", words: dict[str, str] | None = None) -> bytes:
    resources = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"nvidia.com/gpu": str(gpus)}}
    spec: dict[str, object] = {
        "schedulerName": SCHEDULER_NAME["stowplan"],
        "containers": [{"name": "main", "image": "none", "resources": resources}],
    }
    if node_name:
        spec["nodeName"] = node_name
    labels = {"role": "held" if node_name else "waiting"}
    metadata = {"name": name, "labels": labels, "annotations": words or {}}
    return msgspec.json.encode({"metadata": metadata, "spec": spec})


def _show(cases: list[Case], told: Live) -> None:
    table = Table(title="how fast 'cannot fit' is proven")
    for heading in ("case", "median s", "p99 s", "target s", "answer"):
        table.add_column(heading)
    for case in cases:
        spread = case.seconds
        table.add_row(case.name, f"{spread.median:.4f}", f"{spread.p99:.4f}", f"{case.target_s}", case.answer)
    spread = told.seconds
    table.add_row(
        "told on the API server", f"{spread.median:.3f}", f"{spread.p99:.3f}", f"{told.target_s}", "condition"
    )
    console.print(table)


def main() -> int:
    """0 when every target is met, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="verdicts timed on the API server")
    runs = parser.parse_args().runs
    cases = offline()
    told = carried_out(live(runs))
    report = {
        "machine": figures.machine(),
        "versions": figures.versions(),
        "planning": cases,
        "live": told,
    }
    path = figures.write("verdict.json", report)
    _show(cases, told)
    console.print(f"written to {path}")
    met = all(c.seconds.median <= c.target_s for c in cases) and told.seconds.median <= told.target_s
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
