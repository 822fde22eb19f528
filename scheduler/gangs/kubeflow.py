"""Jobs of Kubeflow's training-operator (kubeflow/training-operator, pkg/apis/kubeflow.org/v1).

What they share: the operator controls the pods itself, names the replica type in a label in lower case
(common_types.go), and ``spec.runPolicy.schedulingPolicy.minAvailable`` is the size where it is set.
Each kind is a file of its own beside this one.
"""

from __future__ import annotations

from scheduler.gangs import words
from scheduler.gangs.described import Described
from scheduler.gangs.dialect import Doc
from scheduler.gangs.groups import GroupKind
from scheduler.model.objects import Pod, Rejected

JOB_NAME = "training.kubeflow.org/job-name"
REPLICA_TYPE = "training.kubeflow.org/replica-type"
JOB_ROLE = "training.kubeflow.org/job-role"
OPERATOR = "training.kubeflow.org/operator-name"


class Kubeflow(Described):
    """One kind of job. ``owner_kind`` is its kind as the pods' owner reference spells it."""

    def __init__(self, owner_kind: str, doc: Doc, kinds: tuple[GroupKind, ...]) -> None:
        super().__init__(owner_kind.lower(), doc, kinds, title=owner_kind)
        self._owner_kind = owner_kind

    def group_name(self, pod: Pod) -> str | Rejected | None:
        owner = pod.owner
        if (
            owner is None
            or owner.kind != self._owner_kind
            or not owner.api_version.startswith("kubeflow.org/")
        ):
            return None
        return owner.name

    def role(self, pod: Pod) -> str:
        return words.label(pod, REPLICA_TYPE) or words.role_of(pod)


def doc_of(kind: str, field: str, more: tuple[tuple[str, str], ...] = ()) -> Doc:
    """The table's row of one kind; ``field`` of its spec holds the replica types."""
    return Doc(
        title=f"Kubeflow {kind}",
        keys=(
            (f"owner {kind} (kubeflow.org)", "the job is the gang; nothing need be set"),
            (f"{kind} spec.{field}.*.replicas", "all of them start together"),
            (f"{kind} spec.runPolicy.schedulingPolicy.minAvailable", "fewer than all"),
            *more,
            (f"label {REPLICA_TYPE}", "role of the pod, set by the operator"),
        ),
        size="minAvailable, or the sum of the replicas",
        replaced_by="the operator, under the same name; after a failure only by its `restartPolicy`",
    )
