"""``python -m tests.benchmarks.in_process``: what the state costs, without the shell around it.

Lists the cluster's nodes and pods, page by page as a reflector does, through the same decoder, view, parser
and feed into a ClusterState of this process; then times snapshots and plans. Prints one JSON object.
A process of its own, so that its memory is nobody else's.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

from scheduler.kube import wire
from scheduler.kube.decoding import HasMetadata, ObjectDecoder, Undecodable
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.reflector import Timing
from scheduler.kube.transport import Transport
from scheduler.kube.view import Ref, View
from scheduler.live.config import SchedulerConfiguration
from scheduler.live.feeds import Feed, NodeFeed, PodFeed
from scheduler.model.objects import Rejected
from scheduler.model.plan import Budget, Plan
from scheduler.parse.pod import parse_pod
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.benchmarks.control import GPUS_A_NODE, BenchmarkFailed
from tests.benchmarks.figures import Spread, spread
from tests.benchmarks.population import pending_gang

T = TypeVar("T", bound=HasMetadata)

CHANGED: Final = 1_000
REPEATS: Final = 20
WIDE_GANG: Final = 512
LINES: Final = 2_000
SEED: Final = 7
PAGE: Final = Timing().page
LIST_TIMEOUT_S: Final = 60.0
_KIB: Final = 1_024


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """``*_us`` are CPU microseconds a pod; ``*_ms`` milliseconds by the clock; memory is resident."""

    nodes: int
    pods: int
    bytes_a_pod: int
    list_decode_us: float
    list_parse_us: float
    watch_decode_us: float
    kib_held_a_pod: float
    rss_mib: float
    apply_ms: Spread
    snapshot_ms: Spread
    plan_ms: Spread


class _Loading(Generic[T]):
    """A sink that also keeps the UIDs it has seen."""

    def __init__(self, feed: Feed[T]) -> None:
        self._feed = feed
        self.uids: list[str] = []

    def put(self, objects: Sequence[T]) -> None:
        self._feed.put(objects)
        self.uids += [found.metadata.uid for found in objects]

    def gone(self, refs: Sequence[Ref]) -> None:
        self._feed.gone(refs)

    def odd(self, objects: Sequence[Undecodable]) -> None:
        raise BenchmarkFailed(f"{len(objects)} objects do not decode, the first: {objects[0]}")


class Loaded:
    """What listing one type cost: CPU seconds of decoding, and of view, parser and state."""

    def __init__(self) -> None:
        self.objects = 0
        self.size = 0
        self.decode_s = 0.0
        self.parse_s = 0.0


async def load(api: Transport, path: str, decoder: ObjectDecoder[T], view: View[T]) -> Loaded:
    """List everything into the view, as a reflector does."""
    loaded, token = Loaded(), ""
    while True:
        params = {"limit": str(PAGE)} | ({"continue": token} if token else {})
        answer = await api.request("GET", path, params=params, timeout_s=LIST_TIMEOUT_S)
        begun_s = time.thread_time()
        page = decoder.page(answer)
        decoded_s = time.thread_time()
        if not token:
            view.open_list(page.version)
        view.add_page(page.items)
        loaded.parse_s += time.thread_time() - decoded_s
        loaded.decode_s += decoded_s - begun_s
        loaded.objects += len(page.items)
        loaded.size += len(answer)
        token = page.token
        if not token:
            view.close_list()
            return loaded


async def watch_decode_s(api: Transport, decoder: ObjectDecoder[wire.Pod]) -> float:
    """CPU seconds a pod, decoding the lines of a watch."""
    lines: list[bytes] = []
    params = {"limit": str(PAGE)}
    while len(lines) < LINES:
        answer = await api.request("GET", "/api/v1/pods", params=params, timeout_s=LIST_TIMEOUT_S)
        page = msgspec.json.decode(answer, type=_Page)
        lines += [b'{"type":"MODIFIED","object":' + bytes(item) + b"}" for item in page.items]
        if not page.metadata.token:
            break
        params["continue"] = page.metadata.token
    begun_s = time.thread_time()
    for line in lines:
        decoder.event(line)
    return (time.thread_time() - begun_s) / len(lines)


class _PageMetadata(msgspec.Struct, frozen=True):
    token: str = msgspec.field(name="continue", default="")


class _Page(msgspec.Struct, frozen=True):
    metadata: _PageMetadata
    items: tuple[msgspec.Raw, ...]


async def costs(api: Transport) -> Costs:
    """Load the cluster and measure."""
    state = ClusterState("stowplan")
    pods = _Loading(PodFeed(state, lambda uid, pod: None, lambda key: None))
    nodes = await load(api, "/api/v1/nodes", ObjectDecoder(wire.Node), View(_Loading(NodeFeed(state))))
    decoder = ObjectDecoder(wire.Pod)
    view = View(pods)
    before_kib = rss_kib()
    loaded = await load(api, "/api/v1/pods", decoder, view)
    held_kib = rss_kib() - before_kib
    watch_s = await watch_decode_s(api, decoder)
    add_pending_gang(state)
    applied, taken, planned = zip(*cycles(state, pods.uids), strict=True)
    return Costs(
        nodes=nodes.objects,
        pods=loaded.objects,
        bytes_a_pod=loaded.size // loaded.objects,
        list_decode_us=round(1e6 * loaded.decode_s / loaded.objects, 1),
        list_parse_us=round(1e6 * loaded.parse_s / loaded.objects, 1),
        watch_decode_us=round(1e6 * watch_s, 1),
        kib_held_a_pod=round(held_kib / loaded.objects, 2),
        rss_mib=round(rss_kib() / _KIB, 1),
        apply_ms=_ms(applied),
        snapshot_ms=_ms(taken),
        plan_ms=_ms(planned),
    )


def add_pending_gang(state: ClusterState) -> None:
    """A gang of ``WIDE_GANG`` whole-node pods that waits. Raises BenchmarkFailed if it is refused."""
    for body in pending_gang(WIDE_GANG, GPUS_A_NODE):
        pod = parse_pod(msgspec.json.decode(body, type=wire.Pod))
        if isinstance(pod, Rejected):
            raise BenchmarkFailed(f"the gang is refused: {pod.reason}")
        state.set_pod(pod)


def cycles(state: ClusterState, uids: Sequence[str]) -> Iterator[tuple[float, float, float]]:
    """Seconds to apply ``CHANGED`` changes, to take the snapshot after them, and to plan on it.

    Pods end and come back; policy and budget are the shipped ones.
    """
    config = SchedulerConfiguration().policy
    policy = config.as_policy()
    budget = Budget(per_gang=config.solver.per_gang, total=config.solver.total)
    state.snapshot()
    rng = random.Random(SEED)
    count = min(CHANGED, len(uids))
    for _ in range(REPEATS):
        chosen = [pod for pod in map(state.pod, rng.sample(uids, count)) if pod is not None]
        changed = [replace(p, phase="Pending" if p.phase == "Succeeded" else "Succeeded") for p in chosen]
        begun_s = time.perf_counter()
        for pod in changed:
            state.set_pod(pod)
        applied_s = time.perf_counter()
        snapshot = state.snapshot()
        taken_s = time.perf_counter()
        found = plan(snapshot, policy, budget)
        yield applied_s - begun_s, taken_s - applied_s, time.perf_counter() - taken_s
        _check(found)


def _check(found: Plan) -> None:
    sizes = [len(place.assignments) for place in found.places]
    if sizes.count(WIDE_GANG) != 1:
        told = [verdict.message for verdict in found.verdicts][:1]
        raise BenchmarkFailed(f"the gang of {WIDE_GANG} was not placed: {told}")


def rss_kib() -> int:
    """Resident set of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise BenchmarkFailed("/proc/self/status has no VmRSS")


def _ms(seconds: Sequence[float]) -> Spread:
    return spread([1_000 * one for one in seconds])


async def _measure(kubeconfig: Path) -> Costs:
    async with Transport(Endpoint.from_kubeconfig(kubeconfig), user_agent="bench") as api:
        return await costs(api)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.in_process", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    print(msgspec.json.encode(asyncio.run(_measure(parser.parse_args().kubeconfig))).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
