"""What a trace asks for: GPU-hours, arrivals, load against a cluster, and sizes by powers of two."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from scheduler.model.objects import GPU, Node
from simulations.summary import least_gpus, quantile, size_class
from simulations.workload import Account, Job, Workload
from simulations.workload import gpus as in_gpus

HOUR_S = 3_600.0


class SizeClass(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of so many GPUs; shares of 0 to 1 are of all jobs and of all GPU-hours."""

    gpus: str
    jobs: int
    jobs_share: float
    gpu_hours: float
    gpu_hours_share: float
    median_s: float
    p99_s: float


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """``gpus``: of the cluster; ``load``: GPU-hours over what it has in the span in which jobs arrive;
    ``too_large``: jobs that ask for more GPUs than it has, or for more in one pod than any node has.
    """

    gpus: int
    load: float
    too_large: int


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """``span_s``: from the first submission to the last. ``mean_gpus``: GPU-seconds over the span in which
    jobs run when nobody waits; ``peak_gpus``: the most at once then.
    """

    file: str
    origin: str
    account: Account
    span_s: float
    jobs_an_hour: float
    gpu_hours: float
    mean_gpus: float
    peak_gpus: float
    teams: int
    estimated_share: float
    sizes: tuple[SizeClass, ...]
    load: Load | None = None


def profile(found: Workload, account: Account, origin: str, nodes: Sequence[Node] = ()) -> Profile:
    """The figures of a workload that has a job or more; the load where there are nodes."""
    jobs = found.jobs
    first_s, last_s = jobs[0].submit_s, jobs[-1].submit_s
    ends_s = max(job.submit_s + job.duration_s for job in jobs)
    return Profile(
        file=found.name,
        origin=origin,
        account=account,
        span_s=last_s - first_s,
        jobs_an_hour=len(jobs) / max(last_s - first_s, 1.0) * HOUR_S if len(jobs) > 1 else 0.0,
        gpu_hours=found.gpu_seconds / HOUR_S,
        mean_gpus=found.gpu_seconds / max(ends_s - first_s, 1.0),
        peak_gpus=_peak(jobs),
        teams=len({job.team for job in jobs}),
        estimated_share=sum(job.estimate_s is not None for job in jobs) / len(jobs),
        sizes=tuple(_sizes(found)),
        load=_load(found, last_s - first_s, nodes) if nodes else None,
    )


def _load(found: Workload, span_s: float, nodes: Sequence[Node]) -> Load:
    gpus = [node.allocatable.get(GPU, 0) for node in nodes]
    total, largest = sum(gpus), max(gpus)
    return Load(
        gpus=total,
        load=found.gpu_seconds / (total * max(span_s, 1.0)) if total else 0.0,
        too_large=sum(job.gpus > largest or job.total_gpus > total for job in found.jobs),
    )


def _peak(jobs: Sequence[Job]) -> float:
    """The most GPUs at once when every job starts as it is submitted; one that ends makes room first."""
    moves = sorted(
        [(job.submit_s, 1, job.total_milli) for job in jobs if job.duration_s]
        + [(job.submit_s + job.duration_s, 0, -job.total_milli) for job in jobs if job.duration_s]
    )
    used = peak = 0
    for _, _, milli in moves:
        used += milli
        peak = max(peak, used)
    return in_gpus(peak)


def _sizes(found: Workload) -> list[SizeClass]:
    classes: dict[str, list[Job]] = {}
    for job in found.jobs:
        classes.setdefault(size_class(job.total_gpus), []).append(job)
    return [_size(name, classes[name], found) for name in sorted(classes, key=least_gpus)]


def _size(name: str, jobs: Sequence[Job], found: Workload) -> SizeClass:
    work = sum(job.total_gpus * job.duration_s for job in jobs)
    durations = sorted(job.duration_s for job in jobs)
    return SizeClass(
        gpus=name,
        jobs=len(jobs),
        jobs_share=len(jobs) / len(found.jobs),
        gpu_hours=work / HOUR_S,
        gpu_hours_share=work / found.gpu_seconds if found.gpu_seconds else 0.0,
        median_s=quantile(durations, 0.5),
        p99_s=quantile(durations, 0.99),
    )
