"""plan(snapshot, policy, budget) -> Plan: every decision stowplan makes, for every shell.

Pure and deterministic: no clock, no I/O, no randomness. The order comes from ``quotas``, places and
proofs from ``binpacking``; the stages of ``scheduler.planning`` keep the working state, this module
walks the order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from binpacking.problem import InvalidProblem
from scheduler.explain.verdict import Explainer, blocked
from scheduler.gangs.healing import EVICTED
from scheduler.model.gang import GangKey, PendingGang, Waiting
from scheduler.model.plan import Budget, Plan, Policy, Snapshot, Verdict
from scheduler.planning.kept_rooms import KeptRooms
from scheduler.planning.limits import unplannable
from scheduler.planning.lone import plan_lone
from scheduler.planning.meter import ATTEMPT, ATTEMPT_PER_CELL, Meter
from scheduler.planning.placing import parts_of, place, place_by_replicas
from scheduler.planning.room import refuse, room_for, spare
from scheduler.planning.rounds import Rounds, shortlist
from scheduler.planning.run import Run
from scheduler.planning.singles import known_of
from scheduler.planning.strict import Line
from scheduler.planning.turns import Listed, Queue, in_batches, in_order
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
    What the budget leaves no room for is said to wait for its turn. Raises only for our own bugs.
    """
    lone = plan_lone(snapshot, policy, budget, settled)
    if lone is not None:
        return lone
    run = _open(snapshot, policy, budget)
    if run.desk is not None:
        run.desk.hold_promised(snapshot.gangs)
    rounds, line = Rounds(run.meter, snapshot.served), Line()
    for batch in in_batches(run, _waiting(run, snapshot, settled), settled):
        first = batch[0]
        run.meter.group = run.group(first)
        is_promised = run.desk is not None and run.desk.is_promised(first)
        known = None if is_promised else settled.get(first.key)
        ahead = None if policy.backfill else line.ahead_of(first)
        before = len(run.verdicts)
        if known is None and first.blocked is not None:
            run.verdicts.append(blocked(first))
            continue
        if known is None and ahead is not None:
            run.verdicts.extend(run.explainer.behind(gang, ahead) for gang in batch)
            continue
        if not is_promised and policy.backfill and not run.meter.may_try(run.meter.group):
            rounds.defer(run.meter.group, batch, known)
            continue
        told = _try(run, batch, known)
        line.stands(first, run.verdicts[before:] if told is None else [told])
        if told is not None:
            rounds.defer(run.meter.group, batch, told)
    left_open = _second_turn(run, rounds, settled) + _unseen(run, snapshot)
    spare(run)
    return Plan(
        places=tuple(run.places),
        verdicts=tuple(run.verdicts),
        clearings=() if run.desk is None else tuple(run.desk.clearings),
        spent=run.meter.spent,
        served=tuple(rounds.served),
        left_open=left_open,
        has_released=run.rooms.has_released,
    )


def _waiting(run: Run, snapshot: Snapshot, settled: Mapping[GangKey, Verdict]) -> Queue:
    """The gangs that are to be decided, in their order; what is known of others is said at once."""
    waiting: Sequence[PendingGang] = snapshot.gangs
    if run.policy.backfill:
        waiting = [gang for gang in waiting if not _is_set_aside(run, gang, settled)]
    waiting, run.unseen = shortlist(waiting, run.policy.gangs_max, run.group, snapshot.served)
    run.meter.groups = max(1, len({run.group(gang) for gang in waiting if gang.key not in settled}))
    if run.desk is not None and run.desk.has_teams:
        return run.desk.in_turn(waiting)
    return Listed(in_order(waiting, run.policy.order, snapshot.at_s))


def _is_set_aside(run: Run, gang: PendingGang, settled: Mapping[GangKey, Verdict]) -> bool:
    """Whether all is said of the gang: its order among the others decides nothing."""
    if run.desk is not None and (run.desk.has_teams or run.desk.is_promised(gang)):
        return False
    known = settled.get(gang.key)
    if known is not None and run.desk is not None and run.desk.may_make_room(gang):
        return False
    if known is None and gang.blocked is None:
        return False
    run.verdicts.append(known or blocked(gang))
    return True


def _try(run: Run, batch: list[PendingGang], known: Verdict | None) -> Verdict | None:
    """Decide these gangs. A verdict where a solver might have found more and there was none for it."""
    first, verdicts, places = batch[0], len(run.verdicts), len(run.places)
    run.translation.promised.keep_from(first.priority, run.packing)
    if run.desk is not None and run.desk.leaves(first):
        run.verdicts.append(blocked(replace(first, blocked=Waiting(reason=EVICTED))))
        return None
    if known is not None:
        run.verdicts.append(_still(run, first, known))
        return None
    run.starved.discard(first.key)
    failed = known_of(run, batch)
    if failed:
        run.verdicts.extend(failed)
        return None
    try:
        if any(role.replica for role in first.roles):
            place_by_replicas(run, first)
        else:
            place(run, batch)
    except InvalidProblem as error:
        run.translation.split = None
        told = {v.key for v in run.verdicts[verdicts:]} | {p.gang.key for p in run.places[places:]}
        run.verdicts.extend(unplannable(gang, error) for gang in batch if gang.key not in told)
    is_open = first.key in run.starved and len(run.places) == places and len(run.verdicts) == verdicts + 1
    return run.verdicts.pop() if is_open else None


def _second_turn(run: Run, rounds: Rounds, settled: Mapping[GangKey, Verdict]) -> int:
    """Try those left open, as far as the budget goes; how many had no turn in this round."""
    starved: list[Verdict] = []
    left_open = 0
    for _, one in rounds.second():
        told = _try(run, one.batch, settled.get(one.batch[0].key))
        if told is None:
            rounds.had(one.batch)
        else:
            starved.append(told)
    for group, one in rounds.left():
        run.verdicts.extend(one.told or run.explainer.in_line(gang, group) for gang in one.batch)
        is_known = one.batch[0].key in settled
        left_open += 0 if is_known else sum(g.key not in run.translation.snapshot.served for g in one.batch)
    run.verdicts += starved
    return left_open + sum(verdict.key not in run.translation.snapshot.served for verdict in starved)


def _unseen(run: Run, snapshot: Snapshot) -> int:
    """Tell those whom this cycle did not look at; how many had no turn in this round."""
    run.verdicts.extend(run.explainer.in_line(gang, run.group(gang)) for gang in run.unseen)
    return sum(gang.key not in snapshot.served for gang in run.unseen)


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
        meter=Meter(
            budget=budget, attempt=ATTEMPT + ATTEMPT_PER_CELL * len(snapshot.nodes) * len(snapshot.resources)
        ),
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
    with run.rooms.opened(admitted.gangs, run.places):
        made = room_for(run, admitted.gangs, admitted.within)
    run.translation.split = None
    return (made or [known])[0]
