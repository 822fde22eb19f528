"""Persistent volumes: where bound ones can be reached; unbound ones are refused with the reason.

Sources (1.37): ``plugins/volumebinding`` (claims, node affinity of volumes) and
``plugins/volumezone/volume_zone.go``. Stowplan binds no volumes: a claim of a class that waits for its
first consumer is not schedulable, since binding it takes a write of its own before the pod's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scheduler.model.objects import Node, Shape
from scheduler.model.volumes import Claims, PersistentVolume
from scheduler.predicates.matching import terms_match
from scheduler.predicates.predicate import Mask, Predicate

_BETA_TO_GA = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
}
_ZONE_LABELS = (*_BETA_TO_GA, *_BETA_TO_GA.values())


def why(shape: Shape, node: Node, claims: Claims) -> str | None:
    return _pod_reason(shape, claims) or _node_reason(_mounted(shape, claims), node)


def mask(shape: Shape, nodes: Sequence[Node], claims: Claims) -> Mask | None:
    if not shape.volumes:
        return None
    if _pod_reason(shape, claims) is not None:
        return np.zeros(len(nodes), dtype=np.bool_)
    mounted = _mounted(shape, claims)
    return np.fromiter(
        (_node_reason(mounted, node) is None for node in nodes), dtype=np.bool_, count=len(nodes)
    )


def _pod_reason(shape: Shape, claims: Claims) -> str | None:
    """Why no node will do: a claim that is missing, unbound, or bound to nothing."""
    for volume in shape.volumes:
        claim = claims.claims.get((shape.namespace, volume.claim))
        if claim is None:
            return f'persistentvolumeclaim "{volume.claim}" not found'
        if claim.is_deleting:
            return f'persistentvolumeclaim "{volume.claim}" is being deleted'
        if claim.is_exclusive:
            return (
                f'persistentvolumeclaim "{volume.claim}" is ReadWriteOncePod, which stowplan does not '
                "support: it does not watch which pod uses a claim; use ReadWriteOnce"
            )
        if claim.volume:
            if claim.volume not in claims.volumes:
                return "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
            continue
        storage = claims.classes.get(claim.storage_class)
        if claim.is_prebound or storage is None or not storage.waits_for_consumer:
            return "pod has unbound immediate PersistentVolumeClaims"
        return (
            f'persistentvolumeclaim "{volume.claim}" waits for its first consumer, which stowplan does not '
            "support: use a StorageClass with volumeBindingMode Immediate, or bind the claim first"
        )
    return None


def _mounted(shape: Shape, claims: Claims) -> list[PersistentVolume]:
    names = (claims.claims[(shape.namespace, volume.claim)].volume for volume in shape.volumes)
    return [claims.volumes[name] for name in names]


def _node_reason(mounted: Sequence[PersistentVolume], node: Node) -> str | None:
    # A volume's node affinity is matched against labels alone (storage/volume/helpers.go).
    if not all(terms_match(volume.node_terms, node.labels, None) for volume in mounted):
        return "node(s) didn't match PersistentVolume's node affinity"
    if any(label in node.labels for label in _ZONE_LABELS) and not all(_in_zone(v, node) for v in mounted):
        return "node(s) had no available volume zone"
    return None


def _in_zone(volume: PersistentVolume, node: Node) -> bool:
    for key, value in volume.labels:
        zones = {zone.strip() for zone in value.split("__")}
        if "" in zones:
            continue  # kube-scheduler ignores a label it cannot read.
        here = node.labels.get(key, node.labels.get(_BETA_TO_GA.get(key, key)))
        if here not in zones:
            return False
    return True


RULE = Predicate(name="VolumeBinding", why=why, mask=mask)
