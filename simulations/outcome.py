"""What a simulated run is remembered by: each job's times, each stay on nodes, and the cluster over time."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, overload

from msgspec import Struct

from scheduler.model.objects import Node
from scheduler.model.plan import Rule
from simulations.node_events import Does, NodeChange
from simulations.underway import Cause
from simulations.workload import Job, Workload


class Story(Struct, gc=False):
    """One job's life. Times in seconds of virtual time; None where it did not come to that."""

    job: Job
    started_s: float | None = None
    ended_s: float | None = None
    #: Time in the queue so far: before the first start, and again after each eviction.
    queued_s: float = 0.0
    #: How often it stopped to make room, because its node failed, and because its node was drained.
    evictions: int = 0
    faults: int = 0
    drains: int = 0
    #: GPU-seconds that it held without progress after a fault, and of work that it did again.
    lost_gpu_s: float = 0.0
    #: Why it never started, in the scheduler's words.
    verdict: str = ""
    #: Where it was when the run ended before it did; None: it had ended, or was given up.
    stands: Literal["running", "waiting"] | None = None

    def stopped(self, cause: Cause) -> None:
        self.evictions += cause == "eviction"
        self.faults += cause == "fault"
        self.drains += cause == "drain"

    @property
    def wait_s(self) -> float | None:
        """All its time in the queue, after evictions too; None of a job that never ran."""
        return None if self.started_s is None else self.queued_s

    @property
    def first_wait_s(self) -> float | None:
        """From submission to the first start."""
        return None if self.started_s is None else self.started_s - self.job.submit_s

    @property
    def jct_s(self) -> float | None:
        """Job completion time: submission to end."""
        return None if self.ended_s is None else self.ended_s - self.job.submit_s


@dataclass(frozen=True, slots=True)
class Stay:
    """``pods`` pods of a job with ``gpus`` in all on one node, from their Bindings to its end or eviction.
    ``devices``: which of the node's, by their numbers, where that is known.

    They hold their GPUs all that time, and work from ``works_s`` on: once enough of the gang is there and
    what a restart costs is over.
    """

    job: int
    node: str
    pods: int
    from_s: float
    to_s: float
    works_s: float
    gpus: float
    devices: tuple[int, ...] = ()


class Stays(Sequence[Stay]):
    """Stays in the order of their ends, as columns: of 56 bytes each, a quarter of an object's."""

    def __init__(self) -> None:
        self._jobs, self._nodes = array("l"), array("l")
        self._pods, self._gpus = array("l"), array("d")
        self._from_s, self._to_s, self._works_s = array("d"), array("d"), array("d")
        #: By place in the order, of those of which it is known.
        self._devices: dict[int, tuple[int, ...]] = {}
        self._names: list[str] = []
        self._code: dict[str, int] = {}

    def append(self, stay: Stay) -> None:
        code = self._code.setdefault(stay.node, len(self._names))
        if code == len(self._names):
            self._names.append(stay.node)
        if stay.devices:
            self._devices[len(self)] = stay.devices
        self._jobs.append(stay.job)
        self._nodes.append(code)
        self._pods.append(stay.pods)
        self._gpus.append(stay.gpus)
        self._from_s.append(stay.from_s)
        self._to_s.append(stay.to_s)
        self._works_s.append(stay.works_s)

    @overload
    def __getitem__(self, at: int) -> Stay: ...

    @overload
    def __getitem__(self, at: slice) -> list[Stay]: ...

    def __getitem__(self, at: int | slice) -> Stay | list[Stay]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        return Stay(
            job=self._jobs[at],
            node=self._names[self._nodes[at]],
            pods=self._pods[at],
            from_s=self._from_s[at],
            to_s=self._to_s[at],
            works_s=self._works_s[at],
            gpus=self._gpus[at],
            devices=self._devices.get(at % len(self), ()) if self._devices else (),
        )

    def __iter__(self) -> Iterator[Stay]:
        return (self[at] for at in range(len(self)))

    def __len__(self) -> int:
        return len(self._jobs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stays) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # it grows


