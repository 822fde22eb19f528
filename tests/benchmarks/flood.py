"""``python -m tests.benchmarks.flood``: what one tenant's flood costs another tenant's gang.

50,000 waiting pods of one tenant in 10,000 shapes, some with affinity, on 1,000 nodes that are nearly full;
then a gang of another tenant comes that fits. Measured on the core as the live loop drives it: the longest
time that anything holds the event loop, how long a cycle takes, and after how many cycles and seconds the
gang is placed, beside the same without the flood. Writes build/bench/flood.json.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from scheduler.cycles import Cycle, Cycles
from scheduler.gangs.healing import Healing
from scheduler.model.objects import Pod, Shape
from scheduler.model.plan import Budget, Plan, Policy
from scheduler.model.selection import NodeTerm, PodTerm, Requirement, Selector
from scheduler.state import ClusterState
from tests.builders import GIB, gang, node, pod, shape

OUT: Final = Path("build/bench/flood.json")
#: As many objects as the reflector hands over at a time.
SLICE: Final = 250
ZONE: Final = "topology.kubernetes.io/zone"
VALUE: Final = "x" * 4_000
CYCLES_MAX: Final = 2_000

T = TypeVar("T")


@dataclass
class Held:
    """How long the event loop was held, in seconds, by what."""

    most_s: dict[str, float] = field(default_factory=dict)

    def hold(self, what: str, call: Callable[[], T]) -> T:
        begun_s = time.perf_counter()
        found = call()
        took_s = time.perf_counter() - begun_s
        self.most_s[what] = max(self.most_s.get(what, 0.0), took_s)
        return found


@dataclass
class Bench:
    nodes: int
    held: Held = field(default_factory=Held)
    at_s: float = 0.0
    plan_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = ClusterState("stowplan")
        self.cycles = Cycles(self.state, policy=Policy(), budget=Budget(), healing=Healing())
        for i in range(self.nodes):
            self.state.set_node(node(f"n{i}", labels={ZONE: f"z{i % 10}"}))
            # One GPU of each node is free.
            self.state.set_pod(pod(f"busy{i}", gpu=7, node=f"n{i}", phase="Running", namespace="busy"))

    def feed(self, pods: Sequence[Pod]) -> None:
        for first in range(0, len(pods), SLICE):
            self.held.hold("events", partial(self._take, pods[first : first + SLICE]))

    def _take(self, pods: Sequence[Pod]) -> None:
        for one in pods:
            self.state.set_pod(one)

    def cycle(self) -> Plan:
        self.at_s += 1.0
        begun: Cycle = self.held.hold("begin", lambda: self.cycles.begin(self.at_s, self.at_s))
        started_s = time.perf_counter()
        planned = begun.plan()
        self.plan_s.append(time.perf_counter() - started_s)
        accepted, _ = self.held.hold("admit", lambda: self.cycles.admit(planned.places, lambda _: False))
        self.held.hold("remember", lambda: self.cycles.remember(begun, planned))
        for place in accepted:
            for assignment in place.assignments:
                self.state.set_pod(replace(assignment.pod, node_name=assignment.node, phase="Running"))
        return planned


def flood(count: int, shapes: int, seed: int = 1) -> Iterator[Pod]:
    """Waiting pods of one tenant, none of which fits: each asks for more GPUs than any node has free."""
    rng = random.Random(seed)
    asked = [_shape(rng, i) for i in range(shapes)]
    for i in range(count):
        labels = {"app": f"a{i % 50}", "i": str(i)}
        words = {"stowplan.dev/note": VALUE}
        yield pod(
            f"f{i}",
            of=asked[rng.randrange(shapes)],
            namespace="flood",
            labels=labels,
            annotations=words,
            created_s=float(i),
        )


def _shape(rng: random.Random, i: int) -> Shape:
    asked = shape(gpu=rng.randint(2, 8), cpu=1_000 + i, memory=GIB + i)
    match i % 4:
        case 0:
            zone = Requirement(key=ZONE, operator="In", values=(f"z{rng.randrange(10)}", f"q{i}"))
            return replace(asked, node_terms=(NodeTerm(expressions=(zone,), fields=()),))
        case 1:
            app = Selector(requirements=(Requirement(key="app", operator="In", values=(f"a{i % 50}",)),))
            term = PodTerm(
                topology_key="kubernetes.io/hostname",
                selector=app,
                namespaces=("flood",),
                namespace_selector=None,
            )
            return replace(
                asked, pod_anti_affinity=(term,), namespace="flood", labels=(("app", f"a{i % 50}"),)
            )
        case _:
            return asked


def waits(bench: Bench, size: int = 4) -> tuple[int, float]:
    """Cycles and seconds until another tenant's gang is placed, from when its pods are there."""
    bench.feed([replace(one, created_s=1e6) for one in gang("other", size, gpu=1, namespace="other")])
    begun_s = time.perf_counter()
    for count in range(1, CYCLES_MAX):
        if any(place.gang.key.namespace == "other" for place in bench.cycle().places):
            return count, time.perf_counter() - begun_s
    return CYCLES_MAX, float("inf")


def run(nodes: int, pods: int, shapes: int) -> dict[str, object]:
    alone = Bench(nodes)
    alone.cycle()
    alone_cycles, alone_s = waits(alone)
    bench = Bench(nodes)
    made = list(flood(pods, shapes))
    bench.feed(made)
    first = bench.cycle()
    cycles, took_s = waits(bench)
    while bench.cycle().left_open:
        pass
    settled_from = len(bench.plan_s)
    for _ in range(3):
        bench.cycle()
    again_cycles, again_s = waits_again(bench)
    return {
        "nodes": nodes,
        "pods": pods,
        "shapes": shapes,
        "first_cycle_left_open": first.left_open,
        "gang_alone": {"cycles": alone_cycles, "s": round(alone_s, 4)},
        "gang_in_flood": {"cycles": cycles, "s": round(took_s, 4)},
        "gang_after_flood_settled": {"cycles": again_cycles, "s": round(again_s, 4)},
        "cycles_to_settle": settled_from,
        "plan_s_most": round(max(bench.plan_s), 4),
        "plan_s_settled": round(max(bench.plan_s[settled_from : settled_from + 3]), 4),
        "loop_held_s": {name: round(took, 4) for name, took in bench.held.most_s.items()},
        "rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def waits_again(bench: Bench) -> tuple[int, float]:
    bench.feed([replace(one, created_s=2e6) for one in gang("again", 4, gpu=1, namespace="other")])
    begun_s = time.perf_counter()
    for count in range(1, CYCLES_MAX):
        if any(place.gang.key.name == "again" for place in bench.cycle().places):
            return count, time.perf_counter() - begun_s
    return CYCLES_MAX, float("inf")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.flood", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--pods", type=int, default=50_000)
    parser.add_argument("--shapes", type=int, default=10_000)
    given = parser.parse_args()
    found = run(given.nodes, given.pods, given.shapes)
    print(json.dumps(found, indent=2))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
