"""docs/install.md, command by command, on an API server with nothing of ours."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from deploy.local import helm
from deploy.local.cluster import Cluster, running_cluster_async
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import Transport
from tests.deploy.containers import kubelet
from tests.deploy.documents import parsed
from tests.deploy.waiting import until_ready

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "install.md"
BLOCK_S_MAX: Final = 60.0


def _blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def _run(cluster: Cluster, block: str) -> str:
    """What a block prints; every one of its commands must succeed."""
    path = [str(Path(sys.executable).parent), str(helm.HELM.ensure().parent), os.environ["PATH"]]
    environment = {
        **os.environ,
        "PATH": ":".join(path),
        "KUBECONFIG": str(cluster.admin_kubeconfig),
        "HELM_CACHE_HOME": str(cluster.directory / "helm"),
        "HELM_CONFIG_HOME": str(cluster.directory / "helm"),
        "HELM_DATA_HOME": str(cluster.directory / "helm"),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=BLOCK_S_MAX, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout


async def test_each_command_of_the_page_succeeds(tmp_path: Path, free_port: Callable[[], int]) -> None:
    first, *rest = _blocks()
    async with running_cluster_async(is_bare=True) as cluster:
        await asyncio.to_thread(_run, cluster, first)
        endpoint = Endpoint.from_kubeconfig(cluster.admin_kubeconfig)
        manifest = parsed(
            await asyncio.to_thread(_run, cluster, "helm get manifest stowplan -n stowplan-system")
        )
        async with (
            Transport(endpoint, connections_max=4) as api,
            kubelet(cluster, api, tmp_path, manifest) as nodes,
        ):
            leader = await nodes.start("Deployment", "stowplan", port=free_port())
            await until_ready(leader)
            told = [await asyncio.to_thread(_run, cluster, block) for block in rest]
            assert leader.process.returncode is None, leader.tail()
    assert "daemonset.apps/stowplan-agent-nvidia" in told[0]
    assert "spread" in told[3]
    assert "gangs.stowplan.dev" in told[-1]
