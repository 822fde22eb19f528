"""A job that was submitted and has not ended: its pods, and how much of it is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from scheduler.model.objects import Pod

#: Why a job stopped: it made room for others, its node failed, or was drained.
Cause = Literal["eviction", "fault", "drain"]


class Place(NamedTuple):
    """Where a pod is bound and since when. milli: thousandths of a GPU that it holds there. devices: which of
    the node's, by their numbers, where that is known.
    """

    node: str
    since_s: float
    milli: int
    devices: tuple[int, ...] = ()


@dataclass(slots=True)
class Life:
    index: int
    #: Where each pod is that is bound, by UID; all pods are keys.
    pods: dict[str, Place | None]
    left_s: float
    #: Since when it has waited, where it does not run.
    queued_since_s: float
    #: How often all its pods were made anew, and how often it started or stopped.
    life: int = 0
    run: int = 0
    bound: int = 0
    running_since_s: float | None = None
    #: What this start costs before the job works, and what it last stopped for.
    overhead_s: float = 0.0
    #: Seconds of its duration that are done in one second, on the GPUs where it last started.
    speed: float = 1.0
    stopped_by: Cause | None = None
    #: Thousandths of a GPU that it waits for; None where it does not wait.
    waits_for: int | None = None
    #: Pods that are to leave without the rest, by UID.
    parts: dict[str, Pod] = field(default_factory=dict)

    def start(self, at_s: float, overhead_s: float, speed: float = 1.0) -> None:
        self.run += 1
        self.running_since_s, self.overhead_s, self.speed = at_s, overhead_s, speed

    def stop(self, at_s: float, cause: Cause, checkpoint_s: float) -> float:
        """The job waits again and goes on from its last checkpoint; the seconds of work that it does again.

        checkpoint_s: time at work between two checkpoints; at 0 nothing is done again.
        """
        since_s = at_s if self.running_since_s is None else self.running_since_s
        ran_s = min(self.left_s / self.speed, max(0.0, at_s - since_s - self.overhead_s))
        again_s = ran_s % checkpoint_s if checkpoint_s else 0.0
        self.left_s = max(0.0, self.left_s - (ran_s - again_s) * self.speed)
        self.run += 1
        self.running_since_s, self.queued_since_s, self.stopped_by = None, at_s, cause
        return again_s

    def on(self, name: str) -> list[str]:
        """UIDs of the pods on a node."""
        return [uid for uid, place in self.pods.items() if place is not None and place.node == name]

    def works_s(self, since_s: float, now_s: float) -> float:
        """From when on a pod bound at ``since_s`` has worked; ``now_s`` where it has not."""
        if self.running_since_s is None:
            return now_s
        return max(since_s, self.running_since_s + self.overhead_s)

    @property
    def milli(self) -> int:
        """Thousandths of a GPU of the pods that are bound."""
        return sum(place.milli for place in self.places())

    def places(self) -> Iterator[Place]:
        return (place for place in self.pods.values() if place is not None)
