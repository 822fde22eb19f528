"""Files from which Kueue's and KAI's own load generators make workloads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scheduler.parse.quantity import parse_quantity
from simulations.loads.files import BadTrace
from simulations.loads.readers.documents import Object, items, part, text_of, yaml_document
from simulations.loads.trace import Format, Source, Tally, of_gpus
from simulations.workload import GPUS_MAX, JOBS_MAX, PODS_MAX, SECONDS_MAX, Job

MILLISECOND_S: Final = 1e-3
#: ``Cycles`` of KAI's simulator are about 10 ms each, as its examples say; its pods never end.
CYCLE_S: Final = 0.01
PRIORITY_MAX: Final = 10**9
QUEUES_MAX: Final = 1_000
LEVEL_WISHED: Final = "a topology that is only preferred, or a slice of it, is not asked for"


def _kueue(source: Source, tally: Tally) -> Iterator[tuple[int, Job]]:
    """Every set in every queue: ``count`` times, each time all its workloads, then ``creationIntervalMs``."""
    where = str(source.path)
    for cohort, one_cohort in _named(yaml_document(source.path).get("cohorts"), "cohort"):
        for queue, one_queue in _named(one_cohort.get("queuesSets"), "queue"):
            for at in range(_count(one_cohort, "count", where, most=QUEUES_MAX)):
                for of in range(_count(one_queue, "count", where, most=QUEUES_MAX)):
                    team = tally.team(f"{cohort}-{at}-{queue}-{of}")
                    for number, each in enumerate(items(one_queue.get("workloadsSets"))):
                        yield from _set(part(each), f"{team}-{number}", team, where, tally)


def _set(found: Object, prefix: str, team: str, where: str, tally: Tally) -> Iterator[tuple[int, Job]]:
    gap_s = _number(found, "creationIntervalMs", where) * MILLISECOND_S
    for at in range(_count(found, "count", where)):
        for of, workload in enumerate(items(found.get("workloads"))):
            _record(tally)
            job = _workload(part(workload), f"{prefix}-{of}-{at}", at * gap_s, team, where)
            if text_of(part(workload), "tasConstraint") not in ("", "required"):
                tally.noted(LEVEL_WISHED, tally.records)
            yield tally.records, job


def _workload(found: Object, name: str, submit_s: float, team: str, where: str) -> Job:
    pods = _count(found, "podCount", where, 1, most=PODS_MAX)
    request = found.get("request")
    milli = parse_quantity(request, scale="milli") if isinstance(request, str | int | float) else None
    if not isinstance(milli, int) or isinstance(request, bool):
        raise BadTrace(
            f"{where}: request of workload {name}: expected a quantity, found {ascii(request)[:40]}"
        )
    is_required = text_of(found, "tasConstraint") == "required"
    return Job(
        name=name,
        submit_s=submit_s,
        duration_s=_number(found, "runtimeMs", where) * MILLISECOND_S,
        cpu_milli=milli,
        pods=pods,
        min_pods=pods,
        team=team,
        priority=_count(found, "priority", where, 0, most=PRIORITY_MAX),
        topology=text_of(found, "tasLevel") if is_required else "",
    )


def _kai(source: Source, tally: Tally) -> Iterator[tuple[int, Job]]:
    where, document = str(source.path), yaml_document(source.path)
    length_s = _number(document, "Cycles", where) * CYCLE_S
    jobs = part(document, "Jobs")
    if not jobs:
        raise BadTrace(f"{where}: Jobs: expected jobs by queue, found {ascii(document.get('Jobs'))[:40]}")
    for queue, found in jobs.items():
        each, pods = (_count(part(found), key, where, 1) for key in ("GPUs", "NumPods"))
        if not 0 < each <= GPUS_MAX or not 0 < pods <= PODS_MAX:
            raise BadTrace(f"{where}: Jobs of {ascii(queue)[:40]}: expected 1 to {GPUS_MAX} GPUs a pod")
        for at in range(_count(part(found), "NumJobs", where, 1)):
            _record(tally)
            team = tally.team(str(queue))
            job = of_gpus(
                each,
                source,
                name=f"{team}-{at}",
                submit_s=0.0,
                duration_s=length_s,
                estimate_s=None,
                team=team,
            )
            if pods > 1:
                job = Job(
                    name=job.name,
                    submit_s=0.0,
                    duration_s=length_s,
                    gpus=each,
                    pods=pods,
                    min_pods=pods,
                    team=team,
                )
            yield tally.records, job


def _record(tally: Tally) -> None:
    """Count one more. Raises: BadTrace where there are too many."""
    tally.records += 1
    if tally.records > JOBS_MAX:
        raise BadTrace(f"{tally.path}: expected at most {JOBS_MAX:,} workloads, found more")


def _named(found: object, default: str) -> Iterator[tuple[str, Object]]:
    for each in items(found):
        yield text_of(part(each), "className") or default, part(each)


def _number(found: Object, key: str, where: str) -> float:
    value = found.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= SECONDS_MAX:
        raise BadTrace(f"{where}: {key}: expected a number from 0, found {ascii(value)[:40]}")
    return float(value)


def _count(found: Object, key: str, where: str, default: int | None = None, *, most: int = JOBS_MAX) -> int:
    value = found.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise BadTrace(f"{where}: {key}: expected a whole number up to {most:,}, found {ascii(value)[:40]}")
    return value


def _has_lines(text: str, *starts: str) -> bool:
    lines = text.splitlines()
    return all(any(line.startswith(start) for line in lines) for start in starts)


KUEUE = Format(
    name="kueue",
    origin="Kueue's performance tests (kubernetes-sigs/kueue, test/performance/scheduler, generator.yaml)",
    units="milliseconds; CPUs of each pod, as Kueue's generator asks for; a queue is a team",
    recognises=lambda text: _has_lines(text, "cohorts:") and "workloadsSets:" in text,
    read=_kueue,
    is_strict=True,
    counts="workload",
)
KAI = Format(
    name="kai",
    origin="KAI's time-based fair-share simulator (kai-scheduler/KAI-Scheduler); a queue is a team",
    units=f"all submitted at 0, each for the whole simulation of Cycles x {CYCLE_S:g} s; GPUs of each pod",
    recognises=lambda text: _has_lines(text, "Jobs:", "Queues:", "Cycles:"),
    read=_kai,
    is_strict=True,
    counts="workload",
)
