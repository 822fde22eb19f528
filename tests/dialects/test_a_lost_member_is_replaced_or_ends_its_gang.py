"""Which of the two a loss means: the pods' word, then the policy for their dialect, then waiting."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.cycles import Cycles
from scheduler.gangs import words
from scheduler.gangs.healing import REPLACE_S, RESTART_S, RESTARTING, Healing
from scheduler.gangs.registry import DIALECT_NAMES
from scheduler.model.gang import GangKey, Waiting
from scheduler.model.plan import Budget, Policy
from tests.dialects.recorded import Body, Recording, metadata_of, pod
from tests.dialects.recordings import RECORDINGS
from tests.dialects.stage import Stage

SAID = st.sampled_from([None, words.REPLACE, words.RESTART])
LOST_S = 100.0


def cycles_of(stage: Stage, healing: Healing) -> Cycles:
    return Cycles(stage.state, policy=Policy(), budget=Budget(), healing=healing)


def saying(body: Body, said: str | None) -> Body:
    """The pod with a word on losses, or as it was."""
    metadata = metadata_of(body)
    more = {} if said is None else {words.ON_LOSS: said}
    return {**body, "metadata": {**metadata, "annotations": {**metadata["annotations"], **more}}}  # type: ignore[dict-item] # a map of words


def short_by_one(
    recording: Recording, said: str | None, shuffle: random.Random
) -> tuple[Stage, Body, GangKey]:
    """A gang that runs but for one member; the member, and the gang."""
    stage = Stage(nodes=4)
    for made in recording.objects:
        stage.give(made)
    for body in recording.pods:
        stage.arrive(saying(body, said))
    stage.plan()
    lost = shuffle.choice(recording.pods)
    uid = str(metadata_of(lost)["uid"])
    key = stage.state.gang_of(uid)
    assert key is not None
    stage.state.remove_pod(uid)
    return stage, saying(lost, said), key


def anew(lost: Body) -> Body:
    return {**lost, "metadata": {**metadata_of(lost), "name": "another", "uid": "uid-another"}}


@pytest.mark.parametrize(
    "name", [name for name, make in RECORDINGS.items() if make("g", 3).minimum == len(make("g", 3).pods) > 1]
)
@settings(max_examples=6, deadline=None)
@given(
    said=SAID,
    restarting=st.frozensets(st.sampled_from(DIALECT_NAMES)),
    shuffle=st.randoms(use_true_random=False),
)
def test_the_pods_word_goes_before_the_policy_for_their_dialect(
    name: str, said: str | None, restarting: frozenset[str], shuffle: random.Random
) -> None:
    recording = RECORDINGS[name]("bert", 3)
    stage, lost, key = short_by_one(recording, said, shuffle)
    cycles = cycles_of(stage, Healing(restarting=restarting))
    restarts = said == words.RESTART if said else recording.dialect in restarting
    assert cycles.overdue(LOST_S, lambda _: False) == []
    assert cycles.overdue(LOST_S + RESTART_S - 0.1, lambda _: False) == []
    stage.arrive(anew(lost))
    placed = cycles.begin(LOST_S, LOST_S).plan().places
    assert [place.gang.key for place in placed] == ([] if restarts else [key])
    view = stage.state.view(key)
    assert view is not None
    assert (view.blocked == Waiting(reason=RESTARTING)) is restarts
    found = cycles.overdue(LOST_S + RESTART_S, lambda _: False)
    assert [len(one.pods) for one in found] == ([len(recording.pods) - 1] if restarts else [])
    # There is room for the pod made anew, so that nobody has to leave for anybody.
    assert restarts or cycles.overdue(LOST_S + 10 * REPLACE_S, lambda _: False) == []


def test_a_gang_that_restarted_is_placed_again_as_a_whole() -> None:
    stage = Stage(nodes=4)
    keys = {words.GANG: "g", words.MIN_MEMBER: "3", words.ON_LOSS: words.RESTART}
    for i in range(3):
        stage.arrive(pod(f"g-{i}", annotations=keys))
    stage.plan()
    cycles = cycles_of(stage, Healing())
    for i in (1, 0, 2):
        stage.state.remove_pod(f"uid-g-{i}")
        stage.arrive(pod(f"again-{i}", annotations=keys))
        places = cycles.begin(LOST_S, LOST_S).plan().places
        assert [len(place.assignments) for place in places] == ([3] if i == 2 else [])


@pytest.mark.parametrize("said", [words.REPLACE, words.RESTART])
def test_members_above_the_minimum_and_those_that_succeeded_are_no_loss(said: str) -> None:
    stage = Stage(nodes=4)
    keys = {words.GANG: "g", words.MIN_MEMBER: "2", words.ON_LOSS: said}
    for i in range(4):
        stage.arrive(pod(f"g-{i}", annotations=keys))
    stage.plan()
    stage.state.remove_pod("uid-g-3")
    stage.change("g-0", phase="Succeeded")
    stage.state.remove_pod("uid-g-2")
    cycles = cycles_of(stage, Healing())
    stage.arrive(pod("another", annotations=keys))
    assert len(cycles.begin(LOST_S, LOST_S).plan().places) == 1
    assert cycles.overdue(LOST_S, lambda _: False) == cycles.overdue(LOST_S + 99, lambda _: False) == []


def test_a_word_that_nobody_knows_is_refused_with_those_there_are() -> None:
    stage = Stage(nodes=1)
    stage.arrive(pod("odd", annotations={words.GANG: "g", words.MIN_MEMBER: "1", words.ON_LOSS: "maybe"}))
    assert "use replace or restart" in stage.told("odd")
