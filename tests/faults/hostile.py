"""Pods that an API server accepts and a scheduler had better not believe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from tests.faults.stage import GANG, GPU, MIN_MEMBER, Json, pod

ROLE = "stowplan.dev/gang-role"
ROLE_MIN = "stowplan.dev/gang-role-min"
TOPOLOGY = "stowplan.dev/topology-required"
COSCHEDULING = "scheduling.x-k8s.io/pod-group"
SELF = "00000000-0000-0000-0000-000000000001"
#: Newlines, ANSI escapes, format strings, a right-to-left mark, a look-alike: what forges a log line.
NASTY = "red\nERROR gang=blue evicted\x1b[31m{0}%s\u202e\u0430"


def hostile(chance: Random) -> list[tuple[str, Json]]:
    """(name, manifest) in random order, with random bystanders among the fields."""
    found = [(name, body) for name, body in (*_quantities(), *_gang_keys(chance), *_rules(chance))]
    chance.shuffle(found)
    for name, body in found:
        body["metadata"]["name"] = name
        body["metadata"]["labels"] = {
            "app": chance.choice(["web", "train"]),
            **body["metadata"].get("labels", {}),
        }
    return found


def _quantities() -> Iterator[tuple[str, Json]]:
    gpus = ("0", "-1", "0.5", "1e30", "9223372036854775807", "9223372036854775808", "1Ei", "+8", "08", "1e-9")
    for number, gpu in enumerate((*gpus, "4611686018427387904", "1000000000000E", "17")):
        yield f"gpu-{number}", _asking({GPU: gpu})
    for number, cpu in enumerate(("-1", "1e18", "0.0000001", "9223372036854775807")):
        yield f"cpu-{number}", _asking({GPU: "1", "cpu": cpu})
    for number, memory in enumerate(("1e30", "100m", "8Ei", "9999999999999999999999999")):
        yield f"memory-{number}", _asking({GPU: "1", "memory": memory})
    body = _asking({GPU: "1"})
    body["spec"]["initContainers"] = [_container("init", {GPU: "9223372036854775807"})]
    yield "init-larger", body
    body = _asking({GPU: "9223372036854775807"})
    body["spec"]["containers"].append(_container("second", {GPU: "9223372036854775807"}))
    yield "sum-overflows", body


def _gang_keys(chance: Random) -> Iterator[tuple[str, Json]]:
    for number, size in enumerate(("0", "-1", "99999999999999999999", "2.0", "08", "two", "", NASTY)):
        yield f"size-{number}", pod("", annotations={GANG: f"size{number}", MIN_MEMBER: size})
    for number, name in enumerate(("", "UPPER", NASTY, "x" * 300, "../../etc", "a" * 200_000)):
        yield f"name-{number}", pod("", annotations={GANG: name, MIN_MEMBER: "1"})
    yield "no-size", pod("", annotations={GANG: "sizeless"})
    yield "no-gang", pod("", annotations={MIN_MEMBER: "3"})
    for number in range(2):
        yield f"short-{number}", pod("", annotations={GANG: "short", MIN_MEMBER: "10000"})
    for number in range(3):
        size = "2" if number else "7"
        yield f"dissent-{number}", pod("", gpus=8, annotations={GANG: "dissent", MIN_MEMBER: size})
    body = pod("", annotations={GANG: "one", MIN_MEMBER: "1"})
    body["metadata"]["labels"] = {GANG: "other"}
    yield "two-names", body
    yield "role-alone", pod("", annotations={GANG: "roles", MIN_MEMBER: "1", ROLE_MIN: "4"})
    yield "role-above", pod("", annotations={GANG: "above", MIN_MEMBER: "1", ROLE: "w", ROLE_MIN: "4"})
    yield "topology", pod("", annotations={GANG: "where", MIN_MEMBER: "1", TOPOLOGY: NASTY})
    body = pod("")
    body["metadata"]["labels"] = {COSCHEDULING: f"missing-{chance.randrange(10)}"}
    yield "no-group", body
    yield "no-native-group", pod("", schedulingGroup={"podGroupName": "missing"})


def _rules(chance: Random) -> Iterator[tuple[str, Json]]:
    yield "annotations", pod("", gpus=99, annotations={"note": "x" * 250_000})
    body = pod("", gpus=99)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "ring", "uid": SELF, "controller": True}
    body["metadata"]["ownerReferences"] = [owner]
    body["metadata"]["annotations"] = {"stowplan.dev/gang-policy": "all-or-nothing"}
    yield "cyclic-owner", body
    terms = [
        {"matchExpressions": [{"key": f"k{n}", "operator": chance.choice(["Exists", "DoesNotExist"])}] * 3}
        for n in range(1500)
    ]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    yield "many-terms", pod("", affinity={"nodeAffinity": required})
    yield "claims", pod("", resourceClaims=[{"name": "gpu", "resourceClaimName": "missing"}])
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "missing"}}
    yield "no-volume", pod("", volumes=[volume])
    yield "nowhere", pod("", nodeSelector={"planet": "mars"})
    yield "gated", pod("", schedulingGates=[{"name": "example.com/wait"}])
    spread = {"maxSkew": 1, "topologyKey": "no-such-key", "whenUnsatisfiable": "DoNotSchedule"}
    yield "spread", pod("", topologySpreadConstraints=[spread])


def _asking(limits: Mapping[str, str]) -> Json:
    body = pod("")
    body["spec"]["containers"] = [_container("main", limits)]
    return body


def _container(name: str, limits: Mapping[str, str]) -> dict[str, Any]:
    return {"name": name, "image": "none", "resources": {"limits": dict(limits)}}
