"""Wrong, missing and hostile keys of every dialect: the message names the key and the remedy."""

from __future__ import annotations

import string
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.gangs import words
from scheduler.gangs.registry import BY_NAME, DIALECTS, resolve, warning
from scheduler.model.gang import GangKey
from scheduler.model.objects import Rejected
from tests.dialects.recorded import Json, made, metadata_of, pod, words_of
from tests.dialects.recordings import RECORDINGS
from tests.dialects.stage import Stage

KOORDINATOR = "gang.scheduling.koordinator.sh"
YUNIKORN = "yunikorn.apache.org"
GROUPS = f"{YUNIKORN}/task-groups"
IN_GROUP = {f"{YUNIKORN}/task-group-name": "w"}
APP = {"applicationId": "bert"}

WRONG: Mapping[str, tuple[dict[str, str], dict[str, str], str]] = {
    "two Volcano groups": (
        {"scheduling.k8s.io/group-name": "a", "scheduling.volcano.sh/group-name": "b"},
        {},
        "set one",
    ),
    "a Volcano group with a bad name": ({"scheduling.k8s.io/group-name": "A b"}, {}, "no object's name"),
    "a KAI group with a newline": ({"pod-group-name": "a\nb"}, {}, "no object's name"),
    "a Koordinator gang without a size": ({f"{KOORDINATOR}/name": "a"}, {}, "min-available"),
    "a Koordinator size in words": (
        {f"{KOORDINATOR}/name": "a", f"{KOORDINATOR}/min-available": "four"},
        {},
        "whole number",
    ),
    "Koordinator groups that are no list": (
        {f"{KOORDINATOR}/name": "a", f"{KOORDINATOR}/min-available": "1", f"{KOORDINATOR}/groups": "{"},
        {},
        "use a list",
    ),
    "Koordinator groups of another namespace": (
        {
            f"{KOORDINATOR}/name": "a",
            f"{KOORDINATOR}/min-available": "1",
            f"{KOORDINATOR}/groups": '["red/a","blue/b"]',
        },
        {},
        "only gangs of namespace red",
    ),
    "Koordinator groups without end": (
        {
            f"{KOORDINATOR}/name": "a",
            f"{KOORDINATOR}/min-available": "1",
            f"{KOORDINATOR}/groups": str([f"red/{i}" for i in range(99)]).replace("'", '"'),
        },
        {},
        "at most 16",
    ),
    "a light gang without a size": ({}, {"pod-group.scheduling.sigs.k8s.io/name": "a"}, "min-available"),
    "a task group without an application": (IN_GROUP, {}, f"set label {YUNIKORN}/app-id"),
    "task groups that are no JSON": ({GROUPS: "worker=4"}, APP, "use a list such as"),
    "task groups nested deeply": ({GROUPS: "[" * 4000}, APP, "use a list such as"),
    "no task group at all": ({GROUPS: "[]"}, APP, "use 1 to"),
    "a task group twice": (
        {GROUPS: '[{"name": "w", "minMember": 1}, {"name": "w", "minMember": 2}]'},
        APP,
        "twice",
    ),
    "a task group of minus one": ({GROUPS: '[{"name": "w", "minMember": -1}]'}, APP, "whole numbers"),
    "task groups of nobody": (IN_GROUP, APP, f"carries {GROUPS}"),
    "a Kueue group without a count": ({}, {"kueue.x-k8s.io/pod-group-name": "a"}, "total-count"),
    "a Kueue count of none": (
        {"kueue.x-k8s.io/pod-group-total-count": "0"},
        {"kueue.x-k8s.io/pod-group-name": "a"},
        "whole number",
    ),
    "a Spark driver as a gang": (
        {words.POLICY: "all-or-nothing"},
        {"spark-app-selector": "a", "spark-role": "driver"},
        "executors alone",
    ),
    "executors without a size": (
        {words.POLICY: "all-or-nothing"},
        {"spark-app-selector": "a", "spark-role": "executor"},
        words.MIN_MEMBER,
    ),
    "a Spark policy nobody knows": ({words.POLICY: "some"}, {"spark-app-selector": "a"}, "all-or-nothing"),
    "an LWS index that is none": (
        {"leaderworkerset.sigs.k8s.io/size": "2"},
        {"leaderworkerset.sigs.k8s.io/name": "a", "leaderworkerset.sigs.k8s.io/group-index": "x"},
        "no index",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_key_is_named_with_its_remedy(case: str) -> None:
    annotations, labels, told = WRONG[case]
    stage = Stage(nodes=1)
    stage.arrive(pod("p", annotations=annotations, labels=labels))
    message = stage.told("p")
    assert told in message
    assert message.isprintable()
    assert not stage.plan().places


def changed(name: str, n: int, spec: Mapping[str, Json]) -> tuple[Stage, str]:
    """A recording whose object has another spec, and one of its pods."""
    recording = RECORDINGS[name]("bert", n)
    stage = Stage(nodes=4)
    stage.take_all([recording])
    stage.give(recording.objects[0].with_spec(spec))
    return stage, str(metadata_of(recording.pods[0])["name"])


OBJECTS: Mapping[str, tuple[str, Mapping[str, Json], str]] = {
    "a PodGroup of Volcano of size 0": ("volcano", {"minMember": 0}, "minMember of the PodGroup is 0"),
    "HyperNodes": ("volcano", {"minMember": 4, "networkTopology": {"mode": "hard"}}, "HyperNodes"),
    "tasks without end": (
        "volcano",
        {"minMember": 4, "minTaskMember": {f"t{i}": 1 for i in range(100)}},
        "more than 64 roles",
    ),
    "a topology per subgroup": (
        "kai",
        {
            "minMember": 2,
            "subGroups": [{"name": "a", "topologyConstraint": {"requiredTopologyLevel": "rack"}}],
        },
        "spec.topologyConstraint",
    ),
    "some of the subgroups": (
        "kai",
        {"minSubGroup": 1, "subGroups": [{"name": "a", "minMember": 1}, {"name": "b", "minMember": 1}]},
        "minSubGroup",
    ),
    "negative replicas": ("pytorch", {"pytorchReplicaSpecs": {"Worker": {"replicas": -1}}}, "between 0 and"),
    "replicas beyond all bounds": (
        "tensorflow",
        {"tfReplicaSpecs": {"Worker": {"replicas": 2**31 - 1}}},
        "between 0 and",
    ),
    "minAvailable above all": (
        "xgboost",
        {
            "xgbReplicaSpecs": {"Worker": {"replicas": 2}},
            "runPolicy": {"schedulingPolicy": {"minAvailable": 9}},
        },
        "never has more than 2 pods",
    ),
    "a suspended PyTorchJob": (
        "pytorch",
        {"pytorchReplicaSpecs": {"Worker": {"replicas": 2}}, "runPolicy": {"suspend": True}},
        "is suspended",
    ),
    "a suspended JobSet": ("jobset", {"suspend": True}, "is suspended"),
    "a suspended RayCluster": ("ray", {"suspend": True}, "is suspended"),
}


@pytest.mark.parametrize("case", OBJECTS)
def test_an_object_that_cannot_be_followed_is_named_with_its_field(case: str) -> None:
    name, spec, told = OBJECTS[case]
    stage, first = changed(name, 3, spec)
    assert told in stage.told(first)
    assert not stage.bound


@pytest.mark.parametrize("name", [n for n, make in RECORDINGS.items() if make("g", 3).objects])
def test_pods_wait_for_an_object_that_is_not_there(name: str) -> None:
    recording = RECORDINGS[name]("bert", 3)
    stage = Stage(nodes=4)
    for found in recording.pods:
        named = stage.arrive(found).name
    assert "not seen yet" in stage.told(named) or "does not exist yet" in stage.told(named)
    assert not stage.bound


OWNED = ("pytorch", "tensorflow", "xgboost", "jax", "paddle", "mpi", "jobset", "trainjob", "ray")


@pytest.mark.parametrize("why", ["forbidden", "the API is not served"])
@pytest.mark.parametrize("name", OWNED)
def test_an_owner_that_nobody_may_read_leaves_singles_and_says_so(name: str, why: str) -> None:
    recording = RECORDINGS[name]("bert", 3)
    stage = Stage(nodes=4)
    for kind in BY_NAME[recording.dialect].kinds:
        stage.state.set_unreadable(kind, why)
    for i, found in enumerate(recording.pods, start=1):
        stage.arrive(found)
        stage.plan()
        assert len(stage.bound) == i
    ((_, told),) = stage.state.gangs.warnings()
    assert why in told
    assert words.GANG in told
    assert words.MIN_MEMBER in told
    assert not stage.state.gangs.warnings()


def test_a_size_on_the_pods_makes_a_gang_although_the_owner_cannot_be_read() -> None:
    stage = Stage(nodes=4)
    stage.state.set_unreadable("PyTorchJob", "forbidden")
    owner = ("kubeflow.org/v1", "PyTorchJob", "bert", "u")
    for i in range(3):
        assert not stage.bound
        stage.arrive(pod(f"w-{i}", owner=owner, annotations={words.MIN_MEMBER: "3"}))
        stage.plan()
    assert len(stage.bound) == 3


def test_an_unreadable_leader_worker_set_still_starts_its_workers_together() -> None:
    recording = RECORDINGS["lws"]("bert", 4)
    stage = Stage(nodes=4)
    stage.state.set_unreadable("LeaderWorkerSet", "forbidden")
    for expected, found in zip((1, 1, 1, 4), recording.pods, strict=True):
        stage.arrive(found)
        stage.plan()
        assert len(stage.bound) == expected


def test_an_object_that_becomes_readable_is_followed_from_then_on() -> None:
    recording = RECORDINGS["pytorch"]("bert", 3)
    stage = Stage(nodes=4)
    stage.state.set_unreadable("PyTorchJob", "the API is not served")
    stage.state.set_unreadable("PyTorchJob", None)
    stage.arrive(recording.pods[0])
    assert "not seen yet" in stage.told("bert-master-0")


def test_pods_of_a_kind_nobody_knows_start_alone_and_are_told_how_to_be_a_gang() -> None:
    stage = Stage(nodes=1)
    stage.arrive(pod("p", owner=("example.com/v1", "FancyJob", "fancy", "u")))
    stage.plan()
    assert stage.bound
    ((_, told),) = stage.state.gangs.warnings()
    assert "FancyJob" in told
    assert words.GANG in told


@pytest.mark.parametrize("kind", ["ReplicaSet", "StatefulSet", "DaemonSet", "Job"])
def test_pods_of_deployments_and_the_like_start_alone_and_in_silence(kind: str) -> None:
    stage = Stage(nodes=1)
    stage.arrive(pod("p", owner=("apps/v1", kind, "web", "u")))
    stage.plan()
    assert stage.bound
    assert not stage.state.gangs.warnings()


def test_of_two_groups_the_first_by_order_is_followed_and_the_pod_is_warned() -> None:
    stage = Stage(nodes=1)
    volcano = {"scheduling.k8s.io/group-name": "v"}
    words_ = {words.GANG: "mine", words.MIN_MEMBER: "1", **volcano}
    stage.arrive(pod("p", annotations=words_, labels={"kueue.x-k8s.io/pod-group-name": "k"}))
    stage.plan()
    assert stage.bound
    ((warned, told),) = stage.state.gangs.warnings()
    assert warned.name == "p"
    assert told.index("mine") < told.index("Volcano: v") < told.index("Kueue (groups of plain pods): k")


def test_a_group_named_on_the_pods_of_a_job_is_no_contradiction() -> None:
    """Kubeflow with Volcano's gang scheduling: the operator names the PodGroup on its own pods."""
    owner = ("kubeflow.org/v1", "PyTorchJob", "bert", "u")
    stage = Stage(nodes=1)
    stage.give(made("VolcanoPodGroup", "bert", {"minMember": 1}))
    found = stage.arrive(pod("p", owner=owner, annotations={"scheduling.k8s.io/group-name": "bert"}))
    key = resolve(found)
    assert isinstance(key, GangKey)
    assert warning(found, key) is None
    assert key.dialect == "volcano"


KEYS = sorted({key for make in RECORDINGS.values() for found in make("g", 3).pods for key in words_of(found)})
HOSTILE = st.text(st.sampled_from(string.printable + "\x00\u202e\u0664{}[]%/"), max_size=200)
VALUES = HOSTILE | st.sampled_from(["bert", "1", "-1", "all-or-nothing", "driver", "[]", '[{"name":"a"}]'])
WORDS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5)
OWNERS = st.sampled_from(
    [
        None,
        ("kubeflow.org/v1", "PyTorchJob", "A b", "u"),
        ("kubeflow.org/v1", "MPIJob", "bert", "u"),
        ("batch/v1", "Job", "bert", "u"),
        ("ray.io/v1", "RayCluster", "x" * 500, "u"),
        ("v1", "\x00\u202e", "bert", "u"),
    ]
)


@settings(max_examples=150, deadline=None)
@given(
    pods=st.lists(st.tuples(WORDS, WORDS, OWNERS), min_size=1, max_size=4),
    recorded=st.sampled_from(sorted(RECORDINGS)),
    forbidden=st.booleans(),
)
def test_no_text_breaks_a_dialect_or_another_gang(
    pods: list[tuple[dict[str, str], dict[str, str], tuple[str, str, str, str] | None]],
    recorded: str,
    forbidden: bool,
) -> None:
    """INV11: hostile pods get a gang or a printable reason, and an honest gang beside them starts."""
    stage = Stage(nodes=8)
    if forbidden:
        for dialect in DIALECTS:
            for kind in dialect.kinds:
                stage.state.set_unreadable(kind, "forbidden")
    for i, (labels, notes, owner) in enumerate(pods):
        found = stage.arrive(pod(f"hostile-{i}", labels=labels, annotations=notes, owner=owner))
        key = resolve(found)
        reasons = [key.reason] if isinstance(key, Rejected) else []
        assert all(reason.isprintable() and len(reason) <= 512 for reason in reasons)
    honest = RECORDINGS["own"]("honest", 3)
    stage.take_all([honest, RECORDINGS[recorded]("other", 3)])
    stage.plan()
    assert {f"honest-{i}" for i in range(3)} <= set(stage.bound)
    for verdict in stage.plan().verdicts:
        assert verdict.message.isprintable()
    assert all(text.isprintable() for _, text in stage.state.gangs.warnings())
