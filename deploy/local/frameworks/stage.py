"""A local cluster with the operator, Stowplan and nodes on it: submit a job, wait for its own status."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from deploy.local.audit.auditor import Auditor
from deploy.local.cluster import Cluster
from deploy.local.demo.scheduler import running_scheduler
from deploy.local.frameworks.jobs import Json
from deploy.local.frameworks.operator import running_operator
from deploy.local.nodes.actor import NodeActor, Settings
from deploy.local.nodes.pools import Pool
from scheduler.invariants import PodVersion
from scheduler.kube.transport import Endpoint, NotFound, Transport

POLL_S: Final = 0.25
PLURALS: Final[Mapping[str, str]] = {"TFJob": "tfjobs", "PyTorchJob": "pytorchjobs"}
#: A gang may be partly bound for this long (INV2).
PARTIAL_S: Final = 30.0


class _Condition(msgspec.Struct):
    type: str
    status: str
    message: str = ""


class _Status(msgspec.Struct):
    conditions: list[_Condition] | None = None


class _Job(msgspec.Struct):
    status: _Status = msgspec.field(default_factory=_Status)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRef:
    kind: str
    name: str
    namespace: str

    @property
    def path(self) -> str:
        return f"/apis/kubeflow.org/v1/namespaces/{self.namespace}/{PLURALS[self.kind]}/{self.name}"


class Stage:
    """``logs`` holds a folder for each pod's output."""

    def __init__(self, admin: Transport, auditor: Auditor, logs: Path) -> None:
        self.admin = admin
        self.auditor = auditor
        self.logs = logs

    async def submit(self, namespace: str, job: Mapping[str, Json]) -> JobRef:
        metadata = job["metadata"]
        if not isinstance(metadata, Mapping):
            raise TypeError("a job has metadata")
        ref = JobRef(kind=str(job["kind"]), name=str(metadata["name"]), namespace=namespace)
        await self.admin.request("POST", ref.path.rpartition("/")[0], body=msgspec.json.encode(job))
        return ref

    async def condition(self, job: JobRef) -> str:
        """The operator's own word: Succeeded, Failed, or empty while neither is so."""
        found = await self.admin.get(job.path, _Job)
        true = {c.type for c in found.status.conditions or () if c.status == "True"}
        return next((word for word in ("Succeeded", "Failed") if word in true), "")

    async def outcome(self, job: JobRef, timeout_s: float) -> str:
        """``condition`` as soon as it says something. Raises: TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not (said := await self.condition(job)):
                await asyncio.sleep(POLL_S)
        return said

    async def kill(self, namespace: str, pod: str) -> None:
        """Delete the pod without grace: its process is killed, as when its node is lost."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
        await self.admin.request("DELETE", path, params={"gracePeriodSeconds": "0"})

    def output(self, job: JobRef) -> Mapping[str, str]:
        """What each pod that the job ever had wrote, by its folder's name."""
        prefix = f"{job.namespace}_{job.name}-"
        files = (file for folder in self.logs.glob(f"{prefix}*") for file in folder.glob("*.log"))
        return {file.parent.name.removeprefix(f"{job.namespace}_"): file.read_text() for file in files}

    async def said(self, job: JobRef, text: str, timeout_s: float, *, by: str = "") -> None:
        """Until a pod of the job, whose name starts so, has written the text. Raises: TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not any(text in out for pod, out in self.output(job).items() if pod.startswith(by)):
                await asyncio.sleep(POLL_S)

    async def faults(self, jobs: Sequence[JobRef], size: int) -> list[str]:
        """What must not be and was seen: broken invariants, gangs begun before they were whole."""
        broken = [str(violation) for violation in await self.auditor.violations()]
        return broken + [fault for job in jobs if (fault := self._partly_bound(job, size))]

    def _partly_bound(self, job: JobRef, size: int) -> str:
        """The first time the job's pods were bound: all of them existed, and all were bound in time."""
        there: dict[str, PodVersion] = {}
        bound: dict[str, float] = {}
        for entry in self.auditor.history():
            pod = entry.version
            if not isinstance(pod, PodVersion) or pod.namespace != job.namespace:
                continue
            if not pod.name.startswith(f"{job.name}-"):
                continue
            there[pod.uid] = pod
            if pod.node and pod.uid not in bound:
                bound[pod.uid] = entry.at_s
                if len(there) < size:
                    return f"{job.name}: {pod.name} was bound when only {len(there)} of {size} pods existed"
            if len(bound) == size:
                took_s = max(bound.values()) - min(bound.values())
                return f"{job.name} was partly bound for {took_s:.1f} s" if took_s > PARTIAL_S else ""
        return f"{job.name}: only {len(bound)} of {size} pods were ever bound"


@asynccontextmanager
async def running_stage(cluster: Cluster, pool: Pool, folder: Path) -> AsyncIterator[Stage]:
    """Operator, nodes, auditor and ``stowplan run`` on the cluster until the block is left."""
    async with AsyncExitStack() as stack:
        endpoint = Endpoint.from_kubeconfig(cluster.admin_kubeconfig)
        admin = await stack.enter_async_context(Transport(endpoint, user_agent="stowplan-frameworks"))
        await stack.enter_async_context(running_operator(cluster, admin, free_ports()))
        kubelets = await stack.enter_async_context(
            Transport(Endpoint.from_kubeconfig(cluster.kubeconfig("node-actor")), connections_max=64)
        )
        logs = folder / "pods"
        await stack.enter_async_context(NodeActor(kubelets, [pool], settings=Settings(logs=logs)))
        auditor = await stack.enter_async_context(Auditor(admin))
        await stack.enter_async_context(running_scheduler(cluster.kubeconfig("stowplan"), folder))
        yield Stage(admin, auditor, logs)


async def make_namespace(admin: Transport, name: str) -> None:
    """A namespace that may be there already."""
    try:
        await admin.request("GET", f"/api/v1/namespaces/{name}")
    except NotFound:
        body = msgspec.json.encode({"metadata": {"name": name}})
        await admin.request("POST", "/api/v1/namespaces", body=body)


def free_ports() -> tuple[int, int, int]:
    """Ports on loopback that nobody listens on now."""
    with socket.socket() as a, socket.socket() as b, socket.socket() as c:
        found = []
        for probe in (a, b, c):
            probe.bind(("127.0.0.1", 0))
            found.append(int(probe.getsockname()[1]))
    return found[0], found[1], found[2]
