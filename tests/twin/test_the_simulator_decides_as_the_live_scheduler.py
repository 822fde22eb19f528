"""The same submissions on the local control plane and in the simulator: the same decisions, pod for pod."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.cluster import Cluster
from tests.faults.stage import staged
from tests.teams.stage import TeamStage
from tests.twin.twin import TERMS, Twin

SEEDS = 3
GANGS = 40


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_the_same_decisions(twin_cluster: Cluster, tmp_path: Path, seed: int) -> None:
    async with staged(twin_cluster, tmp_path, TERMS) as stage:
        async with TeamStage.opened(stage) as teams:
            found = await Twin(teams).run(seed, GANGS)
            await stage.judge()
    assert found.steps > GANGS
    assert 0 < found.on_devices <= found.bound
    assert found.waited
