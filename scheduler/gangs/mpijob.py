"""MPIJob, of the training-operator (kubeflow.org/v1) and of the mpi-operator (v2beta1).

In v2beta1 a Job controls the launcher (kubeflow/mpi-operator, pkg/controller/mpi_job_controller.go), so its
pod is known by labels. With ``launcherCreationPolicy: WaitForWorkersReady`` there is no launcher until all
workers run: the gang is the workers, and the launcher joins it when it comes.
"""

from __future__ import annotations

from scheduler.gangs import words
from scheduler.gangs.groups import Workload
from scheduler.gangs.kubeflow import JOB_NAME, JOB_ROLE, OPERATOR, REPLICA_TYPE, Kubeflow, doc_of
from scheduler.model.objects import Pod, Rejected

MPI_OPERATOR = "mpi-operator"


class MpiJob(Kubeflow):
    def group_name(self, pod: Pod) -> str | Rejected | None:
        found = super().group_name(pod)
        if found is None and pod.owner is not None and pod.owner.kind == "Job":
            return words.label(pod, JOB_NAME) if words.label(pod, OPERATOR) == MPI_OPERATOR else None
        return found

    def role(self, pod: Pod) -> str:
        said = words.label(pod, REPLICA_TYPE) or words.label(pod, JOB_ROLE)
        # training-operator labels a launcher's job-role as master too; its replica type is the truth.
        return said or words.role_of(pod)

    def stranger(self, pod: Pod, found: Workload) -> bool:
        return pod.owner is not None and pod.owner.kind == "MPIJob" and pod.owner.uid != found.uid


MPIJOB = MpiJob(
    "MPIJob",
    doc_of(
        "MPIJob",
        "mpiReplicaSpecs",
        (
            (
                "MPIJob spec.launcherCreationPolicy: WaitForWorkersReady",
                "the workers start together, then the launcher",
            ),
        ),
    ),
    ("MPIJob", "MPIJobV1"),
)
