"""Applied and nobody told, on the first try of every Binding; and the other ways in which a write can end."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from scheduler.invariants import end_state
from tests.faults import proxy
from tests.faults.calls import Action
from tests.faults.proxy import nth
from tests.faults.stage import Json, Stage, gang, pod

PODS = 200


async def test_two_hundred_lost_answers_are_two_hundred_binds(stage: Stage) -> None:
    chance = Random(stage.namespace)
    await stage.nodes(PODS // 8, gpus=8)
    await stage.create(_mix(chance))
    lost = stage.proxy.add(proxy.binding, proxy.drop_answer(), when=nth(1), by_path=True)
    await stage.start()
    await stage.until_bound(timeout_s=60.0)
    await stage.until_settled()
    assert len(lost.seen) == PODS
    # No second Binding was sent: the first was read back instead.
    assert Counter(call.name for call in stage.proxy.applied(proxy.binding)) == dict.fromkeys(stage.pods(), 1)
    assert len(stage.proxy.answered(proxy.binding)) == PODS
    end = end_state(stage.auditor.history())
    assert (end.binds, end.evictions) == (PODS, 0)
    await stage.judge()


WAYS: dict[str, Action] = {
    "reset before it was sent": proxy.reset(),
    "conflict, not applied": proxy.refuse_with(409, reason="Conflict"),
    "asked to wait": proxy.refuse_with(429, reason="TooManyRequests", retry_after_s=1),
    "internal error, not applied": proxy.refuse_with(500, reason="InternalError"),
    "unavailable": proxy.refuse_with(503, reason="ServiceUnavailable"),
    "storage timeout, not applied": proxy.refuse_with(504, reason="Timeout"),
    "delivered twice": proxy.duplicate(),
    "slower than the write timeout": proxy.delay(1.0),
}


@pytest.mark.parametrize("way", WAYS)
async def test_the_first_try_of_every_binding_ends_otherwise_and_the_gang_is_whole(
    stage: Stage, way: str
) -> None:
    await stage.nodes(2, gpus=4)
    await stage.create([*gang("work", 6), pod("lone"), pod("other")])
    stage.proxy.add(proxy.binding, WAYS[way], when=nth(1), by_path=True)
    await stage.start()
    await stage.until_bound()
    end = end_state(stage.auditor.history())
    assert (end.binds, end.evictions) == (8, 0)
    await stage.judge()


async def test_lost_answers_of_the_claim_and_of_the_status_are_made_good(stage: Stage) -> None:
    await stage.nodes(1, gpus=8)
    await stage.create(gang("work", 6))
    for match in (proxy.gang_create, proxy.gang_status("Binding"), proxy.gang_status("Bound")):
        stage.proxy.add(match, proxy.drop_answer(), when=nth(1))
    await stage.start()
    await stage.until_bound()
    await stage.until(
        lambda world: [gang.phase for gang in world.gangs.values()] == ["Bound"], "called bound"
    )
    await stage.judge()


async def test_lost_answers_of_evictions_take_a_gang_back_once(stage: Stage) -> None:
    await stage.nodes(1, gpus=8)
    await stage.create(gang("work", 6))
    stage.proxy.add(
        proxy.call("POST", "pods", "binding", name="work-5"), proxy.refuse_with(422, reason="Invalid")
    )
    stage.proxy.add(proxy.eviction, proxy.drop_answer(), when=nth(1), by_path=True)
    await stage.start()
    await stage.until(lambda _: set(stage.pods()) == {"work-5"}, "taken back")
    await stage.until_settled()
    assert end_state(stage.auditor.history()).evictions == 5
    await stage.judge()


def _mix(chance: Random) -> list[Json]:
    """Gangs and singles of one GPU each, 200 pods in all, in any order."""
    pods: list[Json] = []
    while len(pods) < PODS:
        size = min(PODS - len(pods), chance.choice([1, 1, 2, 5, 8, 16, 30]))
        name = f"g{len(pods)}"
        pods += gang(name, size) if size > 1 else [pod(name)]
    chance.shuffle(pods)
    return pods
