"""On the control plane: a leader is killed while it replaces a gang, and the next one goes on with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.cluster import Cluster
from scheduler.invariants import GangRef, World
from scheduler.kube.transport import ClusterError
from tests.devices.scene import Json, Scene, gang, scene_on
from tests.faults import proxy
from tests.faults.calls import Match
from tests.faults.proxy import eviction, gang_status, nth
from tests.faults.scheduler import Terms
from tests.faults.stage import MIN_MEMBER

PATIENCE_S = 40.0
NAMES = ("train-0", "train-1", "train-2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The leader is killed when the proxy has this write in hand, or just saw it applied.

    unreached: the eviction of this member does not get through to the API server before.
    """

    name: str
    match: Match
    number: int
    is_applied: bool
    unreached: str = ""


SITES = (
    Site(name="intent", match=gang_status("Unwinding"), number=1, is_applied=True),
    Site(name="first-eviction", match=eviction, number=1, is_applied=False),
    # Of those on sick devices nobody is left; only what was written says that the other one goes too.
    Site(name="second-eviction", match=eviction, number=2, is_applied=True, unreached="train-0"),
    Site(name="end", match=gang_status("Pending"), number=1, is_applied=False),
)


@pytest.fixture
async def scene(device_cluster: Cluster, tmp_path: Path) -> AsyncIterator[Scene]:
    """With leases long enough that no leader loses its own on a busy machine."""
    terms = Terms(lease_s=6, renew_deadline_s=5.0)
    async with scene_on(device_cluster, tmp_path, terms) as found:
        yield found


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
async def test_each_member_is_evicted_once_and_the_gang_ends_whole_elsewhere(
    scene: Scene, site: Site
) -> None:
    """One member is enough for the gang to stand: nothing but what is written tells the others to go."""
    await scene.nodes(scene.pool("n", 2))
    bodies = gang("train", 3, gpus=2, words={MIN_MEMBER: "1"})
    await scene.stage.create(bodies)
    await scene.stage.until_bound(*NAMES)
    first = {name: scene.pod(name) for name in NAMES}
    leader = scene.process
    if site.unreached:
        scene.stage.proxy.add(proxy.call("POST", "pods", "eviction", name=site.unreached), proxy.reset())
    kill = (proxy.after if site.is_applied else proxy.before)(leader.kill)
    scene.stage.proxy.add(site.match, kill, when=nth(site.number))
    controller = asyncio.create_task(_controller(scene, bodies))
    # Two members are struck at once, one falls off the bus: there is one replacement for both.
    struck = [first[name].devices[0] for name in ("train-1", "train-2")]
    scene.strike(first["train-1"].node, scene.device(first["train-1"].node, struck[0]), 79)
    scene.alter(first["train-2"].node, scene.device(first["train-2"].node, struck[1]), lost=True)
    assert await leader.ended(PATIENCE_S) == -9
    scene.stage.proxy.clear()
    await scene.stage.start()
    old = {pod.uid for pod in first.values()}

    def is_new(world: World) -> bool:
        told = world.gangs.get(GangRef(scene.stage.namespace, "own", "train"))
        pods = scene.stage.pods()
        return (
            told is not None
            and told.phase == "Bound"
            and all(name in pods and pods[name].node and pods[name].uid not in old for name in NAMES)
        )

    await scene.stage.until(is_new, "the gang stands anew")
    again = {name: scene.pod(name) for name in NAMES}
    await scene.stage.beats(3)
    controller.cancel()
    assert {name: scene.pod(name).uid for name in NAMES} == {name: pod.uid for name, pod in again.items()}
    assert not set(struck) & {uuid for pod in again.values() for uuid in pod.devices}
    assert scene.asked_to_leave() == old, "each member once, and none of those made anew"
    await scene.stage.judge(partial_s=60.0)
    assert scene.actor.report().rejected == {}


async def _controller(scene: Scene, bodies: Sequence[Json]) -> None:
    """Makes a member anew as soon as it is gone, while others still stand; as a controller does, again where
    the API server gave no answer.
    """
    by_name = {body["metadata"]["name"]: body for body in bodies}
    while True:
        await scene.stage.auditor.wait_until(
            lambda _: bool(by_name.keys() - scene.stage.pods().keys()),
            2 * PATIENCE_S,
            what="a member is gone",
        )
        for name in [name for name in by_name if name not in scene.stage.pods()]:
            try:
                await scene.stage.create([by_name[name]])
            except* ClusterError:
                pass
