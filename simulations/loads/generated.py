"""Invented loads, each a name with parameters: ``poisson:jobs=500,load=0.9``. A seed is a load.

Sizes are whole gangs in GPUs, powers of two; ``load`` is the work that arrives over what the cluster could do
in the time in which it arrives. Estimates are never below the duration: owners exaggerate.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from scheduler.model.objects import CPU, GPU, Node
from simulations.loads.files import BadTrace
from simulations.workload import GPUS_MAX, PODS_MAX, Job, Workload, split, workload

JOBS_MAX = 1_000_000
Count = Annotated[int, Meta(ge=1, le=JOBS_MAX)]
Factor = Annotated[float, Meta(gt=0.0, le=100.0)]
Seconds = Annotated[float, Meta(ge=1.0, le=1e8)]


class Arriving(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What loads that arrive over time have in common.

    ``largest``: GPUs of the largest gang, ``estimate``: owners say up to this many times the duration,
    ``teams``: namespaces ``team-0`` and on, each as likely.
    """

    jobs: Count = 1_000
    load: Factor = 0.8
    mean_s: Seconds = 3_600.0
    largest: Annotated[int, Meta(ge=1, le=PODS_MAX)] = 32
    estimate: Annotated[float, Meta(ge=1.0, le=100.0)] = 2.0
    teams: Annotated[int, Meta(ge=1, le=1_000)] = 1
    seed: Annotated[int, Meta(ge=0)] = 0


class Poisson(Arriving, frozen=True):
    """Independent arrivals at one rate; lognormal durations of shape ``sigma``; small sizes are frequent."""

    sigma: Annotated[float, Meta(ge=0.0, le=5.0)] = 1.0


class Diurnal(Poisson, frozen=True):
    """As ``poisson``, at a rate that swings by ``amplitude`` around its mean over ``period_s``."""

    amplitude: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.8
    period_s: Seconds = 86_400.0


class HeavyTailed(Arriving, frozen=True):
    """Pareto durations and sizes of index ``alpha``, durations cut at ``cut`` times the mean: a few jobs are
    most of the work.
    """

    alpha: Annotated[float, Meta(gt=1.0, le=10.0)] = 1.5
    cut: Annotated[float, Meta(ge=2.0, le=1e4)] = 100.0


