"""Fifty ways to ask for nonsense: each pod that the API server takes is told what is wrong with it."""

from __future__ import annotations

import json
from random import Random

import pytest

from scheduler.invariants import PodVersion
from tests.faults.hostile import hostile
from tests.faults.stage import Stage, gang

#: What the message must name, by the beginning of the pod's name; the rest must only say something.
NAMES = {
    "gpu": "nvidia.com/gpu",
    "cpu": "cpu",
    "memory": "memory",
    "init-larger": "nvidia.com/gpu",
    "sum-overflows": "nvidia.com/gpu",
    "size": "stowplan.dev/gang-min-member",
    "name": "stowplan.dev/gang",
    "no-size": "stowplan.dev/gang-min-member",
    "no-gang": "stowplan.dev/gang-min-member",
    "short": "members exist",
    "role-alone": "stowplan.dev/gang-role",
    "role-above": "stowplan.dev/gang-role-min",
    "two-names": "stowplan.dev/gang",
    "topology": "stowplan.dev/topology-required",
    "no-group": "PodGroup",
    "no-native-group": "PodGroup",
    "claims": "resourceClaims",
    "no-volume": "missing",
}
MUST_BE_TAKEN = 45


@pytest.mark.parametrize("seed", range(2))
async def test_bad_pods_say_why_and_the_honest_gang_is_in_the_first_plan(stage: Stage, seed: int) -> None:
    await stage.nodes(16, gpus=8)
    taken = [name for name, body in hostile(Random(seed)) if await stage.is_taken(body)]
    assert len(taken) >= MUST_BE_TAKEN
    await stage.create(gang("honest", 4, gpus=8))
    scheduler = await stage.start()
    await stage.until_bound(*(f"honest-{i}" for i in range(4)))
    await stage.until(lambda _: all(_is_settled(stage.pods()[name]) for name in taken), "each is told")
    assert _plans_before(scheduler.log.read_text(), "/honest") == 1
    told = {name: _message(pod) for name, pod in stage.pods().items() if name in taken and not pod.node}
    assert {name: text for name, text in told.items() if NAMES.get(_kind(name), "") not in text} == {}
    assert all(len(text) <= 1024 and text.isprintable() for text in told.values())
    await stage.judge()


def _plans_before(log: str, gang: str) -> int:
    """How many plans were made until the gang was bound."""
    plans = 0
    for line in log.splitlines():
        said = json.loads(line)
        plans += said["event"] == "planned"
        if said["event"] == "gang bound" and said["gang"].endswith(gang):
            break
    return plans


def _is_settled(pod: PodVersion) -> bool:
    return bool(pod.node) or (pod.told is not None and pod.told[0] == "False" and bool(pod.told[2]))


def _message(pod: PodVersion) -> str:
    return "" if pod.told is None else pod.told[2]


def _kind(name: str) -> str:
    head, _, tail = name.rpartition("-")
    return head if tail.isdigit() else name
