"""Which run of a gang a pod is in: a gang's name is used again, and its earlier pods may still be there.

A CronJob keeps the pods of its last runs, a Job is deleted and made again, a JobSet restarts. What an earlier
run left behind neither stands nor is missed. Three things tell runs apart, the surest first:

1. What controls a pod is known by its UID: of one kind and name, the newest is the run that is under way.
2. A Job of a CronJob carries the time of its run in its name, so each is a gang of its own (``part``).
3. Where a name is all that holds a gang together: members all exist before the first of them starts, so who
   was made after all the others had ended belongs to another run, unless one object made both. Bare pods may
   also replace one that failed: they do, where the run lacks as many as come.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.gangs import words
from scheduler.gangs.groups import GroupKind, GroupObjects
from scheduler.model.objects import Owner, Pod

#: JobSet's count of restarts, on each pod; all Jobs of a restart are made anew.
ATTEMPT: Final = "jobset.sigs.k8s.io/restart-attempt"
_ENDED = ("Succeeded", "Failed")
#: Labels that name what made a pod where several objects control its pods one after the other.
_MAKERS: Final = (
    "jobset.sigs.k8s.io/jobset-uid",
    "jobset.sigs.k8s.io/jobset-name",
    "training.kubeflow.org/job-name",
    "leaderworkerset.sigs.k8s.io/name",
    "ray.io/cluster",
    "spark-app-selector",
)
#: CronJob names its Jobs by the minute of their run, Argo's CronWorkflow by the second.
_TIMED = re.compile(r".+-([1-9][0-9]{7,9})")
_JOB: Final[GroupKind] = "Job"
_TIMED_KINDS = frozenset({"Job", "Workflow"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The members of the run that is under way, and those that earlier runs left behind."""

    members: Sequence[Pod]
    earlier: Sequence[Pod] = ()


def part(pod: Pod) -> str:
    """Which of several runs that may go on at once the pod is in, by the name of its controller; or empty."""
    owner = pod.owner
    if owner is None or owner.kind not in _TIMED_KINDS:
        return ""
    found = _TIMED.fullmatch(owner.name)
    return found.group(1) if found else ""


def runs_of(
    members: Sequence[Pod],
    objects: GroupObjects,
    kinds: Sequence[GroupKind],
    minimum: Callable[[Sequence[Pod]], int] | None,
) -> Runs:
    """kinds: of the objects that describe the gang. minimum: the size of a gang of these members, where
    nothing but a name holds them together; None where an object made them all.
    """
    earlier = {pod.uid for pod in (*_of_former_owners(members, objects, kinds), *_of_attempts(members))}
    left = [pod for pod in members if pod.uid not in earlier] if earlier else members
    ended = _ended_before(left, minimum) if minimum is not None else ()
    if not earlier and not ended:
        return Runs(members=members)
    earlier |= {pod.uid for pod in ended}
    return Runs(
        members=[pod for pod in members if pod.uid not in earlier],
        earlier=[pod for pod in members if pod.uid in earlier],
    )


def _of_former_owners(members: Sequence[Pod], objects: GroupObjects, kinds: Sequence[GroupKind]) -> list[Pod]:
    """Pods of an object that another one of its name has followed."""
    uids: dict[tuple[str, str, str], set[str]] = {}
    # Equal owners are mostly one object, and hashing them costs more than all else here.
    for owner in {id(pod.owner): pod.owner for pod in members}.values():
        if owner is not None:
            uids.setdefault(_named(owner), set()).add(owner.uid)
    if all(len(found) == 1 for found in uids.values()):
        return []
    found: list[Pod] = []
    for name, several in uids.items():
        if len(several) > 1:
            same = [pod for pod in members if pod.owner is not None and _named(pod.owner) == name]
            now = _current(same, objects, kinds)
            found += [pod for pod in same if pod.owner is not None and pod.owner.uid != now]
    return found


def _named(owner: Owner) -> tuple[str, str, str]:
    return (owner.api_version.partition("/")[0], owner.kind, owner.name)


def _current(pods: Sequence[Pod], objects: GroupObjects, kinds: Sequence[GroupKind]) -> str:
    """UID of the object that controls these pods now: as the API shows it, else of whose pods are newest."""
    owners = [pod.owner for pod in pods if pod.owner is not None]
    uids = {owner.uid for owner in owners}
    for kind in (*kinds, _JOB):
        known = objects.get(kind, pods[0].namespace, owners[0].name)
        if known is not None and known.uid in uids:
            return known.uid
    newest = max(pods, key=lambda pod: (pod.created_s, not pod.has_ended, pod.uid))
    return "" if newest.owner is None else newest.owner.uid


def _of_attempts(members: Sequence[Pod]) -> list[Pod]:
    """Pods that ended in an attempt before the last restart; what they did is done again."""
    if not any(pod.phase in _ENDED for pod in members):
        return []
    attempts = {pod.uid: words.label(pod, ATTEMPT) for pod in members if pod.labels}
    told = {uid: int(text) for uid, text in attempts.items() if text and text.isdigit() and len(text) < 10}
    last = max(told.values(), default=0)
    return [pod for pod in members if pod.has_ended and told.get(pod.uid, last) < last]


def _ended_before(members: Sequence[Pod], minimum: Callable[[Sequence[Pod]], int]) -> Sequence[Pod]:
    """Members that had all ended before the others, of which some have not, were made by somebody else."""
    over = sum(pod.phase in _ENDED or pod.is_deleting for pod in members)
    if over in (0, len(members)):
        return ()
    made: dict[str, list[Pod]] = {}
    for pod in members:
        made.setdefault(_maker(pod), []).append(pod)
    spans = sorted((_span(pods) for pods in made.values()), key=lambda span: span.start_s)
    split, reach_s = 0, float("-inf")
    for i, span in enumerate(spans):
        if span.start_s > reach_s:
            split = i
        reach_s = max(reach_s, span.end_s)
    before = [pod for span in spans[:split] for pod in span.pods]
    after = [pod for span in spans[split:] for pod in span.pods]
    if not before or any(pod.owner is not None for pod in after):
        return before
    lacking = minimum(members) - sum(pod.phase == "Succeeded" for pod in before)
    return before if len(after) > lacking else ()


def _maker(pod: Pod) -> str:
    """One object that made the pod, or the bare pod itself."""
    if pod.owner is None:
        return pod.uid
    named = (words.label(pod, key) for key in _MAKERS)
    return next((name for name in named if name), pod.owner.uid)


@dataclass(frozen=True, slots=True)
class _Span:
    pods: Sequence[Pod]
    start_s: float
    #: Not before this had all of them ended; infinite while one has not.
    end_s: float


def _span(pods: Sequence[Pod]) -> _Span:
    return _Span(pods, min(pod.created_s for pod in pods), max(_end_s(pod) for pod in pods))


def _end_s(pod: Pod) -> float:
    if pod.has_ended or pod.is_deleting:
        return max(pod.created_s, pod.started_s or 0.0, pod.ended_s)
    return float("inf")
