"""Where a volume that is still to be had can come from: a volume that is there, or a provisioner.

Source (1.37): ``plugins/volumebinding/binder.go`` (FindPodVolumes) and
``component-helpers/storage/volume/pv_helpers.go`` (FindMatchingVolume).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from scheduler.model.objects import Node
from scheduler.model.volumes import NO_PROVISIONER, Claims, PersistentVolume, StorageCapacity, Wanted
from scheduler.predicates.matching import selects, terms_match

NO_MATCH = "node(s) didn't find available persistent volumes to bind"
NO_SPACE = "node(s) did not have enough free storage"
FAILED_LATELY = "node(s) for which provisioning such a volume failed lately"


def why(wanted: Sequence[Wanted], node: Node, claims: Claims) -> str | None:
    """Why not all of a pod's volumes can be had for it on this node, or None; the smallest choose first."""
    taken: set[str] = set()
    for each in sorted(wanted, key=lambda w: w.size or 0):
        if each.selected_node:
            if each.selected_node != node.name:
                return NO_MATCH
            continue  # Its provisioner is at work: what that still has room for is its own business.
        found = match(each, node, claims, taken)
        if found is not None:
            taken.add(found.name)
            continue
        reason = why_not_provisioned(each, node, claims)
        if reason is not None:
            return reason
    return None


def match(wanted: Wanted, node: Node, claims: Claims, taken: Collection[str] = ()) -> PersistentVolume | None:
    """The smallest volume that is there, can be reached from the node and is nobody's."""
    found = candidates(wanted, node, claims, taken)
    return min(found, key=lambda volume: (volume.size, volume.name), default=None)


def candidates(
    wanted: Wanted, node: Node, claims: Claims, taken: Collection[str] = ()
) -> list[PersistentVolume]:
    """Every volume that is there, can be reached from the node and is nobody's; the one set aside alone."""
    if wanted.reserved:
        kept = claims.volumes.get(wanted.reserved)
        return [kept] if kept is not None and terms_match(kept.node_terms, node.labels, None) else []
    pool = claims.open_volumes.get(wanted.storage_class)
    return [
        volume
        for volume in (() if pool is None else pool.near(node.labels))
        if volume.name not in taken
        and suits(wanted, volume)
        and terms_match(volume.node_terms, node.labels, None)
    ]


def suits(wanted: Wanted, volume: PersistentVolume) -> bool:
    """Whether the volume is free and what is asked for, wherever it is."""
    return (
        volume.claim is None
        and volume.is_available
        and volume.size >= (wanted.size or 0)
        and volume.is_block == wanted.is_block
        and volume.attributes_class == wanted.attributes_class
        and set(wanted.modes) <= set(volume.modes)
        and (wanted.selector is None or selects(wanted.selector, dict(volume.own_labels)))
    )


def why_not_provisioned(
    wanted: Wanted, node: Node, claims: Claims, taken: Mapping[str, int] | None = None
) -> str | None:
    """Why no provisioner makes the volume for a pod on this node, or None."""
    storage = claims.classes.get(wanted.storage_class)
    if storage is None or storage.provisioner in ("", NO_PROVISIONER):
        return NO_MATCH
    if not terms_match(storage.allowed_terms, node.labels, None):
        return NO_MATCH
    failure = claims.avoided[wanted].get(node.name) if wanted in claims.avoided else None
    if failure is not None:
        return f"{FAILED_LATELY}: {failure}"
    if not is_tracked(wanted, claims):
        return None
    return NO_SPACE if segment(wanted, node, claims, taken) is None else None


def is_tracked(wanted: Wanted, claims: Claims) -> bool:
    """Whether the class's driver says what it can provision, and is asked for an amount."""
    storage = claims.classes.get(wanted.storage_class)
    driver = None if storage is None else claims.drivers.get(storage.provisioner)
    return driver is not None and driver.tracks_capacity and wanted.size is not None


def segment(
    wanted: Wanted, node: Node, claims: Claims, taken: Mapping[str, int] | None = None
) -> StorageCapacity | None:
    """The capacity that the node reaches and that is enough, less what is ``taken`` of it, in bytes."""
    pool = claims.segments.get(wanted.storage_class)
    size = wanted.size or 0
    for found in () if pool is None else pool.near(node.labels):
        used = 0 if taken is None else taken.get(found.name, 0)
        is_enough = found.limit >= size and (not used or (found.capacity or found.limit) - used >= size)
        if is_enough and selects(found.selector, node.labels):
            return found
    return None
