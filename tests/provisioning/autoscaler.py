"""Plays Cluster Autoscaler on the control plane, as its own code answers a ProvisioningRequest.

Source: kubernetes/autoscaler, cluster-autoscaler/provisioningrequest: it accepts, counts the pods that the
templates stand for, adds nodes and says ``Provisioned``, or says that it failed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from deploy.local.manifests import apply, until_served
from scheduler.inventory.times import written
from scheduler.kube.transport import NotFound
from tests.faults.stage import GPU, Json, Stage

CRD: Final = Path(__file__).parent / "provisioningrequests.yaml"
CLASS: Final = "best-effort-atomic-scale-up.autoscaling.x-k8s.io"
ALL: Final = "/apis/autoscaling.x-k8s.io/v1/provisioningrequests"
DEFINITION: Final = (
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/provisioningrequests.autoscaling.x-k8s.io"
)
PATIENCE_S: Final = 30.0


async def serve(stage: Stage) -> None:
    """Define the API where it is not, and return when it answers."""
    await apply(stage.api, [CRD])
    await until_served(stage.api, [ALL])


async def unserve(stage: Stage) -> None:
    """Take the API away, and return when it is gone."""
    try:
        await stage.api.delete(DEFINITION)
        while True:
            await stage.api.request("GET", ALL)
            await asyncio.sleep(0)
    except NotFound:
        return


class Autoscaler:
    """Of one stage: it sees the requests of that namespace only."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.path = f"/apis/autoscaling.x-k8s.io/v1/namespaces/{stage.namespace}/provisioningrequests"
        self.templates_path = f"/api/v1/namespaces/{stage.namespace}/podtemplates"

    async def requests(self) -> list[Json]:
        return await self._items(self.path)

    async def templates(self) -> dict[str, Json]:
        """The template of each PodTemplate, by name."""
        return {one["metadata"]["name"]: one for one in await self._items(self.templates_path)}

    async def until(self, holds: Callable[[list[Json]], bool]) -> list[Json]:
        """The requests, once this is true of them. Raises: TimeoutError."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self.requests()
                if holds(found):
                    return found
                await self._stage.proxy.next_answer()

    async def asked(self) -> Json:
        """The one request there is, once it is there."""
        (found,) = await self.until(lambda requests: len(requests) == 1)
        return found

    async def say(self, request: Json, kind: str, message: str = "", *, is_true: bool = True) -> None:
        """Set one condition, beside those that it was given before."""
        path = f"{self.path}/{request['metadata']['name']}"
        now = msgspec.json.decode(await self._stage.api.request("GET", path), type=dict)
        others = [one for one in now.get("status", {}).get("conditions", []) if one["type"] != kind]
        condition = {
            "type": kind,
            "status": "True" if is_true else "False",
            "reason": kind,
            "message": message,
            "lastTransitionTime": written(time.time()),
        }
        await self._stage.patch(f"{path}/status", {"status": {"conditions": [*others, condition]}})

    async def wanted(self, request: Json) -> list[tuple[int, int]]:
        """(pods, GPUs of each) of its pod sets, as their templates say."""
        templates = await self.templates()
        found = []
        for pod_set in request["spec"]["podSets"]:
            spec = templates[pod_set["podTemplateRef"]["name"]]["template"]["spec"]
            gpus = sum(int(one["resources"]["limits"][GPU]) for one in spec["containers"])
            found.append((pod_set["count"], gpus))
        return found

    async def provision(self, request: Json, *, gpus_a_node: int = 8) -> list[str]:
        """Accept, add as few nodes as hold all that is asked for, largest first, and say so; their names."""
        await self.say(request, "Accepted", "accepted")
        free: list[int] = []
        for count, gpus in sorted(await self.wanted(request), key=lambda one: -one[1]):
            for _ in range(count):
                at = next((i for i, room in enumerate(free) if room >= gpus), None)
                if at is None:
                    at = len(free)
                    free.append(gpus_a_node)
                free[at] -= gpus
        names = await self._stage.nodes(len(free), gpus=gpus_a_node, prefix="new")
        await self.say(request, "Provisioned", "Capacity is found in the cluster")
        return names

    async def _items(self, path: str) -> list[Json]:
        found = msgspec.json.decode(await self._stage.api.request("GET", path), type=dict)
        items: list[Json] = found["items"]
        return items
