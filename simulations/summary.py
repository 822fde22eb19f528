"""The figures of a run: what the table shows and ``-o json`` writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain, islice

import msgspec

from scheduler.model.objects import GPU
from simulations.node_events import Does
from simulations.outcome import Curve, Outcome, Story
from simulations.workload import Account


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One run, or one team or size class of it. Seconds; shares of 0 to 1.

    ``gpu_share``: GPU-seconds held over GPU-seconds there were, from the first submission to the end.
    """

    jobs: int
    ended: int
    evictions: int
    gpu_seconds: float
    avg_jct_s: float
    median_jct_s: float
    p99_jct_s: float
    #: All time in the queue, after evictions too; ``avg_first_wait_s`` ends with the first start.
    avg_wait_s: float
    p99_wait_s: float
    avg_first_wait_s: float
    #: How often jobs stopped because a node failed or was drained; ``evictions`` are for others.
    faults: int = 0
    drains: int = 0
    #: Held without progress after a fault (too few of a gang left, or restarting), or work done again.
    lost_gpu_seconds: float = 0.0


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """``fragmented_share``: of all GPU-seconds that were free, the share that lay on nodes in use.
    ``never_started`` counts jobs by the scheduler's own reason, the most frequent first. ``read`` is what
    became of the records of the file; None of an invented load.
    """

    workload: str
    policy: str
    nodes: int
    gpus: int
    makespan_s: float
    gpu_share: float
    fragmented_share: float
    mean_waiting_jobs: float
    cycles: int
    total: Figures
    by_team: dict[str, Figures]
    by_gpus: dict[str, Figures]
    never_started: dict[str, int]
    #: Jobs that had not ended when the run did, by where they stood; they are in ``jobs``, not in times.
    unfinished: dict[str, int] = {}
    warm_up_s: float = 0.0
    horizon_s: float | None = None
    #: Of nodes that failed or were drained, until they were offered again; ``gpu_share`` is of the others.
    failed_gpu_seconds: float = 0.0
    drained_gpu_seconds: float = 0.0
    read: Account | None = None


_REASONS_MAX = 20
#: The size class of jobs that share one GPU with others.
BELOW_ONE = "below 1"


def summarise(outcome: Outcome, *, policy: str = "") -> Summary:
    """The figures of a run."""
    stories = outcome.counted
    first_s, until_s = span(outcome)
    last_s = max((story.ended_s for story in stories if story.ended_s is not None), default=first_s)
    mean = means(outcome.curve, first_s, until_s)
    reasons: dict[str, int] = {}
    for story in stories:
        if story.started_s is None and story.verdict:
            reasons[story.verdict] = reasons.get(story.verdict, 0) + 1
    most = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:_REASONS_MAX]
    return Summary(
        workload=outcome.workload.name,
        policy=policy,
        nodes=len(outcome.nodes),
        gpus=sum(node.allocatable.get(GPU, 0) for node in outcome.nodes),
        makespan_s=last_s - first_s,
        gpu_share=mean.allocated / mean.capacity if mean.capacity else 0.0,
        fragmented_share=mean.scattered,
        mean_waiting_jobs=mean.waiting_jobs,
        cycles=outcome.cycles,
        total=figures(stories),
        by_team=_grouped(stories, [story.job.team for story in stories], str),
        by_gpus=_grouped(stories, [size_class(story.job.total_gpus) for story in stories], least_gpus),
        never_started=dict(most),
        unfinished=_unfinished(stories),
        warm_up_s=outcome.warm_up_s,
        horizon_s=outcome.horizon_s,
        failed_gpu_seconds=_away(outcome, "fails", first_s, until_s),
        drained_gpu_seconds=_away(outcome, "drains", first_s, until_s),
        read=outcome.workload.account,
    )


def _unfinished(stories: Sequence[Story]) -> dict[str, int]:
    found = {"running": 0, "waiting": 0}
    for story in stories:
        if story.stands is not None:
            found[story.stands] += 1
    return {name: count for name, count in found.items() if count}


