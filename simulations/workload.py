"""The one schema of simulated work, whatever file or generator it came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from scheduler.model.structs import like_dataclass

#: The bounds of what a loader lets in; beyond them a trace is broken, not large.
JOBS_MAX = 2_000_000
PODS_MAX = 10_000
GPUS_MAX = 64
SECONDS_MAX = 1e10
#: Thousandths of a GPU, in which shares are asked for and all GPUs are added up.
MILLI = 1_000


@like_dataclass
class Job(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One gang as it is submitted, and how long it then runs.

    ``duration_s`` is the truth and only the virtual kubelet reads it; ``estimate_s`` is what the
    scheduler may see. A job of one pod is a single pod, not a gang.
    """

    name: str
    submit_s: float
    duration_s: float
    #: Requests are per pod.
    gpus: int = 0
    pods: int = 1
    #: Pods that must start together; ``pods`` where a trace says nothing.
    min_pods: int = 1
    #: GPUs of the last pod, where they are fewer than those of the others.
    last_gpus: int | None = None
    #: Thousandths of one GPU that each pod shares with others, in place of whole ones.
    share_milli: int = 0
    #: What sort of work it is, as tables of speeds name it.
    kind: str = ""
    cpu_milli: int = 0
    memory_mib: int = 0
    #: GPU models allowed, as the label ``nvidia.com/gpu.product`` spells them; empty allows all.
    models: tuple[str, ...] = ()
    #: Becomes the namespace.
    team: str = "default"
    priority: int = 0
    estimate_s: float | None = None
    #: Node label in one domain of which the gang must run, or empty.
    topology: str = ""

    @property
    def total_milli(self) -> int:
        """Thousandths of a GPU of all its pods."""
        whole = self.gpus * (self.pods - 1) + self.gpus_of(self.pods - 1)
        return MILLI * whole + self.share_milli * self.pods

    @property
    def total_gpus(self) -> float:
        return gpus(self.total_milli)

    def gpus_of(self, rank: int) -> int:
        """GPUs of one pod, by its number from 0."""
        return self.gpus if self.last_gpus is None or rank < self.pods - 1 else self.last_gpus


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """So many records for one reason, and the numbers of the first of them."""

    reason: str
    count: int
    lines: tuple[int, ...]


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a file: as what it was read, its records, and those that are no jobs here.

    ``records`` are rows or objects: each is one of the ``jobs``, one of those ``left_out``, or one of those
    ``folded`` into a job that has several. ``noted`` counts jobs that were taken otherwise than written.
    """

    form: str
    units: str
    #: What ``Counted.lines`` are numbers of: lines, or the objects of a document.
    counts: str
    records: int
    jobs: int
    left_out: tuple[Counted, ...] = ()
    folded: tuple[Counted, ...] = ()
    noted: tuple[Counted, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Jobs in order of submission, and where they came from."""

    name: str
    jobs: tuple[Job, ...]
    #: None of a load that was not read.
    account: Account | None = None

    @property
    def gpu_seconds(self) -> float:
        return sum(job.total_gpus * job.duration_s for job in self.jobs)


def gpus(milli: int) -> float:
    """So many thousandths of a GPU in GPUs; a whole number of them is an integer."""
    return milli / MILLI if milli % MILLI else milli // MILLI


def workload(name: str, jobs: Iterable[Job]) -> Workload:
    """The jobs in order of submission; equal times keep the order of the file."""
    return Workload(name=name, jobs=tuple(sorted(jobs, key=lambda job: job.submit_s)))


def until(source: Workload, horizon_s: float | None) -> Workload:
    """The jobs that are submitted before this time; None: all."""
    if horizon_s is None:
        return source
    return replace(source, jobs=tuple(job for job in source.jobs if job.submit_s < horizon_s))


def repeated(source: Workload, count: int) -> Workload:
    """``count`` jobs: the workload over and over, each time shifted by its span, the last time cut."""
    span_s = max((job.submit_s for job in source.jobs), default=0.0) + 1.0
    return Workload(
        name=source.name,
        jobs=tuple(_shifted(source.jobs, i, span_s) for i in range(count if source.jobs else 0)),
    )


def _shifted(jobs: Sequence[Job], index: int, span_s: float) -> Job:
    lap, at = divmod(index, len(jobs))
    job = jobs[at]
    if lap == 0:
        return job
    return replace(job, name=f"{job.name}-lap{lap}", submit_s=job.submit_s + lap * span_s)


def split(gpus: int, per_node: int) -> tuple[int, int, int | None]:
    """(pods, GPUs a pod, GPUs of the last) of a job known only by its GPUs: whole nodes, and one pod for the
    rest. The last is None where it is as the others.
    """
    if gpus <= per_node:
        return 1, gpus, None
    whole, rest = divmod(gpus, per_node)
    return (whole + 1, per_node, rest) if rest else (whole, per_node, None)
