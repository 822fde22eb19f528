"""Members that did their work and are gone: a gang goes on counting on them, for nobody makes them anew.

What succeeded is cleaned up, by pod GC, by a TTL or by its owner, and the API then tells of it no more. Three
things still do: that it was seen; what was written down of it, in the Gang object; and the status of the Job
that made it. The last two a new leader can read too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from scheduler.gangs.groups import Job
from scheduler.model.gang import Finished, GangKey
from scheduler.model.objects import Pod

#: Succeeded pods remembered over all gangs; those of the gangs that were seen first are forgotten beyond.
KEPT_MAX: Final = 100_000
#: Of one gang so many are written down, beside as many places as it may have: an object has its size.
FINISHED_MAX: Final = 2_000
#: Dialects that count a Job's successes themselves.
_COUNTING: Final = frozenset({"job", "jobset", "trainjob"})


class Ended:
    """By gang, the members that were seen to succeed; a store that is asked with those that are there."""

    def __init__(self) -> None:
        self._succeeded: dict[GangKey, dict[str, Pod]] = {}
        self._count = 0
        #: Those of whom an earlier leader wrote, and nobody else tells.
        self._written: dict[GangKey, dict[str, Finished]] = {}
        #: Gangs of which some are gone that a Job does not tell of.
        self._missing: dict[GangKey, None] = {}

    def saw(self, key: GangKey, pod: Pod) -> None:
        """A version of a member. One that ends when it is deleted did not succeed: it was sent away."""
        if key.is_single or pod.phase != "Succeeded" or pod.is_deleting:
            return
        known = self._succeeded.setdefault(key, {})
        self._count += pod.uid not in known
        known[pod.uid] = pod
        while self._count > KEPT_MAX:
            self.forget(next(iter(self._succeeded)))

    def left(self, key: GangKey, uid: str) -> None:
        """A member is gone."""
        if uid in self._succeeded.get(key, ()) and key.dialect not in _COUNTING:
            self._missing[key] = None

    def recall(self, key: GangKey, finished: Iterable[Finished]) -> None:
        """Members that an earlier leader saw succeed and go."""
        known = self._succeeded.get(key, {})
        written = self._written.setdefault(key, {})
        written.update((one.uid, one) for one in finished if one.uid not in known)
        self._missing[key] = None

    def misses(self, key: GangKey) -> bool:
        """Whether any is gone of whom something is to be written down."""
        return key in self._missing

    def forget(self, key: GangKey) -> None:
        self._count -= len(self._succeeded.pop(key, ()))
        self._written.pop(key, None)
        self._missing.pop(key, None)

    def counted(self, key: GangKey, pods: Sequence[Pod], jobs: Iterable[Job]) -> Sequence[Pod]:
        """The members that are there, and those that succeeded and are leaving or gone.

        jobs: of the names that controllers of members have; whether they are those is looked at here.
        """
        known, gone, found = self._succeeded.get(key, {}), self.gone(key, pods), pods
        if known or gone:
            found = [*(known.get(pod.uid, pod) if pod.is_deleting else pod for pod in pods), *gone]
        if key.is_single or key.dialect in _COUNTING:
            return found
        settled = [pod for job in jobs if job.succeeded + job.failed > 0 for pod in _told(job, found)]
        return [*found, *settled] if settled else found

    def gone(self, key: GangKey, pods: Sequence[Pod]) -> list[Pod]:
        """Beside the members that are there, those that succeeded, by what was seen or written."""
        known, written = self._succeeded.get(key, {}), self._written.get(key, {})
        if not known and not written:
            return []
        there = {pod.uid for pod in pods}
        # Whoever came under the name of one that is gone was made in its place.
        names = {pod.name for pod in pods}
        told = _as_pods(written.values(), pods) if written else ()
        return [pod for pod in (*told, *known.values()) if pod.uid not in there and pod.name not in names]


def _as_pods(written: Iterable[Finished], pods: Iterable[Pod]) -> Iterator[Pod]:
    """Like the oldest pod that the same object made; where it made none of these, it made another run."""
    models: dict[str, Pod] = {}
    for pod in sorted(pods, key=lambda pod: (pod.created_s, pod.uid)):
        models.setdefault(_maker(pod), pod)
    for one in written:
        model = models.get(one.owner)
        if model is not None:
            yield replace(
                model,
                uid=one.uid,
                name=one.name,
                phase="Succeeded",
                node_name="",
                is_deleting=False,
                created_s=one.created_s,
                started_s=None,
                ended_s=one.ended_s,
            )


def as_finished(pod: Pod) -> Finished:
    return Finished(
        uid=pod.uid, name=pod.name, owner=_maker(pod), created_s=pod.created_s, ended_s=pod.ended_s
    )


def _maker(pod: Pod) -> str:
    return "" if pod.owner is None else pod.owner.uid


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