def _away(outcome: Outcome, does: Does, from_s: float, to_s: float) -> float:
    """GPU-seconds of nodes that were away for this reason, within a span."""
    return math.fsum(
        one.gpus * max(0.0, min(to_s if one.to_s is None else one.to_s, to_s) - max(one.from_s, from_s))
        for one in outcome.absences
        if one.does == does
    )


def span(outcome: Outcome) -> tuple[float, float]:
    """From the first submission that counts to the last end that does, or of the run where a job has none."""
    stories = outcome.counted
    first_s = min((story.job.submit_s for story in stories), default=0.0)
    last_s = max((story.ended_s for story in stories if story.ended_s is not None), default=first_s)
    is_cut = any(story.ended_s is None for story in stories)
    return first_s, max(outcome.end_s if is_cut else last_s, first_s)


def figures(stories: Sequence[Story]) -> Figures:
    """Times over the jobs that came so far; a job that never ended has no completion time."""
    jcts = sorted(story.jct_s for story in stories if story.jct_s is not None)
    waits = sorted(story.wait_s for story in stories if story.wait_s is not None)
    first = [story.first_wait_s for story in stories if story.first_wait_s is not None]
    return Figures(
        jobs=len(stories),
        ended=len(jcts),
        evictions=sum(story.evictions for story in stories),
        gpu_seconds=sum(s.job.total_gpus * s.job.duration_s for s in stories if s.ended_s is not None),
        avg_jct_s=math.fsum(jcts) / len(jcts) if jcts else 0.0,
        median_jct_s=quantile(jcts, 0.5),
        p99_jct_s=quantile(jcts, 0.99),
        avg_wait_s=math.fsum(waits) / len(waits) if waits else 0.0,
        p99_wait_s=quantile(waits, 0.99),
        avg_first_wait_s=math.fsum(first) / len(first) if first else 0.0,
        faults=sum(story.faults for story in stories),
        drains=sum(story.drains for story in stories),
        lost_gpu_seconds=math.fsum(story.lost_gpu_s for story in stories),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The least value that at least this share of the values does not exceed; 0 of none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def size_class(gpus: float) -> str:
    """The GPUs of a job as the range from above one power of two up to the next: 3-4, 5-8, 9-16 ..."""
    if 0 < gpus < 1:
        return BELOW_ONE
    whole = math.ceil(gpus)
    most = 1 << max(0, whole - 1).bit_length()
    return str(whole) if whole <= 2 else f"{most // 2 + 1}-{most}"


def least_gpus(name: str) -> float:
    """About the fewest GPUs of a size class, by its name: classes in order of it are in order of size."""
    return 0.5 if name == BELOW_ONE else int(name.partition("-")[0])


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """Time-weighted means of a curve; ``scattered`` is a share of the free GPU-seconds."""

    allocated: float = 0.0
    capacity: float = 0.0
    waiting_jobs: float = 0.0
    scattered: float = 0.0


def means(curve: Curve, from_s: float, to_s: float) -> Means:
    """Means of the step functions over a span; each step holds until the next."""
    held = capacity = jobs = scattered = free_s = 0.0
    ends = chain(islice(curve.at_s, 1, None), [to_s])
    for i, (begin_s, end_s) in enumerate(zip(curve.at_s, ends, strict=False)):
        length_s = min(end_s, to_s) - max(begin_s, from_s)
        if length_s <= 0:
            continue
        held += curve.allocated[i] * length_s
        capacity += curve.capacity[i] * length_s
        jobs += curve.waiting_jobs[i] * length_s
        free = curve.capacity[i] - curve.allocated[i]
        if free > 0:
            scattered += curve.scattered[i] * length_s
            free_s += free * length_s
    span_s = max(to_s - from_s, 1e-9)
    return Means(
        allocated=held / span_s,
        capacity=capacity / span_s,
        waiting_jobs=jobs / span_s,
        scattered=scattered / free_s if free_s else 0.0,
    )


def _grouped(
    stories: Sequence[Story], keys: Sequence[str], order: Callable[[str], float | str]
) -> dict[str, Figures]:
    groups: dict[str, list[Story]] = {}
    for story, key in zip(stories, keys, strict=True):
        groups.setdefault(key, []).append(story)
    return {key: figures(groups[key]) for key in sorted(groups, key=order)}
