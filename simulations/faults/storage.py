"""Storage as a cluster has it: the controllers of volumes, also of ephemeral ones, and a CSI driver.

What they do was learnt from kube-controller-manager 1.37 (``volume/persistentvolume``, ``volume/ephemeral``)
and external-provisioner: a claim of a class that waits for its first consumer is provisioned for the node
that it names, in the segment of the driver's topology that the node is in; where that fails for good the name
is taken away, so that a scheduler chooses anew.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Final

from simulations.faults.server import CORE, NODES, PODS
from simulations.faults.store import Change, Collection, Json, Key, Store

CLAIMS: Final = f"{CORE}/persistentvolumeclaims"
VOLUMES: Final = f"{CORE}/persistentvolumes"
CLASSES: Final = "/apis/storage.k8s.io/v1/storageclasses"
CSI_NODES: Final = "/apis/storage.k8s.io/v1/csinodes"
CSI_DRIVERS: Final = "/apis/storage.k8s.io/v1/csidrivers"
CAPACITIES: Final = "/apis/storage.k8s.io/v1/csistoragecapacities"
SELECTED: Final = "volume.kubernetes.io/selected-node"
BOUND: Final = "pv.kubernetes.io/bind-completed"
BOUND_BY_US: Final = "pv.kubernetes.io/bound-by-controller"
NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"
ZONE: Final = "topology.kubernetes.io/zone"


class Storage:
    """Reacts to what is written to the store. takes_s: from the node's name on a claim to the volume.

    gives: whether a volume can be made for this claim on this node. is_silent: nothing is provisioned, and
    nobody says so. keys: labels of nodes by which the driver tells places apart.
    """

    def __init__(
        self,
        store: Store,
        *,
        takes_s: Callable[[], float] = lambda: 0.2,
        gives: Callable[[Json, Json], bool] = lambda claim, node: True,
        keys: tuple[str, ...] = (ZONE,),
    ) -> None:
        self.takes_s = takes_s
        self.gives = gives
        self.is_silent = False
        #: Nodes named on claims, in order, and how often provisioning failed.
        self.asked: list[tuple[Key, str]] = []
        self.refused: Counter[str] = Counter()
        self._store = store
        self._keys = keys
        self._busy: set[str] = set()
        store.told.append(self._told)

    def _told(self, collection: Collection, change: Change, found: Json) -> None:
        loop = asyncio.get_running_loop()
        if collection.path == CLAIMS and change.type != "DELETED":
            loop.call_later(0.0, self._claim, change.key)
        elif collection.path == VOLUMES and change.type != "DELETED":
            loop.call_later(0.0, self._volume, change.key)
        elif collection.path == PODS:
            then = self._collect if change.type == "DELETED" else self._ephemeral
            loop.call_later(0.05, then, found)

    # -- claims ------------------------------------------------------------------------------------

    def _claim(self, key: Key) -> None:
        claim = self._read(CLAIMS, key)
        if claim is None or claim["spec"].get("volumeName"):
            return
        for volume in self._store.at(VOLUMES).objects:
            self._volume(volume)
        storage = self._read(CLASSES, ("", claim["spec"].get("storageClassName", "")))
        if storage is None or storage.get("provisioner") == NO_PROVISIONER:
            return
        node = (claim["metadata"].get("annotations") or {}).get(SELECTED, "")
        if storage.get("volumeBindingMode") == "WaitForFirstConsumer" and not node:
            return
        uid = claim["metadata"]["uid"]
        if uid not in self._busy and not self.is_silent:
            self._busy.add(uid)
            self.asked.append((key, node))
            asyncio.get_running_loop().call_later(self.takes_s(), self._provision, key, uid, node)

    def _provision(self, key: Key, uid: str, name: str) -> None:
        self._busy.discard(uid)
        claim = self._read(CLAIMS, key)
        if claim is None or claim["metadata"]["uid"] != uid or claim["spec"].get("volumeName"):
            return
        node = self._read(NODES, ("", name))
        if name and (node is None or not self.gives(claim, node)):
            self.refused[name] += 1
            self._store.change(CLAIMS, key, lambda c: _withdraw(c, name))
            return
        metadata: Json = {"name": f"pvc-{uid}", "annotations": {"pv.kubernetes.io/provisioned-by": "csi"}}
        spec: Json = {
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "accessModes": claim["spec"].get("accessModes", []),
            "storageClassName": claim["spec"]["storageClassName"],
            "claimRef": {"namespace": key[0], "name": key[1], "uid": uid},
            "csi": {"driver": "disk.csi.example.com", "volumeHandle": f"pvc-{uid}"},
        }
        labels = {} if node is None else node["metadata"].get("labels", {})
        near = [{"key": k, "operator": "In", "values": [labels[k]]} for k in self._keys if k in labels]
        if near:
            spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": near}]}}
        if ("", f"pvc-{uid}") not in self._store.at(VOLUMES).objects:
            self._store.create(VOLUMES, {"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}})

    # -- volumes -----------------------------------------------------------------------------------

    def _volume(self, key: Key) -> None:
        """A volume that names a claim is bound to it; one that names none is there to be had."""
        volume = self._read(VOLUMES, key)
        if volume is None:
            return
        wanted = volume["spec"].get("claimRef")
        if wanted is None:
            if not volume.get("status", {}).get("phase"):
                self._store.change(
                    VOLUMES, key, lambda v: v.setdefault("status", {}).update(phase="Available")
                )
            return
        place = (wanted["namespace"], wanted["name"])
        claim = self._read(CLAIMS, place)
        if claim is None or (wanted.get("uid") and wanted["uid"] != claim["metadata"]["uid"]):
            return
        if claim["spec"].get("volumeName") in (None, "", key[1]):
            self._store.change(VOLUMES, key, lambda v: v.setdefault("status", {}).update(phase="Bound"))
            self._store.change(CLAIMS, place, lambda c: _bind(c, key[1]))

    # -- volumes of pods ---------------------------------------------------------------------------

    def _ephemeral(self, pod: Json) -> None:
        meta = pod["metadata"]
        if meta.get("deletionTimestamp"):
            return
        for volume in pod["spec"].get("volumes", ()):
            template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
            key = (meta["namespace"], f"{meta['name']}-{volume['name']}")
            if template is None or key in self._store.at(CLAIMS).objects:
                continue
            owner = {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": meta["name"],
                "uid": meta["uid"],
                "controller": True,
            }
            metadata: Json = {"namespace": key[0], "name": key[1], "ownerReferences": [owner]}
            self._store.create(CLAIMS, {"metadata": metadata, "spec": dict(template["spec"]), "status": {}})

    def _collect(self, pod: Json) -> None:
        """What a pod that is gone owned goes, too."""
        uid = pod["metadata"]["uid"]
        for key, found in list(self._store.at(CLAIMS).objects.items()):
            if any(o["uid"] == uid for o in found.read()["metadata"].get("ownerReferences", ())):
                self._store.remove(CLAIMS, key)

    def _read(self, path: str, key: Key) -> Json | None:
        found = self._store.at(path).objects.get(key)
        return None if found is None else found.read()


def slowly(chance: random.Random, least_s: float, most_s: float) -> Callable[[], float]:
    """Provisioning that takes this long, by chance."""
    return lambda: chance.uniform(least_s, most_s)


def _withdraw(claim: Json, node: str) -> None:
    words = claim["metadata"].get("annotations") or {}
    if words.get(SELECTED) == node:
        del words[SELECTED]


def _bind(claim: Json, volume: str) -> None:
    claim["spec"]["volumeName"] = volume
    claim["metadata"].setdefault("annotations", {}).update({BOUND: "yes", BOUND_BY_US: "yes"})
    claim.setdefault("status", {})["phase"] = "Bound"
