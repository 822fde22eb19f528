"""Kubeflow Trainer's TrainJob (kubeflow/trainer, pkg/constants/constants.go).

A TrainJob makes a JobSet of its own name, and that JobSet says the sizes; a step that another depends on
(dataset or model initializer) is a replicated job that starts first.
"""

from __future__ import annotations

from scheduler.gangs import words
from scheduler.gangs.dialect import Doc
from scheduler.gangs.jobset import NAME, JobSet
from scheduler.model.objects import Pod, Rejected

STEP = "trainer.kubeflow.org/trainjob-ancestor-step"

DOC = Doc(
    title="Kubeflow TrainJob",
    keys=(
        (
            f"label {STEP} beside {NAME}",
            "the TrainJob is the gang; where the runtime's pod template lacks the label, its JobSet is: "
            "the same pods",
        ),
        ("JobSet of the same name", "its replicated jobs give the sizes and the order of the steps"),
        (
            "TrainingRuntime spec.template",
            "where schedulerName stands: a TrainJob's own overrides have no field for it",
        ),
    ),
    size="sum over the replicated jobs of its JobSet",
    replaced_by="as JobSet",
)


class TrainJob(JobSet):
    def group_name(self, pod: Pod) -> str | Rejected | None:
        return None if words.label(pod, STEP) is None else super().group_name(pod)


TRAINJOB = TrainJob("trainjob", DOC, "JobSet of TrainJob")
