"""The real training-operator, the real API server, ``stowplan run``; pods are small Python programs.

The programs keep the frameworks' contract (TF_CONFIG; MASTER_ADDR, RANK, WORLD_SIZE) without the frameworks:
they find each other by the names the operator gave them, and fail if any of that is not true.
``make demo-frameworks`` runs TensorFlow and PyTorch themselves.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from deploy.local.cluster import running_cluster_async
from deploy.local.frameworks.jobs import PROGRAMS, pytorch_job, tf_job
from deploy.local.frameworks.stage import free_ports, running_stage
from deploy.local.nodes.pools import Pool

SIZE = 3
PATIENCE_S = 120.0
COMMAND = (sys.executable, "-I", str(PROGRAMS / "contract.py"))


async def test_both_jobs_succeed_by_the_operators_word_and_start_whole(
    tmp_path: Path,
) -> None:
    # Room for one gang and two pods: the second job waits whole until the first is done.
    pool = Pool(name="k", count=2 * SIZE - 1, gpus=8)
    ports = free_ports()
    # A cluster of its own: nodes that other tests left have nobody who runs a process.
    async with running_cluster_async() as cluster, running_stage(cluster, pool, tmp_path) as stage:
        torch = await stage.submit("default", pytorch_job("torch", COMMAND, port=ports[0]))
        tensorflow = await stage.submit("default", tf_job("tf", COMMAND, port=ports[1]))
        jobs = (torch, tensorflow)
        outcomes = await asyncio.gather(*(stage.outcome(job, PATIENCE_S) for job in jobs))
        output = {job.name: stage.output(job) for job in jobs}
        assert outcomes == ["Succeeded", "Succeeded"], output
        for job in jobs:
            ends = [text.splitlines()[-1] for text in output[job.name].values()]
            assert sorted(ends) == [f"rank {i} of {SIZE}: sum 3, expected 3" for i in range(SIZE)]
        assert await stage.faults(jobs, SIZE) == []
