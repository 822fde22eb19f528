"""Members that did their work and are gone: a gang goes on counting on them, for nobody makes them anew.

What succeeded is cleaned up, by pod GC, by a TTL or by its owner, and the API then tells of it no more. Two
things still do: that it was seen, and the status of the Job that made it, which a new leader can read too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from scheduler.gangs.groups import Job
from scheduler.model.gang import GangKey
from scheduler.model.objects import Pod

#: Succeeded pods remembered over all gangs; those of the gangs that were seen first are forgotten beyond.
KEPT_MAX: Final = 100_000
#: Dialects that count a Job's successes themselves.
_COUNTING: Final = frozenset({"job", "jobset", "trainjob"})


class Ended:
    """By gang, the members that were seen to succeed; a store that is asked with those that are there."""

    def __init__(self) -> None:
        self._succeeded: dict[GangKey, dict[str, Pod]] = {}
        self._count = 0

    def saw(self, key: GangKey, pod: Pod) -> None:
        """A version of a member. One that ends when it is deleted did not succeed: it was sent away."""
        if key.is_single or pod.phase != "Succeeded" or pod.is_deleting:
            return
        known = self._succeeded.setdefault(key, {})
        self._count += pod.uid not in known
        known[pod.uid] = pod
        while self._count > KEPT_MAX:
            self.forget(next(iter(self._succeeded)))

    def forget(self, key: GangKey) -> None:
        self._count -= len(self._succeeded.pop(key, ()))

    def counted(self, key: GangKey, pods: Sequence[Pod], jobs: Iterable[Job]) -> Sequence[Pod]:
        """The members that are there, and those that succeeded and are leaving or gone.

        jobs: of the names that controllers of members have; whether they are those is looked at here.
        """
        found = self._with_known(key, pods)
        if key.is_single or key.dialect in _COUNTING:
            return found
        gone = [pod for job in jobs if job.succeeded + job.failed > 0 for pod in _told(job, found)]
        return [*found, *gone] if gone else found

    def _with_known(self, key: GangKey, pods: Sequence[Pod]) -> Sequence[Pod]:
        known = self._succeeded.get(key)
        if known is None:
            return pods
        there = {pod.uid for pod in pods}
        # Whoever came under the name of one that is gone was made in its place.
        names = {pod.name for pod in pods}
        gone = [pod for uid, pod in known.items() if uid not in there and pod.name not in names]
        return [*(known.get(pod.uid, pod) if pod.is_deleting else pod for pod in pods), *gone]


def _told(job: Job, members: Iterable[Pod]) -> Iterator[Pod]:
    """Pods of the Job that nobody sees and that are settled by its status; all its pods are of one template.

    No more of them than the Job runs at once: beyond that others have long taken their place.
    """
    pods = [pod for pod in members if pod.owner is not None and pod.owner.uid == job.uid]
    if not pods or job.completions is None:
        return
    seen = sum(pod.phase == "Succeeded" for pod in pods)
    for i in range(min(job.succeeded + job.failed - seen, job.parallelism, job.completions)):
        name = f"{job.name}/settled-{i}"
        yield replace(
            pods[0], uid=f"{job.uid}/{i}", name=name, phase="Succeeded", node_name="", is_deleting=False
        )
