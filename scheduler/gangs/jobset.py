"""JobSet (kubernetes-sigs/jobset, api/jobset/v1alpha2/jobset_types.go), and TrainJob, which makes one.

The whole JobSet is one gang whose roles are its replicated jobs. With ``startupPolicy: InOrder`` or
``dependsOn`` the later ones have no pods before the earlier ones run, so the roles start one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
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


_LEADERS = "/leaders"


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
