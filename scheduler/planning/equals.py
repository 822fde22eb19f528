"""When what was found of one gang holds of another: they ask for the same, and nothing else decides."""

from __future__ import annotations

from scheduler.model.gang import PendingGang, TopologySpec
from scheduler.model.objects import Shape
from scheduler.model.plan import Policy, Snapshot

#: Roles by (shape, pods, minimum), what the gang needs, and its topology.
Asked = tuple[tuple[tuple[Shape, int, int], ...], int, tuple[TopologySpec, ...]]


def asked(pending: PendingGang) -> Asked | None:
    """What an equal gang would ask for, or None where some of it stands or is kept from nodes."""
    if pending.standing_nodes or pending.avoided:
        return None
    roles = tuple((role.shape, len(role.pods), role.minimum) for role in pending.roles)
    return roles, pending.need, pending.topology


def is_shared(snapshot: Snapshot, policy: Policy) -> bool:
    """Whether equal gangs fail alike, whoever asks: no teams, no rule between pods, no turn to wait for."""
    return (
        snapshot.teams is None
        and policy.backfill
        and not policy.displaces
        and not snapshot.vacancies
        and not snapshot.nominated
        and not any(shape.sees_pods for shape in snapshot.masks)
        and not any(pod.shape.pod_anti_affinity for pod in snapshot.placed)
    )
