"""Random clusters with one newcomer, as the API server takes them, over all that decides where a pod may go.

Beside what ``tests.predicates.generate`` has: little room, pods that are being deleted, labels that change
after the Binding, in-place resizes, pod-level resources, pods nominated by others, declared features.
Volumes are left out: they are judged by tests of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.predicates.generate import (
    NAMESPACES,
    Json,
    Manifest,
    everything,
    labels,
    namespace,
    neighbours,
    node,
    pod,
    pod_affinity,
    some,
    spreading,
)

#: PriorityClasses by name.
PRIORITIES = {"low": 10, "middle": 100, "high": 1_000}
#: The RuntimeClass of pods with overhead, which admission demands.
RUNTIME = "heavy"
OVERHEAD: Manifest = {"cpu": "250m", "memory": "120Mi"}
FEATURE = "RestartAllContainersOnContainerExits"


@dataclass(frozen=True, kw_only=True)
class Resident:
    """A pod on a node: its manifest, its status, the labels it gets later (None: it keeps its own)."""

    manifest: Manifest
    status: Manifest
    labels_later: Manifest | None
    is_deleting: bool


@dataclass(frozen=True, kw_only=True)
class Case:
    nodes: tuple[Manifest, ...]
    namespaces: tuple[Manifest, ...]
    residents: tuple[Resident, ...]
    #: Manifests with ``status.nominatedNodeName``.
    nominated: tuple[Manifest, ...]
    newcomer: Manifest


def case(seed: int) -> Case:
    rng = Random(seed)
    nodes = tuple(_node(rng, f"n{i}") for i in range(rng.randint(1, 6)))
    names = [f"n{i}" for i in range(len(nodes))]
    newcomer = _newcomer(rng)
    return Case(
        nodes=nodes,
        namespaces=tuple(namespace(rng, name) for name in NAMESPACES),
        residents=tuple(_resident(rng, f"old{i}", rng.choice(names)) for i in range(rng.randint(0, 8))),
        nominated=tuple(
            _nominated(rng, f"soon{i}", rng.choice(names)) for i in range(rng.choice((0, 0, 1, 2)))
        ),
        newcomer=newcomer,
    )


def _node(rng: Random, name: str) -> Manifest:
    built = node(rng, name)
    small: Manifest = {"cpu": "3", "memory": "3Gi", "nvidia.com/gpu": "2", "rdma/ib": "1", "pods": "3"}
    large: Manifest = {"cpu": "64", "memory": "256Gi", "nvidia.com/gpu": "8", "rdma/ib": "8", "pods": "110"}
    allocatable: Manifest = {key: rng.choice((small[key], large[key], large[key])) for key in small}
    status: Manifest = {"allocatable": allocatable | {"ephemeral-storage": "1Gi"}}
    if rng.random() < 0.5:
        status["declaredFeatures"] = [FEATURE]
    built["status"] = status
    return built


def _newcomer(rng: Random) -> Manifest:
    focus = rng.choice((everything, everything, neighbours, spreading, _plain))
    built = focus(rng)
    spec = _spec(built)
    spec.pop("volumes", None)
    if rng.random() < 0.15:
        rule: Manifest = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [7]}}
        _first(spec)["restartPolicyRules"] = [rule]
        _first(spec)["restartPolicy"] = "Never"
    if rng.random() < 0.2:
        _pod_level(rng, spec)
    return _finished(rng, built)


def _plain(rng: Random) -> Manifest:
    """Only room decides."""
    amounts: Manifest = {"cpu": rng.choice(("1", "2500m", "3")), "memory": rng.choice(("1Gi", "3Gi"))}
    limits = some(rng, amounts | {"nvidia.com/gpu": rng.choice(("1", "2")), "rdma/ib": "1"})
    container: Manifest = {"name": "c0", "resources": {"limits": limits}}
    if rng.random() < 0.3:
        container["ports"] = [{"containerPort": 80, "hostPort": 80, "protocol": rng.choice(("TCP", "UDP"))}]
    metadata: Manifest = {"name": "new", "namespace": rng.choice(NAMESPACES), "labels": labels(rng)}
    return {
        "metadata": metadata,
        "spec": {"containers": [container], "tolerations": [{"operator": "Exists"}]},
    }


def _resident(rng: Random, name: str, on: str) -> Resident:
    built = pod(rng, name, node_name=on)
    spec = _spec(built)
    spec.pop("volumes", None)
    if rng.random() < 0.2:
        _pod_level(rng, spec)
    return Resident(
        manifest=_finished(rng, built),
        status=_resize(rng, spec) if rng.random() < 0.4 else {},
        labels_later=labels(rng) if rng.random() < 0.3 else None,
        is_deleting=rng.random() < 0.2,
    )


def _nominated(rng: Random, name: str, on: str) -> Manifest:
    """Behind a gate, so that it keeps its nomination and is not scheduled itself."""
    built = _plain(rng)
    metadata, spec = built["metadata"], _spec(built)
    assert isinstance(metadata, dict)
    metadata["name"] = name
    if rng.random() < 0.5:
        spec["affinity"] = {"podAntiAffinity": pod_affinity(rng)}
    spec["schedulingGates"] = [{"name": "example.com/later"}]
    return _finished(rng, built) | {"status": {"nominatedNodeName": on}}


def _pod_level(rng: Random, spec: Manifest) -> None:
    """Pod-level resources on a pod whose one container asks for little."""
    spec["containers"] = [_first(spec) | {"resources": {"requests": {"cpu": "100m", "memory": "1Mi"}}}]
    spec.pop("initContainers", None)
    requests = some(rng, {"cpu": rng.choice(("500m", "2")), "memory": rng.choice(("1Gi", "2Gi"))})
    limits = some(rng, {"cpu": "2", "memory": "2Gi"})
    if requests or limits:
        spec["resources"] = {"requests": requests, "limits": limits}


def _resize(rng: Random, spec: Manifest) -> Manifest:
    """What a kubelet tells of a pod while it is resized: by container, sometimes of the pod as a whole."""
    statuses = [_told(rng, name) for name in _names(spec, "containers")]
    starters = [_told(rng, name) for name in _names(spec, "initContainers")]
    status: Manifest = {"containerStatuses": list(statuses), "initContainerStatuses": list(starters)}
    if "resources" in spec and rng.random() < 0.7:
        status |= some(rng, {"allocatedResources": _amounts(rng), "resources": {"requests": _amounts(rng)}})
    reason = rng.choice(("", "", "Infeasible", "Deferred"))
    if reason:
        status["conditions"] = [{"type": "PodResizePending", "status": "True", "reason": reason}]
    return status


def _told(rng: Random, name: str) -> Manifest:
    plain: Manifest = {"name": name, "image": "image", "imageID": "", "ready": True, "restartCount": 0}
    told: Manifest = {"allocatedResources": _amounts(rng), "resources": {"requests": _amounts(rng)}}
    return plain | some(rng, told)


def _amounts(rng: Random) -> Manifest:
    return {"cpu": rng.choice(("500m", "1", "2")), "memory": rng.choice(("1Mi", "1Gi"))}


def _names(spec: Manifest, kind: str) -> list[str]:
    found = spec.get(kind, [])
    assert isinstance(found, list)
    return [str(container["name"]) for container in found if isinstance(container, dict)]


def _finished(rng: Random, built: Manifest) -> Manifest:
    """With what the API server demands of every pod."""
    spec = _spec(built)
    for kind in ("containers", "initContainers"):
        containers: Json = spec.get(kind, [])
        assert isinstance(containers, list)
        spec[kind] = [c | {"image": "image"} for c in containers if isinstance(c, dict)]
    if "overhead" in spec:
        spec["runtimeClassName"] = RUNTIME
    spec["priorityClassName"] = rng.choice(tuple(PRIORITIES))
    metadata = built["metadata"]
    assert isinstance(metadata, dict)
    metadata.pop("uid", None)
    return built


def _spec(built: Manifest) -> Manifest:
    spec = built["spec"]
    assert isinstance(spec, dict)
    return spec


def _first(spec: Manifest) -> Manifest:
    containers = spec["containers"]
    assert isinstance(containers, list)
    first = containers[0]
    assert isinstance(first, dict)
    return first
