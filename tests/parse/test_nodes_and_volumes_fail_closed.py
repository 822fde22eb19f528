"""Nodes, claims and volumes: what cannot be read provides nothing."""

from __future__ import annotations

from typing import TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.kube import wire
from scheduler.model.objects import GPU, Node, Rejected
from scheduler.model.volumes import PersistentVolume, StorageClass
from scheduler.parse.node import parse_node
from scheduler.parse.quantity import AMOUNT_MAX
from scheduler.parse.volumes import parse_claim, parse_storage_class, parse_volume
from tests.parse.hostile import QUANTITIES

T = TypeVar("T")


def decode(manifest: object, kind: type[T]) -> T:
    return msgspec.json.decode(msgspec.json.encode(manifest), type=kind)


def node(**parts: object) -> Node | Rejected:
    return parse_node(decode({"metadata": {"name": "n"}, **parts}, wire.Node))


@given(st.lists(st.sampled_from(QUANTITIES) | st.text(max_size=10), min_size=3, max_size=3))
@settings(max_examples=100, deadline=None)
def test_any_allocatable_gives_bounded_amounts(amounts: list[object]) -> None:
    found = node(status={"allocatable": dict(zip(("cpu", GPU, "pods"), amounts, strict=True))})
    assert isinstance(found, Node)
    assert "pods" in found.allocatable
    assert all(0 <= amount <= AMOUNT_MAX for amount in found.allocatable.values())


@pytest.mark.parametrize("amount", ["-8", "soup", "", "NaN"])
def test_gpus_that_cannot_be_read_are_no_gpus(amount: str) -> None:
    found = node(status={"allocatable": {GPU: amount, "cpu": "4", "pods": "110"}})
    assert isinstance(found, Node)
    assert found.allocatable == {"cpu": 4000, "pods": 110}


def test_a_taint_nobody_knows_keeps_everything_away() -> None:
    found = node(spec={"taints": [{"key": "a", "effect": "NoBreathing"}]})
    assert isinstance(found, Rejected)
    assert "NoBreathing" in found.reason


def test_a_claim_is_bound_only_when_the_controller_says_so() -> None:
    bound = {"pv.kubernetes.io/bind-completed": "yes"}
    spec = {"volumeName": "v", "storageClassName": "disk"}
    yes = parse_claim(decode({"metadata": {"annotations": bound}, "spec": spec}, wire.PersistentVolumeClaim))
    no = parse_claim(decode({"metadata": {}, "spec": spec}, wire.PersistentVolumeClaim))
    assert (yes.volume, yes.is_prebound) == ("v", False)
    assert (no.volume, no.is_prebound) == ("", True)


def test_a_claim_of_one_pod_alone_is_known_by_its_access_mode() -> None:
    shared, alone = (
        parse_claim(decode({"metadata": {}, "spec": {"accessModes": modes}}, wire.PersistentVolumeClaim))
        for modes in (["ReadWriteOnce"], ["ReadWriteOncePod"])
    )
    assert not shared.is_exclusive
    assert alone.is_exclusive


def test_the_old_class_annotation_comes_before_the_field() -> None:
    old = {"volume.beta.kubernetes.io/storage-class": "old"}
    manifest = {"metadata": {"annotations": old}, "spec": {"storageClassName": "new"}}
    assert parse_claim(decode(manifest, wire.PersistentVolumeClaim)).storage_class == "old"


def test_a_volume_with_terms_that_cannot_be_read_is_refused() -> None:
    term = {"matchExpressions": [{"key": "zone", "operator": "Near", "values": ["z"]}]}
    spec = {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}
    assert isinstance(parse_volume(decode({"metadata": {}, "spec": spec}, wire.PersistentVolume)), Rejected)
    plain = parse_volume(decode({"metadata": {"name": "v"}}, wire.PersistentVolume))
    assert plain == PersistentVolume(name="v", node_terms=None)


def test_a_storage_class_says_whether_it_waits_and_where() -> None:
    topologies = [{"matchLabelExpressions": [{"key": "zone", "values": ["b", "a"]}]}]
    manifest = {"metadata": {}, "volumeBindingMode": "WaitForFirstConsumer", "allowedTopologies": topologies}
    found = parse_storage_class(decode(manifest, wire.StorageClass))
    assert isinstance(found, StorageClass)
    assert found.waits_for_consumer
    assert found.allowed_terms is not None
    assert found.allowed_terms[0].expressions[0].values == ("a", "b")
