"""A gang's name is used again, in every dialect: the pods of an earlier run neither stand nor are missed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.gangs.groups import Job
from scheduler.gangs.registry import resolve
from scheduler.model.gang import GangKey
from scheduler.model.objects import Owner
from tests.builders import pod as bare_pod
from tests.dialects.recorded import Body, Json, Made, Recording, metadata_of, pod
from tests.dialects.recordings import RECORDINGS
from tests.dialects.stage import Stage

#: JobSet lets the other pods of an exclusive job in by turns.
ALL = sorted(set(RECORDINGS) - {"jobset-exclusive"})
STAYS, GOES, FAILS = "succeeds and stays", "succeeds and is deleted", "fails and stays"
EARLIER, LATER = "2026-11-24T18:00:00Z", "2026-11-25T18:00:00Z"
_UID = "jobset.sigs.k8s.io/jobset-uid"


def again(recording: Recording) -> Recording:
    """The same gang made anew a day later: another object of the same name, other pods."""
    return Recording(
        dialect=recording.dialect,
        source=recording.source,
        objects=tuple(Made(found.kind, _anew(found.body)) for found in recording.objects),
        pods=tuple(_anew(body) for body in recording.pods),
        minimum=recording.minimum,
        late=tuple(_anew(body) for body in recording.late),
    )


def _anew(body: Body) -> Body:
    metadata = dict(metadata_of(body))
    metadata |= {"uid": f"{metadata['uid']}-2", "creationTimestamp": LATER}
    if "containers" in cast(Body, body["spec"]):
        metadata["name"] = f"{metadata['name']}-again"
    owners = cast(Sequence[Body], metadata.get("ownerReferences", ()))
    if owners:
        metadata["ownerReferences"] = [{**owner, "uid": f"{owner['uid']}-2"} for owner in owners]
    for kind in ("labels", "annotations"):
        words = dict(cast(Body, metadata.get(kind) or {}))
        if _UID in words:
            metadata[kind] = {**words, _UID: f"{words[_UID]}-2"}
    return {**body, "metadata": cast(Json, metadata)}


def name_of(body: Body) -> str:
    return str(metadata_of(body)["name"])


def ran(recording: Recording, fates: Sequence[str]) -> Stage:
    """A gang all of whose pods ran and ended, each as it is fated."""
    stage = Stage(nodes=8)
    stage.take_all([recording])
    stage.plan()
    for body in recording.late:
        stage.arrive(body)
    stage.plan()
    bodies = [*recording.pods, *recording.late]
    assert len(stage.bound) == len(bodies)
    for body, fate in zip(bodies, fates, strict=False):
        stage.change(name_of(body), phase="Failed" if fate == FAILS else "Succeeded")
    for body, fate in zip(bodies, fates, strict=False):
        if fate == GOES:
            stage.state.remove_pod(str(metadata_of(body)["uid"]))
    return stage


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=12, deadline=None)
@given(
    n=st.integers(2, 4),
    fates=st.lists(st.sampled_from([STAYS, GOES, FAILS]), min_size=16, max_size=16),
    shuffle=st.randoms(use_true_random=False),
)
def test_the_next_run_starts_whole_or_not_at_all(
    name: str, n: int, fates: list[str], shuffle: random.Random
) -> None:
    recording = RECORDINGS[name]("bert", n)
    is_bare = not any("ownerReferences" in metadata_of(body) for body in recording.pods)
    # A bare pod may replace one that failed; of a run that did its work none is left to be replaced.
    stage = ran(recording, [STAYS if is_bare and fate == FAILS else fate for fate in fates])
    before = set(stage.bound)
    following = again(recording)
    for found in following.objects:
        stage.give(found)
    pods = list(following.pods)
    shuffle.shuffle(pods)
    for count, body in enumerate(pods, start=1):
        stage.arrive(body)
        stage.plan()
        assert not stage.state.partial()
        begun = set(stage.bound) - before
        assert not begun or count >= recording.minimum
    assert len(set(stage.bound) - before) == len(pods)
    assert not [told for _, told in stage.state.rejected()]


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=12, deadline=None)
@given(
    n=st.integers(2, 5),
    fates=st.lists(st.sampled_from([STAYS, GOES, "runs"]), min_size=16, max_size=16),
    shuffle=st.randoms(use_true_random=False),
)
def test_who_succeeded_and_was_deleted_is_no_loss(
    name: str, n: int, fates: list[str], shuffle: random.Random
) -> None:
    recording = RECORDINGS[name]("bert", n)
    stage = Stage(nodes=8)
    stage.take_all([recording])
    stage.plan()
    ended = [(body, fate) for body, fate in zip(recording.pods, fates, strict=False) if fate != "runs"]
    shuffle.shuffle(ended)
    for body, fate in ended:
        stage.change(name_of(body), phase="Succeeded")
        if fate == GOES:
            stage.change(name_of(body), is_deleting=True)
            assert not stage.state.partial()
            stage.state.remove_pod(str(metadata_of(body)["uid"]))
        assert not stage.state.partial()


@pytest.mark.parametrize("name", ALL)
def test_who_ended_because_it_was_sent_away_is_a_loss(name: str) -> None:
    """A process that leaves with exit code 0 on SIGTERM: the kubelet calls that a success too."""
    recording = RECORDINGS[name]("bert", 4)
    stage = Stage(nodes=8)
    stage.take_all([recording])
    stage.plan()
    # A Job counts it like any other success and makes no other pod for it.
    if len(recording.pods) - 1 >= recording.minimum or len(recording.pods) < 2 or name == "job":
        return
    lost = name_of(recording.pods[-1])
    stage.change(lost, is_deleting=True)
    stage.change(lost, phase="Succeeded", is_deleting=True)
    assert stage.state.partial()
    stage.state.remove_pod(f"uid-{lost}")
    assert stage.state.partial()


KEYS = {"stowplan.dev/gang": "nightly", "stowplan.dev/gang-min-member": "4"}


def cron_pod(run: int, i: int, created: str = EARLIER) -> Body:
    owner = ("batch/v1", "Job", f"nightly-{run}", f"job-{run}")
    found = pod(f"nightly-{run}-{i}", annotations=KEYS, owner=owner)
    return {**found, "metadata": {**metadata_of(found), "creationTimestamp": created}}


def test_runs_of_a_cron_job_that_go_on_at_once_are_gangs_of_their_own() -> None:
    """``concurrencyPolicy: Allow`` is the default: the earlier run need not be over."""
    stage = Stage(nodes=1)
    for i in range(4):
        stage.arrive(cron_pod(29384720, i))
    stage.plan()
    for i in range(4):
        stage.arrive(cron_pod(29384780, i, LATER))
    for i in range(2):
        stage.arrive(cron_pod(29384840, i, LATER))
    stage.plan()
    assert len(stage.bound) == 8
    stage.state.remove_pod("uid-nightly-29384720-0")
    ((key, numbers),) = stage.state.partial().items()
    assert (key.name, numbers) == ("nightly/29384720", (3, 4))


@pytest.mark.parametrize("owner", ["worker-0", "worker-12", "driver", "part-00000001", "v1-2026"])
def test_a_number_in_a_name_is_no_time_of_a_run(owner: str) -> None:
    made_by = Owner(api_version="batch/v1", kind="Job", name=owner, uid=owner)
    found = resolve(bare_pod("p", annotations=KEYS, owner=made_by))
    assert isinstance(found, GangKey)
    assert found.name == "nightly"


def test_a_gang_of_several_jobs_stays_one_when_the_first_of_them_is_done() -> None:
    """A driver Job that is done, and the worker Job's pod made anew after that."""
    stage = Stage(nodes=1)
    driver = ("batch/v1", "Job", "driver", "job-driver")
    workers = ("batch/v1", "Job", "workers", "job-workers")
    stage.arrive(pod("driver-x", annotations=KEYS, owner=driver))
    for i in range(3):
        stage.arrive(pod(f"workers-{i}", annotations=KEYS, owner=workers))
    stage.plan()
    stage.change("driver-x", phase="Succeeded", ended_s=1795632000.0)
    stage.state.remove_pod("uid-workers-2")
    found = pod("workers-9", annotations=KEYS, owner=workers)
    stage.arrive({**found, "metadata": {**metadata_of(found), "creationTimestamp": "2026-12-24T18:00:00Z"}})
    stage.plan()
    assert "workers-9" in stage.bound


