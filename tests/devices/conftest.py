"""One scheduler, a few nodes with devices, all real: what tests of device decisions act on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.local.cluster import Cluster, running_cluster
from tests.devices.scene import Scene, scene_on


@pytest.fixture(scope="session")
def device_cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
async def scene(device_cluster: Cluster, tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene_on(device_cluster, tmp_path) as found:
        yield found
