"""Pods that have been, as jobs: the pods of one gang, as the scheduler's own dialects see it, are one job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from scheduler.gangs.registry import resolve
from scheduler.kube import wire
from scheduler.model.gang import SINGLE, GangKey
from scheduler.model.objects import CPU, GPU, MEMORY, Pod, Rejected
from scheduler.parse.pod import skeleton
from simulations.loads.readers.documents import Object, items, part, text_of, time_of
from simulations.loads.table import GPUS_TOTAL_MAX, BadRow
from simulations.loads.trace import NO_GPUS, SHARE, Left, Source, Tally, between
from simulations.nodes import MODEL_LABEL
from simulations.workload import GPUS_MAX, PODS_MAX, SECONDS_MAX, Job, split

MEMBER: Final = "pod of a gang that another pod stands for"
DRIVER: Final = "pods without GPUs in a gang are left out of it"
CUT: Final = "pods of unequal GPUs: cut anew into whole nodes"
ESTIMATE: Final = "stowplan.dev/estimate-seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A pod that was there: ``line`` is where it stands, times in seconds since 1970.

    is_share: it shares one GPU, and ``gpus`` is 1; ``share_milli`` thousandths of it where it says so many.
    """

    line: int
    pod: Pod
    gang: GangKey
    gpus: int
    is_share: bool
    share_milli: int
    submit_s: float
    start_s: float | None
    end_s: float | None
    estimate_s: float | None


def past(document: Object, line: int, where: str) -> Past:
    """What a pod as the API server shows it says of its past. Raises: BadRow."""
    try:
        found = msgspec.json.decode(msgspec.json.encode(document), type=wire.Pod)
    except (msgspec.MsgspecError, RecursionError, TypeError, UnicodeError) as error:
        raise BadRow(f"{where}: expected a pod: {error}", line=line) from error
    pod = skeleton(found)
    submit_s = time_of(part(document, "metadata"), "creationTimestamp")
    if submit_s is None or not pod.name:
        raise BadRow(f"{where}: expected metadata.name and metadata.creationTimestamp", line=line)
    requests = dict(pod.shape.requests)
    if requests.get(GPU, 0) > GPUS_MAX:
        raise BadRow(f"{where}: expected at most {GPUS_MAX} GPUs, found {requests[GPU]:,}", line=line)
    ask = pod.shape.ask
    is_share = ask is not None and ask.is_share and not requests.get(GPU, 0)
    key = resolve(pod)
    single = GangKey(namespace=pod.namespace, dialect=SINGLE, name=pod.uid or pod.name)
    return Past(
        line=line,
        pod=pod,
        gang=single if isinstance(key, Rejected) or not key.name else key,
        gpus=requests.get(GPU, 0) or int(is_share),
        is_share=is_share,
        share_milli=ask.milli if ask is not None and is_share else 0,
        submit_s=submit_s,
        start_s=_start_s(document),
        end_s=_end_s(document),
        estimate_s=_estimate_s(document, pod),
    )


def _start_s(document: Object) -> float | None:
    """When the first container started, else when the kubelet took the pod."""
    status = part(document, "status")
    starts = [at for state in _states(status) for key in ("terminated", "running")
              if (at := time_of(part(state, key), "startedAt")) is not None]  # fmt: skip
    return min(starts) if starts else time_of(status, "startTime")


def _end_s(document: Object) -> float | None:
    """When the last container ended; None while the pod has not."""
    status = part(document, "status")
    if text_of(status, "phase") not in ("Succeeded", "Failed"):
        return None
    ends = [
        at
        for state in _states(status)
        if (at := time_of(part(state, "terminated"), "finishedAt")) is not None
    ]
    if ends:
        return max(ends)
    changes = (part(one) for one in items(status.get("conditions")))
    known = [at for one in changes if (at := time_of(one, "lastTransitionTime")) is not None]
    return max(known) if known else None


def _states(status: Object) -> Iterator[Object]:
    for one in items(status.get("containerStatuses")):
        yield part(one, "state")


def _estimate_s(document: Object, pod: Pod) -> float | None:
    said = dict(pod.annotations).get(ESTIMATE) or part(document, "spec").get("activeDeadlineSeconds")
    try:
        found = float(str(said))
    except ValueError:
        return None
    return found if 0.0 <= found <= SECONDS_MAX else None


def jobs_of(found: Sequence[Past], source: Source, tally: Tally) -> Iterator[tuple[int, Job]]:
    """One job for each gang; the first of its pods stands for it."""
    gangs: dict[GangKey, list[Past]] = {}
    for one in found:
        gangs.setdefault(one.gang, []).append(one)
    for gang, pods in gangs.items():
        for other in pods[1:]:
            tally.folded(MEMBER, other.line)
        try:
            yield pods[0].line, _job(gang, pods, source, tally)
        except Left as why:
            tally.left(why.reason, pods[0].line)


def _job(gang: GangKey, pods: Sequence[Past], source: Source, tally: Tally) -> Job:
    line = pods[0].line
    workers = [one for one in pods if one.gpus]
    if not workers:
        raise Left(NO_GPUS)
    start_s = min((one.start_s for one in workers if one.start_s is not None), default=None)
    ends = [one.end_s for one in workers]
    last_s = None if None in ends else max(end for end in ends if end is not None)
    duration_s = between(start_s, last_s)
    if len(workers) < len(pods):
        tally.noted(DRIVER, line)
    shares = {one.share_milli for one in workers}
    share_milli = shares.pop() if len(shares) == 1 else 0
    if not share_milli and any(one.is_share for one in workers):
        tally.noted(SHARE, line)
    count, each, last = _cut(workers, source, tally)
    asked = [dict(one.pod.shape.requests) for one in workers]
    estimates = [one.estimate_s for one in workers if one.estimate_s is not None]
    return Job(
        name=f"{gang.namespace}-{pods[0].pod.name if gang.is_single else gang.name}",
        submit_s=min(one.submit_s for one in workers),
        duration_s=duration_s,
        estimate_s=max(estimates) if estimates else None,
        gpus=0 if share_milli else each,
        share_milli=share_milli,
        pods=count,
        min_pods=count,
        last_gpus=last,
        cpu_milli=max(one.get(CPU, 0) for one in asked),
        memory_mib=max(one.get(MEMORY, 0) for one in asked) >> 20,
        models=_models(workers),
        team=tally.team(gang.namespace),
        priority=workers[0].pod.priority,
    )


def _cut(workers: Sequence[Past], source: Source, tally: Tally) -> tuple[int, int, int | None]:
    sizes = sorted((one.gpus for one in workers), reverse=True)
    if sum(sizes) > GPUS_TOTAL_MAX or len(sizes) > PODS_MAX:
        raise Left(f"more than {GPUS_TOTAL_MAX:,} GPUs or {PODS_MAX:,} pods")
    if len(set(sizes[:-1])) <= 1:
        return len(sizes), sizes[0], None if sizes[-1] == sizes[0] else sizes[-1]
    tally.noted(CUT, workers[0].line)
    return split(sum(sizes), source.per_node)


def _models(workers: Sequence[Past]) -> tuple[str, ...]:
    """The GPU model that a node selector asks for."""
    named: set[str] = {
        value for one in workers for key, value in one.pod.shape.node_selector if key == MODEL_LABEL
    }
    return tuple(sorted(named))


def merged(old: Object, new: Object) -> dict[str, object]:
    """A later sight of an object over an earlier one, by a merge of objects (RFC 7386 without removals)."""
    found: dict[str, object] = dict(old)
    for key, value in new.items():
        before = found.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            found[key] = merged(before, value)
        else:
            found[key] = value
    return found
