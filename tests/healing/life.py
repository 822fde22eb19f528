"""The live shell on the storms' API server in virtual time, with nothing that goes wrong by itself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from scheduler.live.config import Api, SchedulerConfiguration
from simulations.faults import server as api
from simulations.faults.budgets import BUDGETS
from simulations.faults.nodes import Nodes
from simulations.faults.process import Replica
from simulations.faults.server import Server
from simulations.faults.store import Change, Collection, Json, Store
from simulations.faults.story import Story
from simulations.faults.virtual_time import run_virtually
from simulations.faults.weather import Weather

NAMESPACE = "red"


def slow(binds_in_flight: int) -> SchedulerConfiguration:
    """With delays of 0.2 s, five Bindings a second for each in flight."""
    return SchedulerConfiguration(api=Api(binds_in_flight=binds_in_flight, connections=binds_in_flight + 20))


class Life:
    """One replica, started again when it ends. ``bound`` and ``evicted``: names of pods, in their order."""

    def __init__(
        self,
        config: SchedulerConfiguration | None = None,
        *,
        delay_s: float = 0.005,
        served: tuple[str, ...] = api.SERVED,
        weather: Weather | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        clock = self._loop.time
        story = Story(clock)
        self.store = Store(clock, served)
        self.server = Server(self.store, clock, is_fenced=True)
        self._kubelets = Nodes(self.server, story, chance=random.Random(1), until_s=0.0)
        self.bound: list[str] = []
        self.evicted: list[str] = []
        self.store.told += [self._lease, self._pod]
        self.store.create(api.NAMESPACES, {"metadata": {"name": NAMESPACE}})
        self.replica = Replica(
            "a",
            config or SchedulerConfiguration(),
            self.server,
            seed="1",
            weather=weather or Weather(spells=(), odds={}, until_s=0.0, delay_s=delay_s),
            story=story,
            sending=lambda link, call: None,
        )

    def nodes(self, count: int, gpus: int = 8) -> None:
        for i in range(count):
            self._kubelets.add(f"n{i}", gpus)

    def pod(
        self,
        name: str,
        *,
        gpus: int = 8,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        maker: str = "",
        **said: str,
    ) -> None:
        """said: words of the pod, such as ``gang`` and ``gang_min_member``. maker: of a bare pod nobody."""
        words = {f"stowplan.dev/{key.replace('_', '-')}": value for key, value in said.items()}
        container = {"name": "c", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
        body: Json = {
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "annotations": words,
                "labels": dict(labels or {}),
            },
            "spec": {
                "schedulerName": "stowplan",
                "priority": priority,
                "terminationGracePeriodSeconds": 30,
                "containers": [container],
            },
            "status": {"phase": "Pending"},
        }
        if maker:
            owner = {"apiVersion": "example.com/v1", "kind": "Work", "name": "work", "uid": maker}
            body["metadata"]["ownerReferences"] = [owner | {"controller": True}]
        self.store.create(api.PODS, body)

    def budget(self, app: str, least: int) -> None:
        """Of the pods with this label ``app`` so many stay."""
        meta = {"namespace": NAMESPACE, "name": app, "generation": 1}
        spec = {"minAvailable": least, "selector": {"matchLabels": {"app": app}}}
        self.store.create(BUDGETS, {"metadata": meta, "spec": spec})

    def gang(self, name: str, size: int, *, gpus: int = 8) -> None:
        for i in range(size):
            self.pod(f"{name}-{i}", gpus=gpus, gang=name, gang_min_member=str(size))

    def fails(self, name: str) -> None:
        """The container ends with an error, and its controller deletes the pod."""
        self.store.change(api.PODS, (NAMESPACE, name), lambda pod: pod["status"].update(phase="Failed"))
        self.store.remove(api.PODS, (NAMESPACE, name))

    def succeeds(self, name: str) -> None:
        """The pod's work is done; it stays as an object."""
        self.store.change(api.PODS, (NAMESPACE, name), lambda pod: pod["status"].update(phase="Succeeded"))

    def node_of(self, name: str) -> str:
        stored = self.store.at(api.PODS).objects.get((NAMESPACE, name))
        return "" if stored is None else stored.read()["spec"].get("nodeName") or ""

    def status(self, gang: str) -> Json:
        found: Json = self.store.at(api.GANGS).objects[(NAMESPACE, gang)].read()["status"]
        return found

    def _lease(self, collection: Collection, change: Change, lease: Json) -> None:
        if collection.path == api.LEASES and change.key == api.LEASE:
            term = None if change.type == "DELETED" else int(lease["spec"].get("leaseTransitions") or 0)
            self._loop.call_later(0.02, setattr, self.server, "term", term)

    def _pod(self, collection: Collection, change: Change, pod: Json) -> None:
        if collection.path != api.PODS:
            return
        name = change.key[1]
        if pod["spec"].get("nodeName") and name not in self.bound:
            self.bound.append(name)
        conditions = pod.get("status", {}).get("conditions", ())
        if any(told["type"] == "DisruptionTarget" for told in conditions) and name not in self.evicted:
            self.evicted.append(name)


def lived(
    course: Callable[[Life], Coroutine[Any, Any, None]],
    config: SchedulerConfiguration | None = None,
    *,
    delay_s: float = 0.005,
    served: tuple[str, ...] = api.SERVED,
    weather: Weather | None = None,
) -> Life:
    """What a course of events came to; it begins before the scheduler does."""

    async def play() -> Life:
        life = Life(config, delay_s=delay_s, served=served, weather=weather)
        running = asyncio.create_task(life.replica.run())
        try:
            await course(life)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        return life

    return run_virtually(play(), limit_s=100_000.0)
