"""A cluster of their own for the twins: TeamQuotas have no namespace, and there is one lease."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.cluster import Cluster, running_cluster


@pytest.fixture(scope="session")
def twin_cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster
