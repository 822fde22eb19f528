"""The configuration LP behind ``floor``: patterns of single GPUs, node kinds, and the first drop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import gcd, inf

import numpy as np
from numpy.typing import NDArray

from binpacking.devices import WHOLE, DeviceNodes, Shape
from binpacking.knapsack import Knapsacks, knapsacks
from binpacking.lp import LinearProgramme
from binpacking.problem import BrokenInvariant, require

Entries = list[tuple[int, float]]

ROUNDS_MAX = 2_000
#: Reduced gains below this end column generation; what they could still add is added to the bound.
TOLERANCE = 1e-7
#: What an LP pays to break a rule: so much that it only does where no solution keeps it.
PENALTY = -100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Nodes of one model and number of GPUs: sums over them, and the least CPU and memory of one."""

    model: int
    nodes: int
    gpus: int
    cpu: int
    memory: int
    least_cpu: int
    least_memory: int


@dataclass(slots=True)
class _Area:
    """Devices that follow the same rules. must_use: milli that pods before the drop use on each, at least."""

    gpu_row: int
    devices: int
    must_use: int
    shapes: list[int] = field(default_factory=list)
    is_before: list[bool] = field(default_factory=list)
    entries: list[Entries] = field(default_factory=list)
    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    amounts: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    milli: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    size: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    before: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """The pods of which one is dropped first: any model, at most this of one device, of CPU and of memory.

    milli: 1 to 1000. Pods that ask no GPU are among them.
    """

    milli: int
    cpu: int
    memory: int

    def __post_init__(self) -> None:
        require(0 < self.milli <= WHOLE, f"marked.milli is {self.milli}, from 1 to {WHOLE}")

    def holds(self, shape: Shape) -> bool:
        """Whether the shape is one of them."""
        is_alike = shape.gpus <= 1 and shape.milli <= self.milli and shape.models is None
        return is_alike and shape.cpu <= self.cpu and shape.memory <= self.memory


