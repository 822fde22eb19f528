"""docs/install.md, command by command, on an API server with nothing of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from deploy.local.cluster import running_cluster_async
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import Transport
from tests.deploy.containers import kubelet
from tests.deploy.documents import parsed
from tests.deploy.waiting import until_ready
from tests.pages import blocks, run


async def test_each_command_of_the_page_succeeds(tmp_path: Path, free_port: Callable[[], int]) -> None:
    first, *rest = blocks("install.md")
    async with running_cluster_async(is_bare=True) as cluster:
        admin = cluster.admin_kubeconfig
        await asyncio.to_thread(run, admin, first)
        endpoint = Endpoint.from_kubeconfig(admin)
        manifest = parsed(
            await asyncio.to_thread(run, admin, "helm get manifest stowplan -n stowplan-system")
        )
        async with (
            Transport(endpoint, connections_max=4) as api,
            kubelet(cluster, api, tmp_path, manifest) as nodes,
        ):
            leader = await nodes.start("Deployment", "stowplan", port=free_port())
            await until_ready(leader)
            told = [await asyncio.to_thread(run, admin, block) for block in rest]
            assert leader.process.returncode is None, leader.tail()
    assert "daemonset.apps/stowplan-agent-nvidia" in told[0]
    assert "spread" in told[3]
    assert "gangs.stowplan.dev" in told[-1]
