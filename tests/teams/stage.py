"""Two teams on a real API server: namespaces of their own, TeamQuotas, pods, and who runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from scheduler.kube import wire
from scheduler.model.written import EVICTED
from tests.faults.stage import Json, Stage

QUOTAS: Final = "/apis/stowplan.dev/v1alpha1/teamquotas"


class _Events(msgspec.Struct):
    items: list[wire.Event]


class _Pods(msgspec.Struct):
    items: list[wire.Pod]


class TeamStage:
    """``stage`` with a namespace for each team, named after it with a prefix of the test's own."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @classmethod
    @asynccontextmanager
    async def opened(cls, stage: Stage) -> AsyncIterator[TeamStage]:
        found = cls(stage)
        try:
            yield found
        finally:
            await stage.api.delete(QUOTAS)

    def namespace(self, team: str) -> str:
        return f"{self.stage.namespace}-{team}"

    async def team(self, name: str, **spec: Any) -> None:
        """A team and its namespace."""
        namespace = self.namespace(name)
        await self.stage.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
        body = {
            "apiVersion": "stowplan.dev/v1alpha1",
            "kind": "TeamQuota",
            "metadata": {"name": name},
            "spec": {"namespaces": [namespace], **spec},
        }
        await self.stage.post(QUOTAS, body)

    async def create(self, team: str, pods: Sequence[Json]) -> None:
        path, self.stage.pods_path = self.stage.pods_path, f"/api/v1/namespaces/{self.namespace(team)}/pods"
        try:
            await self.stage.create(pods)
        finally:
            self.stage.pods_path = path

    def running(self, team: str) -> set[str]:
        """Names of the team's pods that are bound and stay."""
        pods = self.stage.auditor.pods(self.namespace(team))
        return {name for name, pod in pods.items() if pod.node and pod.stands}

    async def until_running(self, team: str, count: int, *, timeout_s: float = 40.0) -> None:
        await self.stage.until(
            lambda _: len(self.running(team)) == count,
            f"{count} pods of team {team} run",
            timeout_s=timeout_s,
        )

    async def events(self, team: str, reason: str) -> list[wire.Event]:
        path = f"/apis/events.k8s.io/v1/namespaces/{self.namespace(team)}/events"
        found = await self.stage.api.get(path, _Events)
        return [event for event in found.items if event.reason == reason]

    async def evicted(self, team: str) -> dict[str, tuple[str, str, str]]:
        """(status, reason, message) of the condition of evicted pods that are still there, by name."""
        found = await self.stage.api.get(f"/api/v1/namespaces/{self.namespace(team)}/pods", _Pods)
        return {
            pod.metadata.name: (one.status, one.reason or "", one.message or "")
            for pod in found.items
            for one in pod.status.conditions or ()
            if one.type == EVICTED
        }

    async def quota(self, team: str) -> wire.TeamQuota:
        return await self.stage.api.get(f"{QUOTAS}/{team}", wire.TeamQuota)

    def told(self, team: str, pod: str) -> tuple[str, str]:
        """Reason and message of a pod's PodScheduled=False; empty until the auditor has seen it."""
        found = self.stage.auditor.pods(self.namespace(team)).get(pod)
        return ("", "") if found is None or found.told is None else found.told[1:]
