"""Why a node is ruled out, in the words users know; the rule kube-scheduler asks first speaks first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduler.model.objects import Volume
from scheduler.model.selection import NodeTerm, Requirement, Taint, Toleration
from scheduler.model.volumes import Claim, Claims, PersistentVolume, StorageClass
from scheduler.predicates.registry import mask, why
from tests.builders import node, shape

ZONE = "topology.kubernetes.io/zone"
GPU_TAINT = Taint(key="nvidia.com/gpu", value="present", effect="NoSchedule")
IN_Z1 = (NodeTerm(expressions=(Requirement(key=ZONE, operator="In", values=("z1",)),)),)


def test_a_cordoned_node_is_named_before_its_taint() -> None:
    cordoned = node("n", is_unschedulable=True, taints=(GPU_TAINT,))
    assert why(shape(), cordoned, Claims()) == "node(s) were unschedulable"
    brave = Toleration(key="node.kubernetes.io/unschedulable", operator="Exists", value="", effect="")
    told = why(shape(tolerations=(brave,)), cordoned, Claims())
    assert told == "node(s) had untolerated taint {nvidia.com/gpu: present}"


def test_a_mild_taint_rules_nothing_out() -> None:
    mild = node("n", taints=(replace(GPU_TAINT, effect="PreferNoSchedule"),))
    assert why(shape(), mild, Claims()) is None


@pytest.mark.parametrize(
    ("operator", "bound", "taint", "fits"),
    [
        ("Gt", "5", "6", True),
        ("Gt", "5", "5", False),
        ("Lt", "5", "4", True),
        ("Lt", "5", "x", False),
        ("Lt", "x", "4", False),
    ],
)
def test_tolerations_compare_the_taints_number_with_theirs(
    operator: str, bound: str, taint: str, fits: bool
) -> None:
    tolerant = Toleration(key="sla", operator=operator, value=bound, effect="")  # type: ignore[arg-type] # a text from the table above
    tainted = node("n", taints=(Taint(key="sla", value=taint, effect="NoExecute"),))
    assert (why(shape(tolerations=(tolerant,)), tainted, Claims()) is None) == fits


def test_affinity_and_selector_share_one_reason() -> None:
    there = node("n", labels={ZONE: "z2"})
    for wanted in (shape(node_selector=((ZONE, "z1"),)), shape(node_terms=IN_Z1), shape(node_terms=())):
        assert why(wanted, there, Claims()) == "node(s) didn't match Pod's node affinity/selector"


def claims(claim: Claim | None, *, waits: bool = False, volume: PersistentVolume | None = None) -> Claims:
    storage = StorageClass(name="disk", waits_for_consumer=waits)
    return Claims(
        claims={} if claim is None else {(claim.namespace, claim.name): claim},
        volumes={} if volume is None else {volume.name: volume},
        classes={"disk": storage},
    )


OPEN = Claim(namespace="team", name="data", volume="", storage_class="disk")
BOUND = replace(OPEN, volume="v1")
NEAR = PersistentVolume(name="v1", node_terms=None)
FAR = PersistentVolume(name="v1", node_terms=IN_Z1)
ZONED = PersistentVolume(name="v1", node_terms=None, labels=((ZONE, "z1__z3"),))


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (claims(None), 'persistentvolumeclaim "data" not found'),
        (claims(replace(BOUND, is_deleting=True)), 'persistentvolumeclaim "data" is being deleted'),
        (claims(OPEN), "pod has unbound immediate PersistentVolumeClaims"),
        (claims(replace(OPEN, is_prebound=True), waits=True), "pod has unbound immediate"),
        (claims(OPEN, waits=True), "node(s) didn't find available persistent volumes to bind"),
        (claims(BOUND), "bound to non-existent pv(s)"),
        (claims(BOUND, volume=FAR), "node(s) didn't match PersistentVolume's node affinity"),
        (claims(BOUND, volume=ZONED), "node(s) had no available volume zone"),
    ],
)
def test_a_volume_out_of_reach_says_why(known: Claims, words: str) -> None:
    mounting = shape(volumes=(Volume(claim="data"),), namespace="team")
    there = node("n", labels={ZONE: "z2"})
    told = why(mounting, there, known)
    assert told is not None
    assert words in told
    assert not mask(mounting, [there], known).any()


@pytest.mark.parametrize("volume", [FAR, ZONED])
def test_a_volume_in_reach_rules_nothing_out(volume: PersistentVolume) -> None:
    mounting = shape(volumes=(Volume(claim="data"),), namespace="team")
    assert why(mounting, node("n", labels={ZONE: "z1"}), claims(BOUND, volume=volume)) is None
