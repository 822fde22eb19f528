"""Every dialect in one namespace of a real API server, as gangs that share a name; the auditor judges."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from deploy.local.audit import Auditor
from deploy.local.cluster import Cluster, running_cluster_async
from deploy.local.demo.scheduler import running_scheduler
from deploy.local.frameworks.stage import make_namespace
from deploy.local.nodes.actor import NodeActor, Settings
from deploy.local.nodes.pools import Pool
from scheduler.gangs.registry import DIALECT_NAMES
from scheduler.invariants import World
from scheduler.kube.transport import Endpoint, Transport
from tests.dialects.recorded import NAMESPACE
from tests.dialects.recordings import RECORDINGS
from tests.dialects.served import Play, bodies, serve

SIZE: Final = 3
#: The first recording of each dialect, and those whose later pods come when the first ones run.
NAMES: Final = (*{make("g", 3).dialect: name for name, make in reversed(list(RECORDINGS.items()))}.values(),)
PATIENCE_S: Final = 90.0


def _named(dialect: str) -> str:
    """A TrainJob's JobSet has its name, so a JobSet beside it has another one."""
    return "trained" if dialect == "trainjob" else "bert"


@asynccontextmanager
async def _running(cluster: Cluster, folder: Path, gpus: int) -> AsyncIterator[tuple[Transport, Auditor]]:
    """Nodes of 8 GPUs each, the auditor and ``stowplan run``."""
    async with AsyncExitStack() as stack:
        endpoint = Endpoint.from_kubeconfig(cluster.admin_kubeconfig)
        admin = await stack.enter_async_context(Transport(endpoint, user_agent="tests"))
        await serve(admin)
        await make_namespace(admin, NAMESPACE)
        kubelets = Transport(Endpoint.from_kubeconfig(cluster.kubeconfig("node-actor")))
        await stack.enter_async_context(kubelets)
        pool = Pool(name="mixed", count=-(-gpus // 8), gpus=8)
        settings = Settings(logs=folder / "pods", inventory=False)
        await stack.enter_async_context(NodeActor(kubelets, [pool], settings=settings))
        auditor = await stack.enter_async_context(Auditor(admin))
        await stack.enter_async_context(running_scheduler(cluster.kubeconfig("stowplan"), folder))
        yield admin, auditor


def _all_run(plays: list[Play], world: World) -> bool:
    uids = [uid for play in plays for uid in play.uids.values()]
    return all(uid in world.pods and world.pods[uid].phase == "Running" for uid in uids)


def _mixed_up(plays: list[Play], world: World) -> list[str]:
    """Gang objects of which a member is another gang's, or that are not the one of their dialect."""
    wrong = []
    gangs = {ref: gang for ref, gang in world.gangs.items() if ref.namespace == NAMESPACE}
    for play in plays:
        dialect = play.recording.dialect
        refs = [ref for ref in gangs if ref.dialect == dialect]
        placed = {uid for ref in refs for uid in gangs[ref].placement}
        if len(refs) != 1 or not placed <= set(play.uids.values()):
            wrong.append(f"{dialect}: gangs {refs}, strangers {placed - set(play.uids.values())}")
    return wrong


async def test_all_gangs_are_whole_at_every_revision_and_none_takes_another_for_itself(
    tmp_path: Path,
) -> None:
    seed = random.randrange(1 << 32)
    shuffle = random.Random(seed)
    recordings = [RECORDINGS[name](_named(RECORDINGS[name]("g", SIZE).dialect), SIZE) for name in NAMES]
    assert {recording.dialect for recording in recordings} == set(DIALECT_NAMES)
    gpus = sum(len(recording.pods) + len(recording.late) for recording in recordings)
    async with running_cluster_async() as cluster, _running(cluster, tmp_path, gpus) as (admin, auditor):
        plays = [Play(admin, recording) for recording in recordings]
        for play in plays:
            await play.give_objects()
        for is_late in (False, True):
            arrivals = bodies(plays, late=is_late)
            shuffle.shuffle(arrivals)
            for play, pod in arrivals:
                await play.create(pod)
            await auditor.wait_until(lambda world: _all_run(plays, world), PATIENCE_S, what=f"seed {seed}")
        lost = [(play, shuffle.choice(play.recording.pods)) for play in plays if play.recording.minimum > 1]
        await asyncio.gather(*(play.lose(pod) for play, pod in lost))
        await asyncio.gather(*(play.create(pod) for play, pod in lost))
        await auditor.wait_until(lambda world: _all_run(plays, world), PATIENCE_S, what=f"healed, {seed}")
        assert await auditor.violations() == [], seed
        judged = {ref.dialect for ref in auditor.world.refs() if ref.namespace == NAMESPACE}
        assert judged == set(DIALECT_NAMES)
        assert _mixed_up(plays, auditor.world) == [], seed
