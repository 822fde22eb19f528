"""Members that did their work and are gone: a gang goes on counting on them, for nobody makes them anew.

What succeeded is cleaned up, by pod GC, by a TTL or by its owner, and the API then tells of it no more. Two
things still do: that it was seen, and the status of the Job that made it, which a new leader can read too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from scheduler.gangs.groups import GroupObjects, Job
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

    def counted(self, key: GangKey, pods: Sequence[Pod], objects: GroupObjects) -> Sequence[Pod]:
        """The members that are there, and those that succeeded and are leaving or gone."""
        found = self._with_known(key, pods)
        if key.is_single or key.dialect in _COUNTING:
            return found
        gone = [pod for pods in _by_job(found).values() for pod in _told(pods, objects)]
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


def _by_job(pods: Iterable[Pod]) -> dict[str, list[Pod]]:
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        if pod.owner is not None and pod.owner.kind == "Job" and pod.owner.api_version.startswith("batch/"):
            found.setdefault(pod.owner.uid, []).append(pod)
    return found


def _told(pods: Sequence[Pod], objects: GroupObjects) -> Iterator[Pod]:
    """Pods of one Job that nobody sees and that are settled by its status; all its pods are of one template.

    No more of them than the Job runs at once: beyond that others have long taken their place.
    """
    like = pods[0]
    job = None if like.owner is None else objects.get("Job", like.namespace, like.owner.name)
    if like.owner is None or not isinstance(job, Job) or job.uid != like.owner.uid or job.completions is None:
        return
    seen = sum(pod.phase == "Succeeded" for pod in pods)
    for i in range(min(job.succeeded + job.failed - seen, job.parallelism, job.completions)):
        name = f"{job.name}/settled-{i}"
        yield replace(
            like, uid=f"{job.uid}/{i}", name=name, phase="Succeeded", node_name="", is_deleting=False
        )
