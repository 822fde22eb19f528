"""plan(snapshot, policy, budget) -> Plan: every decision stowplan makes, for every shell.

Pure and deterministic: no clock, no I/O, no randomness. The order comes from ``quotas``, places and
proofs from ``binpacking``; the stages of ``scheduler.planning`` keep the working state, this module
walks the order.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from scheduler.explain.verdict import Explainer
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.plan import Budget, Plan, Policy, Snapshot, Verdict
from scheduler.planning.kept_rooms import KeptRooms
from scheduler.planning.placing import parts_of, place, place_by_replicas
from scheduler.planning.room import refuse, room_for
from scheduler.planning.run import Run
from scheduler.planning.strict import Line
from scheduler.planning.turns import in_batches, in_order
from scheduler.teams.desk import Desk
from scheduler.translation import Translation


def plan(
    snapshot: Snapshot,
    policy: Policy,
    budget: Budget,
    settled: Mapping[GangKey, Verdict] = MappingProxyType({}),
) -> Plan:
    """Choose places and verdicts for one scheduling cycle.

    Every pending gang of the snapshot appears exactly once: as a Place, or as a Verdict. A gang is
    placed whole (at least what it needs to stand) or not at all. ``settled`` are verdicts of an
    earlier run that still hold, because no capacity was released since and their gangs are the same.
    Raises only for our own bugs: tenant input was bounded by the parser.
    """
    run = _open(snapshot, policy, budget)
    if run.desk is not None:
        run.desk.hold_promised(snapshot.gangs)
    if run.desk is not None and run.desk.has_teams:
        order = run.desk.in_order(snapshot.gangs)
    else:
        order = in_order(snapshot.gangs, policy.order, snapshot.at_s)
    line = Line()
    for batch in in_batches(run, order, settled):
        first = batch[0]
        run.translation.promised.keep_from(first.priority, run.packing)
        is_promised = run.desk is not None and run.desk.is_promised(first)
        known = None if is_promised else settled.get(first.key)
        if known is not None:
            run.verdicts.append(_still(run, first, known))
            line.stands(first, run.verdicts[-1:])
        elif first.blocked is not None:
            run.verdicts.append(run.explainer.blocked(first))
        elif not policy.backfill and (ahead := line.ahead_of(first)) is not None:
            run.verdicts.extend(run.explainer.behind(gang, ahead) for gang in batch)
        else:
            before = len(run.verdicts)
            if any(role.replica for role in first.roles):
                place_by_replicas(run, first)
            else:
                place(run, batch)
            line.stands(first, run.verdicts[before:])
    clearings = () if run.desk is None else tuple(run.desk.clearings)
    return Plan(places=tuple(run.places), verdicts=tuple(run.verdicts), clearings=clearings, spent=run.spent)


def _open(snapshot: Snapshot, policy: Policy, budget: Budget) -> Run:
    translation = Translation(snapshot, policy.prices, policy.default_spread)
    packing = translation.packing(policy.strategy)
    teams = snapshot.teams or snapshot.room
    desk = None if teams is None else Desk(snapshot, teams, policy, translation, packing)
    return Run(
        policy=policy,
        budget=budget,
        translation=translation,
        packing=packing,
        explainer=Explainer(translation, policy),
        rooms=KeptRooms(snapshot, translation, packing, desk),
        desk=desk,
    )


def _still(run: Run, gang: PendingGang, known: Verdict) -> Verdict:
    """A verdict that still holds, unless by now others may be evicted for the gang."""
    if run.desk is None or gang.blocked is not None or not run.translation.is_counted(gang):
        return known
    if not run.desk.may_make_room(gang):
        return known
    gang = next(parts_of(gang))
    admitted = run.desk.admit([gang])
    if not admitted.gangs:
        return (admitted.verdicts or refuse(run, admitted))[0]
    run.translation.split = admitted.split
    made = room_for(run, admitted.gangs, admitted.within)
    run.translation.split = None
    return (made or [known])[0]
