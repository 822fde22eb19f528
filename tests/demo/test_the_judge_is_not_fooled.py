"""The demo's judge says yes to the right end and no to every single thing that is not as promised."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.demo import judge
from deploy.local.demo.story import ACTS, Act
from tests.demo.world import WAITED, World, groups, nodes, pods_of, waiting

PODS = {pod.metadata.name: act for act in ACTS for pod in pods_of(act)}
OF = {
    outcome: sorted(name for name, act in PODS.items() if act.outcome == outcome)
    for outcome in ("whole", "never", "alone")
}


def test_the_right_end_is_right() -> None:
    world = World.right()
    assert {line.found for line in world.judgements().values() if not line.is_right} == set()
    assert world.is_right()


@given(st.sampled_from(OF["whole"]))
def test_one_member_unbound_breaks_its_gang(name: str) -> None:
    world = World.right()
    del world.node_of[name]
    world.phase.pop(name, None)
    assert not world.is_right()


@given(st.sampled_from(OF["whole"]), st.sampled_from(["Failed", "deleted"]))
def test_one_member_lost_breaks_its_gang(name: str, how: str) -> None:
    world = World.right()
    if how == "deleted":
        world.missing.add(name)
    else:
        world.phase[name] = how
    assert not world.is_right()


@given(st.sampled_from(OF["never"]), st.sampled_from([node.metadata.name for node in nodes()]))
def test_a_gang_that_cannot_stand_must_have_no_member_bound(name: str, node: str) -> None:
    world = World.right()
    world.node_of[name] = node
    assert not world.is_right()


@given(st.sampled_from(OF["never"]), st.sampled_from(["no condition", "no message", "no reason"]))
def test_every_pending_member_must_say_why(name: str, lack: str) -> None:
    world = World.right()
    if lack == "no condition":
        del world.told[name]
    else:
        world.told[name] = waiting(message="") if lack == "no message" else waiting(reason="")
    assert not world.is_right()


@given(st.sampled_from(OF["alone"]), st.booleans())
def test_a_pod_of_another_scheduler_must_be_untouched(name: str, by_binding: bool) -> None:
    world = World.right()
    if by_binding:
        world.node_of[name] = "a100-0"
    else:
        world.told[name] = waiting()
    assert not world.is_right()


@given(st.sampled_from(sorted(WAITED)), st.booleans())
def test_a_wait_must_be_seen_and_its_reason_true(name: str, seen: bool) -> None:
    waited = dict(WAITED)
    if seen:
        waited[name] = judge.Waited(message="needs more", room=100)
    else:
        del waited[name]
    assert not World.right().is_right(waited)


def test_a_device_given_out_twice_is_seen() -> None:
    world = World.right()
    world.node_of["finetune-worker-0"] = world.node_of["finetune-worker-1"]
    (found,) = judge.overcommitted(nodes(), world.pods())
    assert found.endswith(": 16 of 8")


def test_finished_pods_hold_nothing() -> None:
    world = World.right()
    assert judge.overcommitted(nodes(), world.pods()) == []
    for name in OF["whole"]:
        world.phase.pop(name, None)
    assert judge.overcommitted(nodes(), world.pods()) != []


@given(st.integers(0, 2**32))
def test_room_never_grows_when_a_pod_is_placed(seed: int) -> None:
    """The bound that makes a reason true is one: placing can only lower it, and order is irrelevant."""
    chance = random.Random(seed)
    pods = World.right().pods()
    chance.shuffle(pods)
    wanted = [pod for pod in pods if PODS[pod.metadata.name] is chance.choice(ACTS)]
    placed = [pod for pod in pods if pod.spec.node_name]
    rooms = [judge.room(nodes(), wanted, placed[:count]) for count in range(len(placed) + 1)]
    assert rooms == sorted(rooms, reverse=True)
    assert rooms[-1] == judge.room(nodes(), reversed(wanted), reversed(placed))


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.file)
def test_a_manifest_holds_what_the_story_says(act: Act) -> None:
    found = judge.subjects(pods_of(act), groups())
    assert set(found) == set(act.subjects)
    for subject in found.values():
        assert len(subject.members) == subject.minimum


def test_what_can_never_fit_cannot_and_the_rest_can() -> None:
    for act in ACTS:
        for subject in judge.subjects(pods_of(act), groups()).values():
            fits = judge.room(nodes(), subject.members, ()) >= subject.minimum
            assert fits == (act.outcome != "never"), subject.name
