"""Without its custom resources the chart places single pods; gangs wait whole, and start when those come."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import yaml

from deploy.local.cluster import Cluster, running_cluster_async
from deploy.local.manifests import DEPLOY
from deploy.local.nodes.pools import Pool, specs
from deploy.local.nodes.register import register
from deploy.local.nodes.writer import Writer
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import Transport
from tests.deploy.conftest import NAMESPACE
from tests.deploy.containers import kubelet
from tests.deploy.documents import Json, kubectl
from tests.deploy.waiting import SETTLE_S, until_ready
from tests.faults.stage import gang, pod

PODS = "/api/v1/namespaces/default/pods"


async def bound(api: Transport) -> set[str]:
    listed = msgspec.json.decode(await api.request("GET", PODS))
    return {one["metadata"]["name"] for one in listed["items"] if one["spec"].get("nodeName")}


async def until(api: Transport, wanted: set[str]) -> None:
    async with asyncio.timeout(2 * SETTLE_S):
        while not wanted <= await bound(api):
            await asyncio.sleep(0)


def doctor(cluster: Cluster) -> dict[str, Json]:
    """What ``stowplan doctor`` finds, by what it looked at."""
    command = [str(Path(sys.executable).with_name("stowplan")), "doctor", "-o", "json"]
    environment = {**os.environ, "KUBECONFIG": str(cluster.admin_kubeconfig)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return {finding["check"]: finding for finding in json.loads(done.stdout)}


async def test_gangs_wait_for_the_resources_and_single_pods_do_not(
    documents: list[Json], free_port: Callable[[], int], tmp_path: Path
) -> None:
    rest = [one for one in documents if one["kind"] != "CustomResourceDefinition"]
    async with running_cluster_async(is_bare=True) as cluster:
        await asyncio.to_thread(kubectl, cluster, "create", "namespace", NAMESPACE)
        applied = ("apply", "--server-side", "-f")
        await asyncio.to_thread(kubectl, cluster, *applied, "-", given=yaml.safe_dump_all(rest))
        endpoint = Endpoint.from_kubeconfig(cluster.admin_kubeconfig)
        async with (
            Transport(endpoint, connections_max=4) as api,
            kubelet(cluster, api, tmp_path, documents) as nodes,
        ):
            await register(Writer(api), specs([Pool(name="n", count=2, gpus=4)]), clock=time.time)
            for body in gang("work", 4):
                await api.request("POST", PODS, body=msgspec.json.encode(body))
            scheduler = await nodes.start("Deployment", "stowplan", port=free_port())
            await until_ready(scheduler)
            await api.request("POST", PODS, body=msgspec.json.encode(pod("alone")))
            await until(api, {"alone"})
            assert await bound(api) == {"alone"}
            found = (await asyncio.to_thread(doctor, cluster))["CRDs"]
            assert (found["state"], found["remedy"]) == ("fail", "kubectl apply -f deploy/crds")
            await asyncio.to_thread(kubectl, cluster, *applied, str(DEPLOY / "crds"))
            await until(api, {f"work-{i}" for i in range(4)})
            assert scheduler.process.returncode is None, scheduler.tail()
