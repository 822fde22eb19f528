"""Lists and events with objects that break their type, or are no objects at all."""

from __future__ import annotations

import gc
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.kube import wire
from scheduler.kube.decoding import (
    Bookmark,
    Change,
    Decoded,
    ObjectDecoder,
    Undecodable,
    collector_paused,
)
from scheduler.kube.depth import DEPTH_MAX, shallow
from scheduler.kube.errors import ApiError, BadAnswer, Gone
from scheduler.kube.versions import parse_version

PODS = ObjectDecoder(wire.Pod)

Json = dict[str, object]


def pod(number: int, **more: object) -> Json:
    meta = {"name": f"p{number}", "namespace": "n", "uid": f"u{number}", "resourceVersion": str(number)}
    return {"metadata": meta, **more}


#: Each breaks a Pod in another place, and none its name.
ODDITIES: tuple[Json, ...] = (
    {"spec": []},
    {"spec": {"containers": [{"resources": {"requests": {"cpu": {}}}}]}},
    {"spec": {"priority": "high"}},
    {"spec": {"tolerations": {"key": "a"}}},
    {"status": {"phase": None}},
    {"spec": {"volumes": [{"name": "v", "csi": 5}]}},
)

broken_values: st.SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(kinds=st.lists(st.integers(-1, len(ODDITIES) - 1), max_size=12))
def test_a_list_gives_every_object_and_names_the_odd_ones(kinds: list[int]) -> None:
    items = [pod(n, **(ODDITIES[kind] if kind >= 0 else {})) for n, kind in enumerate(kinds, 1)]
    body = json.dumps({"metadata": {"resourceVersion": "99", "continue": "t"}, "items": items}).encode()
    page = PODS.page(body)
    assert (page.version, page.token) == (99, "t")
    for n, (kind, item) in enumerate(zip(kinds, page.items, strict=True), 1):
        assert item.version == n
        if kind >= 0:
            assert isinstance(item, Undecodable)
            assert (item.namespace, item.name, item.uid) == ("n", f"p{n}", f"u{n}")
            assert item.reason
        else:
            assert isinstance(item, Decoded)
            assert item.object.metadata.name == f"p{n}"


@given(where=st.sampled_from(["metadata", "spec", "status"]), value=broken_values)
def test_whatever_stands_in_a_field_the_rest_of_the_list_is_read(where: str, value: object) -> None:
    items = [pod(1), {**pod(2), where: value}, pod(3)]
    page = PODS.page(json.dumps({"metadata": {"resourceVersion": "9"}, "items": items}).encode())
    assert len(page.items) == 3
    assert isinstance(page.items[0], Decoded)
    assert isinstance(page.items[2], Decoded)


@given(where=st.sampled_from(["metadata", "spec", "status", "type"]), value=broken_values)
def test_an_event_is_a_change_or_a_bad_answer_and_never_a_surprise(where: str, value: object) -> None:
    event: Json = {"type": "ADDED", "object": {**pod(2), where: value}}
    if where == "type":
        event = {"type": value, "object": pod(2)}
    try:
        found = PODS.event(json.dumps(event).encode())
    except BadAnswer:
        assert where == "type"
    else:
        assert isinstance(found, Change)


def nested(depth: int, *, opens: str = '{"f:a":', closes: str = "}") -> str:
    return opens * depth + "1" + closes * depth


#: Some of which a tenant writes: ``managedFields`` nests as deep as the API server reads JSON.
DEEP = ("[", "]"), ('{"f:a":', "}"), ('{"k:{\\"a\\":\\"}]\\\\\\"}":', "}")


def deep_pod(number: int, depth: int, opens: str, closes: str) -> str:
    fields = nested(depth, opens=opens, closes=closes)
    meta = f'"name":"p{number}","namespace":"n","uid":"u{number}","resourceVersion":"{number}"'
    return f'{{"metadata":{{"managedFields":[{{"fieldsV1":{fields}}}],{meta}}},"spec":{{"nodeName":"a"}}}}'


@pytest.mark.parametrize("way", DEEP)
@given(depths=st.lists(st.sampled_from([1, 90, 900, 9_990]), min_size=1, max_size=6))
def test_an_object_that_nests_too_deep_is_read_like_any_other(
    way: tuple[str, str], depths: list[int]
) -> None:
    items = ",".join(deep_pod(n, depth, *way) for n, depth in enumerate(depths, 1))
    page = PODS.page(f'{{"metadata":{{"resourceVersion":"9"}},"items":[{items}]}}'.encode())
    events = [
        PODS.event(f'{{"type":"ADDED","object":{deep_pod(n, depth, *way)}}}'.encode())
        for n, depth in enumerate(depths, 1)
    ]
    for n, (item, event) in enumerate(zip(page.items, events, strict=True), 1):
        assert isinstance(event, Change)
        for found in (item, event.item):
            assert isinstance(found, Decoded)
            assert (found.object.metadata.name, found.object.spec.node_name) == (f"p{n}", "a")


