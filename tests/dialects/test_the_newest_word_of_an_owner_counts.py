"""Size that changes: what makes the pods says another one for those that it makes from then on."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dialects.recorded import Body, metadata_of, pod
from tests.dialects.stage import Stage

Owner = tuple[str, str, str, str]
STATEFUL: Owner = ("apps/v1", "StatefulSet", "serve", "sts")


def own(size: int) -> Mapping[str, Mapping[str, str]]:
    return {"annotations": {"stowplan.dev/gang": "serve", "stowplan.dev/gang-min-member": str(size)}}


def kueue(size: int) -> Mapping[str, Mapping[str, str]]:
    return {
        "labels": {"kueue.x-k8s.io/pod-group-name": "serve"},
        "annotations": {"kueue.x-k8s.io/pod-group-total-count": str(size)},
    }


def koordinator(size: int) -> Mapping[str, Mapping[str, str]]:
    prefix = "gang.scheduling.koordinator.sh"
    return {"annotations": {f"{prefix}/name": "serve", f"{prefix}/min-available": str(size)}}


def lightweight(size: int) -> Mapping[str, Mapping[str, str]]:
    prefix = "pod-group.scheduling.sigs.k8s.io"
    return {"labels": {f"{prefix}/name": "serve", f"{prefix}/min-available": str(size)}}


def yunikorn(size: int) -> Mapping[str, Mapping[str, str]]:
    prefix = "yunikorn.apache.org"
    groups = json.dumps([{"name": "w", "minMember": size}])
    return {
        "labels": {f"{prefix}/app-id": "serve"},
        "annotations": {f"{prefix}/task-group-name": "w", f"{prefix}/task-groups": groups},
    }


def spark(size: int) -> Mapping[str, Mapping[str, str]]:
    return {
        "labels": {"spark-app-selector": "serve", "spark-role": "executor"},
        "annotations": {
            "stowplan.dev/gang-policy": "all-or-nothing",
            "stowplan.dev/gang-min-member": str(size),
        },
    }


SAYING = [own, kueue, koordinator, lightweight, yunikorn, spark]
Say = Callable[[int], Mapping[str, Mapping[str, str]]]


def member(say: Say, size: int, i: int, owner: Owner | None, minute: int) -> Body:
    found = pod(f"serve-{i}", owner=owner, **say(size))  # type: ignore[arg-type] # labels and annotations
    return {
        **found,
        "metadata": {**metadata_of(found), "creationTimestamp": f"2026-11-24T18:{minute:02}:00Z"},
    }


def template(revision: str) -> tuple[Owner, Mapping[str, str]]:
    """A Deployment makes a ReplicaSet for each change of its template."""
    return ("apps/v1", "ReplicaSet", f"serve-{revision}", f"rs-{revision}"), {"pod-template-hash": revision}


@pytest.mark.parametrize("say", SAYING, ids=lambda say: str(say.__name__))
@pytest.mark.parametrize("owner", [STATEFUL, None], ids=["of one owner", "bare"])
@settings(max_examples=15, deadline=None)
@given(was=st.integers(1, 4), more=st.integers(1, 4), shuffle=st.randoms(use_true_random=False))
def test_newcomers_of_a_gang_that_grows_wait_or_start(
    say: Say, owner: Owner | None, was: int, more: int, shuffle: random.Random
) -> None:
    stage = Stage(nodes=1)
    for i in range(was):
        stage.arrive(member(say, was, i, owner, 0))
    stage.plan()
    assert len(stage.bound) == was
    coming = [member(say, was + more, i, owner, 1) for i in range(was, was + more)]
    shuffle.shuffle(coming)
    for count, body in enumerate(coming, start=1):
        stage.arrive(body)
        stage.plan()
        assert not stage.state.rejected()
        assert not stage.state.partial()
        # What is added to a running gang starts when it fits.
        assert len(stage.bound) == was + count


@pytest.mark.parametrize("say", SAYING, ids=lambda say: str(say.__name__))
@settings(max_examples=15, deadline=None)
@given(was=st.integers(2, 4), left=st.integers(1, 3))
def test_what_is_left_of_a_gang_that_shrinks_is_whole(say: Say, was: int, left: int) -> None:
    """A StatefulSet deletes the last pods and makes the others anew, the last first."""
    left = min(left, was - 1)
    stage = Stage(nodes=1)
    for i in range(was):
        stage.arrive(member(say, was, i, STATEFUL, 0))
    stage.plan()
    for i in range(left, was):
        stage.state.remove_pod(f"uid-serve-{i}")
    for i in reversed(range(left)):
        stage.state.remove_pod(f"uid-serve-{i}")
        again = member(say, left, i, STATEFUL, 1)
        stage.arrive({**again, "metadata": {**metadata_of(again), "uid": f"again-{i}"}})
        stage.plan()
        assert stage.bound[f"serve-{i}"]
        assert not stage.state.rejected()
        assert not stage.state.partial()


def test_a_pod_that_waits_takes_the_word_that_its_owner_says_now() -> None:
    stage = Stage(nodes=1)
    stage.arrive(member(own, 2, 0, STATEFUL, 0))
    for i in (1, 2):
        stage.arrive(member(own, 3, i, STATEFUL, 1))
    stage.plan()
    assert len(stage.bound) == 3


def test_a_deployment_speaks_through_its_newest_pods() -> None:
    stage = Stage(nodes=1)
    for revision, size, names in (("5d9c", 3, (0, 1)), ("7f6b", 2, (2,))):
        owner, label = template(revision)
        for i in names:
            body = member(own, size, i, owner, 0 if size == 3 else 1)
            stage.arrive({**body, "metadata": {**metadata_of(body), "labels": label}})
    stage.plan()
    assert len(stage.bound) == 3
    assert not stage.state.rejected()


def test_one_wrong_pod_changes_nothing_for_those_who_wait_with_it() -> None:
    stage = Stage(nodes=1)
    for i in range(3):
        stage.arrive(member(own, 4, i, None, 0))
    stage.arrive(member(own, 1, 9, None, 1))
    stage.plan()
    assert not stage.bound
    assert "but '4' for its gang" in stage.told("serve-9")


def test_a_wrong_pod_beside_a_replacement_does_not_outvote_those_who_run() -> None:
    stage = Stage(nodes=1)
    for i in range(3):
        stage.arrive(member(own, 3, i, None, 0))
    stage.plan()
    stage.state.remove_pod("uid-serve-2")
    stage.arrive(member(own, 8, 9, None, 1))
    stage.arrive(member(own, 3, 5, None, 2))
    stage.plan()
    assert stage.bound["serve-5"]
    assert "but '3' for its gang" in stage.told("serve-9")


def test_a_stateful_set_that_makes_one_pod_after_the_other_is_told_so() -> None:
    stage = Stage(nodes=1)
    stage.arrive(member(own, 4, 0, STATEFUL, 0))
    told = stage.told("serve-0")
    assert told.startswith("1 of 4 members exist")
    assert "podManagementPolicy is Parallel" in told
    stage.arrive(pod("other", annotations={**own(2)["annotations"], "stowplan.dev/gang": "other"}))
    assert "podManagementPolicy" not in stage.told("other")
