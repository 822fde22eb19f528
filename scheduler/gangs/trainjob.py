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
        (f"label {STEP} beside {NAME}", "the TrainJob is the gang; nothing need be set"),
        ("JobSet of the same name", "its replicated jobs give the sizes and the order of the steps"),
    ),
    size="sum over the replicated jobs of its JobSet",
    example="""\
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata:
  name: bert
spec:
  runtimeRef:
    name: torch-distributed
  trainer:
    numNodes: 4
  podTemplateOverrides:
    - targetJobs:
        - name: node
      spec:
        schedulerName: stowplan
""",
)


class TrainJob(JobSet):
    def group_name(self, pod: Pod) -> str | Rejected | None:
        return None if words.label(pod, STEP) is None else super().group_name(pod)


TRAINJOB = TrainJob("trainjob", DOC, "JobSet of TrainJob")
