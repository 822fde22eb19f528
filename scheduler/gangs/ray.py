"""RayCluster, and RayJob and RayService, which make one (ray-project/kuberay, ray/utils/constant.go).

The head and the workers without which the cluster is not to start are one gang; workers that the
autoscaler adds join it one by one. The submitter pod of a RayJob is a pod of its own.
"""

from __future__ import annotations

from scheduler.gangs import words
from scheduler.gangs.described import Described
from scheduler.gangs.dialect import Doc
from scheduler.model.objects import Pod, Rejected

NODE_TYPE = "ray.io/node-type"
GROUP = "ray.io/group"
HEAD = "head"

DOC = Doc(
    title="RayCluster, RayJob, RayService",
    keys=(
        ("owner RayCluster (ray.io)", "the cluster is the gang; nothing need be set"),
        ("RayCluster spec.workerGroupSpecs[].minReplicas", "replicas without which it does not start"),
        (
            "RayCluster spec.workerGroupSpecs[].replicas",
            "the same where minReplicas is 0 and nothing autoscales",
        ),
        ("RayCluster spec.workerGroupSpecs[].numOfHosts", "pods of one replica"),
        (f"label {GROUP}", "role of the pod, set by KubeRay"),
    ),
    size="1 + sum over the worker groups of replicas x numOfHosts",
    replaced_by="KubeRay: the pod alone, head or worker",
)


class Ray(Described):
    def __init__(self) -> None:
        super().__init__("raycluster", DOC, ("RayCluster",), title="RayCluster")

    def group_name(self, pod: Pod) -> str | Rejected | None:
        owner = pod.owner
        if owner is None or owner.kind != "RayCluster" or not owner.api_version.startswith("ray.io/"):
            return None
        return owner.name

    def role(self, pod: Pod) -> str:
        if words.label(pod, NODE_TYPE) == HEAD:
            return HEAD
        return words.label(pod, GROUP) or words.role_of(pod)
