"""What users and admins do in a soak: submit, scale, suspend, roll, delete, break; a stranger writes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from deploy.local.nodes.actor import NodeActor
from deploy.local.nodes.mischief import Mischief
from deploy.local.soak import works
from deploy.local.soak.works import STRANGER, Json, path_of
from scheduler.kube.transport import ClusterError, NotFound, Transport

MERGE: Final = "application/merge-patch+json"
PAUSE_S: Final = (4.0, 14.0)
PROBE_EVERY_S: Final = 30.0
Say = Callable[[str], None]


class Users:
    """``calm_s``: when, on the monotonic clock, nobody wants anything new. ``kill``: ends the scheduler."""

    def __init__(
        self,
        api: Transport,
        actor: NodeActor,
        *,
        chance: random.Random,
        calm_s: float,
        kill: Callable[[], None],
        say: Say,
    ) -> None:
        self._api = api
        self._actor = actor
        self._chance = chance
        self._calm_s = calm_s
        self._kill = kill
        self._say = say
        self._number = 0

    async def build(self) -> None:
        """What runs from the beginning to the end."""
        for name in works.NAMESPACES:
            await self._post("/api/v1/namespaces", {"metadata": {"name": name}})
        level = {"metadata": {"name": works.URGENT}, "value": 1000}
        await self._post("/apis/scheduling.k8s.io/v1/priorityclasses", level)
        await self._post(path_of("StatefulSet"), works.stateful_set())
        await self._post(path_of("Deployment"), works.deployment())
        await self._post(path_of("PodDisruptionBudget"), works.budget())
        await self._post(path_of("CronJob"), works.cron_job())

    async def meddle(self) -> None:
        """One thing after the other until the calm."""
        habits: Sequence[Callable[[int], Awaitable[None]]] = (
            self._submit, self._submit, self._scale, self._roll, self._suspend, self._delete, self._urgent,
            self._silence, self._cordon, self._crash,
        )  # fmt: skip
        while time.monotonic() < self._calm_s:
            await asyncio.sleep(self._chance.uniform(*PAUSE_S))
            self._number += 1
            habit = self._chance.choice(habits)
            try:
                await habit(self._number)
            except ClusterError as error:
                # Somebody else was first, such as the controller that cleared a Job away.
                self._say(f"{habit.__name__}: {error}")

    async def probe(self) -> None:
        """Small gangs of a well-behaved tenant, by which it is seen how soon one is decided."""
        number = 0
        while time.monotonic() < self._calm_s:
            number += 1
            for rank in range(2):
                body = works.pod(f"probe-{number}-{rank}", gang=f"probe-{number}", size=2, gpus=1, run_s=2)
                await self._post(path_of("Pod"), body)
            await asyncio.sleep(PROBE_EVERY_S)

    async def disturb(self, from_s: float) -> None:
        """A stranger writes, from a time on."""
        await asyncio.sleep(max(0.0, from_s - time.monotonic()))
        self._say("a stranger begins to write")
        for number in range(400):
            if time.monotonic() >= self._calm_s:
                return
            await self._post(path_of("Pod", STRANGER), works.strange_pod(number))
            await asyncio.sleep(0.5)

    async def clear(self) -> None:
        """All that may end ends, so that what stays has room."""
        await self._actor.misbehave({})
        await self._patch(path_of("CronJob", name="nightly"), {"spec": {"suspend": True}})
        for kind in ("Job", "Pod"):
            selector = {"labelSelector": "app notin (steady,web)"} if kind == "Pod" else {}
            policy = {"propagationPolicy": "Background", **selector}
            await self._api.request("DELETE", path_of(kind), params=policy)
        await self._patch(path_of("Deployment", name="web"), {"spec": {"replicas": 4}})
        for node in self._actor.nodes:
            await self._patch(f"/api/v1/nodes/{node.name}", {"spec": {"unschedulable": None}})

    # -- habits ------------------------------------------------------------------------------------

    async def _submit(self, number: int) -> None:
        chance = self._chance
        pods, gpus = chance.choice(((2, 2), (4, 2), (4, 1), (2, 8)))
        fails = chance.random() < 0.2
        self._say(f"submit job-{number}: {pods} x {gpus} GPUs{', which fails' if fails else ''}")
        run_s = chance.choice((5, 20, 60))
        body = works.job(f"job-{number}", pods=pods, gpus=gpus, run_s=run_s, fails=fails)
        await self._post(path_of("Job"), body)

    async def _scale(self, number: int) -> None:
        replicas = self._chance.randint(2, 7)
        self._say(f"scale web to {replicas}")
        await self._patch(path_of("Deployment", name="web"), {"spec": {"replicas": replicas}})

    async def _roll(self, number: int) -> None:
        kind, name = self._chance.choice((("Deployment", "web"), ("StatefulSet", "steady")))
        self._say(f"roll {name}")
        words = {"example.com/rolled": str(number)}
        template = {"metadata": {"annotations": words}}
        await self._patch(path_of(kind, name=name), {"spec": {"template": template}})

    async def _suspend(self, number: int) -> None:
        names = await self._names(path_of("Job"), "job-")
        if names:
            name = self._chance.choice(names)
            self._say(f"suspend {name} for a while")
            await self._patch(path_of("Job", name=name), {"spec": {"suspend": True}})
            await asyncio.sleep(self._chance.uniform(1.0, 10.0))
            await self._patch(path_of("Job", name=name), {"spec": {"suspend": False}})

    async def _delete(self, number: int) -> None:
        names = await self._names(path_of("Pod"), "")
        if names:
            name = self._chance.choice(names)
            self._say(f"delete pod {name}")
            await self._api.request("DELETE", path_of("Pod", name=name))

    async def _urgent(self, number: int) -> None:
        self._say(f"urgent-{number}: 2 x 4 GPUs")
        for rank in range(2):
            gang = f"urgent-{number}"
            body = works.pod(f"{gang}-{rank}", gang=gang, size=2, gpus=4, run_s=20, is_urgent=True)
            await self._post(path_of("Pod"), body)

    async def _silence(self, number: int) -> None:
        node = self._chance.choice(self._actor.nodes).name
        self._say(f"{node} is silent for a while")
        await self._actor.misbehave({node: Mischief(lost=True)})
        await asyncio.sleep(self._chance.uniform(5.0, 60.0))
        await self._actor.misbehave({})

    async def _cordon(self, number: int) -> None:
        node = self._chance.choice(self._actor.nodes).name
        self._say(f"cordon {node} for a while")
        await self._patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": True}})
        await asyncio.sleep(self._chance.uniform(5.0, 20.0))
        await self._patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": None}})

    async def _crash(self, number: int) -> None:
        self._say("kill the scheduler")
        self._kill()

    # -- requests ----------------------------------------------------------------------------------

    async def _post(self, path: str, body: Json) -> None:
        await self._api.request("POST", path, body=msgspec.json.encode(body))

    async def _patch(self, path: str, patch: Json) -> None:
        await self._api.request("PATCH", path, body=msgspec.json.encode(patch), content_type=MERGE)

    async def _names(self, path: str, prefix: str) -> list[str]:
        try:
            listed = msgspec.json.decode(await self._api.request("GET", path), type=_Listed)
        except NotFound:
            return []
        return [item.metadata.name for item in listed.items if item.metadata.name.startswith(prefix)]


class _Metadata(msgspec.Struct):
    name: str


class _Item(msgspec.Struct):
    metadata: _Metadata


class _Listed(msgspec.Struct):
    items: list[_Item]
