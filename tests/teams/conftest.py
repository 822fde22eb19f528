"""A cluster of their own for the tests of teams: TeamQuotas have no namespace, and there is one lease."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.local.cluster import Cluster, running_cluster
from tests.faults.scheduler import Terms
from tests.faults.stage import staged
from tests.teams.stage import TeamStage


@pytest.fixture(scope="session")
def team_cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
async def teams(team_cluster: Cluster, tmp_path: Path) -> AsyncIterator[TeamStage]:
    terms = Terms(lease_s=2, renew_deadline_s=1.5, write_timeout_s=0.5, partial_s=10.0)
    async with staged(team_cluster, tmp_path, terms) as stage:
        async with TeamStage.opened(stage) as found:
            yield found
