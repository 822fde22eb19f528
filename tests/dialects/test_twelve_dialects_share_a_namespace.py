"""One namespace in which every dialect is spoken at once, by gangs that even share one name."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialects.recorded import Body, Made, metadata_of
from tests.dialects.recordings import RECORDINGS
from tests.dialects.stage import Stage

#: Of one dialect two gangs cannot share a name; the first recording of each does.
ONE_EACH = {make("g", 3).dialect: name for name, make in reversed(list(RECORDINGS.items()))}


def _named(dialect: str) -> str:
    """A TrainJob's JobSet has its name, so a JobSet beside it has another one."""
    return "trained" if dialect == "trainjob" else "bert"


def _with_uid(pod: Body, uid: str) -> Body:
    """Recorded pods of two dialects may have one name, which the API server would not allow."""
    return {**pod, "metadata": {**metadata_of(pod), "uid": uid}}


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 3))
def test_all_gangs_start_whole_and_none_takes_another_for_itself(shuffle: random.Random, spare: int) -> None:
    recordings = [RECORDINGS[name](_named(dialect), 3) for dialect, name in ONE_EACH.items()]
    assert len(recordings) >= 12
    objects = [found for recording in recordings for found in recording.objects]
    pods = {
        f"uid-{recording.dialect}-{i}": (recording.dialect, pod)
        for recording in recordings
        for i, pod in enumerate(recording.pods)
    }
    arrivals: list[Made | Body] = [*objects, *(_with_uid(pod, uid) for uid, (_, pod) in pods.items())]
    shuffle.shuffle(arrivals)
    stage = Stage(nodes=9 + spare)
    for arrival in arrivals:
        if isinstance(arrival, Made):
            stage.give(arrival)
        else:
            stage.arrive(arrival)
        stage.plan()
        assert not stage.state.partial()
    gangs = {uid: stage.state.gang_of(uid) for uid in pods}
    assert {uid: key.dialect for uid, key in gangs.items() if key} == {uid: d for uid, (d, _) in pods.items()}
    assert len(set(gangs.values())) == len(recordings)
    assert all(found.node_name for uid in pods if (found := stage.state.pod(uid)))
