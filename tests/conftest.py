"""What tests of the real rung share: one control plane a test process, one namespace a test."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest
import structlog
from hypothesis import settings

from deploy.local.cluster import Cluster, running_cluster
from scheduler.kube.transport import Endpoint, Transport

# A change is judged on the same examples each time; new ones are searched for everywhere else.
# No deadlines: how long an example takes on a busy machine proves nothing.
settings.register_profile("here", deadline=None)
settings.load_profile("here")
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _fresh_logs() -> Iterator[None]:
    """No test writes where an earlier one sent the logs, the standard library's among them."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """etcd and kube-apiserver of this process's own (so also one for each xdist worker).

    Nodes, Leases and the like are shared by all tests that use it: give them names of your own.
    """
    with running_cluster() as running:
        yield running


@pytest.fixture
async def clean_namespace(cluster: Cluster) -> AsyncIterator[str]:
    """The name of a namespace of the test's own; its pods are gone afterwards.

    The namespace itself stays: without a controller-manager nothing finishes its deletion.
    """
    name = f"t-{uuid.uuid4().hex[:12]}"
    admin = Transport(
        Endpoint.from_kubeconfig(cluster.admin_kubeconfig), user_agent="tests", connections_max=4
    )
    async with admin:
        body = msgspec.json.encode({"metadata": {"name": name}})
        await admin.request("POST", "/api/v1/namespaces", body=body)
        yield name
        # One request, however many pods: deleting them one by one takes minutes for thousands.
        pods = f"/api/v1/namespaces/{name}/pods"
        await admin.request("DELETE", pods, params={"gracePeriodSeconds": "0"}, timeout_s=60.0)
