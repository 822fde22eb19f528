"""Pods as a hostile tenant would write them: sound manifests with odd values anywhere."""

from __future__ import annotations

import json
from copy import deepcopy
from random import Random
from typing import TypeAlias

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

QUANTITIES: tuple[Json, ...] = (
    "-1",
    "0",
    "0.5",
    "1e30",
    "9223372036854775807",
    "9223372036854775808",
    "1Ei",
    "+8",
    "08",
    "1e-9",
    "1e999999999",
    "9" * 5000,
    "NaN",
    "Infinity",
    "",
    "1 ",
    "\u0661",
    "16",
    "17",
    2**62,
    2**63,
    -1,
    0.5,
    1e300,
)
TEXTS: tuple[Json, ...] = (
    "",
    "a" * 64,
    "a" * 300_000,
    "red\nERROR gang=blue evicted by operator",
    "\x1b[31mred\x1b[0m",
    "{} %s %d {0.__class__}",
    "\u202eabc",
    "\ud83d\ude00",
    "../../etc",
    "In",
    "Exists",
    "Always",
    "DoNotSchedule",
    "kubernetes.io/hostname",
    "true",
    "null",
)
NUMBERS: tuple[Json, ...] = (-1, 0, 1, 2**31, 2**63, -(2**63), 10**18)


def pod(rng: Random) -> Json:
    """A manifest with a few values replaced, removed, or repeated."""
    built = deepcopy(SOUND)
    for _ in range(rng.randint(1, 4)):
        _spoil(rng, built)
    return built


def text(rng: Random) -> bytes:
    return json.dumps(pod(rng)).encode()


def _spoil(rng: Random, tree: Json) -> None:
    """Walk to a random place and spoil it."""
    while True:
        if isinstance(tree, dict) and tree:
            key: str | int = rng.choice(sorted(tree))
            child = tree[str(key)]
        elif isinstance(tree, list) and tree:
            key = rng.randrange(len(tree))
            child = tree[key]
        else:
            return
        if not isinstance(child, dict | list) or not child or rng.random() < 0.1:
            _replace(rng, tree, key, child)
            return
        tree = child


def _replace(rng: Random, tree: dict[str, Json] | list[Json], key: str | int, child: Json) -> None:
    if isinstance(tree, list) and rng.random() < 0.3:
        tree += [deepcopy(child) for _ in range(rng.choice((1, 10, 500)))]
        return
    value = _odd(rng, child)
    if isinstance(tree, list):
        tree[int(key)] = value
    elif rng.random() < 0.15:
        del tree[str(key)]
    elif rng.random() < 0.15:
        tree[str(rng.choice(TEXTS))] = child
    else:
        tree[str(key)] = value


def _odd(rng: Random, child: Json) -> Json:
    match child:
        case bool():
            return rng.choice((True, False, None))
        case int() | float():
            return rng.choice(NUMBERS)
        case str():
            return rng.choice(QUANTITIES if rng.random() < 0.5 else TEXTS)
        case list():
            return rng.choice(([], None, [*child, *child]))
        case _:
            return rng.choice(({}, None))


SOUND: Json = {
    "metadata": {
        "name": "worker-0",
        "namespace": "team",
        "uid": "u",
        "resourceVersion": "7",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "labels": {"app": "bert", "role": "worker"},
        "annotations": {"stowplan.dev/gang": "bert", "stowplan.dev/gang-min-member": "4", "note": "x"},
        "ownerReferences": [
            {"apiVersion": "batch/v1", "kind": "Job", "name": "bert", "uid": "j", "controller": True}
        ],
    },
    "spec": {
        "schedulerName": "stowplan",
        "priority": 5,
        "preemptionPolicy": "Never",
        "containers": [
            {
                "name": "main",
                "resources": {
                    "requests": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "2"},
                    "limits": {"nvidia.com/gpu": "2", "rdma/ib": "1"},
                },
                "ports": [{"containerPort": 80, "hostPort": 8080, "protocol": "TCP", "hostIP": "10.0.0.1"}],
            }
        ],
        "initContainers": [
            {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
            {"name": "fetch", "resources": {"requests": {"cpu": "8"}, "limits": {"memory": "1Gi"}}},
        ],
        "overhead": {"cpu": "250m"},
        "resources": {"requests": {"cpu": "6"}},
        "nodeSelector": {"rack": "1"},
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [{"key": "count", "operator": "Gt", "values": ["4"]}],
                            "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}],
                        }
                    ]
                },
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 5, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}
                ],
            },
            "podAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "topologyKey": "rack",
                        "labelSelector": {"matchLabels": {"app": "bert"}},
                        "namespaceSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]},
                        "matchLabelKeys": ["role"],
                    }
                ]
            },
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 7,
                        "podAffinityTerm": {
                            "topologyKey": "kubernetes.io/hostname",
                            "namespaces": ["team"],
                            "labelSelector": {
                                "matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]
                            },
                        },
                    }
                ]
            },
        },
        "tolerations": [{"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}],
        "topologySpreadConstraints": [
            {
                "topologyKey": "rack",
                "maxSkew": 1,
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": "bert"}},
                "minDomains": 2,
                "nodeAffinityPolicy": "Honor",
                "nodeTaintsPolicy": "Ignore",
            }
        ],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "tmp", "ephemeral": {"volumeClaimTemplate": {}}},
            {"name": "config", "configMap": {"name": "x"}},
        ],
        "schedulingGates": [{"name": "example.com/wait"}],
        "schedulingGroup": {"podGroupName": "bert"},
        "hostNetwork": False,
    },
    "status": {"phase": "Pending", "nominatedNodeName": "n1"},
}
