"""Random clusters with one newcomer, as API manifests: ``python -m tests.predicates.generate --seed 7``.

The vocabulary is small so that rules meet often, and every manifest is one the API server takes. One JSON
case a line: ``nodes``, ``placed`` (pods with a node), ``pod`` (the newcomer), ``namespaces``, ``claims``,
``volumes``, ``classes``.
"""

from __future__ import annotations

import argparse
import json
from random import Random
from typing import TypeAlias

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | bool"
Manifest: TypeAlias = dict[str, Json]

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
KEYS = (HOSTNAME, ZONE, "rack", "gpu", "count")
NAMESPACES = ("red", "blue")
CLAIMS = ("data", "cache", "open")
VOLUMES = ("v1", "v2", "v3")
PORTS = {"c0": 80, "c1": 81, "i0": 82, "i1": 83, "i2": 84}
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def case(rng: Random) -> Manifest:
    """One cluster and one newcomer. Three of four newcomers are held back by one family of rules only."""
    nodes = [node(rng, f"n{i}") for i in range(rng.randint(1, 6))]
    names = [f"n{i}" for i in range(len(nodes))]
    placed = [pod(rng, f"old{i}", node_name=rng.choice(names)) for i in range(rng.randint(0, 8))]
    focus = rng.choice((everything, neighbours, spreading, mounting))
    return {
        "nodes": list(nodes),
        "placed": list(placed),
        "pod": focus(rng),
        "namespaces": [namespace(rng, name) for name in NAMESPACES],
        "claims": [claim(rng, space, name) for space in NAMESPACES for name in CLAIMS],
        "volumes": [volume(rng, name) for name in VOLUMES],
        "classes": [
            {
                "metadata": {"name": "disk"},
                "provisioner": "example.com/disk",
                "volumeBindingMode": "Immediate",
            }
        ],
    }


def everything(rng: Random) -> Manifest:
    return pod(rng, "new")


def neighbours(rng: Random) -> Manifest:
    """Only affinity and anti-affinity to pods, both to other pods and to its own like."""
    return bare(rng, affinity={kind: pod_affinity(rng) for kind in ("podAffinity", "podAntiAffinity")})


def spreading(rng: Random) -> Manifest:
    """Only spread, with taints and node affinity that some constraints honour."""
    built = bare(
        rng, topologySpreadConstraints=[spread(rng, key) for key in rng.sample(KEYS[:3], rng.randint(1, 2))]
    )
    spec = built["spec"]
    assert isinstance(spec, dict)
    if rng.random() < 0.5:
        spec["affinity"] = {"nodeAffinity": node_affinity(rng)}
    if rng.random() < 0.5:
        spec["tolerations"] = [toleration(rng)]
    return built


def mounting(rng: Random) -> Manifest:
    """Only volumes."""
    return bare(rng, volumes=[mount(name) for name in rng.sample(CLAIMS[:2], rng.randint(1, 2))])


def bare(rng: Random, **spec: Json) -> Manifest:
    """A newcomer that tolerates everything and asks nothing else."""
    return {
        "metadata": {"name": "new", "namespace": rng.choice(NAMESPACES), "uid": "new", "labels": labels(rng)},
        "spec": {"containers": [{"name": "c0"}], "tolerations": [{"operator": "Exists"}], **spec},
    }


def labels(rng: Random) -> Manifest:
    return some(rng, {"app": rng.choice("xy"), "role": rng.choice("ps")})


def mount(name: str) -> Manifest:
    return {"name": name, "persistentVolumeClaim": {"claimName": name}}


def namespace(rng: Random, name: str) -> Manifest:
    return {"metadata": {"name": name, "labels": maybe(rng, {"tier": rng.choice("ab")})}}


def node(rng: Random, name: str) -> Manifest:
    labels: Manifest = {}
    if rng.random() < 0.9:
        labels[HOSTNAME] = name
    if rng.random() < 0.8:
        labels[ZONE] = rng.choice(("z1", "z2", "z3"))
    labels |= some(rng, {"rack": rng.choice("12"), "gpu": rng.choice(("a100", "h100"))})
    labels |= some(rng, {"count": rng.choice(("4", "8", "007", "x"))})
    taints: list[Json] = [
        {"key": key, "value": rng.choice(("", "yes")), "effect": rng.choice(EFFECTS)}
        for key in rng.sample(("gpu", "spot"), rng.choice((0, 0, 0, 1, 1, 2)))
    ]
    spec: Manifest = {"taints": taints}
    if rng.random() < 0.1:
        spec["unschedulable"] = True
    allocatable: Manifest = {"cpu": "64", "memory": "256Gi", "nvidia.com/gpu": "8", "pods": "110"}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {"allocatable": allocatable},
    }


