"""What a pod's claim comes to: a volume that is there, one that is still to be had, or a reason to wait.

Sources (1.37): ``plugins/volumebinding`` (podHasPVCs, GetPodVolumeClaims), ``plugins/volumerestrictions``
(ReadWriteOncePod) and ``component-helpers/storage/ephemeral``.
"""

from __future__ import annotations

from scheduler.model.objects import Volume
from scheduler.model.volumes import Claim, Claims, Mount, PersistentVolume, Wanted

NO_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
IMMEDIATE = "pod has unbound immediate PersistentVolumeClaims"


def mount_of(
    volume: Volume,
    namespace: str,
    claims: Claims,
    *,
    uid: str = "",
    is_shared: bool = False,
    used_by: str = "",
) -> Mount:
    """The volume of a pod of this namespace and UID.

    is_shared: other pods mount the claim as well. used_by: the pod on a node that does, or empty.
    """
    if volume.mount is not None:
        return volume.mount
    claim = claims.claims.get((namespace, volume.claim))
    refusal = _refusal(volume, claim, uid, claims)
    if refusal or claim is None:
        return Mount(refusal=refusal)
    if claim.is_exclusive and used_by:
        return Mount(
            refusal=f'persistentvolumeclaim "{claim.name}" is ReadWriteOncePod and in use by {used_by}'
        )
    exclusive = claim.name if claim.is_exclusive and is_shared else ""
    shared = f"{claim.namespace}/{claim.name}" if is_shared else ""
    if claim.volume:
        found = claims.volumes[claim.volume]
        limited = is_shared and found.driver in claims.limited
        return Mount(
            node_terms=found.node_terms,
            labels=found.labels,
            exclusive=exclusive,
            attaches=(found.driver, found.handle or found.name) if limited else None,
        )
    driver = driver_of(claim, claims)
    return Mount(
        wanted=_wanted(claim, claims),
        shared=shared,
        exclusive=exclusive,
        attaches=(driver, shared) if is_shared and driver in claims.limited else None,
    )


def driver_of(claim: Claim, claims: Claims) -> str:
    """The CSI driver that attaches the claim's volume, as far as it is known; empty where none does."""
    volume = claims.volumes.get(claim.volume) if claim.volume else None
    if volume is not None:
        return volume.driver
    storage = claims.classes.get(claim.storage_class)
    return "" if storage is None else storage.driver


def is_for(volume: PersistentVolume, claim: Claim) -> bool:
    """Whether the volume is set aside for the claim, or bound to it (``IsVolumeBoundToClaim``)."""
    if volume.claim is None:
        return False
    namespace, name, uid = volume.claim
    return (namespace, name) == claim.key and uid in ("", claim.uid)


def _refusal(volume: Volume, claim: Claim | None, uid: str, claims: Claims) -> str:
    """Why no node will do, or nothing."""
    if claim is None:
        if volume.is_ephemeral:
            told = "waiting for ephemeral volume controller to create the persistentvolumeclaim"
            return f'{told} "{volume.claim}"'
        return f'persistentvolumeclaim "{volume.claim}" not found'
    if claim.is_lost:
        return f'persistentvolumeclaim "{claim.name}" bound to non-existent persistentvolume'
    if claim.is_deleting:
        return f'persistentvolumeclaim "{claim.name}" is being deleted'
    if claim.fault:
        return f'persistentvolumeclaim "{claim.name}": {claim.fault}'
    if volume.is_ephemeral and uid and claim.owner_uid != uid:
        return f'persistentvolumeclaim "{claim.name}" was not created for the pod (pod is not owner)'
    if claim.volume:
        return "" if claim.volume in claims.volumes else NO_VOLUME
    storage = claims.classes.get(claim.storage_class)
    if claim.is_prebound or storage is None or not storage.waits_for_consumer:
        return IMMEDIATE
    return ""


def _wanted(claim: Claim, claims: Claims) -> Wanted:
    return Wanted(
        namespace=claim.namespace,
        storage_class=claim.storage_class,
        size=claim.size,
        modes=claim.modes,
        is_block=claim.is_block,
        selector=claim.selector,
        attributes_class=claim.attributes_class,
        selected_node=claim.selected_node,
        reserved=next((v.name for v in claims.reserved.get(claim.key, ()) if is_for(v, claim)), ""),
    )
