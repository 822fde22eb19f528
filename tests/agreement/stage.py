"""A case on a real API server: put there, judged by kube-scheduler and by Stowplan, and taken away."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import msgspec

from deploy.local.cluster import Cluster
from scheduler.kube.transport import (
    MERGE_PATCH,
    AlreadyExists,
    Endpoint,
    Transport,
)
from tests.agreement.cases import OVERHEAD, PRIORITIES, RUNTIME, Case, Resident
from tests.agreement.ours import feasible
from tests.agreement.referee import Referee
from tests.predicates.generate import NAMESPACES, Manifest

#: kube-scheduler hears of nodes, namespaces and pods on separate watches. Where the two disagree the newcomer
#: comes again, so that what it had not heard of yet does not count as a rule.
TRIES_MAX = 6
VERDICT_S = 60.0
_SEEN = re.compile(r"^0/([0-9]+) nodes are available")


class _Condition(msgspec.Struct):
    type: str
    status: str
    message: str = ""


class _Status(msgspec.Struct):
    conditions: list[_Condition] = []


class _Metadata(msgspec.Struct, rename="camel"):
    name: str = ""
    uid: str = ""
    resource_version: str = ""


class _Object(msgspec.Struct):
    metadata: _Metadata
    status: _Status = msgspec.field(default_factory=_Status)


class _Event(msgspec.Struct):
    object: _Object


_event = msgspec.json.Decoder(_Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Where the newcomer may go by each of the two. ``nodes`` are all there are."""

    nodes: frozenset[str]
    theirs: frozenset[str]
    ours: frozenset[str]

    @property
    def agrees(self) -> bool:
        return self.theirs == self.ours