def pod(rng: Random, name: str, *, node_name: str = "") -> Manifest:
    spec: Manifest = {"containers": [container(rng, f"c{i}") for i in range(rng.choice((1, 1, 2)))]}
    if rng.random() < 0.4:
        spec["initContainers"] = [starter(rng, f"i{i}") for i in range(rng.randint(1, 3))]
    if rng.random() < 0.1:
        spec["overhead"] = {"cpu": "250m", "memory": "120Mi"}
    if node_name:
        spec["nodeName"] = node_name
    if rng.random() < 0.15:
        spec["nodeSelector"] = some(rng, {"rack": rng.choice("12"), ZONE: rng.choice(("z1", "z2"))})
    if rng.random() < 0.5:
        spec["tolerations"] = [toleration(rng) for _ in range(rng.randint(1, 3))]
    affinity: Manifest = {}
    if rng.random() < 0.3:
        affinity["nodeAffinity"] = node_affinity(rng)
    for kind in ("podAffinity", "podAntiAffinity"):
        if rng.random() < 0.35:
            affinity[kind] = pod_affinity(rng)
    if affinity:
        spec["affinity"] = affinity
    if rng.random() < 0.4:
        spec["topologySpreadConstraints"] = [
            spread(rng, key) for key in rng.sample(KEYS[:3], rng.randint(1, 2))
        ]
    if rng.random() < 0.15:
        spec["hostNetwork"] = True
    if rng.random() < 0.15:
        names = rng.sample((*CLAIMS, "gone"), rng.choice((1, 1, 2)))
        spec["volumes"] = [mount(name) for name in names]
    return {
        "metadata": {"name": name, "namespace": rng.choice(NAMESPACES), "uid": name, "labels": labels(rng)},
        "spec": spec,
    }


def claim(rng: Random, namespace: str, name: str) -> Manifest:
    """Bound, except ``open``, which may name a volume that is not bound to it yet."""
    annotations: Manifest = {} if name == "open" else {"pv.kubernetes.io/bind-completed": "yes"}
    spec: Manifest = {"storageClassName": "disk", "accessModes": ["ReadWriteMany"]}
    if name != "open" or rng.random() < 0.5:
        spec["volumeName"] = rng.choice((*VOLUMES, "v1", "v2", "lost"))
    metadata: Manifest = {"name": name, "namespace": namespace, "annotations": annotations}
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Bound" if annotations else "Pending"}}


def volume(rng: Random, name: str) -> Manifest:
    zones = rng.choice(("z1", "z2__z3", "z1__", ""))
    beta = "failure-domain.beta.kubernetes.io/zone"
    labels = some(rng, {rng.choice((ZONE, beta)): zones}) if rng.random() < 0.6 else {}
    spec: Manifest = {"storageClassName": "disk"}
    if rng.random() < 0.5:
        terms: list[Json] = [node_term(rng) for _ in range(rng.randint(1, 2))]
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def container(rng: Random, name: str) -> Manifest:
    built: Manifest = {"name": name, "resources": resources(rng)}
    if rng.random() < 0.3:
        # One number for each container of a pod: the API server refuses a pod that conflicts with itself.
        port: Manifest = {"containerPort": PORTS[name], "protocol": rng.choice(("TCP", "UDP"))}
        if rng.random() < 0.7:
            port["hostPort"] = port["containerPort"]
            port |= some(rng, {"hostIP": rng.choice(("0.0.0.0", "10.0.0.1", "10.0.0.2"))})
        built["ports"] = [port]
    return built


def starter(rng: Random, name: str) -> Manifest:
    """An init container, or a sidecar."""
    return container(rng, name) | some(rng, {"restartPolicy": "Always"})


def resources(rng: Random) -> Manifest:
    limits = some(rng, {"cpu": rng.choice(("2", "1500m", "2.5")), "memory": rng.choice(("1Gi", "1500M"))})
    limits |= some(rng, {"nvidia.com/gpu": rng.choice(("1", "2")), "rdma/ib": "1"})
    requests = some(rng, {"cpu": rng.choice(("1", "100u", "333m")), "memory": rng.choice(("1Mi", "1e6"))})
    return {"limits": limits, "requests": requests | some(rng, {"ephemeral-storage": "1k"})}


def toleration(rng: Random) -> Manifest:
    keys = ("gpu", "spot", "node.kubernetes.io/unschedulable")
    if rng.random() < 0.15:
        return {"operator": "Exists"} | some(rng, {"effect": rng.choice(EFFECTS)})
    built: Manifest = {"key": rng.choice(keys)}
    if rng.random() < 0.5:
        built["operator"] = "Exists"
    else:
        built |= some(rng, {"operator": "Equal", "value": rng.choice(("", "yes"))})
    return built | some(rng, {"effect": rng.choice(EFFECTS)})


