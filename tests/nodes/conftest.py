"""The real rung: a namespace of its own on the session's cluster."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import msgspec
import pytest

from scheduler.kube.transport import Endpoint, Transport
from tests.nodes.stage import Cluster, Stage


@pytest.fixture
async def stage(cluster: Cluster) -> AsyncIterator[Stage]:
    name = f"nodes-{uuid.uuid4().hex[:8]}"
    endpoint = Endpoint.from_kubeconfig(str(cluster.admin_kubeconfig))
    async with Transport(endpoint, user_agent="nodes-test", connections_max=16) as api:
        await api.request(
            "POST", "/api/v1/namespaces", body=msgspec.json.encode({"metadata": {"name": name}})
        )
        stage = Stage(api, name)
        yield stage
        await stage.force_delete_all()


@pytest.fixture
def pool() -> str:
    """A pool name nobody else uses on the shared cluster."""
    return f"p{uuid.uuid4().hex[:8]}"