class FloorModel:
    """One LP whose demand can be changed. With ``is_dropped`` a marked pod is dropped at some moment."""

    def __init__(
        self, nodes: DeviceNodes, shapes: Sequence[Shape], marked: Marked | None, *, is_dropped: bool
    ) -> None:
        self._shapes = tuple(shapes)
        self._marked = marked
        self.is_marked = np.array([marked is not None and marked.holds(s) for s in shapes], dtype=np.bool_)
        self._programme = LinearProgramme()
        self._step = gcd(WHOLE, *(s.milli for s in shapes if s.is_fraction))
        self._sizes = np.unique([s.milli // self._step for s in shapes if s.is_fraction]).astype(np.int64)
        kinds = node_kinds(nodes)
        self._cpu_unit = max(max((k.cpu / k.nodes for k in kinds), default=1.0), 1.0)
        self._memory_unit = max(max((k.memory / k.nodes for k in kinds), default=1.0), 1.0)
        self._before = [self._programme.row(-inf, 0.0) for _ in shapes]
        self._after = [self._programme.row(-inf, 0.0) for _ in shapes] if is_dropped else []
        self._ever = [self._programme.row(-inf, 0.0) for _ in shapes] if is_dropped else []
        for index in np.flatnonzero(self.is_marked).tolist():
            self._programme.column(PENALTY, [(self._before[index], 1.0)])
        self._areas: list[_Area] = []
        for kind in kinds:
            if is_dropped and marked is not None:
                self._add_dropped(kind, marked)
            else:
                self._add_plain(kind)
        self._seen: set[tuple[int, tuple[tuple[int, int], ...]]] = set()
        self._devices = sum(kind.gpus * kind.nodes for kind in kinds)
        self._seal()

    def most(self, early: NDArray[np.float64], late: NDArray[np.float64], end: NDArray[np.float64]) -> float:
        """A bound on GPU milli when ``end`` has come and the first drop lay between ``early`` and ``late``.

        Each is float64[T], pods of each shape. Without a drop all three are the same.
        """
        for index, is_marked in enumerate(self.is_marked.tolist()):
            self._programme.bound(
                self._before[index], float(early[index]) if is_marked else -inf, late[index]
            )
            if self._after:
                self._programme.bound(self._after[index], -inf, float(end[index] - early[index]))
                self._programme.bound(self._ever[index], -inf, float(end[index]))
        for _ in range(ROUNDS_MAX):
            value = self._programme.solve()
            if value is None:
                raise BrokenInvariant("the floor's LP has no solution, though paying penalties is one")
            missed = self._add_patterns(self._programme.duals())
            if missed <= TOLERANCE * self._devices:
                return (value + missed) * WHOLE
        raise BrokenInvariant(f"column generation did not end in {ROUNDS_MAX} rounds")

    def _add_plain(self, kind: Kind) -> None:
        """Everything that arrived may be anywhere."""
        gpu = self._programme.row(-inf, float(kind.gpus * kind.nodes))
        area = _Area(gpu, kind.gpus * kind.nodes, 0)
        cpu, memory = self._totals(kind)
        for index, uses in self._suitable(kind, cpu, memory):
            self._serve(area, index, [(self._before[index], 1.0), *uses], is_before=True)
        self._areas.append(area)

    def _add_dropped(self, kind: Kind, marked: Marked) -> None:
        """Three areas: closed to the marked pod at the first drop, short of CPU for it, short of memory."""
        row = self._programme.row
        cpu, memory = self._totals(kind)
        nodes = row(-inf, float(kind.nodes))
        whole = float(kind.gpus * kind.nodes)
        closed = _Area(row(whole, whole), kind.gpus * kind.nodes, WHOLE - marked.milli + 1)
        self._programme.column(PENALTY, [(closed.gpu_row, 1.0)])
        for index, uses in self._suitable(kind, cpu, memory):
            before = [(self._before[index], 1.0), (self._ever[index], 1.0), *uses]
            self._serve(closed, index, before, is_before=True)
            if _size(self._shapes[index]) < marked.milli:
                after = [(self._after[index], 1.0), (self._ever[index], 1.0), *uses]
                self._serve(closed, index, after, is_before=False)
        self._areas.append(closed)
        for which, (least, asked, unit) in enumerate(
            (
                (kind.least_cpu, marked.cpu, self._cpu_unit),
                (kind.least_memory, marked.memory, self._memory_unit),
            )
        ):
            short = _Area(row(-inf, 0.0), kind.gpus * kind.nodes, 0)
            used, left = row(0.0, inf), row(-inf, 0.0)
            gpus = float(kind.gpus)
            entries = [(nodes, 1.0), (closed.gpu_row, gpus), (short.gpu_row, -gpus)]
            entries += [(used, -max(least - asked, 0) / unit), (left, -asked / unit)]
            self._programme.column(0.0, entries)
            for index, uses in self._suitable(kind, cpu, memory):
                amount = uses[which][1]
                before = [(self._before[index], 1.0), (self._ever[index], 1.0), *uses, (used, amount)]
                after = [(self._after[index], 1.0), (self._ever[index], 1.0), *uses, (left, amount)]
                self._serve(short, index, before, is_before=True)
                if (self._shapes[index].cpu, self._shapes[index].memory)[which] < asked:
                    # What is free is less than the dropped pod asked: no later pod that asks as much fits.
                    self._serve(short, index, after, is_before=False)
            self._areas.append(short)

    def _totals(self, kind: Kind) -> tuple[int, int]:
        cpu = self._programme.row(-inf, kind.cpu / self._cpu_unit)
        return cpu, self._programme.row(-inf, kind.memory / self._memory_unit)

    def _suitable(self, kind: Kind, cpu: int, memory: int) -> list[tuple[int, Entries]]:
        """Shapes that may use the kind, with what one pod uses of its CPU and memory."""
        return [
            (index, [(cpu, shape.cpu / self._cpu_unit), (memory, shape.memory / self._memory_unit)])
            for index, shape in enumerate(self._shapes)
            if (shape.models is None or kind.model in shape.models) and shape.gpus <= kind.gpus
        ]

    def _serve(self, area: _Area, index: int, entries: Entries, *, is_before: bool) -> None:
        """One way to serve the shape: in patterns if it shares a device, else as a column of its own."""
        shape = self._shapes[index]
        if shape.is_fraction:
            area.shapes.append(index)
            area.is_before.append(is_before)
            area.entries.append(entries)
        else:
            devices = [(area.gpu_row, float(shape.gpus))] if shape.gpus else []
            self._programme.column(shape.total / WHOLE, [*entries, *devices])

    def _seal(self) -> None:
        """The areas' items as arrays, for pricing."""
        for area in self._areas:
            width = max(map(len, area.entries), default=0)
            area.rows = np.zeros((len(area.entries), width), dtype=np.int64)
            area.amounts = np.zeros((len(area.entries), width))
            for i, entries in enumerate(area.entries):
                for j, (row, amount) in enumerate(entries):
                    area.rows[i, j], area.amounts[i, j] = row, amount
            area.milli = np.array([self._shapes[s].milli for s in area.shapes], dtype=np.int64)
            area.size = np.searchsorted(self._sizes, area.milli // self._step)
            area.before = np.array(area.is_before, dtype=np.bool_)

    def _add_patterns(self, duals: NDArray[np.float64]) -> float:
        """Add each area's best pattern; returns what all devices could still gain at these prices."""
        missed = 0.0
        for number, (gain, pattern) in enumerate(self._best_patterns(duals)):
            area = self._areas[number]
            reduced = gain - float(duals[area.gpu_row])
            if area.devices and reduced > TOLERANCE / 10:
                missed += reduced * area.devices
                self._add_pattern(number, area, pattern())
        return missed

    def _best_patterns(
        self, duals: NDArray[np.float64]
    ) -> Iterator[tuple[float, Callable[[], Counter[int]]]]:
        """Per area the gain of its best pattern, and the pattern when asked for: items and how often."""
        capacity = WHOLE // self._step
        before = [self._best_of_sizes(area, duals, is_before=True) for area in self._areas]
        after = [self._best_of_sizes(area, duals, is_before=False) for area in self._areas]
        first = np.stack([gains for gains, _ in before])
        then = np.stack([gains for gains, _ in after])
        exact = knapsacks(self._sizes, first, capacity, is_exact=True)
        rest = knapsacks(self._sizes, then, capacity)
        any_time = knapsacks(self._sizes, np.maximum(first, then), capacity)
        for number, area in enumerate(self._areas):
            items = (before[number][1], after[number][1])
            if area.must_use:
                yield self._closed_pattern(number, area, exact, rest, items)
                continue
            best = np.where(first[number] >= then[number], *items)
            found = partial(any_time.pattern, number, capacity)
            yield float(any_time.best[number, capacity]), partial(_named, found, best)

    def _closed_pattern(
        self,
        number: int,
        area: _Area,
        exact: Knapsacks,
        rest: Knapsacks,
        items: tuple[NDArray[np.int64], NDArray[np.int64]],
    ) -> tuple[float, Callable[[], Counter[int]]]:
        """Pods before the drop that use enough of the device, exactly so much, and later ones beside them."""
        capacity = WHOLE // self._step
        least = -(-area.must_use // self._step)
        totals = exact.best[number, least:] + rest.best[number, : capacity + 1 - least][::-1]
        used = least + int(totals.argmax())

        def pattern() -> Counter[int]:
            both = _named(partial(exact.pattern, number, used), items[0])
            both.update(_named(partial(rest.pattern, number, capacity - used), items[1]))
            return both

        return float(totals.max()), pattern

    def _best_of_sizes(
        self, area: _Area, duals: NDArray[np.float64], *, is_before: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """float64[S], int64[S]: per size the most gain of an item, minus infinity without, and the item."""
        gains = np.full(len(self._sizes), -np.inf)
        items = np.full(len(self._sizes), -1, dtype=np.int64)
        if len(area.milli):
            value = area.milli / WHOLE - (duals[area.rows] * area.amounts).sum(axis=1)
            among = np.flatnonzero(area.before == is_before)
            among = among[np.lexsort((value[among], area.size[among]))]
            # Of items of one size the last one written is the best.
            gains[area.size[among]] = value[among]
            items[area.size[among]] = among
        return gains, items

    def _add_pattern(self, number: int, area: _Area, pattern: Counter[int]) -> None:
        key = (number, tuple(sorted(pattern.items())))
        if key in self._seen:
            return
        self._seen.add(key)
        total: dict[int, float] = {area.gpu_row: 1.0}
        for item, count in pattern.items():
            for row, amount in area.entries[item]:
                total[row] = total.get(row, 0.0) + count * amount
        gain = sum(int(area.milli[item]) * count for item, count in pattern.items()) / WHOLE
        self._programme.column(gain, list(total.items()))


def node_kinds(nodes: DeviceNodes) -> list[Kind]:
    """Nodes grouped by model, GPUs, CPU and memory, or where that makes too many kinds by the first two."""
    full = np.stack([nodes.model.astype(np.int64), nodes.gpus, nodes.cpu, nodes.memory], axis=1)
    group = np.unique(full, axis=0, return_inverse=True)[1].reshape(-1)
    if int(group.max(initial=-1)) >= KINDS_MAX:
        group = np.unique(full[:, :2], axis=0, return_inverse=True)[1].reshape(-1)
    kinds = []
    for index in range(int(group.max(initial=-1)) + 1):
        rows = np.flatnonzero(group == index)
        kinds.append(
            Kind(
                model=int(nodes.model[rows[0]]),
                nodes=len(rows),
                gpus=int(nodes.gpus[rows[0]]),
                cpu=int(nodes.cpu[rows].sum()),
                memory=int(nodes.memory[rows].sum()),
                least_cpu=int(nodes.cpu[rows].min()),
                least_memory=int(nodes.memory[rows].min()),
            )
        )
    return kinds


#: More distinct node kinds than this are merged by model and GPUs, which only weakens the bound.
KINDS_MAX = 40


def _size(shape: Shape) -> int:
    """Milli that the shape needs free on one device."""
    return shape.milli if shape.gpus else 0


def _named(pattern: Callable[[], Counter[int]], items: NDArray[np.int64]) -> Counter[int]:
    """A pattern of sizes as a pattern of items."""
    return Counter({int(items[size]): count for size, count in pattern().items()})