@dataclass(frozen=True, slots=True)
class Due:
    """One moment of the teams, by name: normalised GPUs in use, and what each may have in use now."""

    at_s: float
    used: Mapping[str, float]
    due: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Eviction:
    """Pods of a job that had to leave for others: when, for which jobs, and by which rule.

    ran_s: how long the youngest of these pods had been bound; of a job evicted whole, how long it had run.
    """

    at_s: float
    job: int
    pods: int
    is_whole: bool
    ran_s: float
    rule: Rule
    beneficiaries: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """GPUs of a node that failed or was drained, until it was offered again; None: it never was."""

    node: str
    gpus: int
    does: Does
    from_s: float
    to_s: float | None


class Absences:
    """Which nodes are away, and were."""

    def __init__(self) -> None:
        self._ended: list[Absence] = []
        self._open: dict[str, Absence] = {}

    def note(self, change: NodeChange, gpus: int) -> None:
        """A node that is drained and then fails is away for another reason from then on."""
        name, before = change.node.name, self._open.pop(change.node.name, None)
        if before is not None:
            self._ended.append(replace(before, to_s=change.at_s))
        if change.does != "joins":
            self._open[name] = Absence(node=name, gpus=gpus, does=change.does, from_s=change.at_s, to_s=None)

    def all(self) -> tuple[Absence, ...]:
        return (*self._ended, *self._open.values())


@dataclass(slots=True)
class Curve:
    """Step functions of time; entry i holds from ``at_s[i]`` to ``at_s[i + 1]``. Columns of 8 bytes each."""

    at_s: array[float] = field(default_factory=lambda: array("d"))
    #: GPUs that running pods hold, and GPUs of the nodes.
    allocated: array[float] = field(default_factory=lambda: array("d"))
    capacity: array[int] = field(default_factory=lambda: array("l"))
    waiting_jobs: array[int] = field(default_factory=lambda: array("l"))
    waiting_gpus: array[float] = field(default_factory=lambda: array("d"))
    #: Free GPUs on nodes that hold pods: what is left over between them.
    scattered: array[float] = field(default_factory=lambda: array("d"))

    def add(
        self, at_s: float, *, allocated: float, capacity: int, jobs: int, gpus: float, scattered: float
    ) -> None:
        """Append a step, or replace the one of the same instant."""
        if self.at_s and self.at_s[-1] == at_s:
            for column in (self.at_s, self.allocated, self.capacity, self.waiting_jobs, self.waiting_gpus):
                column.pop()
            self.scattered.pop()
        self.at_s.append(at_s)
        self.allocated.append(allocated)
        self.capacity.append(capacity)
        self.waiting_jobs.append(jobs)
        self.waiting_gpus.append(gpus)
        self.scattered.append(scattered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    workload: Workload
    nodes: Sequence[Node]
    #: Nodes that were there once and are not in the end.
    lost: Sequence[Node]
    stories: Sequence[Story]
    stays: Sequence[Stay]
    evictions: Sequence[Eviction]
    curve: Curve
    #: Planning cycles run.
    cycles: int
    #: Virtual time at which nothing was left to happen.
    end_s: float
    #: Now and then, only where there are TeamQuotas.
    dues: Sequence[Due] = ()
    #: Only where nodes failed or were drained.
    absences: Sequence[Absence] = ()
    #: Figures are of the jobs submitted between these; None: the run went on until nothing was left.
    warm_up_s: float = 0.0
    horizon_s: float | None = None

    @property
    def counted(self) -> Sequence[Story]:
        """The jobs that figures are of; none was submitted from the horizon on."""
        if not self.warm_up_s:
            return self.stories
        return [story for story in self.stories if story.job.submit_s >= self.warm_up_s]
