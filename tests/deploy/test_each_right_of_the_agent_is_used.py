"""The rules of the agents' identity are what an agent calls: none is missing, none is to spare.

The rendered DaemonSet's container, with a token of its own node, past a proxy that notes each request. A rule
that is taken away is refused here; a rule that is added is used by nothing here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import yaml

from deploy.local.manifests import DEPLOY
from deploy.local.nodes.pools import Pool, specs
from deploy.local.nodes.register import register
from deploy.local.nodes.writer import Writer
from deploy.local.nvml.library import FakeNode, shipped
from scheduler.inventory.writer import CLEAR_ANNOTATION
from scheduler.inventory.writer import PATH as GPUNODES
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import MERGE_PATCH, NotFound, Transport
from tests.deploy.containers import SERVICE_ACCOUNT, Kubelet, fake_driver
from tests.deploy.rights import granted, used
from tests.deploy.waiting import SETTLE_S
from tests.faults.proxy import Proxy
from tests.inventory.scenes import alter

IDENTITY = DEPLOY / "rbac" / "agent.yaml"


def kubeconfig(folder: Path, url: str) -> Path:
    """The pod's own service account, on another way."""
    file = folder / "kubeconfig.yaml"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "only",
        "contexts": [{"name": "only", "context": {"cluster": "only", "user": "only"}}],
        "clusters": [{"name": "only", "cluster": {"server": url}}],
        "users": [{"name": "only", "user": {"tokenFile": f"{SERVICE_ACCOUNT}/token"}}],
    }
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


async def clears_a_device(api: Transport, node: FakeNode) -> None:
    """An admin says that a device is well; the agent hears of it when it next has something to tell."""
    body = {"metadata": {"annotations": {CLEAR_ANNOTATION: "all"}}}
    async with asyncio.timeout(SETTLE_S):
        while True:
            try:
                await api.request(
                    "PATCH",
                    f"{GPUNODES}/{node.name}",
                    body=msgspec.json.encode(body),
                    content_type=MERGE_PATCH,
                )
                break
            except NotFound:
                await asyncio.sleep(0)
    alter(node, 2, lost=True)


async def test_what_is_granted_is_what_is_used(
    kubelet_of: Kubelet, api: Transport, free_port: Callable[[], int], tmp_path: Path, namespace: str
) -> None:
    (spec,) = specs([Pool(name=f"{namespace}-r", gpus=8)])
    await register(Writer(api), [spec], clock=time.time)
    node = FakeNode(tmp_path, spec.name, shipped("h100-nvswitch"))
    endpoint = Endpoint.from_kubeconfig(kubelet_of.cluster.admin_kubeconfig)
    async with Proxy(endpoint) as proxy:
        way = {"KUBECONFIG": str(kubeconfig(tmp_path, proxy.url))}
        agent = await kubelet_of.start(
            "DaemonSet",
            "stowplan-agent-nvidia",
            port=free_port(),
            node=node.name,
            extra=fake_driver(node) | way,
        )
        await clears_a_device(api, node)
        rights = granted(IDENTITY)
        # What is still unused when time is up is told below, right by right.
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                while not rights <= used([*proxy.calls, *proxy.watches]):
                    await proxy.next_answer()
        assert rights - used([*proxy.calls, *proxy.watches]) == set(), agent.tail()
        assert used([*proxy.calls, *proxy.watches]) - rights == set()
        assert [one for one in proxy.calls if one.status == 403] == []
        assert await agent.stop() == 0, agent.tail()
