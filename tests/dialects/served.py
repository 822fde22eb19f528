"""Recordings on a real API server: their objects' definitions, and bodies that it accepts.

The definitions take any spec: no controller acts on these objects, they are only read. UIDs are the server's,
so owner references and labels that name a recorded one are given the real one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, cast

import msgspec

from deploy.local.manifests import until_served
from scheduler.kube.transport import Transport
from tests.dialects.recorded import NAMESPACE, Body, Json, Made, Recording, metadata_of


@dataclass(frozen=True)
class Api:
    """Where objects of a recorded kind are created."""

    group: str
    version: str
    plural: str
    kind: str
    #: For names under k8s.io, which need a note of their approval.
    approved: str = ""

    def path(self, namespace: str) -> str:
        return f"/apis/{self.group}/{self.version}/namespaces/{namespace}/{self.plural}"


#: By ``Made.kind``.
APIS: Final[Mapping[str, Api]] = {
    "Job": Api("batch", "v1", "jobs", "Job"),
    "PodGroup": Api("scheduling.k8s.io", "v1beta1", "podgroups", "PodGroup"),
    "CoschedulingPodGroup": Api("scheduling.x-k8s.io", "v1alpha1", "podgroups", "PodGroup"),
    "KoordinatorPodGroup": Api("scheduling.sigs.k8s.io", "v1alpha1", "podgroups", "PodGroup"),
    "VolcanoPodGroup": Api("scheduling.volcano.sh", "v1beta1", "podgroups", "PodGroup"),
    "KaiPodGroup": Api("scheduling.run.ai", "v2alpha2", "podgroups", "PodGroup"),
    "PyTorchJob": Api("kubeflow.org", "v1", "pytorchjobs", "PyTorchJob"),
    "TFJob": Api("kubeflow.org", "v1", "tfjobs", "TFJob"),
    "XGBoostJob": Api("kubeflow.org", "v1", "xgboostjobs", "XGBoostJob"),
    "PaddleJob": Api("kubeflow.org", "v1", "paddlejobs", "PaddleJob"),
    "JAXJob": Api("kubeflow.org", "v1", "jaxjobs", "JAXJob"),
    "MPIJob": Api("kubeflow.org", "v2beta1", "mpijobs", "MPIJob"),
    "JobSet": Api("jobset.x-k8s.io", "v1alpha2", "jobsets", "JobSet"),
    "RayCluster": Api("ray.io", "v1", "rayclusters", "RayCluster"),
    "LeaderWorkerSet": Api("leaderworkerset.x-k8s.io", "v1", "leaderworkersets", "LeaderWorkerSet"),
}
#: Served by every local cluster.
THERE: Final = frozenset({"Job", "PodGroup", "CoschedulingPodGroup"})


def definition(api: Api) -> Body:
    """A CustomResourceDefinition that takes any spec."""
    name = f"{api.plural}.{api.group}"
    anything: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    names: Json = {"kind": api.kind, "plural": api.plural, "singular": api.kind.lower()}
    version: Json = {
        "name": api.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": anything},
    }
    is_protected = api.group.endswith("k8s.io")
    notes: Json = {"api-approved.kubernetes.io": "unapproved, for tests"} if is_protected else {}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "annotations": notes},
        "spec": {"group": api.group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


async def serve(admin: Transport) -> None:
    """Define what the cluster does not have yet, and return when all of it is served."""
    missing = [api for kind, api in APIS.items() if kind not in THERE]
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for api in missing:
        await admin.request("POST", path, body=msgspec.json.encode(definition(api)))
    await until_served(admin, [api.path("default") for api in missing])


class _Metadata(msgspec.Struct):
    uid: str


class _Created(msgspec.Struct):
    metadata: _Metadata


class Play:
    """Creates one recording, in its own namespace. ``uids`` of the pods that were created, by recorded name.

    Pods get the dialect before their name: recordings of two dialects may use one name.
    """

    def __init__(self, admin: Transport, recording: Recording) -> None:
        self.recording = recording
        self.uids: dict[str, str] = {}
        self._admin = admin
        self._real: dict[str, str] = {}

    async def give_objects(self) -> None:
        for made in self.recording.objects:
            path = APIS[made.kind].path(NAMESPACE)
            found = await self._create(path, _object(made, self.recording.pods[0]))
            self._real[str(metadata_of(made.body)["uid"])] = found

    async def create(self, pod: Body) -> None:
        """As its controller does: one of the recorded pods, or another one in place of it."""
        name = str(metadata_of(pod)["name"])
        path = f"/api/v1/namespaces/{NAMESPACE}/pods"
        self.uids[name] = await self._create(path, self._pod(pod))

    async def lose(self, pod: Body) -> None:
        """Delete a pod at once, as when its node is gone."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{self.name_of(pod)}"
        await self._admin.request("DELETE", path, params={"gracePeriodSeconds": "0"})

    def name_of(self, pod: Body) -> str:
        return f"{self.recording.dialect}-{metadata_of(pod)['name']}"

    def _pod(self, pod: Body) -> Body:
        text = msgspec.json.encode(pod).decode()
        for recorded, real in self._real.items():
            text = text.replace(f'"{recorded}"', f'"{real}"')
        found = cast(Mapping[str, Mapping[str, Json]], msgspec.json.decode(text))
        # The rest of the metadata is the server's to give.
        given = ("namespace", "labels", "annotations", "ownerReferences")
        metadata = {key: value for key, value in found["metadata"].items() if key in given}
        spec: Json = {**found["spec"], "terminationGracePeriodSeconds": 0}
        return {"metadata": {**metadata, "name": self.name_of(pod)}, "spec": spec}

    async def _create(self, path: str, body: Body) -> str:
        found = await self._admin.request("POST", path, body=msgspec.json.encode(body))
        return msgspec.json.decode(found, type=_Created).metadata.uid


def _object(made: Made, pod: Body) -> Body:
    api = APIS[made.kind]
    spec = dict(cast(Mapping[str, Json], made.body["spec"]))
    if made.kind == "Job":
        inner: Json = {**cast(Mapping[str, Json], pod["spec"]), "restartPolicy": "Never"}
        spec["template"] = {"spec": inner}
    metadata: Json = {"name": metadata_of(made.body)["name"], "namespace": NAMESPACE}
    return {"apiVersion": f"{api.group}/{api.version}", "kind": api.kind, "metadata": metadata, "spec": spec}


def bodies(plays: Iterable[Play], *, late: bool) -> list[tuple[Play, Body]]:
    return [(play, pod) for play in plays for pod in (play.recording.late if late else play.recording.pods)]
