"""A simulated run as an auditor would have recorded it, put together from its outcome.

What an outcome does not tell is filled in: pods are made when their job is submitted or, of those that had to
leave, at that instant; who of several equal pods a stay was of is any of them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from scheduler.invariants import Entry, EventVersion, GangRef, History, NodeVersion, PodVersion
from scheduler.invariants.history import Kind, Version
from scheduler.model.objects import GPU
from simulations.outcome import Outcome


def recorded(outcome: Outcome) -> History:
    """Its history; the nodes are those that were there all the time."""
    return _Recorder(outcome).history()


class _Recorder:
    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._entries: list[Entry] = []
        #: By job: pods that wait, and by job and node those that are bound there.
        self._waiting: defaultdict[int, list[PodVersion]] = defaultdict(list)
        self._bound: defaultdict[tuple[int, str], list[PodVersion]] = defaultdict(list)
        self._made = 0

    def history(self) -> History:
        for node in self._outcome.nodes:
            room = {"nvidia.com/gpu": 1000 * node.allocatable.get(GPU, 0), "pods": 110_000}
            self._write(0.0, "Node", node.name, NodeVersion(name=node.name, allocatable=room))
        moments = {story.job.submit_s for story in self._outcome.stories}
        for stay in self._outcome.stays:
            moments |= {stay.from_s, stay.to_s}
        for at_s in sorted(moments):
            self._submit(at_s)
            self._end(at_s)
            self._clear(at_s)
            self._begin(at_s)
        return History(self._entries, until_s=self._outcome.end_s)

    def _end(self, at_s: float) -> None:
        """Who ended succeeded, unless its job had to leave then: it is made anew."""
        left = {event.job: event for event in self._outcome.evictions if event.at_s == at_s}
        for stay in self._outcome.stays:
            if stay.to_s != at_s or stay.from_s == at_s:
                continue
            for _ in range(stay.pods):
                pod = self._bound[stay.job, stay.node].pop()
                if stay.job not in left:
                    self._write(at_s, "Pod", pod.uid, replace(pod, phase="Succeeded"))
                    continue
                event = left[stay.job]
                who = self._outcome.workload.jobs[event.beneficiaries[0]]
                more = f" and {len(event.beneficiaries) - 1} more" if len(event.beneficiaries) > 1 else ""
                kind = "gang" if who.pods > 1 else "pod"
                why = f"displaced for {kind} {who.team}/{self._name(event.beneficiaries[0], 0)}{more}, first"
                self._write(at_s, "Pod", pod.uid, replace(pod, is_evicted=True))
                told = EventVersion(uid=pod.uid, reason="Evicted", note=why)
                self._write(at_s, "Event", f"event-{pod.uid}", told)
                self._write(at_s, "Pod", pod.uid, None)
                self._make(at_s, stay.job)

    def _clear(self, at_s: float) -> None:
        """A job that is over takes along its pods that never started."""
        for index, story in enumerate(self._outcome.stories):
            if story.ended_s == at_s:
                for pod in self._waiting.pop(index, []):
                    self._write(at_s, "Pod", pod.uid, None)

    def _submit(self, at_s: float) -> None:
        for index, story in enumerate(self._outcome.stories):
            if story.job.submit_s == at_s:
                for _ in range(story.job.pods):
                    self._make(at_s, index)

    def _begin(self, at_s: float) -> None:
        for stay in self._outcome.stays:
            if stay.from_s == at_s and stay.to_s > at_s:
                for _ in range(stay.pods):
                    pod = replace(self._waiting[stay.job].pop(), node=stay.node, phase="Running")
                    self._bound[stay.job, stay.node].append(pod)
                    self._write(at_s, "Pod", pod.uid, pod)

    def _make(self, at_s: float, index: int) -> None:
        job = self._outcome.workload.jobs[index]
        self._made += 1
        gang = GangRef(job.team, "own", self._name(index, 0)) if job.pods > 1 else None
        pod = PodVersion(
            uid=f"uid-{self._made}",
            namespace=job.team,
            name=self._name(index, self._made if job.pods > 1 else 0),
            scheduler="stowplan",
            requests={"nvidia.com/gpu": 1000 * job.gpus, "pods": 1000},
            gang=gang,
            minimum=job.min_pods if gang is not None else 0,
            priority=job.priority,
        )
        self._waiting[index].append(pod)
        self._write(at_s, "Pod", pod.uid, pod)

    def _name(self, index: int, number: int) -> str:
        return f"job-{index}" if not number else f"job-{index}-{number}"

    def _write(self, at_s: float, kind: Kind, key: str, version: Version | None) -> None:
        revision = len(self._entries) + 1
        self._entries.append(Entry(revision=revision, at_s=at_s, kind=kind, key=key, version=version))
