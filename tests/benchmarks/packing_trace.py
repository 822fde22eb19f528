"""The Alibaba 2023 GPU-sharing trace, its published arrival orders, and the metric of the FGD experiment."""

from __future__ import annotations

import csv
import gzip
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from binpacking.devices import WHOLE, DeviceNodes, Mix, Shape, observed
from binpacking.sharing import Sharing

TRACES: Final = Path(__file__).resolve().parents[3] / "shared" / "traces" / "fgd-openb"
NODES: Final = "openb_node_list_gpu_node.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """nodes in file order; shapes: the distinct pods; arrivals: per seed int64[P], each pod's shape."""

    name: str
    nodes: DeviceNodes
    shapes: tuple[Shape, ...]
    mix: Mix
    arrivals: tuple[NDArray[np.int64], ...]

    @property
    def capacity(self) -> int:
        """GPU milli of the whole cluster."""
        return int(self.nodes.gpus.sum()) * WHOLE

    def arrived(self, seed: int) -> NDArray[np.float64]:
        """float64[P]: GPU demand of the pods up to each one, in % of capacity."""
        totals = np.array([shape.total for shape in self.shapes], dtype=np.int64)
        return 100.0 * np.cumsum(totals[self.arrivals[seed]]) / self.capacity

    def headline(self, seed: int) -> NDArray[np.bool_]:
        """bool[P]: the pods over which the value at 100 % arrival is the mean."""
        during: NDArray[np.bool_] = np.round(self.arrived(seed)) == 100
        return during


def load(name: str, pods: Path, order: Path, nodes: Path) -> Trace:
    """Read a trace in the format of the data's README. Raises OSError, KeyError or ValueError."""
    rows = _read(nodes)
    models = {model: i for i, model in enumerate(sorted({row["model"] for row in rows}))}
    cluster = DeviceNodes(
        cpu=np.array([int(row["cpu_milli"]) for row in rows], dtype=np.int64),
        memory=np.array([int(row["memory_mib"]) for row in rows], dtype=np.int64),
        gpus=np.array([int(row["gpu"]) for row in rows], dtype=np.int64),
        model=np.array([models[row["model"]] for row in rows], dtype=np.int32),
    )
    known: dict[Shape, int] = {}
    kinds = [known.setdefault(_shape(row, models), len(known)) for row in _read(pods)]
    shapes, pod_kinds = tuple(known), np.array(kinds, dtype=np.int64)
    return Trace(
        name=name,
        nodes=cluster,
        shapes=shapes,
        mix=observed(shapes, kinds),
        arrivals=tuple(pod_kinds[column] for column in _columns(order)),
    )


def published(name: str) -> Trace:
    """One of the published traces, by the name of its pod list."""
    pods, order = TRACES / "pods" / f"openb_pod_list_{name}.csv", TRACES / "arrival_order"
    return load(name, pods, order / f"order_{name}.csv.gz", TRACES / NODES)


def published_names() -> list[str]:
    """Every trace that has a pod list."""
    return sorted(p.stem.removeprefix("openb_pod_list_") for p in (TRACES / "pods").glob("*.csv"))


def shuffled(nodes: DeviceNodes, seed: int) -> DeviceNodes:
    """The same nodes in another order, as if they had other names."""
    order = np.random.default_rng(seed).permutation(len(nodes))
    return DeviceNodes(
        cpu=nodes.cpu[order], memory=nodes.memory[order], gpus=nodes.gpus[order], model=nodes.model[order]
    )


def run(trace: Trace, seed: int, cluster: Sharing) -> float:
    """Unallocated GPU % at 100 % arrival: pods come once, in order, and never leave."""
    counts = trace.headline(seed)
    last = int(np.flatnonzero(counts)[-1])
    allocated, values = 0, []
    for position, kind in enumerate(trace.arrivals[seed][: last + 1].tolist()):
        if cluster.place(kind) is not None:
            allocated += trace.shapes[kind].total
        if counts[position]:
            values.append(allocated)
    return 100.0 - 100.0 * float(np.mean(values)) / trace.capacity


def _shape(row: dict[str, str], models: dict[str, int]) -> Shape:
    gpus = int(row["num_gpu"])
    spec = row.get("gpu_spec") or ""
    named = frozenset(models[m] for m in spec.split("|") if m in models) if spec else None
    return Shape(
        cpu=int(row["cpu_milli"]),
        memory=int(row["memory_mib"]),
        gpus=gpus,
        milli=int(row["gpu_milli"]) if gpus else 0,
        models=named,
    )


def _read(path: Path) -> list[dict[str, str]]:
    raw = path.read_bytes()
    text = gzip.decompress(raw) if path.suffix == ".gz" else raw
    return list(csv.DictReader(io.StringIO(text.decode())))


def _columns(path: Path) -> list[NDArray[np.int64]]:
    """One array of pod rows per seed column; a blank cell ends a column."""
    rows = _read(path)
    seeds = [name for name in (rows[0] if rows else {}) if name != "pos"]
    return [np.array([int(row[s]) for row in rows if row[s]], dtype=np.int64) for s in seeds]
