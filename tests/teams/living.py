"""The live shell on the storms' API server in virtual time: nodes, pods, budgets, and what may go wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Literal

from scheduler.live.config import SchedulerConfiguration
from simulations.faults import server as api
from simulations.faults.budgets import BUDGETS
from simulations.faults.nodes import Nodes
from simulations.faults.process import Replica
from simulations.faults.server import Answer, Call, Server, refusal
from simulations.faults.store import Change, Collection, Json, Store
from simulations.faults.story import Story
from simulations.faults.virtual_time import run_virtually
from simulations.faults.weather import Weather

LIMIT_S = 100_000.0
#: What becomes of one eviction: nothing special, not carried out, or carried out and nobody hears of it.
Trouble = Literal["none", "error", "unheard"]


class Living:
    """One replica, no trouble but what ``troubles`` tells of the next evictions, in their order."""

    def __init__(self, config: SchedulerConfiguration | None = None, *, namespaces: tuple[str, ...]) -> None:
        self._loop = asyncio.get_running_loop()
        clock = self._loop.time
        self.store = Store(clock, api.SERVED)
        self.server = Server(self.store, clock, is_fenced=True)
        story = Story(clock)
        self._kubelets = Nodes(self.server, story, chance=random.Random(1), until_s=0.0)
        #: Names of evicted pods, in their order.
        self.evicted: list[str] = []
        self.troubles: list[Trouble] = []
        self.on_evicted: Callable[[str], None] = lambda name: None
        self.store.told.append(self._note)
        for name in namespaces:
            self.store.create(api.NAMESPACES, {"metadata": {"name": name}})
        self.replica = Replica(
            "a",
            config or SchedulerConfiguration(),
            _Troubled(self),
            seed="1",
            weather=Weather(spells=(), odds={}, until_s=0.0, delay_s=0.005),
            story=story,
            sending=lambda link, call: None,
        )
        self._task: asyncio.Task[None] | None = None

    # -- the cluster -------------------------------------------------------------------------------

    def nodes(self, count: int, gpus: int = 8) -> None:
        for index in range(count):
            name = f"n{index}"
            allocatable = {"nvidia.com/gpu": str(gpus), "cpu": "64", "memory": "256Gi", "pods": "500"}
            self.store.create(
                api.NODES,
                {
                    "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
                    "spec": {},
                    "status": {
                        "allocatable": allocatable,
                        "conditions": [{"type": "Ready", "status": "True"}],
                    },
                },
            )

    def silence(self, count: int) -> None:
        """The kubelets of the first so many nodes stop nothing any more."""
        self._kubelets._silent.update(f"n{index}" for index in range(count))

    def team(self, name: str, **spec: Any) -> None:
        body = {"metadata": {"name": name}, "spec": {"namespaces": [name], **spec}}
        self.store.create(api.TEAM_QUOTAS, body)

    def budget(self, name: str, namespace: str, labels: Mapping[str, str], **spec: Any) -> None:
        body = {"metadata": {"name": name, "namespace": namespace, "generation": 1}}
        self.store.create(BUDGETS, body | {"spec": {"selector": {"matchLabels": dict(labels)}, **spec}})

    def pod(
        self,
        name: str,
        namespace: str,
        gpus: int,
        *,
        priority: int = 0,
        gang: tuple[str, int] | None = None,
        labels: Mapping[str, str] | None = None,
        grace_s: int = 0,
        owner: Json | None = None,
        words: Mapping[str, str] | None = None,
        **spec: Any,
    ) -> None:
        """gang: its name and minimum. words: annotations."""
        words = dict(words or {})
        if gang is not None:
            words |= {"stowplan.dev/gang": gang[0], "stowplan.dev/gang-min-member": str(gang[1])}
        container = {"name": "c", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
        body = {
            "metadata": {
                "name": name,
                "namespace": namespace,
                "annotations": words,
                "labels": dict(labels or {}),
                "ownerReferences": [owner] if owner is not None else [],
            },
            "spec": {
                "schedulerName": "stowplan",
                "priority": priority,
                "terminationGracePeriodSeconds": grace_s,
                "containers": [container],
                **spec,
            },
            "status": {"phase": "Pending"},
        }
        self.store.create(api.PODS, body)

    def gang(self, name: str, namespace: str, count: int, gpus: int, **more: Any) -> None:
        for index in range(count):
            self.pod(f"{name}-{index}", namespace, gpus, gang=(name, count), **more)

    def delete(self, name: str, namespace: str) -> None:
        self.store.remove(api.PODS, (namespace, name))

    # -- what is so --------------------------------------------------------------------------------

    def running(self, namespace: str) -> set[str]:
        """Names of the pods that are bound and stay."""
        return {
            key[1]
            for key, stored in self.store.at(api.PODS).objects.items()
            if key[0] == namespace and _stays(stored.read())
        }

    def node_of(self, name: str, namespace: str) -> str:
        """The node of a pod that is there, empty while it waits."""
        return str(self.store.at(api.PODS).objects[namespace, name].read()["spec"].get("nodeName", ""))

    def told(self, name: str, namespace: str) -> str:
        """The message of PodScheduled=False."""
        stored = self.store.at(api.PODS).objects.get((namespace, name))
        conditions = {} if stored is None else stored.read().get("status", {})
        return next((c["message"] for c in conditions.get("conditions", ()) if c["status"] == "False"), "")

    def events(self, reason: str) -> list[str]:
        """Names of the objects that an Event of this reason is about."""
        found = (stored.read() for stored in self.store.at(api.EVENTS).objects.values())
        return sorted(event["regarding"]["name"] for event in found if event["reason"] == reason)

    async def passes(self, seconds: float) -> None:
        """Virtual time passes; the scheduler starts with the first of it."""
        if self._task is None:
            self._task = asyncio.create_task(self.replica.run())
        over: asyncio.Future[None] = self._loop.create_future()
        self._loop.call_later(seconds, over.set_result, None)
        await over

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _note(self, collection: Collection, change: Change, body: Json) -> None:
        if collection.path == api.LEASES and change.key == api.LEASE:
            term = None if change.type == "DELETED" else int(body["spec"].get("leaseTransitions") or 0)
            self._loop.call_later(0.02, setattr, self.server, "term", term)
        if collection.path != api.PODS or change.key[1] in self.evicted:
            return
        conditions = body.get("status", {}).get("conditions", ())
        if any(condition["type"] == "DisruptionTarget" for condition in conditions):
            self.evicted.append(change.key[1])
            self.on_evicted(change.key[1])


class _Troubled(Server):
    """The same server with troubles between it and the scheduler."""

    def __init__(self, living: Living) -> None:
        self.__dict__ = living.server.__dict__
        self._living = living

    def answer(self, call: Call) -> Answer:
        if call.target.part != "eviction" or not self._living.troubles:
            return super().answer(call)
        trouble = self._living.troubles.pop(0)
        answer = None if trouble == "error" else super().answer(call)
        if answer is not None and trouble == "none":
            return answer
        return refusal(504, "Timeout", "the request did not complete in the allotted time")


def _stays(pod: Json) -> bool:
    return bool(pod["spec"].get("nodeName")) and not pod["metadata"].get("deletionTimestamp")


def live(story: Coroutine[Any, Any, None]) -> None:
    """Run a story in virtual time."""
    run_virtually(story, limit_s=LIMIT_S)
