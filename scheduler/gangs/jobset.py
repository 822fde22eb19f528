"""JobSet (kubernetes-sigs/jobset, api/jobset/v1alpha2/jobset_types.go), and TrainJob, which makes one.

The whole JobSet is one gang whose roles are its replicated jobs. With ``startupPolicy: InOrder`` or
``dependsOn`` the later ones have no pods before the earlier ones run, so the roles start one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from scheduler.gangs import words
from scheduler.gangs.described import Described
from scheduler.gangs.dialect import Doc
from scheduler.gangs.groups import GroupKind, Replicas, Workload
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
        return tuple(
            part
            for role in found.roles
            for part in self._left(role, members, is_split=role.name in exclusive)
        )

    def _left(self, role: Replicas, members: Sequence[Pod], *, is_split: bool) -> Iterator[Replicas]:
        """The role's parts without its Jobs that are done, but for the pods of those that still exist.

        Succeeded pods count as standing, so those seen are added to what is left to run.
        """
        done, seen = self._done(role, members) if role.succeeded else (0, [])
        for part in _parts(role, is_split=is_split):
            if done and part.size > 0:
                existing = sum(self.role(pod) == part.name for pod in seen)
                part = replace(part, count=(part.count - done) * part.size + existing, size=1)
            yield part

    def _done(self, role: Replicas, members: Sequence[Pod]) -> tuple[int, list[Pod]]:
        """How many Jobs of the role are done, and their succeeded pods that still exist.

        The status counts them and names none. A Job with a pod that has not ended is none of them, also
        where the status is still that of before a restart; of the others, those with most succeeded pods.
        """
        jobs: dict[str, list[Pod]] = {}
        for pod in members:
            if self.role(pod).removesuffix(_LEADERS) == role.name:
                jobs.setdefault(pod.owner.uid if pod.owner else pod.uid, []).append(pod)
        ended = [pods for pods in jobs.values() if all(pod.phase in _ENDED for pod in pods)]
        done = max(0, min(role.succeeded, role.count - (len(jobs) - len(ended))))
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
