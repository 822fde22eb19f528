"""What was planned with volumes is planned again from its record alone, to the last bit."""

from __future__ import annotations

from dataclasses import replace

from scheduler.model.plan import Budget, Policy
from scheduler.planner import plan
from scheduler.record import record, replay
from tests.builders import gang
from tests.volumes.storage import HOST, World, capacity, claim, mounting, near, volume


def test_a_record_of_volumes_replays() -> None:
    world = World({"a1": "a", "a2": "a", "b1": "b"})
    world.limits(4)
    world.capacities(capacity("a", "a", 2), capacity("b", "b", 50))
    world.volumes(volume("v0", near(HOST, "a1")))
    world.claims(claim("shared"), claim("disk", of="local"), *(claim(f"g-{i}-data") for i in range(3)))
    world.pods(*(replace(p, shape=mounting(f"{p.name}-data", "shared", gpu=2)) for p in gang("g", 3)))
    world.pods(*(replace(p, shape=mounting("disk")) for p in gang("h", 1)))
    (mount,) = world.state.volumes.wanted("uid-team-h-0").values()
    world.state.avoid({mount: {"b1": "its provisioner gave it up"}})
    snapshot, policy, budget = world.state.snapshot(), Policy(), Budget()
    decided = plan(snapshot, policy, budget)
    line = record(snapshot, policy, budget, {}, decided)
    before, now, is_same = replay(line)
    assert is_same
    assert before.places == now.places
    assert {place.gang.key.name for place in decided.places} == {"g", "h"}
