"""``make demo-frameworks``: TensorFlow and PyTorch really train, as gangs, through Kubeflow's operator."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from deploy.local.build import ensure_binary
from deploy.local.cluster import Cluster, running_cluster
from deploy.local.errors import LocalError
from deploy.local.frameworks.environment import ensure_environment
from deploy.local.frameworks.jobs import PROGRAMS, pytorch_job, tf_job
from deploy.local.frameworks.operator import ensure_operator
from deploy.local.frameworks.stage import JobRef, Stage, free_ports, make_namespace, running_stage
from deploy.local.nodes.pools import Pool
from deploy.local.progress import shown

TEAM = "research"
SIZE = 3
#: Generous: frameworks take half a minute to import where others use the cores too.
JOB_S_MAX = 900.0
PAUSE_S = 0.4
KILL_AFTER = "epoch 4,"
POOL = Pool(name="h100", count=2 * SIZE, gpus=8, model="NVIDIA-H100-80GB-HBM3")


def main() -> int:
    """0 if both jobs succeeded by the operator's own status and no gang was ever partly started."""
    try:
        with shown() as watcher:
            ensure_binary(watcher)
            watcher.stage("building Kubeflow's training-operator")
            ensure_operator()
            watcher.stage("installing TensorFlow and PyTorch (5 GB, once)")
            python = ensure_environment()
        with running_cluster() as cluster, tempfile.TemporaryDirectory(prefix="stowplan-demo-") as name:
            return asyncio.run(_demo(cluster, python, Path(name)))
    except LocalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


async def _demo(cluster: Cluster, python: Path, folder: Path) -> int:
    began_s = time.monotonic()
    async with running_stage(cluster, POOL, folder) as stage:
        await make_namespace(stage.admin, TEAM)
        ports = free_ports()
        torch = [str(python), str(PROGRAMS / "train_torch.py"), str(folder / "digits.pt"), str(PAUSE_S)]
        tensorflow = [str(python), str(PROGRAMS / "train_tensorflow.py")]
        jobs = (
            await stage.submit(TEAM, pytorch_job("digits-torch", torch, port=ports[0])),
            await stage.submit(TEAM, tf_job("digits-tf", tensorflow, port=ports[1])),
        )
        watching = asyncio.create_task(_show(stage, jobs, began_s))
        try:
            outcomes = await asyncio.gather(
                _interrupted(stage, jobs[0]), stage.outcome(jobs[1], JOB_S_MAX), return_exceptions=True
            )
        finally:
            watching.cancel()
        faults = await stage.faults(jobs, SIZE)
        return _summary(stage, jobs, [str(outcome) or type(outcome).__name__ for outcome in outcomes], faults)


async def _interrupted(stage: Stage, job: JobRef) -> str:
    """The outcome of the PyTorchJob, of which a worker is killed in the middle."""
    worker = f"{job.name}-worker-0"
    await stage.said(job, KILL_AFTER, JOB_S_MAX, by=worker)
    print(f"-- killing {worker}", flush=True)
    await stage.kill(job.namespace, worker)
    return await stage.outcome(job, JOB_S_MAX)


async def _show(stage: Stage, jobs: tuple[JobRef, ...], began_s: float) -> None:
    """Every line of every pod as it is written."""
    seen: dict[str, int] = {}
    while True:
        for job in jobs:
            for pod, text in stage.output(job).items():
                for line in text[seen.get(pod, 0) :].splitlines():
                    if _is_told(line):
                        print(
                            f"{time.monotonic() - began_s:6.1f} s  {pod.rpartition('_')[0]:24}{line}",
                            flush=True,
                        )
                seen[pod] = len(text)
        await asyncio.sleep(0.5)


def _is_told(line: str) -> bool:
    return re.match(r"(rank|step|chief|worker|ps) ", line) is not None or "done" in line


def _summary(stage: Stage, jobs: tuple[JobRef, ...], outcomes: list[str], faults: list[str]) -> int:
    """Print what was reached; the exit code."""
    is_right = not faults
    for job, outcome in zip(jobs, outcomes, strict=True):
        output = stage.output(job)
        reached = [
            float(found) for text in output.values() for found in re.findall(r"accuracy ([0-9.]+)", text)
        ]
        best = f"{max(reached):.3f}" if reached else "none"
        print(f"{job.kind} {job.name}: {outcome} by the operator's status, accuracy {best}")
        is_right &= outcome == "Succeeded" and bool(reached)
        if outcome != "Succeeded":
            _tell_ends(output)
    went_on = sum("going on after epoch" in text for text in stage.output(jobs[0]).values())
    print(f"members of {jobs[0].name} that went on from the checkpoint: {went_on}")
    for fault in faults:
        print(f"wrong: {fault}")
    print("gangs whole at every revision" if not faults else "not as promised")
    return 0 if is_right and went_on else 1


def _tell_ends(output: Mapping[str, str]) -> None:
    for pod, text in output.items():
        print(f"--- {pod}\n{text[-1500:]}")


if __name__ == "__main__":
    sys.exit(main())
