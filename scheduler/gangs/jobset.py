"""JobSet (kubernetes-sigs/jobset, api/jobset/v1alpha2/jobset_types.go), and TrainJob, which makes one.

The whole JobSet is one gang whose roles are its replicated jobs. With ``startupPolicy: InOrder`` or
``dependsOn`` the later ones have no pods before the earlier ones run, so the roles start one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from scheduler.gangs import words
from scheduler.gangs.described import Described
from scheduler.gangs.dialect import Doc
from scheduler.gangs.groups import GroupKind, GroupObjects, Job, Replicas, Workload
from scheduler.gangs.job import size_of
from scheduler.model.objects import Pod, Rejected

NAME = "jobset.sigs.k8s.io/jobset-name"
UID = "jobset.sigs.k8s.io/jobset-uid"
ROLE = "jobset.sigs.k8s.io/replicatedjob-name"
EXCLUSIVE = "alpha.jobset.sigs.k8s.io/exclusive-topology"
BY_NODE_SELECTOR = "alpha.jobset.sigs.k8s.io/node-selector"
INDEX = "batch.kubernetes.io/job-completion-index"

_KINDS: tuple[GroupKind, ...] = ("JobSet",)
DOC = Doc(
    title="JobSet",
    keys=(
        (f"label {NAME}", "the JobSet is the gang; nothing need be set"),
        (
            "JobSet spec.replicatedJobs[]",
            "replicas x min(parallelism, completions) pods of each start together",
        ),
        (
            "JobSet status.replicatedJobsStatus[].succeeded",
            "Jobs that are done are not missed when their pods are deleted",
        ),
        (
            "status.succeeded of its Jobs that run on",
            "nor are pods of theirs that succeeded and were deleted",
        ),
        ("JobSet spec.startupPolicy InOrder, or dependsOn", "each replicated job in its turn, each whole"),
        (f"annotation {EXCLUSIVE}", "JobSet itself makes other pods wait for the first of each job"),
    ),
    size="sum over the replicated jobs",
    replaced_by="the pod's Job, up to its `backoffLimit`; then JobSet all of it, up to `maxRestarts`",
)


class JobSet(Described):
    def __init__(self, name: str, doc: Doc, title: str) -> None:
        super().__init__(name, doc, _KINDS, title=title)

    def group_name(self, pod: Pod) -> str | Rejected | None:
        return words.label(pod, NAME)

    def stranger(self, pod: Pod, found: Workload) -> bool:
        uid = words.label(pod, UID)
        return uid is not None and uid != found.uid

    def role(self, pod: Pod) -> str:
        role = words.label(pod, ROLE) or words.role_of(pod)
        return f"{role}{_LEADERS}" if _is_leader(pod) else role

    def replicas(self, found: Workload, members: Sequence[Pod]) -> tuple[Replicas, ...]:
        exclusive = {self.role(pod).removesuffix(_LEADERS) for pod in members if _is_exclusive(pod)}
        return tuple(part for role in found.roles for part in _parts(role, is_split=role.name in exclusive))

    def remaining(
        self, started: Sequence[Replicas], members: Sequence[Pod], found: Workload, objects: GroupObjects
    ) -> tuple[Replicas, ...]:
        roles = {role.name: role for role in found.roles}
        jobs: defaultdict[str, defaultdict[str, list[Pod]]] = defaultdict(lambda: defaultdict(list))
        for pod in members:
            jobs[_whole(self.role(pod))][pod.owner.uid if pod.owner else pod.uid].append(pod)
        return tuple(
            self._left(part, roles[name], list(jobs[name].values()), objects)
            for part in started
            if (name := _whole(part.name)) in roles
        )

    def _left(
        self, part: Replicas, role: Replicas, jobs: Sequence[Sequence[Pod]], objects: GroupObjects
    ) -> Replicas:
        """The part without what succeeded and is gone. Succeeded pods that still exist count as standing."""
        running = [pods for pods in jobs if any(pod.phase not in _ENDED for pod in pods)]
        ended = [pods for pods in jobs if all(pod.phase in _ENDED for pod in pods)]
        done, kept = _done(role, len(running), ended) if role.succeeded else (0, [])
        count = (part.count - done) * part.size + sum(self.role(pod) == part.name for pod in kept)
        count -= sum(self._gone(part, role, pods, objects) for pods in running)
        return part if count == part.pods_max else replace(part, count=max(0, count), size=1)

    def _gone(self, part: Replicas, role: Replicas, pods: Sequence[Pod], objects: GroupObjects) -> int:
        """Pods of the part that succeeded in a Job that runs on, and are gone; followers before leaders."""
        owner = pods[0].owner
        job = objects.get("Job", pods[0].namespace, owner.name) if owner is not None else None
        if owner is None or not isinstance(job, Job) or job.uid != owner.uid:
            return 0
        gone = max(0, role.size - size_of(job, pods))
        if part.size == role.size and part.name == role.name:
            return gone
        missing = max(0, role.size - 1 - sum(self.role(pod) == role.name for pod in pods))
        followers = min(gone, missing)
        return followers if part.name == role.name else min(part.size, gone - followers)


def _whole(part: str) -> str:
    return part.removesuffix(_LEADERS)


def _done(role: Replicas, running: int, ended: Sequence[Sequence[Pod]]) -> tuple[int, list[Pod]]:
    """How many Jobs of the role are done, and their succeeded pods that still exist.

    The status counts them and names none. A Job with a pod that has not ended is none of them, also
    where the status is still that of before a restart; of the others, those with most succeeded pods.
    """
    done = max(0, min(role.succeeded, role.count - running))
    succeeded = ([pod for pod in pods if pod.phase == "Succeeded"] for pods in ended)
    most = sorted(succeeded, key=len, reverse=True)[:done]
    return done, [pod for pods in most for pod in pods]


_LEADERS = "/leaders"
_ENDED = ("Succeeded", "Failed")


def _parts(role: Replicas, *, is_split: bool) -> tuple[Replicas, ...]:
    """The role, or the first pods of its jobs and the pods that follow them."""
    if not is_split or role.size < 2:
        return (replace(role, name=f"{role.name}{_LEADERS}") if is_split else role,)
    leaders = replace(role, name=f"{role.name}{_LEADERS}", size=1)
    return (leaders, replace(role, size=role.size - 1, is_late=True))


def _is_exclusive(pod: Pod) -> bool:
    """Whether JobSet gives each job a topology domain of its own, by affinity of the job's first pod.

    Its webhook refuses a job's other pods until the first one has a node, unless nodes are labelled for it.
    """
    return words.annotation(pod, EXCLUSIVE) is not None and words.annotation(pod, BY_NODE_SELECTOR) is None


def _is_leader(pod: Pod) -> bool:
    return _is_exclusive(pod) and words.annotation(pod, INDEX) == "0"


JOBSET = JobSet("jobset", DOC, "JobSet")
