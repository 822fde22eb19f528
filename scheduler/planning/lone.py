"""The one gang to be decided, where it is a single pod and nothing but room decides where it goes; or none.

Most cycles of a cluster that is not full are this: all that waits besides, if anything, is known not to fit.
The place is the one that the stages would find, by the same greedy; what they would lay out for others first
is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from binpacking.answer import Optimal
from binpacking.greedy import place_single
from binpacking.problem import Role
from binpacking.score import PACK
from scheduler.explain.verdict import blocked
from scheduler.ground import Ground
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.objects import Shape
from scheduler.model.plan import Assignment, Budget, Place, Plan, Policy, Snapshot, Verdict
from scheduler.predicates.default_spread import spread_by

_ONE = Optimal(1.0)


def plan_lone(
    snapshot: Snapshot, policy: Policy, budget: Budget, settled: Mapping[GangKey, Verdict]
) -> Plan | None:
    """The whole plan; None where there is more to it, or no room."""
    if not _is_plain(snapshot, policy, budget):
        return None
    verdicts: list[Verdict] = []
    lone: PendingGang | None = None
    for gang in snapshot.gangs:
        known = settled.get(gang.key)
        if known is not None:
            verdicts.append(known)
        elif gang.blocked is not None:
            verdicts.append(blocked(gang))
        elif lone is not None or not gang.key.is_single:
            return None
        else:
            lone = gang
    if lone is None:
        return Plan(places=(), verdicts=tuple(verdicts), spent=0)
    if any(gang.topology for gang in snapshot.gangs):
        return None
    if not all(_goes_by_room(role.shape) for gang in snapshot.gangs for role in gang.roles):
        return None
    place = _place(snapshot, policy, lone)
    return None if place is None else Plan(places=(place,), verdicts=tuple(verdicts), spent=0)


def _is_plain(snapshot: Snapshot, policy: Policy, budget: Budget) -> bool:
    """Whether there are no teams, devices, promises or pods with rules to be looked at."""
    return (
        snapshot.teams is None
        and snapshot.room is None
        and snapshot.devices is None
        and not snapshot.placed
        and not snapshot.nominated
        and not snapshot.vacancies
        and not snapshot.levels
        and not policy.prices
        and policy.strategy == "pack"
        and policy.backfill
        and len(snapshot.gangs) <= policy.gangs_max
        and budget.work > 0
    )


@lru_cache(maxsize=8_192)
def _goes_by_room(shape: Shape) -> bool:
    """Whether pods of this shape look at nothing but static rules and amounts."""
    return not (shape.ask or shape.sees_pods or shape.volumes or shape.preferred_nodes or shape.spot)


def _place(snapshot: Snapshot, policy: Policy, lone: PendingGang) -> Place | None:
    role = lone.roles[0]
    pod, ground = role.pods[0], Ground.of(snapshot)
    if lone.avoided or spread_by(pod) or ground.is_unwelcome(role.shape.tolerations):
        return None
    asked = Role(
        name=role.name,
        count=1,
        minimum=1,
        request=ground.request(role.shape),
        allowed=snapshot.masks[role.shape],
    )
    row = place_single(ground.nodes(snapshot.total, snapshot.free), asked, PACK)
    if row is None:
        return None
    assignment = Assignment(pod=pod, node=snapshot.nodes[row].name)
    return Place(gang=lone, assignments=(assignment,), certificate=_ONE, solver="greedy")
