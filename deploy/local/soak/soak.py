"""Runs a soak and judges it: cluster, controllers, nodes, the scheduler, users, and the auditor's history."""

from __future__ import annotations

import asyncio
import random
import signal
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from deploy.local.audit import Auditor
from deploy.local.cluster import Cluster, running_cluster
from deploy.local.demo.scheduler import running_scheduler
from deploy.local.identities import Identity
from deploy.local.nodes.actor import NodeActor, Settings
from deploy.local.nodes.pools import Pool
from deploy.local.soak.users import Say, Users
from deploy.local.soak.works import STEADY, STRANGER, TEAM
from scheduler.invariants import (
    History,
    PodVersion,
    Violation,
    final,
    no_idle_hole,
    no_useless_eviction,
    standing,
    waited,
)
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import Transport

POOL: Final = Pool(name="h100", count=3, gpus=8, model="NVIDIA-H100-80GB-HBM3")
#: Beside those that every local cluster has.
CONTROLLERS: Final = (
    "--controllers=cronjob-controller,node-lifecycle-controller,pod-garbage-collector-controller,"
    "taint-eviction-controller"
)
#: After everybody is done, for what is under way to end.
CALM_S: Final = 120.0
RESTART_S: Final = 1.0
FACTOR: Final = 2.0
FLOOR_S: Final = 10.0
#: The lease of a leader that was killed, and what the next one takes to start and lead.
FAILOVER_S: Final = 25.0
IDLE_S: Final = 90.0


class Soak:
    """ends: exit codes of schedulers that nobody had ended."""

    def __init__(self, cluster: Cluster, folder: Path, *, say: Say) -> None:
        self._cluster = cluster
        self._folder = folder
        self._say = say
        self._process: asyncio.subprocess.Process | None = None
        self._is_killed = False
        self._kills: list[float] = []
        self.ends: list[int] = []

    async def run(self, minutes: float) -> dict[str, list[str]]:
        """What was broken, in words, by the names of the report. Raises: ClusterError, LocalError."""
        async with AsyncExitStack() as stack:
            admin = await stack.enter_async_context(self._transport("admin"))
            kubelets = await stack.enter_async_context(self._transport("node-actor"))
            settings = Settings(logs=self._folder)
            actor = await stack.enter_async_context(NodeActor(kubelets, [POOL], settings=settings))
            auditor = await stack.enter_async_context(Auditor(admin))
            begun_s = time.monotonic()
            calm_s = begun_s + 60.0 * minutes
            users = Users(
                admin,
                actor,
                chance=random.Random(f"soak {minutes}"),
                calm_s=calm_s,
                kill=self._kill,
                say=self._say,
            )
            serving = asyncio.create_task(self._serve())
            try:
                await users.build()
                middle_s = (begun_s + calm_s) / 2
                await asyncio.gather(users.meddle(), users.probe(), users.disturb(middle_s))
                await users.clear()
                self._say(f"calm for {CALM_S:.0f} s")
                await asyncio.sleep(CALM_S)
                await auditor.catch_up()
            finally:
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)
            return self._judged(auditor.history(), middle_s)

    def _judged(self, history: History, middle_s: float) -> dict[str, list[str]]:
        found: dict[str, list[Violation]] = {
            "useless_evictions": no_useless_eviction(history),
            "idle_holes": no_idle_hole(history, idle_s=IDLE_S, strangers={STRANGER}, is_firm=_is_firm),
        }
        words = {name: [str(one) for one in broken] for name, broken in found.items()}
        words["lasting_harm"] = _harm(history, middle_s, self._kills)
        words["not_recovered"] = _lost(history)
        words["process_ends"] = [f"stowplan run ended with exit code {code}" for code in self.ends]
        return words

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._is_killed = True
            self._kills.append(time.monotonic())
            self._process.send_signal(signal.SIGKILL)

    async def _serve(self) -> None:
        """The scheduler, started again whenever it ends."""
        while True:
            self._is_killed = False
            async with running_scheduler(self._cluster.kubeconfig("stowplan"), self._folder) as process:
                self._process = process
                code = await process.wait()
            if not self._is_killed:
                self.ends.append(code)
                log = self._folder / "scheduler.log"
                log.replace(self._folder / f"scheduler.ended-{len(self.ends)}.log")
            await asyncio.sleep(RESTART_S)

    def _transport(self, identity: Identity) -> Transport:
        endpoint = Endpoint.from_kubeconfig(self._cluster.kubeconfig(identity))
        return Transport(endpoint, user_agent="stowplan-soak", connections_max=16)


def _is_firm(pod: PodVersion) -> bool:
    """Whether the budget may keep it where it is."""
    return pod.gang is not None and pod.gang.name == "steady"


def _harm(history: History, middle_s: float, kills: Sequence[float]) -> list[str]:
    """Probes that were decided much later while the stranger wrote than before, by the median.

    kills: when a leader was killed; nobody decides anything until its lease is over and the next one leads.
    """
    found = {
        name: (wait.begun_s, wait.longest_s)
        for name, wait in waited(history, strangers={STRANGER}).items()
        if name.startswith(f"{TEAM}/probe-")
    }
    before = [took_s for begun_s, took_s in found.values() if begun_s < middle_s]
    usual_s = statistics.median(before) if before else 0.0
    return [
        f"{name} was decided after {took_s:.1f} s, usual were {usual_s:.1f} s"
        for name, (begun_s, took_s) in found.items()
        if begun_s >= middle_s and _led_s(begun_s, took_s, kills) > FACTOR * usual_s + FLOOR_S
    ]


def _led_s(begun_s: float, took_s: float, kills: Sequence[float]) -> float:
    """Of a wait the part in which somebody led."""
    gaps = (min(at_s + FAILOVER_S, begun_s + took_s) - max(at_s, begun_s) for at_s in kills)
    return took_s - sum(gap for gap in gaps if gap > 0.0)


def _lost(history: History) -> list[str]:
    """Works that never end and do not stand in the end, with what their pods were told last."""
    stand = standing(history, history.until_s)
    names = {f"{TEAM}/steady": 3}
    web = sum(count for name, count in stand.items() if name.startswith(f"{TEAM}/") and name not in names)
    short = [
        f"{name}: {stand.get(name, 0)} of {least} ({_told(history, name)})"
        for name, least in names.items()
        if stand.get(name, 0) < least
    ]
    return [*short, *([f"{TEAM}/{STEADY[1]}: {web} of 4"] if web < 4 else [])]


def _told(history: History, name: str) -> str:
    """What is there of a gang in the end, and what each was told."""
    return "; ".join(
        f"{pod.name} {pod.phase} {pod.node}: {' '.join(pod.told or ())}"
        for pod in final(history).pods.values()
        if pod.gang is not None and f"{pod.namespace}/{pod.gang.name}" == name
    )


def soak(minutes: float, say: Say) -> dict[str, list[str]]:
    """Run one on a cluster of its own."""
    with (
        running_cluster(wanted=["kube-controller-manager"]) as cluster,
        tempfile.TemporaryDirectory(prefix="stowplan-soak-") as folder,
    ):
        cluster.stop_component("kube-controller-manager")
        cluster.start_component("kube-controller-manager", [CONTROLLERS])
        return asyncio.run(Soak(cluster, Path(folder), say=say).run(minutes))
