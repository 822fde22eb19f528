"""Membership and size in each dialect, and the message for every wrong key."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.gangs import words
from scheduler.gangs.groups import CoschedulingPodGroup, Job, PodGroup
from scheduler.gangs.registry import BY_NAME, DIALECT_NAMES, DIALECTS, contradictions, resolve
from scheduler.gangs.view import outsiders, pending_gang
from scheduler.model.gang import GangKey, PendingGang, Waiting
from scheduler.model.objects import Owner, Pod, Rejected
from tests.gangs.gang_cases import TEAM, Objects, pod

JOB_OWNER = Owner(api_version="batch/v1", kind="Job", name="train", uid="job-uid")
POLICY = {words.POLICY: "all-or-nothing"}


def own(i: int, **more: str) -> Pod:
    keys = {words.GANG: "bert", words.MIN_MEMBER: "4"}
    keys.update({f"stowplan.dev/{key.replace('_', '-')}": value for key, value in more.items()})
    return pod(f"bert-{i}", annotations=keys, created_s=float(i))


def native(min_count: int | None, **more: object) -> PodGroup:
    return PodGroup(
        api_version="scheduling.k8s.io/v1beta1",
        namespace=TEAM,
        name="bert",
        uid="g",
        generation=1,
        min_count=min_count,
        topology_keys=("rack",) if more.get("topology") else (),
        composite_parent="parent" if more.get("composite") else "",
        priority=7 if more.get("priority") else None,
    )


def job(
    *, parallelism: int = 4, completions: int | None = 4, succeeded: int = 0, uid: str = "job-uid"
) -> Job:
    return Job(
        api_version="batch/v1",
        namespace=TEAM,
        name="train",
        uid=uid,
        generation=1,
        parallelism=parallelism,
        completions=completions,
        succeeded=succeeded,
    )


def view(members: list[Pod], *groups: PodGroup | Job | CoschedulingPodGroup) -> PendingGang:
    key = resolve(members[0])
    assert isinstance(key, GangKey)
    found = pending_gang(key, members, Objects(list(groups)))
    assert found is not None
    return found


def blocked(members: list[Pod], *groups: PodGroup | Job | CoschedulingPodGroup) -> str:
    found = view(members, *groups).blocked
    assert found is not None
    return found.reason


def test_resolution_follows_the_documented_order() -> None:
    assert DIALECT_NAMES[:3] == ("own", "podgroup", "coscheduling")
    assert DIALECT_NAMES[-1] == "job"
    speaks_all = pod(
        "p",
        annotations={words.GANG: "a", words.MIN_MEMBER: "1", **POLICY},
        labels={"scheduling.x-k8s.io/pod-group": "c"},
        pod_group="b",
        owner=JOB_OWNER,
    )
    key = resolve(speaks_all)
    assert isinstance(key, GangKey)
    assert key.dialect == "own"
    told = contradictions(speaks_all)
    assert told is not None
    assert told.index("own keys: a") < told.index("ignored") < told.index("scheduling.k8s.io): b")


def test_a_pod_that_names_no_gang_is_one_of_its_own() -> None:
    assert resolve(pod("p", owner=JOB_OWNER)) == GangKey(namespace=TEAM, dialect="pod", name="uid-p")
    assert contradictions(pod("p")) is None


def test_gangs_of_equal_name_in_two_namespaces_are_two() -> None:
    keys = {words.GANG: "bert", words.MIN_MEMBER: "2"}
    assert resolve(pod("a", annotations=keys, namespace="red")) != resolve(
        pod("a", annotations=keys, namespace="blue")
    )


def test_labels_do_where_annotations_cannot_be_set() -> None:
    keys = {words.GANG: "bert", words.MIN_MEMBER: "1"}
    assert view([pod("a", labels=keys)]).min_member == 1


WRONG = {
    "a min member of zero": ({words.MIN_MEMBER: "0"}, words.MIN_MEMBER),
    "a negative min member": ({words.MIN_MEMBER: "-1"}, words.MIN_MEMBER),
    "an absurd min member": ({words.MIN_MEMBER: "9" * 5000}, words.MIN_MEMBER),
    "a fractional min member": ({words.MIN_MEMBER: "2.0"}, words.MIN_MEMBER),
    "a min member in foreign digits": ({words.MIN_MEMBER: "\u0664"}, words.MIN_MEMBER),
    "a min member above the limit": ({words.MIN_MEMBER: "10001"}, words.MIN_MEMBER),
    "a gang name with a newline": ({words.GANG: "a\nERROR"}, words.GANG),
    "an empty gang name": ({words.GANG: ""}, words.GANG),
    "a role minimum without a role": ({words.ROLE_MIN: "1"}, words.ROLE),
    "a topology that is no label key": ({words.TOPOLOGY_REQUIRED: "a b"}, words.TOPOLOGY_REQUIRED),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_key_is_rejected_with_its_name(case: str) -> None:
    keys, named = WRONG[case]
    found = resolve(pod("p", annotations={words.GANG: "bert", **keys}))
    assert isinstance(found, Rejected)
    assert named in found.reason
    assert found.reason.isprintable()
    assert len(found.reason) <= 512


def test_a_size_without_a_gang_names_the_missing_key() -> None:
    found = resolve(pod("p", annotations={words.MIN_MEMBER: "2"}))
    assert isinstance(found, Rejected)
    assert f"set {words.GANG}" in found.reason


def test_annotation_and_label_that_differ_are_a_contradiction() -> None:
    found = resolve(pod("p", annotations={words.GANG: "a"}, labels={words.GANG: "b"}))
    assert isinstance(found, Rejected)
    assert "label" in found.reason


def test_a_gang_without_a_size_is_rejected_with_the_remedy() -> None:
    found = view([pod("p", annotations={words.GANG: "bert"})]).blocked
    assert isinstance(found, Rejected)
    assert words.MIN_MEMBER in found.reason


@given(st.randoms(use_true_random=False), st.integers(0, 3))
def test_members_that_disagree_stand_outside_whatever_the_order(shuffle: random.Random, liars: int) -> None:
    honest = [own(i) for i in range(4)]
    lying = [own(10 + i, gang_min_member="2") for i in range(liars)]
    members = [*honest, *lying]
    shuffle.shuffle(members)
    found = view(members)
    assert (found.min_member, found.blocked) == (4, None)
    assert [p.name for p in found.pods] == [p.name for p in honest]
    assert {p.name for p, _ in outsiders(found.key, members, Objects())} == {p.name for p in lying}


def test_one_older_member_does_not_overrule_the_others() -> None:
    assert view([own(0, gang_min_member="2"), *(own(i) for i in range(1, 5))]).min_member == 4


def test_of_two_equal_camps_the_oldest_member_decides() -> None:
    members = [own(0), own(1), own(2, gang_min_member="2"), own(3, gang_min_member="2")]
    assert view(members[::-1]).min_member == 4


def test_roles_above_the_whole_are_rejected() -> None:
    members = [own(i, gang_role="worker", gang_role_min="5") for i in range(5)]
    assert "raise stowplan.dev/gang-min-member to 5" in blocked(members)


def test_a_native_group_waits_for_its_object_and_takes_everything_from_it() -> None:
    members = [pod(f"w-{i}", pod_group="bert") for i in range(3)]
    assert "does not exist yet" in blocked(members)
    found = view(members, native(3, topology=True, priority=True))
    assert (found.min_member, found.priority, found.blocked) == (3, 7, None)
    assert [(t.label, t.is_required) for t in found.topology] == [("rack", True)]
    assert found.owner == ("scheduling.k8s.io/v1beta1", "PodGroup", "bert", "g")


def test_a_basic_group_starts_pod_by_pod() -> None:
    assert view([pod("w-0", pod_group="bert")], native(None)).min_member == 1


def test_a_composite_group_is_refused_and_not_ignored() -> None:
    assert "parentCompositePodGroupName" in blocked([pod("w", pod_group="bert")], native(1, composite=True))


@pytest.mark.parametrize("size", [0, -3, 10_001, 2**63])
def test_an_absurd_size_of_an_object_is_rejected_with_its_field(size: int) -> None:
    assert "minCount" in blocked([pod("w", pod_group="bert")], native(size))


def test_a_coscheduling_group_counts_min_member() -> None:
    members = [pod(f"w-{i}", labels={"scheduling.x-k8s.io/pod-group": "bert"}) for i in range(2)]
    group = CoschedulingPodGroup(
        api_version="scheduling.x-k8s.io/v1alpha1",
        namespace=TEAM,
        name="bert",
        uid="g",
        generation=1,
        min_member=3,
    )
    assert blocked(members, group) == "2 of 3 members exist"
    assert "does not exist yet" in blocked(members, native(1))


def test_a_job_is_a_gang_only_on_request_and_only_if_it_is_a_job() -> None:
    members = [pod(f"train-{i}", annotations=POLICY, owner=JOB_OWNER) for i in range(4)]
    assert view(members, job()).min_member == 4
    stray = resolve(pod("p", annotations=POLICY))
    assert isinstance(stray, Rejected)
    assert words.GANG in stray.reason
    odd = resolve(pod("p", annotations={words.POLICY: "some"}, owner=JOB_OWNER))
    assert isinstance(odd, Rejected)


@given(
    completions=st.integers(1, 8),
    parallelism=st.integers(1, 8),
    done=st.integers(0, 8),
    status_lag=st.integers(0, 2),
    cleaned=st.integers(0, 2),
)
def test_a_job_needs_exactly_its_missing_pods(
    completions: int, parallelism: int, done: int, status_lag: int, cleaned: int
) -> None:
    """Whatever the status knows yet and whichever finished pods are left, what is to run must run."""
    done = min(done, completions - 1)
    seen = max(0, done - cleaned)
    counted = max(0, done - status_lag)
    if max(seen, counted) < done:
        return  # Nobody knows of these successes yet.
    keys = {"annotations": POLICY, "owner": JOB_OWNER}
    finished = [pod(f"train-{i}", node="n", phase="Succeeded", **keys) for i in range(seen)]  # type: ignore[arg-type] # fields of pod() by name
    to_run = min(parallelism, completions - done)
    waiting = [pod(f"train-{90 + i}", **keys) for i in range(to_run)]  # type: ignore[arg-type] # fields of pod() by name
    found = view(
        [*waiting, *finished], job(parallelism=parallelism, completions=completions, succeeded=counted)
    )
    assert found.blocked is None
    assert found.need == to_run


def test_pods_of_an_earlier_job_of_the_same_name_are_not_members() -> None:
    old = Owner(api_version="batch/v1", kind="Job", name="train", uid="old-uid")
    members = [pod(f"train-{i}", annotations=POLICY, owner=JOB_OWNER) for i in range(3)]
    members.append(pod("train-x", annotations=POLICY, owner=old, node="n", phase="Running"))
    assert blocked(members, job()).startswith("3 of 4 members exist; 1 refused, of them train-x")


def test_a_minimum_above_what_ever_runs_together_is_rejected() -> None:
    keys = {**POLICY, words.MIN_MEMBER: "5"}
    members = [pod(f"train-{i}", annotations=keys, owner=JOB_OWNER) for i in range(4)]
    assert "parallelism" in blocked(members, job())


HOSTILE = st.text(st.sampled_from(string.printable + "\x00\u202e\u0664{}%"), max_size=300)
KEYS = [words.GANG, words.MIN_MEMBER, words.POLICY, words.ROLE, words.ROLE_MIN, *words.TOPOLOGY]


@given(
    st.lists(
        st.tuples(
            st.dictionaries(
                st.sampled_from(KEYS), HOSTILE | st.sampled_from(["1", "2", "a", "all-or-nothing"])
            ),
            st.booleans(),
            st.sampled_from(["", "bert"]),
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(-(2**70), 2**70),
)
def test_no_text_breaks_a_dialect(pods: list[tuple[dict[str, str], bool, str]], number: int) -> None:
    """INV11: every pod gets a gang or a printable reason; nothing raises."""
    members = [
        pod(f"p-{i}", annotations=keys, owner=JOB_OWNER if has_job else None, pod_group=group)
        for i, (keys, has_job, group) in enumerate(pods)
    ]
    objects = Objects([native(number), job(parallelism=number, completions=-number, succeeded=number)])
    for one in members:
        key = resolve(one)
        contradictions(one)
        if isinstance(key, Rejected):
            assert key.reason.isprintable()
            assert len(key.reason) <= 512
        elif not key.is_single:
            same = [other for other in members if resolve(other) == key]
            found = pending_gang(key, same, objects)
            assert found is not None
            assert isinstance(found.blocked, Waiting | Rejected | None)


def test_every_dialect_documents_itself() -> None:
    for dialect in DIALECTS:
        assert BY_NAME[dialect.name] is dialect
        assert dialect.doc.keys
        assert dialect.doc.size
        assert dialect.doc.replaced_by
