"""A case of ``generate`` as the predicates see it, and their verdict on each node for one newcomer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from binpacking.problem import Skew
from scheduler.kube import wire
from scheduler.model.objects import Node, Pod, Rejected
from scheduler.model.plan import Placed
from scheduler.model.volumes import Claims, PersistentVolume, StorageClass
from scheduler.parse.node import parse_node
from scheduler.parse.pod import parse_pod
from scheduler.parse.volumes import parse_claim, parse_storage_class, parse_volume
from scheduler.predicates.interpod import Interpod, constrain
from scheduler.predicates.registry import mask
from tests.predicates.generate import Json, Manifest

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    nodes: tuple[Node, ...]
    placed: tuple[Placed, ...]
    newcomer: Pod
    namespaces: dict[str, dict[str, str]]
    claims: Claims


def pod_of(manifest: object) -> Pod:
    found = parse_pod(decode(manifest, wire.Pod))
    assert not isinstance(found, Rejected), found.reason
    return found


def node_of(manifest: object) -> Node:
    found = parse_node(decode(manifest, wire.Node))
    assert not isinstance(found, Rejected), found.reason
    return found


def decode(manifest: object, kind: type[T]) -> T:
    """A manifest as it comes off the wire."""
    return msgspec.json.decode(msgspec.json.encode(manifest), type=kind)


def cluster_of(case: Manifest) -> Cluster:
    parsed = tuple(node_of(node) for node in items(case, "nodes"))
    row = {node.name: i for i, node in enumerate(parsed)}
    pods = [pod_of(pod) for pod in items(case, "placed")]
    known = [decode(namespace, wire.Namespace).metadata for namespace in items(case, "namespaces")]
    return Cluster(
        nodes=parsed,
        placed=tuple(
            Placed(namespace=p.namespace, labels=p.labels, node=row[p.node_name], shape=p.shape) for p in pods
        ),
        newcomer=pod_of(case["pod"]),
        namespaces={metadata.name: dict(metadata.labels or {}) for metadata in known},
        claims=claims_of(case),
    )


def claims_of(case: Manifest) -> Claims:
    claims = [parse_claim(decode(c, wire.PersistentVolumeClaim)) for c in items(case, "claims")]
    volumes = [parse_volume(decode(v, wire.PersistentVolume)) for v in items(case, "volumes")]
    classes = [parse_storage_class(decode(c, wire.StorageClass)) for c in items(case, "classes")]
    return Claims(
        claims={(c.namespace, c.name): c for c in claims},
        volumes={v.name: v for v in volumes if isinstance(v, PersistentVolume)},
        classes={c.name: c for c in classes if isinstance(c, StorageClass)},
    )


def items(case: Manifest, name: str) -> list[Json]:
    found = case[name]
    assert isinstance(found, list)
    return found


def rules_of(cluster: Cluster) -> Interpod:
    pod = cluster.newcomer
    return constrain(pod.shape, pod.namespace, pod.labels, cluster.nodes, cluster.placed, cluster.namespaces)


def feasible(cluster: Cluster) -> NDArray[np.bool_]:
    """bool[N]: where one newcomer may go, capacity aside."""
    allowed = mask(cluster.newcomer.shape, cluster.nodes, cluster.claims)
    rules = rules_of(cluster)
    if rules.mask is not None:
        allowed = allowed & rules.mask
    for limit in rules.limits:
        allowed = allowed & (limit.domain_of >= 0) & (limit.most[limit.domain_of] > 0)
    for skew in rules.skews:
        allowed = allowed & _level(skew)
    return allowed


def _level(skew: Skew) -> NDArray[np.bool_]:
    least = int(skew.have.min(initial=2**31)) if len(skew.have) >= skew.min_domains else 0
    fits = np.append(skew.have + 1 - least <= skew.max_skew, False)
    return np.asarray(fits[skew.domain_of])
