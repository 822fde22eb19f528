"""The planted instances on the local control plane: what kube-scheduler places of them, packing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from tests.benchmarks import figures
from tests.benchmarks.control import GPU, BenchmarkFailed, Control, console, control_plane, pods_path
from tests.benchmarks.planted_cases import Family, Planted, plant
from tests.benchmarks.subjects import SCHEDULER_NAME, Launcher
from tests.benchmarks.watching import PodWatch, watching

NAMESPACE: Final = "planted"
#: No Binding for so long, and kube-scheduler is taken to be done: its retries wait for events.
QUIET_S: Final = 20.0
TIMEOUT_S: Final = 300.0


async def shares(families: Sequence[Family], nodes: int, seeds: int) -> dict[Family, list[float]]:
    """Per family the share of GPUs bound in each instance, on one control plane of ``nodes`` nodes."""
    found: dict[Family, list[float]] = {family: [] for family in families}
    async with control_plane() as control:
        await control.namespace(NAMESPACE)
        await control.nodes(nodes)
        launcher = Launcher(control.cluster, figures.FOLDER / "planted-logs", packs=True)
        async with watching(control.api, NAMESPACE) as watch:
            for family in families:
                for seed in range(seeds):
                    case = plant(family, nodes, seed)
                    share = await _share(control, watch, launcher, case)
                    found[family].append(share)
                    console.print(
                        f"kube-scheduler, {family}, {nodes} nodes, {seed + 1} of {seeds}: {share:.1%}"
                    )
    return found


async def _share(control: Control, watch: PodWatch, launcher: Launcher, case: Planted) -> float:
    """All gangs pending, then kube-scheduler from its start until it binds no more."""
    for gang in case.gangs:
        await control.pod_group(NAMESPACE, gang.name, min_count=gang.minimum)
    pods = _pods(case)
    await control.create((pods_path(NAMESPACE), body) for body in pods)
    await watch.until(lambda: len(watch.pods) == len(pods), "all pods created", timeout_s=TIMEOUT_S)
    async with launcher.started("kube-scheduler") as subject:
        await subject.while_alive(_until_quiet(watch))
    bound = sum(pod.gpus for pod in watch.pods.values() if pod.nodes)
    await control.clear_pods(NAMESPACE)
    await watch.until(lambda: not watch.pods, "all pods gone", timeout_s=TIMEOUT_S)
    for gang in case.gangs:
        await control.drop_pod_group(NAMESPACE, gang.name)
    return bound / case.gpus


async def _until_quiet(watch: PodWatch) -> None:
    known = -1
    while watch.bound < len(watch.pods) and watch.bound != known:
        known = watch.bound
        try:
            await watch.until(lambda: watch.bound == len(watch.pods), "all bound", timeout_s=QUIET_S)
        except BenchmarkFailed:
            continue


def _pods(case: Planted) -> list[bytes]:
    bodies = []
    for gang in case.gangs:
        for role in gang.roles:
            gpus, cpus = role.request.tolist()
            limits = {"cpu": str(cpus), GPU: str(gpus)}
            spec = {
                "schedulerName": SCHEDULER_NAME["kube-scheduler"],
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "train", "image": "train", "resources": {"limits": limits}}],
                "schedulingGroup": {"podGroupName": gang.name},
            }
            for number in range(role.count):
                name = f"{gang.name}-{role.name}-{number}"
                bodies.append(msgspec.json.encode({"metadata": {"name": name}, "spec": spec}))
    return bodies
