"""The real kube-scheduler, asked which nodes will do: it tells an extender those that pass its filters.

All its default filters run in it, as shipped; the extender refuses every node, so that nothing is bound and
the next pod finds the cluster as it was. Preemption is off: it would evict for pods that are never bound.
Source: ``findNodesThatPassExtenders`` of ``pkg/scheduler/schedule_one.go`` (1.37).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import yaml

from deploy.local import components
from deploy.local.build import ensure_binary
from deploy.local.cluster import Cluster
from tests.benchmarks.subjects import end_with_parent

_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)


class _Metadata(msgspec.Struct):
    uid: str = ""


class _Pod(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class _Asked(msgspec.Struct):
    """``ExtenderArgs`` of ``k8s.io/kube-scheduler/extender/v1``, of a cache-capable extender."""

    pod: _Pod = msgspec.field(name="Pod", default_factory=_Pod)
    node_names: list[str] | None = msgspec.field(name="NodeNames", default=None)


class Referee:
    """Remembers, by the pod's UID, the nodes that passed all filters when it was last tried."""

    def __init__(self) -> None:
        self.passed: dict[str, frozenset[str]] = {}
        self.told = asyncio.Condition()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of kube-scheduler's HTTP client."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                asked = msgspec.json.decode(body, type=_Asked)
                names = asked.node_names or []
                async with self.told:
                    self.passed[asked.pod.metadata.uid] = frozenset(names)
                    self.told.notify_all()
                reply = msgspec.json.encode({"NodeNames": [], "FailedNodes": dict.fromkeys(names, "seen")})
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(reply), reply)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def refereed(cluster: Cluster, folder: Path) -> AsyncIterator[Referee]:
    """kube-scheduler beside its extender, until the block is left."""
    referee = Referee()
    server = await asyncio.start_server(referee.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    kubeconfig = cluster.kubeconfig("kube-scheduler")
    config = folder / "kube-scheduler.yaml"
    config.write_text(yaml.safe_dump(_configuration(kubeconfig, port)), encoding="utf-8")
    command = [str(ensure_binary()), *components.kube_scheduler(kubeconfig), f"--config={config}"]
    with (folder / "kube-scheduler.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=log, stderr=log, start_new_session=True, preexec_fn=end_with_parent
        )
    try:
        yield referee
    finally:
        process.terminate()
        await process.wait()
        server.close()


def _configuration(kubeconfig: Path, port: int) -> dict[str, object]:
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {"kubeconfig": str(kubeconfig), "qps": 5_000, "burst": 5_000},
        "percentageOfNodesToScore": 100,
        "profiles": [
            {
                "schedulerName": "default-scheduler",
                "plugins": {"multiPoint": {"disabled": [{"name": "DefaultPreemption"}]}},
            }
        ],
        "extenders": [
            {
                "urlPrefix": f"http://127.0.0.1:{port}",
                "filterVerb": "filter",
                "nodeCacheCapable": True,
                "enableHTTPS": False,
                "httpTimeout": "30s",
            }
        ],
    }
