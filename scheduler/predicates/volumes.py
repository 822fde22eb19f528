"""Persistent volumes: where those that are there can be reached, and where the others can be had.

Sources (1.37): ``plugins/volumebinding`` (claims, node affinity of volumes, provisioning) and
``plugins/volumezone/volume_zone.go``. How many of a gang's volumes can be had at a time, and how many a
node attaches, is counted elsewhere (``scheduler.volumes``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scheduler.model.objects import Node, Shape
from scheduler.model.volumes import Claims, Mount
from scheduler.predicates import supply
from scheduler.predicates.matching import terms_match
from scheduler.predicates.mounts import mount_of
from scheduler.predicates.predicate import Mask, Predicate

_BETA_TO_GA = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
}
_ZONE_LABELS = (*_BETA_TO_GA, *_BETA_TO_GA.values())


def why(shape: Shape, node: Node, claims: Claims) -> str | None:
    mounts = _mounts(shape, claims)
    return _refusal(mounts) or _node_reason(mounts, node, claims)


def mask(shape: Shape, nodes: Sequence[Node], claims: Claims) -> Mask | None:
    if not shape.volumes:
        return None
    mounts = _mounts(shape, claims)
    if _refusal(mounts) is not None:
        return np.zeros(len(nodes), dtype=np.bool_)
    return np.fromiter(
        (_node_reason(mounts, node, claims) is None for node in nodes), dtype=np.bool_, count=len(nodes)
    )


def _mounts(shape: Shape, claims: Claims) -> list[Mount]:
    return [mount_of(volume, shape.namespace, claims) for volume in shape.volumes]


def _refusal(mounts: Sequence[Mount]) -> str | None:
    """Why no node will do: a claim that is missing, unbound, in use, or bound to nothing."""
    return next((mount.refusal for mount in mounts if mount.refusal), None)


def _node_reason(mounts: Sequence[Mount], node: Node, claims: Claims) -> str | None:
    # A volume's node affinity is matched against labels alone (storage/volume/helpers.go).
    if not all(mount.wanted or terms_match(mount.node_terms, node.labels, None) for mount in mounts):
        return "node(s) didn't match PersistentVolume's node affinity"
    wanted = [mount.wanted for mount in mounts if mount.wanted is not None]
    reason = supply.why(wanted, node, claims) if wanted else None
    if reason is not None:
        return reason
    if any(label in node.labels for label in _ZONE_LABELS) and not all(_in_zone(m, node) for m in mounts):
        return "node(s) had no available volume zone"
    return None


def _in_zone(volume: Mount, node: Node) -> bool:
    for key, value in volume.labels:
        zones = {zone.strip() for zone in value.split("__")}
        if "" in zones:
            continue  # kube-scheduler ignores a label it cannot read.
        here = node.labels.get(key, node.labels.get(_BETA_TO_GA.get(key, key)))
        if here not in zones:
            return False
    return True


RULE = Predicate(name="VolumeBinding", why=why, mask=mask)
