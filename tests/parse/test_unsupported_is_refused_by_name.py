"""What stowplan cannot keep, it refuses; the reason names the field."""

from __future__ import annotations

import msgspec
import pytest

from scheduler.kube import wire
from scheduler.model.objects import Pod, Rejected
from scheduler.parse.pod import parse_pod, skeleton

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def decode(spec: object, **metadata: object) -> wire.Pod:
    manifest = {"metadata": {"name": "p", "namespace": "team", **metadata}, "spec": spec}
    return msgspec.json.decode(msgspec.json.encode(manifest), type=wire.Pod)


def node_terms(*expressions: object) -> object:
    return {
        "affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": expressions}]}}}
    }


def pod_term(**term: object) -> dict[str, object]:
    whole = {"topologyKey": "rack", "labelSelector": {}, **term}
    return {"affinity": {"podAntiAffinity": {REQUIRED: [whole]}}}


def spread(**constraint: object) -> object:
    whole = {"topologyKey": "rack", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", **constraint}
    return {"topologySpreadConstraints": [whole]}


def field(key: str = "metadata.name", operator: str = "In", values: tuple[str, ...] = ("n",)) -> object:
    match = [{"key": key, "operator": operator, "values": values}]
    return {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchFields": match}]}}}}


REFUSED = [
    ({"resourceClaims": [{"name": "gpu"}]}, "spec.resourceClaims"),
    ({"containers": [{"resources": {"claims": [{"name": "gpu"}]}}]}, "spec.containers[0].resources.claims"),
    ({"volumes": [{"name": "d", "gcePersistentDisk": {"pdName": "x"}}]}, "spec.volumes['d']"),
    ({"volumes": [{"name": "d", "awsElasticBlockStore": {"volumeID": "x"}}]}, "spec.volumes['d']"),
    ({"volumes": [{"name": "d", "iscsi": {"iqn": "x"}}]}, "spec.volumes['d']"),
    ({"volumes": [{"name": "d", "rbd": {"image": "x"}}]}, "spec.volumes['d']"),
    ({"tolerations": [{"key": "a", "operator": "Like"}]}, "spec.tolerations[0].operator"),
    ({"tolerations": [{"key": "a", "effect": "Sometimes"}]}, "spec.tolerations[0].effect"),
    ({"tolerations": [{"key": f"k{i}"} for i in range(200)]}, "spec.tolerations"),
    ({"nodeSelector": {"a": "b" * 64}}, "spec.nodeSelector"),
    (
        node_terms({"key": "a", "operator": "Matches", "values": ["x"]}),
        "nodeSelectorTerms[0].matchExpressions",
    ),
    (node_terms({"key": "a", "operator": "In"}), "has no values"),
    (node_terms({"key": "a", "operator": "Gt", "values": ["x"]}), "exactly one integer"),
    (node_terms({"key": "a", "operator": "Gt", "values": ["1", "2"]}), "exactly one integer"),
    (node_terms({"key": "a", "operator": "Exists", "values": ["x"]}), "takes no values"),
    (node_terms(*[{"key": "a", "operator": "Exists"}] * 101), "use at most 100"),
    (field(key="metadata.uid"), "only metadata.name"),
    (field(operator="Gt"), "matchFields"),
    (field(values=("a", "b")), "exactly one node"),
    (
        {"affinity": {"nodeAffinity": {PREFERRED: [{"weight": 101, "preference": {}}]}}},
        "weight: must be 1 to 100",
    ),
    ({"affinity": {"nodeAffinity": "yes"}}, "spec.affinity: is not as the API defines it"),
    ({"affinity": {"x": "y" * 30_000}}, "spec.affinity: 30,"),
    (pod_term(topologyKey=""), "podAntiAffinity"),
    (pod_term(labelSelector={"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}), "'Gt'"),
    (pod_term(namespaces=["n"] * 1_001), "namespaces"),
    (spread(maxSkew=0), "topologySpreadConstraints[0].maxSkew"),
    (spread(whenUnsatisfiable="Perhaps"), "whenUnsatisfiable"),
    (spread(minDomains=0), "minDomains"),
    (spread(nodeAffinityPolicy="Maybe"), "nodeAffinityPolicy"),
    (spread(nodeTaintsPolicy="Maybe"), "nodeTaintsPolicy"),
    ({"containers": [{"ports": [{"hostPort": 70_000}]}]}, "hostPort"),
    ({"containers": [{"ports": [{"hostPort": 80, "protocol": "ICMP"}]}]}, "protocol"),
    ({"schedulingGates": [{"name": f"g{i}"} for i in range(65)]}, "spec.schedulingGates"),
]


@pytest.mark.parametrize(("spec", "words"), REFUSED)
def test_the_reason_names_the_field_and_the_pod_still_counts(spec: object, words: str) -> None:
    found = parse_pod(decode(spec))
    assert isinstance(found, Rejected)
    assert words in found.reason
    assert skeleton(decode(spec)).namespace == "team"


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"labels": {"a": "b" * 64}}, "metadata.labels['a']"),
        ({"labels": {"-": "b"}}, "metadata.labels"),
        ({"labels": {f"k{i}": "v" for i in range(257)}}, "metadata.labels: more than 256"),
        ({"annotations": {"stowplan.dev/gang": "x" * 5_000}}, "metadata.annotations['stowplan.dev/gang']"),
    ],
)
def test_metadata_out_of_bounds_is_refused(metadata: dict[str, object], words: str) -> None:
    found = parse_pod(decode({}, **metadata))
    assert isinstance(found, Rejected)
    assert words in found.reason


def test_one_bad_rule_takes_no_other_from_the_pods_count() -> None:
    spec: dict[str, object] = {
        "resourceClaims": [{"name": "gpu"}],
        "tolerations": [{"operator": "Like"}],
        **pod_term(),
    }
    spec["containers"] = [{"ports": [{"hostPort": 80}]}]
    counted = skeleton(decode(spec))
    assert len(counted.shape.pod_anti_affinity) == 1
    assert [port.port for port in counted.shape.host_ports] == [80]
    assert counted.shape.tolerations == ()


def test_annotations_that_nobody_reads_are_dropped_whatever_their_size() -> None:
    notes = {"kubectl.kubernetes.io/last-applied-configuration": "x" * 200_000, "stowplan.dev/gang": "g"}
    found = parse_pod(decode({}, annotations=notes))
    assert isinstance(found, Pod)
    assert found.annotations == (("stowplan.dev/gang", "g"),)