class Stage:
    def __init__(self, api: Transport, referee: Referee) -> None:
        self._api = api
        self._referee = referee

    async def prepare(self) -> None:
        """The namespaces and PriorityClasses of all cases."""
        for name in NAMESPACES:
            await self._create("/api/v1/namespaces", {"metadata": {"name": name}})
        for name, value in PRIORITIES.items():
            body: Manifest = {"metadata": {"name": name}, "value": value}
            await self._create("/apis/scheduling.k8s.io/v1/priorityclasses", body)
        runtime: Manifest = {
            "metadata": {"name": RUNTIME},
            "handler": RUNTIME,
            "overhead": {"podFixed": OVERHEAD},
        }
        await self._create("/apis/node.k8s.io/v1/runtimeclasses", runtime)

    async def judge(self, case: Case) -> Verdict:
        """Both verdicts on a case; nothing of it is left."""
        try:
            await self._put(case)
            names = frozenset(str(_metadata(node)["name"]) for node in case.nodes)
            verdict = Verdict(nodes=names, theirs=frozenset(), ours=names)
            for number in range(TRIES_MAX):
                try:
                    verdict = await self._verdict(case.newcomer, number, names)
                except TimeoutError:
                    # What it saw before all of the case was there it does not look at again for minutes.
                    if number + 1 == TRIES_MAX:
                        raise
                    continue
                if verdict.agrees:
                    break
            return verdict
        finally:
            await self._clear()

    async def _verdict(self, newcomer: Manifest, number: int, names: frozenset[str]) -> Verdict:
        pods = f"/api/v1/namespaces/{_metadata(newcomer)['namespace']}/pods"
        manifest = newcomer | {"metadata": _metadata(newcomer) | {"name": f"new-{number}"}}
        uid = (await self._create(pods, manifest)).metadata.uid
        path = f"{pods}/new-{number}"
        try:
            theirs = await self._theirs(path, uid, len(names))
            ours = feasible(
                await self._api.request("GET", "/api/v1/nodes"),
                await self._api.request("GET", "/api/v1/pods"),
                await self._api.request("GET", "/api/v1/namespaces"),
                uid,
            )
        finally:
            await self._api.request("DELETE", path, params={"gracePeriodSeconds": "0"})
        return Verdict(nodes=names, theirs=theirs, ours=ours)

    async def _theirs(self, path: str, uid: str, nodes: int) -> frozenset[str]:
        """By the extender's call, or by the condition where no node passed and all were looked at."""
        async with asyncio.timeout(VERDICT_S):
            refused = asyncio.ensure_future(self._refused(path, nodes))
            called = asyncio.ensure_future(self._called(uid))
            try:
                await asyncio.wait({refused, called}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (refused, called):
                    task.cancel()
                await asyncio.gather(refused, called, return_exceptions=True)
        return self._referee.passed.pop(uid, frozenset())

    async def _called(self, uid: str) -> None:
        async with self._referee.told:
            await self._referee.told.wait_for(lambda: uid in self._referee.passed)

    async def _refused(self, path: str, nodes: int) -> None:
        """Until kube-scheduler says that none of so many nodes will do."""
        folder, _, name = path.rpartition("/")
        params = {"watch": "1", "fieldSelector": f"metadata.name={name}", "timeoutSeconds": "300"}
        stream = self._api.stream_batches(folder, params=params, read_timeout_s=VERDICT_S)
        async with aclosing(stream):
            async for lines in stream:
                told = [_event.decode(line).object.status for line in lines]
                if any(_is_refused(status, nodes) for status in told):
                    return

    async def _put(self, case: Case) -> None:
        for space in case.namespaces:
            path = f"/api/v1/namespaces/{_metadata(space)['name']}"
            wanted = _metadata(space).get("labels", {})
            assert isinstance(wanted, dict)
            await self._patch(path, {"metadata": {"labels": {"tier": None} | wanted}})
        for node in case.nodes:
            await self._node(node)
        for resident in case.residents:
            await self._resident(resident)
        for pod in case.nominated:
            await self._pod(pod, pod["status"])

    async def _node(self, node: Manifest) -> None:
        name = _metadata(node)["name"]
        spec = node["spec"]
        assert isinstance(spec, dict)
        await self._create("/api/v1/nodes", {"metadata": node["metadata"], "spec": spec})
        # Admission adds a taint to each new node, whatever its status says.
        await self._patch(f"/api/v1/nodes/{name}", {"spec": {"taints": spec["taints"]}})
        await self._patch(f"/api/v1/nodes/{name}/status", {"status": node["status"]})

    async def _resident(self, resident: Resident) -> None:
        path = await self._pod(resident.manifest, resident.status)
        if resident.labels_later is not None:
            before = _metadata(resident.manifest).get("labels", {})
            assert isinstance(before, dict)
            later = dict.fromkeys(before) | resident.labels_later
            await self._patch(path, {"metadata": {"labels": later}})
        if resident.is_deleting:
            await self._api.request("DELETE", path, params={"gracePeriodSeconds": "600"})

    async def _pod(self, manifest: Manifest, status: object) -> str:
        bare = {key: value for key, value in manifest.items() if key != "status"}
        pods = f"/api/v1/namespaces/{_metadata(manifest)['namespace']}/pods"
        await self._create(pods, bare)
        path = f"{pods}/{_metadata(manifest)['name']}"
        if status:
            await self._patch(f"{path}/status", {"status": status})
        return path

    async def _clear(self) -> None:
        for name in NAMESPACES:
            path = f"/api/v1/namespaces/{name}/pods"
            await self._api.request("DELETE", path, params={"gracePeriodSeconds": "0"}, timeout_s=60.0)
        await self._api.request("DELETE", "/api/v1/nodes", timeout_s=60.0)

    async def _create(self, path: str, body: Manifest) -> _Object:
        try:
            sent = await self._api.request("POST", path, body=msgspec.json.encode(body), timeout_s=30.0)
        except AlreadyExists:
            sent = await self._api.request("GET", f"{path}/{_metadata(body)['name']}")
        return msgspec.json.decode(sent, type=_Object)

    async def _patch(self, path: str, body: object) -> None:
        encoded = msgspec.json.encode(body)
        await self._api.request("PATCH", path, body=encoded, content_type=MERGE_PATCH, timeout_s=30.0)


def _is_refused(status: _Status, nodes: int) -> bool:
    """Whether none of so many nodes will do."""
    for condition in status.conditions:
        seen = _SEEN.match(condition.message)
        if condition.type == "PodScheduled" and seen and int(seen[1]) == nodes:
            return True
    return False


def _metadata(manifest: Manifest) -> Manifest:
    metadata = manifest["metadata"]
    assert isinstance(metadata, dict)
    return metadata


@asynccontextmanager
async def staged(cluster: Cluster, referee: Referee) -> AsyncIterator[Stage]:
    """A stage on the cluster, which must hold no node and no pod of others."""
    endpoint = Endpoint.from_kubeconfig(cluster.admin_kubeconfig)
    async with Transport(endpoint, user_agent="agreement", connections_max=8) as api:
        stage = Stage(api, referee)
        await stage.prepare()
        yield stage
