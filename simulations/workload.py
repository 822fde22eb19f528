"""The one schema of simulated work, whatever file or generator it came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: The bounds of what a loader lets in; beyond them a trace is broken, not large.
JOBS_MAX = 2_000_000
PODS_MAX = 10_000
GPUS_MAX = 64
SECONDS_MAX = 1e10


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
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
    def total_gpus(self) -> int:
        return self.gpus * self.pods


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Jobs in order of submission, and where they came from."""

    name: str
    jobs: tuple[Job, ...]

    @property
    def gpu_seconds(self) -> float:
        return sum(job.total_gpus * job.duration_s for job in self.jobs)


def workload(name: str, jobs: Iterable[Job]) -> Workload:
    """The jobs in order of submission; equal times keep the order of the file."""
    return Workload(name=name, jobs=tuple(sorted(jobs, key=lambda job: job.submit_s)))


def until(source: Workload, horizon_s: float | None) -> Workload:
    """The jobs that are submitted before this time; None: all."""
    if horizon_s is None:
        return source
    return Workload(name=source.name, jobs=tuple(job for job in source.jobs if job.submit_s < horizon_s))


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
    return Job(
        name=f"{job.name}-lap{lap}",
        submit_s=job.submit_s + lap * span_s,
        duration_s=job.duration_s,
        gpus=job.gpus,
        pods=job.pods,
        min_pods=job.min_pods,
        cpu_milli=job.cpu_milli,
        memory_mib=job.memory_mib,
        models=job.models,
        team=job.team,
        priority=job.priority,
        estimate_s=job.estimate_s,
        topology=job.topology,
    )


def split(gpus: int, per_node: int) -> tuple[int, int]:
    """(pods, GPUs a pod) of a job known only by its GPUs: as few equal pods as nodes can hold."""
    if gpus <= per_node:
        return 1, gpus
    each = max(size for size in range(1, per_node + 1) if gpus % size == 0)
    return gpus // each, each
