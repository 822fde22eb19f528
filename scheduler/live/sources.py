"""Where gang-defining objects of other projects are read, each only where its API is served and allowed.

A cluster has few of these APIs. One that is missing (404) or forbidden (403) keeps nothing waiting: its
dialect is told so (``ClusterState.set_unreadable``), and it is looked for again when a pod speaks it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from scheduler.gangs.groups import Group, GroupKind
from scheduler.kube import wire
from scheduler.kube.decoding import HasMetadata
from scheduler.kube.wire import workloads
from scheduler.parse import workloads as parse

T = TypeVar("T", bound=HasMetadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Generic[T]):
    kind: GroupKind
    path: str
    wire_type: type[T]
    parse: Callable[[T], Group]


#: Versions of Kubernetes' own PodGroup. A cluster serves one of them, or some with the same content.
POD_GROUP: tuple[str, ...] = tuple(
    f"scheduling.k8s.io/{version}" for version in ("v1beta1", "v1", "v1alpha3", "v1alpha2")
)


def _kubeflow(kind: GroupKind, resource: str, version: str = "v1") -> Source[workloads.KubeflowJob]:
    api_version = f"kubeflow.org/{version}"
    return Source(
        kind=kind,
        path=f"/apis/{api_version}/{resource}",
        wire_type=workloads.KubeflowJob,
        parse=partial(parse.parse_kubeflow, kind=kind, api_version=api_version),
    )


KUBEFLOW: tuple[Source[workloads.KubeflowJob], ...] = (
    _kubeflow("PyTorchJob", "pytorchjobs"),
    _kubeflow("TFJob", "tfjobs"),
    _kubeflow("XGBoostJob", "xgboostjobs"),
    _kubeflow("PaddleJob", "paddlejobs"),
    _kubeflow("JAXJob", "jaxjobs"),
    _kubeflow("MPIJob", "mpijobs", "v2beta1"),
    _kubeflow("MPIJobV1", "mpijobs"),
)
KOORDINATOR = Source(
    kind="KoordinatorPodGroup",
    path="/apis/scheduling.sigs.k8s.io/v1alpha1/podgroups",
    wire_type=wire.CoschedulingPodGroup,
    parse=parse.parse_koordinator,
)
VOLCANO = Source(
    kind="VolcanoPodGroup",
    path="/apis/scheduling.volcano.sh/v1beta1/podgroups",
    wire_type=workloads.VolcanoPodGroup,
    parse=parse.parse_volcano,
)
KAI = Source(
    kind="KaiPodGroup",
    path="/apis/scheduling.run.ai/v2alpha2/podgroups",
    wire_type=workloads.KaiPodGroup,
    parse=parse.parse_kai,
)
JOBSET = Source(
    kind="JobSet",
    path="/apis/jobset.x-k8s.io/v1alpha2/jobsets",
    wire_type=workloads.JobSet,
    parse=parse.parse_jobset,
)
RAY = Source(
    kind="RayCluster",
    path="/apis/ray.io/v1/rayclusters",
    wire_type=workloads.RayCluster,
    parse=parse.parse_ray,
)
LWS = Source(
    kind="LeaderWorkerSet",
    path="/apis/leaderworkerset.x-k8s.io/v1/leaderworkersets",
    wire_type=workloads.LeaderWorkerSet,
    parse=parse.parse_lws,
)
#: Of all sources, for whoever must know what may be read (RBAC, doctor).
PATHS: tuple[str, ...] = (
    *(source.path for source in KUBEFLOW),
    KOORDINATOR.path,
    VOLCANO.path,
    KAI.path,
    JOBSET.path,
    RAY.path,
    LWS.path,
)
