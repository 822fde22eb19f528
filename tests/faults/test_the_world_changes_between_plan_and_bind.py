"""What changes after the plan was made and before it is carried out: nodes, and who holds them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from deploy.local.nodes.actor import NodeActor, Settings
from deploy.local.nodes.pools import Pool
from tests.faults import proxy, watches
from tests.faults.proxy import nth
from tests.faults.scheduler import Terms
from tests.faults.stage import GPU, Stage, foreign, gang

NODE = "/api/v1/nodes/{}"
TAINT = {"key": "example.com/broken", "effect": "NoSchedule"}


async def _delete(stage: Stage, node: str) -> None:
    await stage.api.delete(NODE.format(node))


async def _cordon(stage: Stage, node: str) -> None:
    await stage.patch(NODE.format(node), {"spec": {"unschedulable": True}})


async def _taint(stage: Stage, node: str) -> None:
    await stage.patch(NODE.format(node), {"spec": {"taints": [TAINT]}})


async def _shrink(stage: Stage, node: str) -> None:
    await stage.patch(f"{NODE.format(node)}/status", {"status": {"allocatable": {GPU: "1"}}})


CHANGES: dict[str, Callable[[Stage, str], Awaitable[None]]] = {
    "deleted": _delete,
    "cordoned": _cordon,
    "tainted": _taint,
    "shrunk": _shrink,
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_node_changed_at_the_last_moment_leaves_no_part_of_a_gang(stage: Stage, change: str) -> None:
    first, _ = await stage.nodes(2, gpus=2)

    async def strike() -> None:
        await CHANGES[change](stage, first)

    stage.proxy.add(proxy.gang_status("Binding"), proxy.then(strike), when=nth(1))
    await stage.create([*gang("work", 4), *gang("next", 2)])
    await stage.start()
    await stage.until_settled()
    await stage.judge()


@pytest.fixture
def terms() -> Terms:
    # The view is held back on purpose, and is to be acted on all the same.
    return Terms(partial_s=2.0, stale_s=60.0)


async def test_what_a_kubelet_turns_away_is_made_anew_beside_the_others(stage: Stage, tmp_path: Path) -> None:
    pool = Pool(name=f"{stage.namespace}-k", count=2, gpus=2)
    async with NodeActor(stage.api, [pool], settings=Settings(logs=tmp_path)) as actor:
        taken = actor.nodes[0].name
        silent, gate = asyncio.Event(), asyncio.Event()

        async def overtake() -> None:
            silent.set()
            await stage.create([foreign("theirs", node=taken, gpus=2)])
            await stage.until(lambda _: stage.pods()["theirs"].phase == "Running", "theirs runs")

        stage.proxy.add(proxy.call(resource="pods"), watch=watches.stall_when(silent, gate))
        stage.proxy.add(proxy.gang_status("Binding"), proxy.then(overtake), when=nth(1))
        await stage.create(gang("work", 4))
        await stage.start()
        await stage.until_bound(*(f"work-{rank}" for rank in range(4)))
        gate.set()
        await stage.until(lambda _: _failed(stage) == 2, "two were turned away")
        assert sum(actor.report().rejected.values()) == 2
        # As their controller would: others with other names, and a node for them.
        more = Pool(name=f"{stage.namespace}-m", count=1, gpus=2)
        async with NodeActor(stage.api, [more], settings=Settings(logs=tmp_path)):
            fresh = gang("work", 4)[2:]
            for number, body in enumerate(fresh, 4):
                body["metadata"]["name"] = f"work-{number}"
            await stage.create(fresh)
            await stage.until_bound("work-4", "work-5")
            await stage.until(lambda _: _left(stage) == 4, "whole again")
            assert not any(pod.is_evicted for pod in stage.pods().values())
            assert stage.pods()["theirs"].phase == "Running"
            await stage.judge()


def _left(stage: Stage) -> int:
    return sum(pod.phase != "Failed" for name, pod in stage.pods().items() if name.startswith("work"))


def _failed(stage: Stage) -> int:
    return sum(pod.phase == "Failed" for pod in stage.pods().values())
