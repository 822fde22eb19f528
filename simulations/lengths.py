"""How long a gang is taken to run in a what-if: what its owner expects, else the least limit set for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from scheduler.gangs.groups import MAX_EXEC_TIME, Group, Job
from scheduler.model.objects import Pod
from scheduler.service import ATTAINED, ESTIMATE, SECONDS_MAX, seconds

DEADLINE: Final = "activeDeadlineSeconds"
DEFAULT: Final = "--default-duration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """Seconds from the gang's start on, and what says so."""

    seconds: float
    source: str


class Lengths:
    """``default_s``: taken where nothing is said; None: nobody knows then."""

    def __init__(self, groups: Iterable[Group], default_s: float | None) -> None:
        self._jobs: Mapping[tuple[str, str, str], Job] = {
            (group.namespace, group.name, group.uid): group for group in groups if isinstance(group, Job)
        }
        self._default_s = default_s

    def of(self, pod: Pod) -> Length | None:
        """Of a gang, by one of its pods. An estimate counts the lives before this one."""
        estimate_s = seconds(pod, ESTIMATE)
        if estimate_s is not None:
            return Length(seconds=estimate_s - (seconds(pod, ATTAINED) or 0.0), source=ESTIMATE)
        limits = [one for one in self._limits(pod) if 0.0 < one.seconds <= SECONDS_MAX]
        if limits:
            return min(limits, key=lambda one: one.seconds)
        return None if self._default_s is None else Length(seconds=self._default_s, source=DEFAULT)

    def _limits(self, pod: Pod) -> Iterable[Length]:
        labels = dict(pod.labels)
        owner = pod.owner
        job = None if owner is None else self._jobs.get((pod.namespace, owner.name, owner.uid))
        for said in (labels.get(MAX_EXEC_TIME, ""), "" if job is None else job.max_exec_time):
            if said.isascii() and said.isdigit() and len(said) <= 11:
                yield Length(seconds=float(said), source=MAX_EXEC_TIME)
        yield Length(seconds=pod.deadline_s, source=DEADLINE)
        yield Length(seconds=0.0 if job is None else job.deadline_s, source=DEADLINE)
