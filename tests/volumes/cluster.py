"""Claims, classes and disks on the control plane, in the namespace of one stage."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from deploy.local.nodes.pools import ZONE_LABEL, Pool, specs
from deploy.local.nodes.register import register
from deploy.local.nodes.writer import Writer
from scheduler.kube.transport import ApiError
from tests.faults.stage import Json, Stage
from tests.faults.stage import pod as bare

SELECTED: Final = "volume.kubernetes.io/selected-node"
PATIENCE_S: Final = 40.0


class Storage:
    """``late`` is a class of the driver, ``local`` one of disks that are there; names are the stage's own."""

    def __init__(self, stage: Stage, driver: str) -> None:
        self._stage = stage
        self._driver = driver
        self.claims_path = f"/api/v1/namespaces/{stage.namespace}/persistentvolumeclaims"

    def name(self, of: str) -> str:
        return f"{of}-{self._stage.namespace}"

    async def nodes(self, zones: dict[str, int], *, gpus: int = 8) -> dict[str, dict[str, str]]:
        """So many nodes in each zone; their labels by name."""
        space = self._stage.namespace
        pools = [Pool(name=f"{space}-{zone}", count=n, gpus=gpus, zone=zone) for zone, n in zones.items()]
        nodes = specs(pools)
        await register(Writer(self._stage.api), nodes, clock=time.time)
        return {node.name: node.labels for node in nodes}

    async def classes(self, **fields: Any) -> None:
        for of, provisioner in (("late", self._driver), ("local", "kubernetes.io/no-provisioner")):
            body = {
                "metadata": {"name": self.name(of)},
                "provisioner": provisioner,
                "volumeBindingMode": "WaitForFirstConsumer",
                **(fields if of == "late" else {}),
            }
            await self._stage.post("/apis/storage.k8s.io/v1/storageclasses", body)

    async def disk(self, name: str, nodes: Sequence[str], *, gib: int = 1) -> None:
        """A disk that is there and can be reached from these nodes."""
        here = [{"key": "kubernetes.io/hostname", "operator": "In", "values": list(nodes)}]
        spec = {
            "capacity": {"storage": f"{gib}Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": self.name("local"),
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": "/disk"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": here}]}},
        }
        path = "/api/v1/persistentvolumes"
        await self._stage.post(path, {"metadata": {"name": self.name(name)}, "spec": spec})
        # Where the volume controller runs it says so too.
        await self._stage.patch(f"{path}/{self.name(name)}/status", {"status": {"phase": "Available"}})

    def spec(self, of: str, *, mode: str = "ReadWriteOnce") -> Json:
        return {
            "storageClassName": self.name(of),
            "accessModes": [mode],
            "resources": {"requests": {"storage": "1Gi"}},
        }

    async def claim(self, name: str, of: str, *, mode: str = "ReadWriteOnce") -> None:
        await self._stage.post(
            self.claims_path, {"metadata": {"name": name}, "spec": self.spec(of, mode=mode)}
        )

    def pod(self, name: str, *claims: str, gpus: int = 8, words: dict[str, str] | None = None) -> Json:
        volumes = [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims]
        return bare(name, gpus=gpus, annotations=words, volumes=volumes)

    async def found(self) -> dict[str, Json]:
        """The claims by name."""
        answer = msgspec.json.decode(await self._stage.api.request("GET", self.claims_path), type=dict)
        return {item["metadata"]["name"]: item for item in answer["items"]}

    async def selected(self) -> dict[str, str]:
        """The node that each claim names."""
        claims = (await self.found()).items()
        words = {name: (claim["metadata"].get("annotations") or {}).get(SELECTED) for name, claim in claims}
        return {name: node for name, node in words.items() if node}

    async def volumes(self) -> dict[str, str]:
        """The volume that each claim is bound to."""
        claims = (await self.found()).items()
        return {n: c["spec"]["volumeName"] for n, c in claims if c["status"].get("phase") == "Bound"}

    async def sweep(self) -> None:
        """Take away what outlives a namespace."""
        for of in ("late", "local"):
            await self._gone(f"/apis/storage.k8s.io/v1/storageclasses/{self.name(of)}")
        await self._gone(self.claims_path)

    async def _gone(self, path: str) -> None:
        try:
            await self._stage.api.delete(path)
        except ApiError:
            return


def zone_of(labels: dict[str, str]) -> str:
    return labels[ZONE_LABEL]
