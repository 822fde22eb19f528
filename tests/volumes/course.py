"""The live shell in virtual time on a cluster with storage, and what came of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

from scheduler.live.config import SchedulerConfiguration
from simulations.faults import server as api
from simulations.faults.nodes import Nodes
from simulations.faults.process import Replica
from simulations.faults.server import Server
from simulations.faults.storage import CLAIMS, CLASSES, CSI_NODES, SELECTED, VOLUMES, ZONE, Storage
from simulations.faults.store import Change, Collection, Json, Store
from simulations.faults.story import Story
from simulations.faults.virtual_time import elapse, run_virtually
from simulations.faults.weather import Weather

GPU = "nvidia.com/gpu"
DRIVER = "disk.csi.example.com"


class Course:
    """One leader on an in-memory API server with nodes in two zones, a kubelet each, and a CSI driver."""

    def __init__(
        self, *, config: SchedulerConfiguration | None = None, weather: Weather | None = None
    ) -> None:
        clock = asyncio.get_running_loop().time
        self.story = Story(clock)
        self.story.listen()
        self.store = Store(clock, api.SERVED)
        self.server = Server(self.store, clock, is_fenced=True)
        self.nodes = Nodes(self.server, self.story, chance=random.Random(1), until_s=0.0)
        self.storage = Storage(self.store)
        #: (second, pod, node), in order; and pods that were evicted.
        self.bound: dict[str, tuple[float, str]] = {}
        self.evicted: list[str] = []
        self.store.told.append(self._note)
        self.store.create(api.NAMESPACES, {"metadata": {"name": "team"}})
        self.replica = Replica(
            "a",
            config or SchedulerConfiguration(),
            self.server,
            seed="1",
            weather=weather or Weather(spells=(), odds={}, until_s=0.0, delay_s=0.005),
            story=self.story,
            sending=lambda link, call: None,
        )
        for name, provisioner in (("late", DRIVER), ("local", "kubernetes.io/no-provisioner")):
            self.store.create(
                CLASSES,
                {
                    "metadata": {"name": name},
                    "provisioner": provisioner,
                    "volumeBindingMode": "WaitForFirstConsumer",
                },
            )

    def node(self, name: str, zone: str, *, gpus: int = 8, most: int | None = None) -> None:
        amounts = {GPU: str(gpus), "cpu": "64", "memory": "256Gi", "pods": "100"}
        labels = {"kubernetes.io/hostname": name, ZONE: zone}
        status = {"allocatable": amounts, "conditions": [{"type": "Ready", "status": "True"}]}
        self.store.create(
            api.NODES, {"metadata": {"name": name, "labels": labels}, "spec": {}, "status": status}
        )
        driver: Json = {"name": DRIVER, "nodeID": name, "topologyKeys": [ZONE]}
        if most is not None:
            driver["allocatable"] = {"count": most}
        self.store.create(CSI_NODES, {"metadata": {"name": name}, "spec": {"drivers": [driver]}})

    def claim(self, name: str, *, of: str = "late", mode: str = "ReadWriteOnce") -> None:
        spec = {
            "storageClassName": of,
            "accessModes": [mode],
            "resources": {"requests": {"storage": "1Gi"}},
        }
        self.store.create(
            CLAIMS, {"metadata": {"namespace": "team", "name": name}, "spec": spec, "status": {}}
        )

    def volume(self, name: str, node: str) -> None:
        """A local disk that is there."""
        here = [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]
        spec = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local",
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": here}]}},
        }
        self.store.create(VOLUMES, {"metadata": {"name": name}, "spec": spec, "status": {}})

    def pod(
        self,
        name: str,
        *claims: str,
        gpus: int = 8,
        words: dict[str, str] | None = None,
        ephemeral: str = "",
        node: str = "",
        scheduler: str = "stowplan",
    ) -> None:
        volumes: list[Json] = [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims]
        if ephemeral:
            spec = {
                "storageClassName": "late",
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            }
            volumes.append({"name": ephemeral, "ephemeral": {"volumeClaimTemplate": {"spec": spec}}})
        limits = {GPU: str(gpus)} if gpus else {}
        body: Json = {
            "metadata": {"namespace": "team", "name": name, "annotations": words or {}},
            "spec": {
                "schedulerName": scheduler,
                "priority": 0,
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "c", "resources": {"limits": limits}}],
                "volumes": volumes,
            },
            "status": {"phase": "Pending"},
        }
        if node:
            body["spec"]["nodeName"] = node
        self.store.create(api.PODS, body)

    def gang(
        self, name: str, size: int, *, minimum: int | None = None, claims: bool = True, **fields: object
    ) -> None:
        """Pods with a claim each."""
        words = {"stowplan.dev/gang": name, "stowplan.dev/gang-min-member": str(minimum or size)}
        for i in range(size):
            if claims:
                self.claim(f"{name}-{i}-data")
            own = (f"{name}-{i}-data",) if claims else ()
            self.pod(f"{name}-{i}", *own, words=words, **fields)  # type: ignore[arg-type] # fields given by name

    def read(self, path: str, name: str, namespace: str = "team") -> Json | None:
        found = self.store.at(path).objects.get((namespace, name))
        return None if found is None else found.read()

    def selected(self) -> dict[str, str]:
        """The node that each claim names."""
        found = {}
        for (_, name), stored in self.store.at(CLAIMS).objects.items():
            node = (stored.read()["metadata"].get("annotations") or {}).get(SELECTED)
            if node:
                found[name] = node
        return found

    def placed(self) -> dict[str, str]:
        return {pod: node for pod, (_, node) in self.bound.items()}

    def zones(self) -> set[str]:
        return {self.read(api.NODES, node, "")["metadata"]["labels"][ZONE] for node in self.placed().values()}  # type: ignore[index] # it is there

    def told(self, name: str) -> str:
        """What a pod that waits carries."""
        pod = self.read(api.PODS, name)
        conditions = [] if pod is None else pod.get("status", {}).get("conditions", [])
        return next(
            (f"{c.get('reason')}: {c.get('message')}" for c in conditions if c["type"] == "PodScheduled"), ""
        )

    async def until(self, holds: Callable[[], object], within_s: float) -> None:
        """Let time pass until this is so."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + within_s
        while not holds():
            assert loop.time() < until_s, f"not within {within_s} s:\n{self.story.text()[-6000:]}"
            await elapse(0.1)

    def _note(self, collection: Collection, change: Change, pod: Json) -> None:
        if collection.path == api.LEASES:
            term = None if change.type == "DELETED" else int(pod["spec"].get("leaseTransitions") or 0)
            asyncio.get_running_loop().call_later(0.02, setattr, self.server, "term", term)
        if collection.path != api.PODS:
            return
        name = change.key[1]
        if pod["spec"].get("nodeName") and name not in self.bound:
            self.bound[name] = (asyncio.get_running_loop().time(), pod["spec"]["nodeName"])
        conditions = pod.get("status", {}).get("conditions", ())
        if any(c["type"] == "DisruptionTarget" for c in conditions) and name not in self.evicted:
            self.evicted.append(name)


@asynccontextmanager
async def led(course: Course) -> AsyncIterator[Course]:
    """While a replica schedules."""
    task = asyncio.create_task(course.replica.run())
    try:
        yield course
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert course.replica.faults == []


def virtually(main: Coroutine[object, object, None]) -> None:
    run_virtually(main, limit_s=100_000.0)
