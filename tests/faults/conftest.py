"""A cluster of their own for the fault tests: they kill its API server and fight for its one lease."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.local.cluster import Cluster, running_cluster
from tests.faults.scheduler import Terms
from tests.faults.stage import Stage, staged


@pytest.fixture(scope="session")
def fault_cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def terms() -> Terms:
    """What a test module may override."""
    return Terms()


@pytest.fixture
async def stage(fault_cluster: Cluster, tmp_path: Path, terms: Terms) -> AsyncIterator[Stage]:
    async with staged(fault_cluster, tmp_path, terms) as found:
        yield found