@pytest.mark.parametrize("field", ["spec", "status"])
def test_what_is_read_and_nests_too_deep_is_told_as_odd(field: str) -> None:
    where = {"spec": '"spec":{"containers":', "status": '"status":{"conditions":'}[field]
    body = '{"metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"7"},' + where
    found = PODS.event(
        ('{"type":"ADDED","object":' + body + nested(9_000, opens="[", closes="]") + "}}}").encode()
    )
    assert isinstance(found, Change)
    assert isinstance(found.item, Undecodable)
    assert (found.item.name, found.item.version) == ("a", 7)


@given(value=broken_values, depth=st.integers(0, 300))
def test_what_is_cut_is_only_what_nests_too_deep(value: object, depth: int) -> None:
    for _ in range(depth):
        value = [value, {'"\\': "]"}]
    assert json.loads(shallow(json.dumps(value).encode())) == _pruned(value, 1)


def _pruned(value: object, level: int) -> object:
    match value:
        case dict() | list() if level > DEPTH_MAX:
            return None
        case dict():
            return {key: _pruned(inner, level + 1) for key, inner in value.items()}
        case list():
            return [_pruned(inner, level + 1) for inner in value]
        case _:
            return value


@pytest.mark.parametrize("odd", ODDITIES)
def test_an_odd_object_in_an_event_is_told_with_its_version(odd: Json) -> None:
    found = PODS.event(json.dumps({"type": "MODIFIED", "object": pod(5, **odd)}).encode())
    assert isinstance(found, Change)
    assert isinstance(found.item, Undecodable)
    assert (found.type, found.item.uid, found.item.version) == ("MODIFIED", "u5", 5)


@pytest.mark.parametrize("object_", [{}, {"spec": {}, "status": {}}, {"spec": 5}])
def test_a_bookmark_is_its_version_whatever_else_it_holds(object_: Json) -> None:
    line = json.dumps({"type": "BOOKMARK", "object": {**object_, "metadata": {"resourceVersion": "7"}}})
    assert PODS.event(line.encode()) == Bookmark(7)


def test_an_error_event_is_raised_as_its_error() -> None:
    status = {"kind": "Status", "metadata": {}, "code": 410, "reason": "Expired", "message": "too old"}
    with pytest.raises(Gone, match="too old"):
        PODS.event(json.dumps({"type": "ERROR", "object": status}).encode())
    with pytest.raises(ApiError):
        PODS.event(b'{"type": "ERROR", "object": {"code": "many"}}')


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b'{"type": "ADDED"}',
        b'{"type": "MOVED", "object": {"metadata": {}}}',
        b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "new"}}}',
        b'{"type": "ADDED", "object": {"metadata": {"name": "\xff"}}',
    ],
)
def test_what_is_no_event_is_a_bad_answer(line: bytes) -> None:
    with pytest.raises(BadAnswer):
        PODS.event(line)


@pytest.mark.parametrize(
    "body", [b"", b"5", b'{"items": []}', b'{"metadata": {"resourceVersion": ""}, "items": []}']
)
def test_what_is_no_list_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        PODS.page(body)


def test_an_absent_list_of_items_is_an_empty_one() -> None:
    assert PODS.page(b'{"metadata": {"resourceVersion": "1"}, "items": null}').items == []


@pytest.mark.parametrize(("text", "version"), [("0", 0), ("184467440737", 184467440737)])
def test_versions_are_integers(text: str, version: int) -> None:
    assert parse_version(text) == version


@given(text=st.text(max_size=30).filter(lambda text: not (text.isascii() and text.isdecimal())))
def test_what_is_no_integer_is_no_version(text: str) -> None:
    assert parse_version(text) is None
    assert parse_version("1" * 21 + text) is None


def test_quantities_may_be_text_or_numbers_and_affinity_waits_for_its_reader() -> None:
    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["h100"]}]}
                ]
            }
        }
    }
    requests = {"nvidia.com/gpu": 8, "cpu": 0.5, "memory": "1Gi"}
    found = msgspec.json.decode(
        json.dumps(
            pod(1, spec={"containers": [{"resources": {"requests": requests}}], "affinity": affinity})
        ),
        type=wire.Pod,
    )
    container = (found.spec.containers or ())[0]
    assert container.resources is not None
    assert container.resources.requests == requests
    read = msgspec.json.decode(found.spec.affinity, type=wire.Affinity)
    assert read.node_affinity is not None
    required = read.node_affinity.required_during_scheduling_ignored_during_execution
    assert required is not None
    assert (required.node_selector_terms or ())[0].match_expressions == (
        wire.Requirement(key="gpu", operator="In", values=("h100",)),
    )
    assert bytes(found.spec.topology_spread_constraints) == bytes(wire.ABSENT) == b""


def test_a_binding_carries_its_preconditions_and_nothing_empty() -> None:
    binding = wire.Binding(
        metadata=wire.WrittenMetadata(name="p", namespace="n", uid="u", annotations={"a": "b"}),
        target=wire.ObjectReference(api_version="v1", kind="Node", name="node1"),
    )
    assert json.loads(msgspec.json.encode(binding)) == {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "annotations": {"a": "b"}},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "node1"},
    }


def test_the_collector_is_left_as_it_was_found() -> None:
    assert gc.isenabled()
    with collector_paused(), collector_paused():
        assert not gc.isenabled()
    assert gc.isenabled()
