"""Where Stowplan lets a pod go is where the real kube-scheduler does; 1,000 cases: ``make agreement``."""

from __future__ import annotations

from pathlib import Path

from deploy.local.cluster import running_cluster_async
from tests.agreement.cases import case
from tests.agreement.referee import refereed
from tests.agreement.stage import staged

CASES = 30


async def test_the_same_nodes_will_do(tmp_path: Path) -> None:
    yes = no = 0
    async with (
        running_cluster_async() as cluster,
        refereed(cluster, tmp_path) as referee,
        staged(cluster, referee) as stage,
    ):
        for seed in range(CASES):
            verdict = await stage.judge(case(seed))
            assert verdict.ours == verdict.theirs, f"case {seed} of {sorted(verdict.nodes)}"
            yes += len(verdict.theirs)
            no += len(verdict.nodes - verdict.theirs)
    assert yes
    assert no