class Planted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Waves that fill every GPU of the empty cluster by construction: each wave's nodes are cut into pods,
    and equal pods are dealt to gangs of up to ``gang`` pods. The best possible run allocates everything.
    """

    waves: Annotated[int, Meta(ge=1, le=10_000)] = 1
    duration_s: Seconds = 3_600.0
    gang: Annotated[int, Meta(ge=1, le=PODS_MAX)] = 32
    seed: Annotated[int, Meta(ge=0)] = 0


P = TypeVar("P", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator(Generic[P]):
    """``jobs`` makes the jobs for a cluster from the parameters."""

    name: str
    parameters: type[P]
    jobs: Callable[[P, Sequence[Node]], Iterator[Job]]

    def make(self, said: str, nodes: Sequence[Node], seed: int | None = None) -> Workload:
        """The workload of ``key=value,...``; ``seed`` overrides the one said. Raises: BadTrace."""
        values: dict[str, object] = dict(self._pairs(said))
        if seed is not None:
            values["seed"] = seed
        try:
            found = msgspec.convert(values, self.parameters, strict=False)
        except msgspec.ValidationError as error:
            expected, _, field = str(error).partition(" - at `$.")
            known = ", ".join(self.parameters.__struct_fields__)
            where = f"parameter {field.strip('`')}: " if field else ""
            raise BadTrace(f"{self.name}: {where}{expected}; there are {known}") from error
        if not any(node.allocatable.get(GPU, 0) for node in nodes):
            raise BadTrace(f"{self.name}: expected a cluster with GPUs, found none")
        return workload(self.name, self.jobs(found, nodes))

    def _pairs(self, said: str) -> Iterator[tuple[str, str]]:
        seen: set[str] = set()
        for part in filter(None, said.split(",")):
            key, equals, value = part.partition("=")
            if not equals or key in seen:
                raise BadTrace(f"{self.name}: expected key=value, each key once, found {ascii(part)[:40]}")
            seen.add(key)
            yield key, value


def _poisson(given: Poisson, nodes: Sequence[Node]) -> Iterator[Job]:
    rng = random.Random(given.seed)
    return _arriving(
        given, nodes, rng, _sizes(given, nodes, rng, 1.0), _lognormal(given, rng), lambda at_s: at_s
    )


def _diurnal(given: Diurnal, nodes: Sequence[Node]) -> Iterator[Job]:
    rng = random.Random(given.seed)

    def warped(at_s: float) -> float:
        """When as much has come as at one rate by ``at_s``; the integral of the rate has no inverse."""
        turn = given.period_s / (2 * math.pi)
        low, high = at_s - given.period_s, at_s + given.period_s
        for _ in range(60):
            middle = (low + high) / 2
            come_s = middle + given.amplitude * turn * (1 - math.cos(middle / turn))
            low, high = (middle, high) if come_s < at_s else (low, middle)
        return max(0.0, high)

    return _arriving(given, nodes, rng, _sizes(given, nodes, rng, 1.0), _lognormal(given, rng), warped)


def _heavy_tailed(given: HeavyTailed, nodes: Sequence[Node]) -> Iterator[Job]:
    rng = random.Random(given.seed)
    least_s = given.mean_s * (given.alpha - 1) / given.alpha
    most_s = given.mean_s * given.cut
    durations = (min(most_s, least_s * rng.paretovariate(given.alpha)) for _ in range(given.jobs))
    return _arriving(
        given, nodes, rng, _sizes(given, nodes, rng, given.alpha - 1), list(durations), lambda at_s: at_s
    )


def _lognormal(given: Poisson, rng: random.Random) -> list[float]:
    mu = math.log(given.mean_s) - given.sigma**2 / 2
    return [rng.lognormvariate(mu, given.sigma) for _ in range(given.jobs)]


def _sizes(given: Arriving, nodes: Sequence[Node], rng: random.Random, index: float) -> list[int]:
    """Powers of two up to the largest that the cluster has, each 2^-index as frequent as the one before."""
    there = sum(node.allocatable.get(GPU, 0) for node in nodes)
    known = [1 << i for i in range(min(given.largest, there).bit_length())]
    return rng.choices(known, weights=[size**-index for size in known], k=given.jobs)


def _arriving(
    given: Arriving,
    nodes: Sequence[Node],
    rng: random.Random,
    sizes: Sequence[int],
    durations: Sequence[float],
    when: Callable[[float], float],
) -> Iterator[Job]:
    """Jobs whose work arrives in just the time in which ``load`` of the cluster could do it, on average."""
    gpus = [node.allocatable.get(GPU, 0) for node in nodes]
    work = sum(size * took_s for size, took_s in zip(sizes, durations, strict=True))
    gap_s = work / (given.load * sum(gpus)) / given.jobs
    at_s = 0.0
    for i, (size, took_s) in enumerate(zip(sizes, durations, strict=True)):
        pods, each, last = split(size, min(max(gpus), GPUS_MAX))
        yield Job(
            name=f"job-{i}",
            submit_s=when(at_s),
            duration_s=took_s,
            estimate_s=took_s * rng.uniform(1.0, given.estimate),
            gpus=each,
            pods=pods,
            min_pods=pods,
            last_gpus=last,
            team=f"team-{rng.randrange(given.teams)}",
        )
        at_s += rng.expovariate(1 / gap_s)


def _planted(given: Planted, nodes: Sequence[Node]) -> Iterator[Job]:
    rng = random.Random(given.seed)
    for wave in range(given.waves):
        shapes = Counter(shape for node in nodes for shape in _cut(node, rng))
        gangs: list[tuple[tuple[int, int], int]] = []
        for shape, left in sorted(shapes.items()):
            while left:
                size = rng.randint(1, min(left, given.gang))
                gangs.append((shape, size))
                left -= size
        rng.shuffle(gangs)
        for i, ((gpus, cpu_milli), size) in enumerate(gangs):
            yield Job(
                name=f"wave-{wave}-{i}",
                submit_s=wave * given.duration_s,
                duration_s=given.duration_s,
                estimate_s=given.duration_s,
                gpus=gpus,
                cpu_milli=cpu_milli,
                pods=size,
                min_pods=size,
            )


def _cut(node: Node, rng: random.Random) -> Iterator[tuple[int, int]]:
    """One node's pods, (GPUs, milli-CPU): all its GPUs; light, even and heavy ones that fit together."""
    gpus, cpu = node.allocatable.get(GPU, 0), node.allocatable.get(CPU, 0)
    even = cpu // gpus if gpus else 0
    while gpus:
        size = rng.randint(1, gpus)
        gpus -= size
        fitting = [part for part in (2, 4, 6) if size * even * part // 4 + gpus * even // 2 <= cpu]
        asked = size * even * rng.choice(fitting) // 4
        cpu -= asked
        yield size, asked


GENERATORS: tuple[
    Generator[Poisson] | Generator[Diurnal] | Generator[HeavyTailed] | Generator[Planted], ...
] = (
    Generator(name="poisson", parameters=Poisson, jobs=_poisson),
    Generator(name="diurnal", parameters=Diurnal, jobs=_diurnal),
    Generator(name="heavy-tailed", parameters=HeavyTailed, jobs=_heavy_tailed),
    Generator(name="planted", parameters=Planted, jobs=_planted),
)
