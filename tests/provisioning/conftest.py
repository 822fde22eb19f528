"""A cluster where ProvisioningRequests are served and the scheduler may make them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.local.cluster import Cluster, running_cluster
from deploy.local.manifests import DEPLOY, apply
from tests.faults.scheduler import Terms
from tests.faults.stage import Stage, staged
from tests.provisioning.autoscaler import Autoscaler, serve

RIGHTS = DEPLOY / "optional" / "provisioning.yaml"


@pytest.fixture(scope="session")
def provisioning_cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
async def stage(provisioning_cluster: Cluster, tmp_path: Path) -> AsyncIterator[Stage]:
    terms = Terms(provisioning={"afterSeconds": 0.5, "retrySeconds": 3})
    async with staged(provisioning_cluster, tmp_path, terms) as found:
        await serve(found)
        await apply(found.api, [RIGHTS])
        yield found


@pytest.fixture
def autoscaler(stage: Stage) -> Autoscaler:
    return Autoscaler(stage)
