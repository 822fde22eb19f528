"""What may name a group, names it: ids with capitals and dots, in every place where their project looks."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.gangs.registry import resolve
from scheduler.live.claims import NAME_MAX, object_name
from scheduler.model.gang import GangKey
from scheduler.model.objects import Rejected
from tests.builders import pod

YUNIKORN = "yunikorn.apache.org"
GROUPS = {
    f"{YUNIKORN}/task-group-name": "w",
    f"{YUNIKORN}/task-groups": json.dumps([{"name": "w", "minMember": 2}]),
}
KOORDINATOR = "gang.scheduling.koordinator.sh"
LIGHT = "pod-group.scheduling.sigs.k8s.io"
#: What a label may say (apimachinery, validation.IsValidLabelValue).
LABELS = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", fullmatch=True)


def name_of(**said: dict[str, str]) -> str:
    found = resolve(pod("p", **said))  # type: ignore[arg-type] # labels and annotations
    assert isinstance(found, GangKey), found
    return found.name


@given(LABELS)
def test_whatever_a_label_may_say_is_a_name(name: str) -> None:
    assert name_of(labels={f"{YUNIKORN}/app-id": name}, annotations=GROUPS) == name
    assert name_of(labels={"kueue.x-k8s.io/pod-group-name": name}) == name
    assert name_of(annotations={f"{KOORDINATOR}/name": name, f"{KOORDINATOR}/min-available": "2"}) == name
    assert name_of(labels={f"{LIGHT}/name": name, f"{LIGHT}/min-available": "2"}) == name


def test_an_application_is_looked_for_where_yunikorn_does() -> None:
    """utils.GetApplicationIDFromPod: canonical label, annotation, legacy label, Spark's label."""
    places = [
        ("labels", f"{YUNIKORN}/app-id", "first"),
        ("annotations", f"{YUNIKORN}/app-id", "second"),
        ("labels", "applicationId", "third"),
        ("labels", "spark-app-selector", "fourth"),
    ]
    for i in range(len(places)):
        said: dict[str, dict[str, str]] = {"labels": {}, "annotations": dict(GROUPS)}
        for kind, key, value in places[i:]:
            said[kind][key] = value
        assert name_of(**said) == places[i][2]


def test_a_gang_is_looked_for_where_koordinator_does() -> None:
    """coscheduling/util.GetGangNameByPod: PodGroup label, lightweight label, annotation."""
    notes = {f"{KOORDINATOR}/name": "third", f"{KOORDINATOR}/min-available": "2"}
    light = {f"{LIGHT}/name": "second", f"{LIGHT}/min-available": "2"}
    assert name_of(labels={LIGHT: "first", **light}, annotations=notes) == "first"
    assert name_of(labels=light, annotations=notes) == "second"
    assert name_of(annotations=notes) == "third"


def test_a_pod_group_is_named_by_label_or_annotation() -> None:
    key = "scheduling.x-k8s.io/pod-group"
    assert name_of(labels={key: "a"}, annotations={key: "b"}) == "a"
    assert name_of(annotations={key: "b"}) == "b"


@pytest.mark.parametrize("name", ["a/b", "-a", "a b", "", "a" * 300, "ä"])
def test_what_is_no_name_is_refused_with_its_key(name: str) -> None:
    found = resolve(pod("p", annotations={f"{YUNIKORN}/app-id": name, **GROUPS}))
    assert isinstance(found, Rejected)


@given(st.lists(LABELS, min_size=2, max_size=2, unique=True), st.sampled_from(["yunikorn", "koordinator"]))
def test_each_gang_has_an_object_of_its_own_that_the_api_server_takes(names: list[str], dialect: str) -> None:
    found = [object_name(GangKey(namespace="red", dialect=dialect, name=name)) for name in names]
    assert found[0] != found[1]
    for name in found:
        assert len(name) <= NAME_MAX
        assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", part) for part in name.split("."))
