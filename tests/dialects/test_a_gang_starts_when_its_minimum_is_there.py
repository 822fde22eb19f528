"""Every dialect: pods as its controller makes them come one by one, in any order, and start together."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.gangs.registry import DIALECT_NAMES
from tests.dialects.recorded import Body, Made, pod
from tests.dialects.recordings import RECORDINGS
from tests.dialects.stage import Stage

SIZES = st.integers(2, 6)
NODES = 4


def test_every_dialect_is_recorded() -> None:
    assert {make("g", 3).dialect for make in RECORDINGS.values()} == set(DIALECT_NAMES)
    assert all("/" in make("g", 3).source for make in RECORDINGS.values())


@pytest.mark.parametrize("name", RECORDINGS)
@settings(max_examples=12, deadline=None)
@given(n=SIZES, shuffle=st.randoms(use_true_random=False))
def test_nothing_is_bound_before_the_minimum_exists(name: str, n: int, shuffle: random.Random) -> None:
    recording = RECORDINGS[name]("bert", n)
    events: list[Made | Body] = [*recording.objects, *recording.pods]
    shuffle.shuffle(events)
    stage = Stage(nodes=NODES)
    arrived, objects = 0, 0
    for event in events:
        if isinstance(event, Made):
            stage.give(event)
            objects += 1
        else:
            stage.arrive(event)
            arrived += 1
        stage.plan()
        is_due = arrived >= recording.minimum and objects == len(recording.objects)
        # A cluster whose head comes last has enough pods before, but not of every role.
        allowed = {0, arrived} if is_due and recording.dialect == "raycluster" else {arrived if is_due else 0}
        assert len(stage.bound) in allowed
        assert not stage.state.partial()
    assert len(stage.bound) == len(recording.pods)
    gangs = {stage.state.gang_of(stage.pod(name).uid) for name in stage.bound}
    assert {gang.dialect for gang in gangs if gang is not None} == {recording.dialect}
    assert len(gangs) == 1


@pytest.mark.parametrize("name", [name for name, make in RECORDINGS.items() if make("g", 3).late])
@given(n=SIZES, shuffle=st.randoms(use_true_random=False))
@settings(max_examples=12, deadline=None)
def test_what_comes_late_starts_together_beside_what_runs(name: str, n: int, shuffle: random.Random) -> None:
    recording = RECORDINGS[name]("bert", n)
    stage = Stage(nodes=NODES)
    stage.take_all([recording])
    stage.plan()
    early = len(stage.bound)
    late = list(recording.late)
    shuffle.shuffle(late)
    for i, found in enumerate(late, start=1):
        stage.arrive(found)
        stage.plan()
        assert len(stage.bound) == early + (len(late) if i == len(late) else 0)
        assert not stage.state.partial()


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_gang_that_does_not_fit_binds_nobody(name: str) -> None:
    recording = RECORDINGS[name]("bert", 9)
    stage = Stage(nodes=1)
    for i in range(9 - recording.minimum):
        stage.arrive(pod(f"filler-{i}"))
    stage.plan()
    stage.take_all([recording])
    assert not stage.plan().places
