"""RayCluster, and RayJob and RayService, which make one (ray-project/kuberay, ray/utils/constant.go).

The head and the workers without which the cluster is not to start are one gang; workers that the
autoscaler adds join it replica by replica: one by one, or all pods of a replica of several (``numOfHosts``)
together. The submitter pod of a RayJob is a pod of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scheduler.gangs import words
from scheduler.gangs.described import Described
from scheduler.gangs.dialect import Doc
from scheduler.gangs.groups import GroupObjects, Workload
from scheduler.model.gang import GangKey, GangSpec, ReplicaSpec, Waiting
from scheduler.model.objects import Pod, Rejected

NODE_TYPE = "ray.io/node-type"
GROUP = "ray.io/group"
#: Set where one replica is several pods, by KubeRay from 1.5 on with its feature RayMultiHostIndexing. It
#: then deletes what is left of a replica that lost a pod (raycluster_controller.go).
REPLICA = "ray.io/worker-group-replica-name"
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
        ("RayCluster spec.workerGroupSpecs[].maxReplicas", "KubeRay makes no more, whatever the others say"),
        (
            "RayCluster spec.workerGroupSpecs[].numOfHosts",
            "pods of one replica, which start together, also beyond minReplicas",
        ),
        (f"label {REPLICA}", "which of them are one replica, set by KubeRay; without it any of the group"),
        (f"label {GROUP}", "role of the pod, set by KubeRay"),
    ),
    size="1 + sum over the worker groups of replicas x numOfHosts",
    replaced_by="KubeRay: the pod alone, head or worker; of a replica that it names by a label, all pods",
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

    def _described(
        self, key: GangKey, members: Sequence[Pod], found: Workload, objects: GroupObjects
    ) -> GangSpec | Waiting | Rejected:
        spec = super()._described(key, members, found, objects)
        if not isinstance(spec, GangSpec) or spec.min_member != sum(role.minimum for role in spec.roles):
            # Nothing to start, or the pods themselves say in one number how many of them will do.
            return spec
        return replace(
            spec,
            replicas=tuple(
                ReplicaSpec(role=r.name, size=r.size, minimum=r.pods_min // r.size, label=REPLICA)
                for r in found.roles
                if r.size > 1 and not r.is_suspended
            ),
        )
