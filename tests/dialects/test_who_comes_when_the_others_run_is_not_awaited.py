"""A group counts pods that a controller makes only when the others run: these start without, and it joins."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialects.recorded import Body, Made, Recording, made, metadata_of
from tests.dialects.recorded_jobs import jobset_in_order, lws_leader_ready, mpi, mpi_late, trainjob
from tests.dialects.stage import Stage

Words = Mapping[str, str]
#: A group of so many pods, as its pods name it, and the object if there is one.
Group = Callable[[int], tuple[Words, Words, Made | None]]


def coscheduling(size: int) -> tuple[Words, Words, Made | None]:
    return {"scheduling.x-k8s.io/pod-group": "g"}, {}, made("CoschedulingPodGroup", "g", {"minMember": size})


def volcano(size: int) -> tuple[Words, Words, Made | None]:
    return {}, {"scheduling.k8s.io/group-name": "g"}, made("VolcanoPodGroup", "g", {"minMember": size})


def koordinator(size: int) -> tuple[Words, Words, Made | None]:
    return (
        {"pod-group.scheduling.sigs.k8s.io": "g"},
        {},
        made("KoordinatorPodGroup", "g", {"minMember": size}),
    )


def own(size: int) -> tuple[Words, Words, Made | None]:
    return {}, {"stowplan.dev/gang": "g", "stowplan.dev/gang-min-member": str(size)}, None


GROUPS = [coscheduling, volcano, koordinator, own]


def named(body: Body, labels: Words, notes: Words) -> Body:
    """The pod with more labels and annotations."""
    metadata = metadata_of(body)
    mine, more = cast(Words, metadata["labels"]), cast(Words, metadata["annotations"])
    return {**body, "metadata": {**metadata, "labels": {**mine, **labels}, "annotations": {**more, **notes}}}


def name_of(body: Body) -> str:
    return str(metadata_of(body)["name"])


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: str(group.__name__))
@pytest.mark.parametrize("make", [mpi_late, jobset_in_order, trainjob, lws_leader_ready])
@settings(max_examples=8, deadline=None)
@given(n=st.integers(2, 4), shuffle=st.randoms(use_true_random=False))
def test_those_who_can_be_there_start_whole_and_the_late_ones_join(
    make: Callable[[str, int], Recording], group: Group, n: int, shuffle: random.Random
) -> None:
    recording = make("bert", n)
    labels, notes, described = group(len(recording.pods) + len(recording.late))
    stage = Stage(nodes=2)
    for found in (*recording.objects, *([described] if described else [])):
        stage.give(found)
    pods = [named(body, labels, notes) for body in recording.pods]
    shuffle.shuffle(pods)
    for count, body in enumerate(pods, start=1):
        assert not stage.bound
        stage.arrive(body)
        stage.plan()
        assert len(stage.bound) == (len(pods) if count == len(pods) else 0)
    assert not stage.state.partial()
    for body in recording.late:
        stage.arrive(named(body, labels, notes))
        assert not stage.state.partial()
    stage.plan()
    assert len(stage.bound) == len(pods) + len(recording.late)
    assert not stage.state.partial()


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: str(group.__name__))
def test_a_launcher_that_is_made_at_once_is_awaited(group: Group) -> None:
    recording = mpi("bert", 4)
    labels, notes, described = group(4)
    stage = Stage(nodes=1)
    for found in (*recording.objects, *([described] if described else [])):
        stage.give(found)
    launcher, *workers = recording.pods
    for body in workers:
        stage.arrive(named(body, labels, notes))
    assert stage.told(name_of(workers[0])).startswith("3 of 4 members exist")
    stage.arrive(named(launcher, labels, notes))
    stage.plan()
    assert len(stage.bound) == 4


def test_somebody_elses_pods_in_the_group_are_awaited() -> None:
    """Three workers whose launcher comes late, and a pod of another owner: its like may still come."""
    recording = mpi_late("bert", 3)
    labels, notes, described = coscheduling(5)
    stage = Stage(nodes=1)
    for found in (*recording.objects, *([described] if described else [])):
        stage.give(found)
    for body in recording.pods:
        stage.arrive(named(body, labels, notes))
    other = dict(metadata_of(recording.pods[0]))
    other |= {"name": "other", "uid": "uid-other", "labels": labels, "ownerReferences": []}
    stage.arrive({**recording.pods[0], "metadata": other})
    assert stage.told("other").startswith("4 of 5 members exist")
