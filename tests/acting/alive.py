"""``stowplan run`` on the API server of the storms, in virtual time and without faults."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping

from scheduler.live.config import SchedulerConfiguration
from simulations.faults import server as api
from simulations.faults.nodes import Nodes
from simulations.faults.process import Replica
from simulations.faults.server import Server
from simulations.faults.store import Change, Collection, Json, Store
from simulations.faults.story import Story
from simulations.faults.virtual_time import run_virtually
from simulations.faults.weather import Weather

NAMESPACE = "red"


class Alive:
    """``bound`` and ``evicted`` are names of pods, in the order in which it happened.

    uses_grace: whether kubelets take all of a pod's grace to stop it.
    """

    def __init__(
        self, *, nodes: int, gpus: int = 8, delay_s: float = 0.005, uses_grace: bool = False
    ) -> None:
        self.loop = asyncio.get_running_loop()
        story = Story(self.loop.time)
        self.store = Store(self.loop.time, api.SERVED)
        self.server = Server(self.store, self.loop.time, is_fenced=True)

        def ends_s(pod: Json, chance: random.Random) -> float:
            grace_s = float(pod["spec"]["terminationGracePeriodSeconds"])
            return grace_s if uses_grace else chance.uniform(0.2, 3.0)

        weather = Weather(spells=(), odds={}, until_s=0.0, delay_s=delay_s)
        self.kubelets = Nodes(self.server, story, chance=random.Random(1), until_s=0.0, ends_s=ends_s)
        for i in range(nodes):
            self.kubelets.add(f"n{i}", gpus)
        self.bound: list[str] = []
        self.evicted: list[str] = []
        self.store.told += [self._hear_lease, self._hear_pod]
        self.store.create(api.NAMESPACES, {"metadata": {"name": NAMESPACE}})
        self.replica = Replica(
            "a",
            SchedulerConfiguration(),
            self.server,
            seed="1",
            weather=weather,
            story=story,
            sending=lambda leader, sent: None,
        )
        self._running = asyncio.create_task(self.replica.run())

    def pod(
        self,
        name: str,
        *,
        gpus: int = 1,
        annotations: Mapping[str, str] | None = None,
        owner: Json | None = None,
        grace_s: int = 30,
        priority: int = 0,
    ) -> None:
        metadata: Json = {"name": name, "namespace": NAMESPACE, "annotations": dict(annotations or {})}
        if owner is not None:
            metadata["ownerReferences"] = [owner]
        container = {"name": "c", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
        spec = {
            "schedulerName": "stowplan",
            "terminationGracePeriodSeconds": grace_s,
            "priority": priority,
            "containers": [container],
        }
        self.store.create(api.PODS, {"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}})

    def node_of(self, name: str) -> str:
        return str(self.store.at(api.PODS).objects[(NAMESPACE, name)].read()["spec"].get("nodeName", ""))

    def succeed(self, name: str) -> None:
        self.store.change(api.PODS, (NAMESPACE, name), lambda pod: pod["status"].update(phase="Succeeded"))

    def delete(self, name: str) -> None:
        self.store.remove(api.PODS, (NAMESPACE, name))

    async def end(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    def _hear_lease(self, collection: Collection, change: Change, lease: Json) -> None:
        if collection.path == api.LEASES and change.key == api.LEASE:
            term = None if change.type == "DELETED" else int(lease["spec"].get("leaseTransitions") or 0)
            self.loop.call_later(0.02, setattr, self.server, "term", term)

    def _hear_pod(self, collection: Collection, change: Change, pod: Json) -> None:
        if collection.path != api.PODS:
            return
        name = change.key[1]
        if pod["spec"].get("nodeName") and name not in self.bound:
            self.bound.append(name)
        conditions = pod.get("status", {}).get("conditions", ())
        if any(c["type"] == "DisruptionTarget" for c in conditions) and name not in self.evicted:
            self.evicted.append(name)


def played(story: Callable[[], Coroutine[object, object, None]]) -> None:
    run_virtually(story(), limit_s=10_000.0)