def node_affinity(rng: Random) -> Manifest:
    built: Manifest = {}
    if rng.random() < 0.8:
        terms: list[Json] = [node_term(rng) for _ in range(rng.randint(1, 3))]
        built["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms}
    if rng.random() < 0.5:
        built["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {"weight": rng.randint(1, 100), "preference": node_term(rng)} for _ in range(rng.randint(1, 2))
        ]
    return built


def node_term(rng: Random) -> Manifest:
    built: Manifest = {}
    if rng.random() < 0.9:
        built["matchExpressions"] = [node_expression(rng) for _ in range(rng.randint(0, 2))]
    if rng.random() < 0.25:
        operator = rng.choice(("In", "NotIn"))
        built["matchFields"] = [
            {"key": "metadata.name", "operator": operator, "values": [rng.choice(("n0", "n1", "n2"))]}
        ]
    return built


def node_expression(rng: Random) -> Manifest:
    key = rng.choice(KEYS)
    operator = rng.choice(("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"))
    if operator in ("Gt", "Lt"):
        return {"key": key, "operator": operator, "values": [rng.choice(("0", "4", "7"))]}
    if operator in ("Exists", "DoesNotExist"):
        return {"key": key, "operator": operator}
    values = {HOSTNAME: ("n0", "n1", "n2"), ZONE: ("z1", "z2"), "rack": ("1", "2"), "count": ("4", "8")}
    chosen = rng.sample(values.get(key, ("a100", "h100")), rng.randint(1, 2))
    return {"key": key, "operator": operator, "values": list(chosen)}


def selector(rng: Random) -> Manifest:
    if rng.random() < 0.15:
        return {}
    built: Manifest = {}
    if rng.random() < 0.6:
        built["matchLabels"] = {"app": rng.choice("xy")}
    if rng.random() < 0.5:
        operator = rng.choice(("In", "NotIn", "Exists", "DoesNotExist"))
        expression: Manifest = {"key": rng.choice(("app", "role")), "operator": operator}
        if operator in ("In", "NotIn"):
            expression["values"] = list(rng.sample("xyps", rng.randint(1, 2)))
        built["matchExpressions"] = [expression]
    return built


def pod_affinity(rng: Random) -> Manifest:
    built: Manifest = {}
    if rng.random() < 0.8:
        terms: list[Json] = [pod_term(rng) for _ in range(rng.choice((1, 1, 2)))]
        built["requiredDuringSchedulingIgnoredDuringExecution"] = terms
    if rng.random() < 0.4:
        built["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {"weight": rng.randint(1, 100), "podAffinityTerm": pod_term(rng)}
        ]
    return built


def pod_term(rng: Random) -> Manifest:
    built: Manifest = {"topologyKey": rng.choice(KEYS[:3])}
    if rng.random() < 0.9:
        built["labelSelector"] = selector(rng)
    if rng.random() < 0.25:
        built["namespaces"] = list(rng.sample(NAMESPACES, rng.randint(1, 2)))
    if rng.random() < 0.25:
        built["namespaceSelector"] = maybe(rng, {"matchLabels": {"tier": rng.choice("ab")}})
    if may_add_keys(built) and rng.random() < 0.15:
        built[rng.choice(("matchLabelKeys", "mismatchLabelKeys"))] = ["role"]
    return built


def spread(rng: Random, key: str) -> Manifest:
    when = rng.choice(("DoNotSchedule", "DoNotSchedule", "ScheduleAnyway"))
    built: Manifest = {"topologyKey": key, "maxSkew": rng.randint(1, 3), "whenUnsatisfiable": when}
    if rng.random() < 0.9:
        built["labelSelector"] = selector(rng)
    if when == "DoNotSchedule":
        built |= some(rng, {"minDomains": rng.randint(1, 4)})
    if may_add_keys(built) and rng.random() < 0.2:
        built["matchLabelKeys"] = ["role"]
    built |= some(rng, {"nodeAffinityPolicy": rng.choice(("Honor", "Ignore"))})
    return built | some(rng, {"nodeTaintsPolicy": rng.choice(("Honor", "Ignore"))})


def may_add_keys(term: Manifest) -> bool:
    """Whether the API server takes match keys of label ``role`` beside the term's selector."""
    return "labelSelector" in term and "role" not in json.dumps(term["labelSelector"])


def some(rng: Random, fields: Manifest) -> Manifest:
    """A random part of the fields."""
    return {key: value for key, value in fields.items() if rng.random() < 0.6}


def maybe(rng: Random, fields: Manifest) -> Manifest:
    """All of the fields or none."""
    return fields if rng.random() < 0.6 else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=300)
    chosen = parser.parse_args()
    for number in range(chosen.count):
        print(json.dumps(case(Random(chosen.seed + number))))


if __name__ == "__main__":
    main()
