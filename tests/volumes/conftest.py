"""A cluster whose controllers bind volumes and make the claims of ephemeral ones, as every cluster's do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.local.cluster import Cluster, running_cluster
from tests.faults.scheduler import Terms
from tests.faults.stage import Stage, staged
from tests.volumes.cluster import Storage


@pytest.fixture(scope="session")
def volume_cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        cluster.start_component("kube-controller-manager")
        yield cluster


@pytest.fixture
def terms() -> Terms:
    """What a test module may override."""
    return Terms()


@pytest.fixture
async def stage(volume_cluster: Cluster, tmp_path: Path, terms: Terms) -> AsyncIterator[Stage]:
    async with staged(volume_cluster, tmp_path, terms) as found:
        yield found


@pytest.fixture
async def storage(stage: Stage) -> AsyncIterator[Storage]:
    found = Storage(stage, f"{stage.namespace}.csi.example.com")
    yield found
    await found.sweep()
