"""A cluster as Kubernetes comes, and the chart as Helm renders it."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from deploy.local import helm
from deploy.local.cluster import Cluster, running_cluster
from deploy.local.manifests import DEPLOY, SERVED, until_served
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import Transport
from tests.deploy.containers import Kubelet, kubelet
from tests.deploy.documents import Json, kubectl, parsed

NAMESPACE = "stowplan-system"


@pytest.fixture(scope="session")
def rendered() -> str:
    """With the defaults, which need no other operator."""
    return helm.template()


@pytest.fixture(scope="session")
def documents(rendered: str) -> list[Json]:
    return parsed(rendered)


@pytest.fixture(scope="session")
def bare_cluster() -> Iterator[Cluster]:
    with running_cluster(is_bare=True) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def installed(bare_cluster: Cluster, rendered: str) -> Cluster:
    """The chart, applied server-side by kubectl; its custom resources are served."""
    kubectl(bare_cluster, "create", "namespace", NAMESPACE)
    kubectl(bare_cluster, "apply", "--server-side", "-f", "-", given=rendered)
    # The auditor reads these too; the scheduler does without.
    kubectl(bare_cluster, "apply", "--server-side", "-f", str(DEPLOY / "local" / "crds"))
    asyncio.run(_served(bare_cluster))
    return bare_cluster


async def _served(cluster: Cluster) -> None:
    """The API server serves a custom resource a moment after it took its definition."""
    async with Transport(Endpoint.from_kubeconfig(cluster.admin_kubeconfig), connections_max=1) as admin:
        async with asyncio.timeout(30):
            await until_served(admin, SERVED)


@pytest.fixture
async def api(installed: Cluster) -> AsyncIterator[Transport]:
    """The administrator."""
    endpoint = Endpoint.from_kubeconfig(installed.admin_kubeconfig)
    async with Transport(endpoint, user_agent="tests", connections_max=16) as transport:
        yield transport


@pytest.fixture
async def kubelet_of(
    installed: Cluster, api: Transport, tmp_path: Path, documents: list[Json]
) -> AsyncIterator[Kubelet]:
    async with kubelet(installed, api, tmp_path, documents) as made:
        yield made


@pytest.fixture
def free_port() -> Callable[[], int]:
    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    return find


@pytest.fixture
async def namespace(api: Transport) -> str:
    """One of the test's own."""
    name = f"d{uuid.uuid4().hex[:8]}"
    await api.request("POST", "/api/v1/namespaces", body=msgspec.json.encode({"metadata": {"name": name}}))
    return name