def test_what_a_job_makes_for_one_that_failed_joins_the_others_though_they_are_done() -> None:
    stage = Stage(nodes=1)
    owner = ("batch/v1", "Job", "sweep", "job-sweep")
    for i in range(4):
        stage.arrive(pod(f"sweep-{i}", annotations=KEYS, owner=owner))
    stage.plan()
    for i in range(4):
        stage.change(f"sweep-{i}", phase="Failed" if i == 3 else "Succeeded")
    found = pod("sweep-9", annotations=KEYS, owner=owner)
    stage.arrive({**found, "metadata": {**metadata_of(found), "creationTimestamp": LATER}})
    stage.plan()
    assert "sweep-9" in stage.bound


@pytest.mark.parametrize(("succeeded", "failed", "short"), [(2, 0, True), (3, 0, False), (2, 1, False)])
def test_a_new_leader_learns_from_the_job_who_succeeded_and_is_gone(
    succeeded: int, failed: int, short: bool
) -> None:
    """Its pods carry keys of their own, so the Job does not describe the gang; it still tells of its pods."""
    stage = Stage(nodes=1)
    owner = ("batch/v1", "Job", "sweep", "job-sweep")
    body = {**pod("sweep-3", annotations=KEYS, owner=owner)}
    stage.change(stage.arrive(body).name, node_name="n0", phase="Running")
    assert stage.state.partial()
    stage.state.set_group(
        Job(
            api_version="batch/v1",
            namespace="red",
            name="sweep",
            uid="job-sweep",
            generation=1,
            parallelism=4,
            completions=4,
            succeeded=succeeded,
            failed=failed,
        )
    )
    assert bool(stage.state.partial()) is short
