"""A CSI driver as a cluster has it: what it says of its nodes, and the provisioner that makes its volumes.

Source: kubernetes-csi/external-provisioner and sig-storage-lib-external-provisioner. The volume controller of
kube-controller-manager does the rest: it names the provisioner on a claim, and binds claim and volume.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from deploy.local.nodes.writer import MERGE, TRANSIENT, Writer
from scheduler.kube.transport import ApiError, BadAnswer, Conflict, Gone, NotFound, Transport

CLAIMS: Final = "/api/v1/persistentvolumeclaims"
VOLUMES: Final = "/api/v1/persistentvolumes"
STORAGE: Final = "/apis/storage.k8s.io/v1"
SELECTED: Final = "volume.kubernetes.io/selected-node"
PROVISIONER: Final = "volume.kubernetes.io/storage-provisioner"
_WATCH_S: Final = 300
_SILENCE_MOST_S: Final = 90.0
_PAUSE_S: Final = 0.2

Json = dict[str, Any]
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class CsiDriver:
    """``async with CsiDriver(transport, "NAME", nodes)``: on entry it is registered on the nodes and works.

    nodes: labels by name. keys: those labels by which it tells places apart. most: how many volumes a node
    attaches. takes_s: how long a volume takes for a claim on a node; None answers nothing, as a provisioner
    that hangs. gives: whether there is room; where not, it gives the claim up.
    tracks_capacity: whether a scheduler is to look at CSIStorageCapacity objects.
    """

    def __init__(
        self,
        transport: Transport,
        name: str,
        nodes: Mapping[str, Mapping[str, str]],
        *,
        keys: Sequence[str] = (),
        most: int | None = None,
        takes_s: Callable[[Json, str], float | None] = lambda claim, node: 0.1,
        gives: Callable[[Json, str], bool] = lambda claim, node: True,
        tracks_capacity: bool = False,
    ) -> None:
        self.name = name
        self.takes_s = takes_s
        self.gives = gives
        #: (claim, node) in the order in which they were asked for, and those given up.
        self.asked: list[tuple[str, str]] = []
        self.given_up: list[tuple[str, str]] = []
        self._transport = transport
        self._writer = Writer(transport)
        self._nodes = nodes
        self._keys = tuple(keys)
        self._most = most
        self._tracks_capacity = tracks_capacity
        #: Claims at work, by UID, and the node for which.
        self._busy: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        spec = {"attachRequired": False, "storageCapacity": self._tracks_capacity}
        await self._create(f"{STORAGE}/csidrivers", {"metadata": {"name": self.name}, "spec": spec})
        for node in self._nodes:
            driver: Json = {"name": self.name, "nodeID": node, "topologyKeys": list(self._keys)}
            if self._most is not None:
                driver["allocatable"] = {"count": self._most}
            body = {"metadata": {"name": node}, "spec": {"drivers": [driver]}}
            await self._create(f"{STORAGE}/csinodes", body)
        self._start(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in list(self._tasks):
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for node in self._nodes:
            await self._delete(f"{STORAGE}/csinodes/{node}")
        await self._delete(f"{STORAGE}/csidrivers/{self.name}")
        failures = [end for end in ended if isinstance(end, Exception)]
        if failures and error is None:
            raise failures[0]

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._tasks.discard(task)

    async def provide(self, claim: Json) -> None:
        """Make the volume of a claim that named a node and got no answer."""
        node = claim["metadata"]["annotations"][SELECTED]
        await self._create(VOLUMES, self._volume(claim, node))

    # -- claims ------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            try:
                listed = _decode(await self._writer.send("GET", CLAIMS))
                for claim in listed["items"]:
                    self._seen(claim)
                await self._follow(listed["metadata"]["resourceVersion"])
            except (Gone, BadAnswer, *TRANSIENT):
                await asyncio.sleep(_PAUSE_S)

    async def _follow(self, version: str) -> None:
        params = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(_WATCH_S)}
        stream = self._transport.stream(CLAIMS, params=params, read_timeout_s=_SILENCE_MOST_S)
        async with aclosing(stream):
            async for line in stream:
                event = _decode(line)
                if event["type"] == "ERROR":
                    return
                if event["type"] in ("ADDED", "MODIFIED"):
                    self._seen(event["object"])

    def _seen(self, claim: Json) -> None:
        words = claim["metadata"].get("annotations") or {}
        uid, node = claim["metadata"]["uid"], words.get(SELECTED, "")
        if words.get(PROVISIONER) != self.name or claim["spec"].get("volumeName"):
            return
        if node and self._busy.get(uid) != node:
            self._busy[uid] = node
            self.asked.append((claim["metadata"]["name"], node))
            self._start(self._provision(claim, node))

    async def _provision(self, claim: Json, node: str) -> None:
        uid, name = claim["metadata"]["uid"], claim["metadata"]["name"]
        wait_s = self.takes_s(claim, node)
        if wait_s is None:
            return
        await asyncio.sleep(wait_s)
        del self._busy[uid]
        if self.gives(claim, node):
            await self._create(VOLUMES, self._volume(claim, node))
            return
        self.given_up.append((name, node))
        path = f"/api/v1/namespaces/{claim['metadata']['namespace']}/persistentvolumeclaims/{name}"
        body = msgspec.json.encode({"metadata": {"uid": uid, "annotations": {SELECTED: None}}})
        try:
            await self._writer.send("PATCH", path, body, content_type=MERGE)
        except (NotFound, Conflict):
            return  # The claim is gone, or another one has its name.

    def _volume(self, claim: Json, node: str) -> Json:
        metadata, spec = claim["metadata"], claim["spec"]
        labels = self._nodes.get(node, {})
        near = [{"key": k, "operator": "In", "values": [labels[k]]} for k in self._keys if k in labels]
        made: Json = {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": spec["storageClassName"],
            "volumeMode": spec.get("volumeMode", "Filesystem"),
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "csi": {"driver": self.name, "volumeHandle": f"pvc-{metadata['uid']}"},
        }
        if near:
            made["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": near}]}}
        words = {"pv.kubernetes.io/provisioned-by": self.name}
        return {"metadata": {"name": f"pvc-{metadata['uid']}", "annotations": words}, "spec": made}

    # -- writing -----------------------------------------------------------------------------------

    async def _create(self, path: str, body: Json) -> None:
        try:
            await self._writer.send("POST", path, msgspec.json.encode(body))
        except Conflict:
            return  # It is there.

    async def _delete(self, path: str) -> None:
        try:
            await self._writer.send("DELETE", path)
        except ApiError:
            return
