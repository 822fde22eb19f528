"""The installed chart on a real API server: its own containers schedule and watch under its own RBAC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import pytest

from deploy.local.audit import Auditor
from deploy.local.nodes.pools import Pool, specs
from deploy.local.nodes.register import register
from deploy.local.nodes.writer import Writer
from deploy.local.nvml.library import FakeNode, shipped
from scheduler.inventory.writer import PATH as GPUNODES
from scheduler.kube.transport import NotFound, Transport
from tests.deploy.containers import Kubelet, fake_driver
from tests.deploy.documents import Json, of_kind
from tests.deploy.waiting import SETTLE_S, until_ready
from tests.faults.stage import gang, sweep


async def test_a_gang_is_placed_by_the_rendered_deployment(
    kubelet_of: Kubelet, api: Transport, free_port: Callable[[], int], namespace: str
) -> None:
    # What an earlier test left would be scheduled too, while it is on its way out.
    await sweep(api)
    nodes = specs([Pool(name=f"{namespace}-n", count=2, gpus=4)])
    await register(Writer(api), nodes, clock=time.time)
    async with Auditor(api) as auditor:
        first, second = [await kubelet_of.start("Deployment", "stowplan", port=free_port()) for _ in range(2)]
        await until_ready(first)
        await until_ready(second)
        for body in [*gang("work", 8), *gang("wide", 3, gpus=4)]:
            await api.request("POST", f"/api/v1/namespaces/{namespace}/pods", body=msgspec.json.encode(body))
        await auditor.wait_until(
            lambda _: (
                sum(bool(pod.node) for pod in auditor.pods(namespace).values()) == 8
                and all(pod.node or pod.told for pod in auditor.pods(namespace).values())
            ),
            SETTLE_S,
            what=f"a gang placed, the other told why not\n{first.tail()}\n{second.tail()}",
        )
        told = {pod.told for name, pod in auditor.pods(namespace).items() if name.startswith("wide")}
        assert len(told) == 1
        assert None not in told
        assert not await auditor.violations(partial_s=30.0)
    assert await first.stop() == 0, first.tail()
    assert await second.stop() == 0, second.tail()
    assert "Traceback" not in first.tail() + second.tail()


async def test_the_agent_writes_its_node_from_the_rendered_daemon_set(
    kubelet_of: Kubelet, api: Transport, free_port: Callable[[], int], tmp_path: Path, namespace: str
) -> None:
    nodes = specs([Pool(name=f"{namespace}-a", count=1, gpus=8)])
    await register(Writer(api), nodes, clock=time.time)
    driver = fake_driver(FakeNode(tmp_path, nodes[0].name, shipped("h100-nvswitch")))
    agent = await kubelet_of.start(
        "DaemonSet", "stowplan-agent-nvidia", port=free_port(), node=nodes[0].name, extra=driver
    )
    async with asyncio.timeout(SETTLE_S):
        while True:
            assert agent.process.returncode is None, agent.tail()
            try:
                found = msgspec.json.decode(await api.request("GET", f"{GPUNODES}/{nodes[0].name}"))
            except NotFound:
                continue
            if found.get("status", {}).get("state") == "Ready":
                break
    assert found["status"]["gpus"] == 8
    assert found["metadata"]["ownerReferences"][0]["kind"] == "Node"
    assert await agent.stop() == 0, agent.tail()


NOBODY: Final = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532}
#: The kubelet's socket is root's alone; without capabilities root is no more than its owner.
OWNER: Final = {"runAsUser": 0, "runAsGroup": 0}


@pytest.mark.parametrize(("kind", "who"), [("Deployment", NOBODY), ("DaemonSet", OWNER)])
def test_no_container_may_do_more_than_compute(kind: str, who: Json, documents: list[Json]) -> None:
    for workload in of_kind(documents, kind):
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            **who,
        }
