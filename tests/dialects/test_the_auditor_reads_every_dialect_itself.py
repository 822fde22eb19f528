"""The auditor's own reading of the recordings: the same gang, the same size, without the scheduler's code."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.local.audit.descriptions import DESCRIPTIONS
from deploy.local.audit.facts import coscheduling_group_fact, native_group_fact, pod_fact
from scheduler.gangs.registry import DIALECT_NAMES
from scheduler.invariants import Entry, GangRef, History, PodVersion, World, at_every_revision
from scheduler.invariants.history import Version
from tests.dialects.recorded import Body, Made, Recording
from tests.dialects.recordings import RECORDINGS

SERVED = frozenset(found.dialect for found in DESCRIPTIONS)
#: JobSet itself lets the pods of an exclusive job in by turns, so nobody starts them together.
UNJUDGED = frozenset({"jobset-exclusive"})
JUDGED = sorted(set(RECORDINGS) - UNJUDGED)


def entries(recording: Recording) -> list[Entry]:
    found: list[Version] = [version for made in recording.objects for version in _described(made, recording)]
    found += [_pod(body) for body in recording.pods]
    return [_entry(i, version) for i, version in enumerate(found, start=1)]


def _described(made: Made, recording: Recording) -> list[Version]:
    raw = msgspec.json.encode(made.body)
    if made.kind == "PodGroup":
        return [native_group_fact(raw)[1]]
    if made.kind == "CoschedulingPodGroup":
        return [coscheduling_group_fact(raw)[1]]
    facts = [found.fact for found in DESCRIPTIONS if found.dialect == recording.dialect]
    return [facts[0](raw)[1]]


def _pod(body: Body, **fields: object) -> PodVersion:
    version = pod_fact(msgspec.json.encode({**body, **fields}), SERVED)[1]
    assert isinstance(version, PodVersion)
    return version


def _entry(revision: int, version: Version) -> Entry:
    is_pod = isinstance(version, PodVersion)
    key = version.uid if isinstance(version, PodVersion) else f"object-{revision}"
    return Entry(
        revision=revision, at_s=float(revision), kind="Pod" if is_pod else "Group", key=key, version=version
    )


def bound(body: Body) -> PodVersion:
    spec = {**body["spec"], "nodeName": "n0"}  # type: ignore[dict-item] # a pod's spec is a map
    return _pod(body, spec=spec)


def world_of(recording: Recording) -> World:
    world = World("stowplan")
    for entry in entries(recording):
        world.apply(entry)
    return world


@pytest.mark.parametrize("name", JUDGED)
@given(n=st.integers(2, 6))
@settings(max_examples=5, deadline=None)
def test_the_pods_of_a_recording_are_one_gang_of_its_size(name: str, n: int) -> None:
    recording = RECORDINGS[name]("bert", n)
    world = world_of(recording)
    (ref,) = world.refs()
    assert ref.dialect == recording.dialect
    assert len(world.members(ref)) == len(recording.pods)
    assert world.minimum(ref) == recording.minimum
    assert world.missing(ref, lambda pod: True) == 0


def test_every_dialect_is_judged() -> None:
    assert {RECORDINGS[name]("bert", 3).dialect for name in JUDGED} == set(DIALECT_NAMES)


@pytest.mark.parametrize("name", sorted(UNJUDGED))
def test_what_is_let_in_by_turns_is_not_judged(name: str) -> None:
    assert not list(world_of(RECORDINGS[name]("bert", 3)).refs())


@pytest.mark.parametrize("name", JUDGED)
@given(n=st.integers(2, 6), shuffle=st.randoms(use_true_random=False))
@settings(max_examples=5, deadline=None)
def test_a_bind_before_the_minimum_exists_is_seen(name: str, n: int, shuffle: random.Random) -> None:
    recording = RECORDINGS[name]("bert", n)
    if recording.minimum < 2:
        return
    pods = shuffle.sample(recording.pods, recording.minimum - 1)
    partial = Recording(**{**vars(recording), "pods": tuple(pods)})
    seen = entries(partial)
    seen.append(_entry(len(seen) + 1, bound(pods[0])))
    found = at_every_revision(History(seen, until_s=len(seen) + 1.0))
    assert "INV2" in {violation.invariant for violation in found}


@pytest.mark.parametrize("name", JUDGED)
@given(n=st.integers(3, 6), shuffle=st.randoms(use_true_random=False))
@settings(max_examples=5, deadline=None)
def test_a_gang_that_stays_bound_in_part_is_seen_and_a_whole_one_is_not(
    name: str, n: int, shuffle: random.Random
) -> None:
    recording = RECORDINGS[name]("bert", n)
    pods = list(recording.pods)
    shuffle.shuffle(pods)
    for count in (recording.minimum - 1, len(pods)):
        seen = entries(recording)
        for body in pods[:count]:
            seen.append(_entry(len(seen) + 1, bound(body)))
        found = at_every_revision(History(seen, until_s=1_000.0))
        assert ("INV2" in {v.invariant for v in found}) is (0 < count < recording.minimum)


@pytest.mark.parametrize("name", [name for name in JUDGED if RECORDINGS[name]("bert", 3).late])
def test_late_members_count_from_the_first_that_stands(name: str) -> None:
    recording = RECORDINGS[name]("bert", 4)
    world = world_of(recording)
    (ref,) = world.refs()
    for i, body in enumerate(recording.late, start=1_000):
        world.apply(_entry(i, _pod(body)))
    assert world.minimum(ref) == recording.minimum
    # Executors of a Spark driver under YuniKorn's keys carry no size.
    if recording.dialect != "yunikorn":
        world.apply(_entry(2_000, bound(recording.late[0])))
        assert world.minimum(ref) == recording.minimum + len(recording.late)
        assert world.missing(ref, lambda pod: pod.stands) == recording.minimum + len(recording.late) - 1


def test_a_bundle_lacks_a_gang_of_which_no_pod_exists() -> None:
    recording = RECORDINGS["koordinator"]("bert", 4)
    world = World("stowplan")
    for i, body in enumerate(recording.pods[1:], start=1):
        world.apply(_entry(i, _pod(body)))
    ref = GangRef("red", "koordinator", "bert-a")
    assert list(world.refs()) == [ref]
    assert world.missing(ref, lambda pod: True) == 1


def test_without_its_head_a_ray_cluster_is_not_whole_however_many_workers_run() -> None:
    recording = RECORDINGS["ray"]("bert", 3)
    world = world_of(recording)
    (ref,) = world.refs()
    for i, body in enumerate(recording.pods[1:], start=1_000):
        world.apply(_entry(i, bound(body)))
    assert len(recording.pods[1:]) == recording.minimum
    assert world.missing(ref, lambda pod: pod.stands) == 1


def test_of_an_api_that_is_not_served_the_pods_are_singles() -> None:
    for name in ("pytorch", "volcano", "jobset", "ray", "lws"):
        for body in RECORDINGS[name]("bert", 3).pods:
            version = pod_fact(msgspec.json.encode(body))[1]
            assert isinstance(version, PodVersion)
            assert version.gang is None
