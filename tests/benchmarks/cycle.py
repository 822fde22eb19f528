"""``python -m tests.benchmarks.cycle``: a cycle on a full cluster, while much waits and nothing changes.

Through ``ClusterState`` and ``Cycles`` as the live loop runs them: snapshot, plan, admission, what is
remembered, and what has been partly bound for too long. Prints JSON: the median of
some cycles, and their largest.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from typing import Final

import msgspec

from scheduler.cycles import Cycles
from scheduler.gangs.healing import Healing
from scheduler.model.objects import Pod, Shape
from scheduler.model.plan import Budget, Plan, Policy
from scheduler.state import ClusterState
from tests.builders import gang, node, pod, shape

NODES: Final = 64
WAITING: Final = 10_000
SHAPES: Final = 1_000
CYCLES: Final = 20
BUDGET_S: Final = 0.1
#: Cycles after which all that waits has had its turn, at most.
SETTLES_IN: Final = 50


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    nodes: int
    waiting: int
    shapes: int
    wall_s: float
    worst_s: float
    #: Of the process; what others on the machine do stretches the rest.
    cpu_s: float
    budget_s: float
    rss_mib: float


def world(waiting: int, shapes: int) -> ClusterState:
    """Full nodes, and gangs of two and single pods in turn, of so many shapes, none of which fits."""
    state = ClusterState("stowplan")
    for i in range(NODES):
        state.set_node(node(f"n{i:03}"))
        state.set_pod(pod(f"runs-{i}", gpu=8, node=f"n{i:03}", phase="Running"))
    known = [shape(gpu=1 + i % 8, cpu=1_000 + i) for i in range(shapes)]
    for i in range(waiting):
        for one in _asks(i, known[i % shapes]):
            state.set_pod(one)
    return state


def _asks(number: int, of: Shape) -> Iterator[Pod]:
    at_s = float(number)
    if number % 2:
        yield pod(f"single-{number}", of=of, created_s=at_s)
    else:
        yield from gang(f"gang-{number}", 2, of=of, created_s=at_s)


def measured(waiting: int = WAITING, shapes: int = SHAPES, cycles: int = CYCLES) -> Measured:
    """Raises: RuntimeError where a gang is placed, or is left open for ever."""
    one = _Loop(world(waiting, shapes))
    for _ in range(SETTLES_IN):
        planned = one.cycle()
        if planned.places:
            raise RuntimeError("the cluster is not full: something was placed")
        if not planned.left_open:
            break
    else:
        raise RuntimeError("there are gangs that no cycle has tried")
    one.cycle()
    times: list[float] = []
    cpu: list[float] = []
    for _ in range(cycles):
        begun_s, worked_s = time.perf_counter(), time.process_time()
        one.cycle()
        times.append(time.perf_counter() - begun_s)
        cpu.append(time.process_time() - worked_s)
    return Measured(
        nodes=NODES,
        waiting=waiting,
        shapes=shapes,
        wall_s=round(statistics.median(times), 4),
        worst_s=round(max(times), 4),
        cpu_s=round(statistics.median(cpu), 4),
        budget_s=BUDGET_S,
        rss_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )


class _Loop:
    def __init__(self, state: ClusterState) -> None:
        self._cycles = Cycles(state, policy=Policy(), budget=Budget(), healing=Healing())
        self._now_s = 0.0

    def cycle(self) -> Plan:
        self._now_s += 1.0
        begun = self._cycles.begin(self._now_s, self._now_s)
        planned = begun.plan()
        self._cycles.admit(planned.places, lambda key: False)
        self._cycles.remember(begun, planned)
        self._cycles.overdue(self._now_s, lambda key: False)
        self._cycles.due_s(self._now_s)
        return planned


def main() -> int:
    argparse.ArgumentParser(prog="python -m tests.benchmarks.cycle", description=__doc__).parse_args()
    print(msgspec.json.encode(measured()).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
