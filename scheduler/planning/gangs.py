"""One gang, placed whole or told what it lacks."""

from __future__ import annotations

from dataclasses import replace

from msgspec import structs

from binpacking.answer import Certificate, Optimal, Unknown
from binpacking.device_model import DeviceDemand
from binpacking.problem import Gang
from binpacking.prove import prove_unfit
from binpacking.solve import solve_gang
from scheduler.in_turn import place_in_turn
from scheduler.model.gang import PendingGang
from scheduler.planning.room import room_for
from scheduler.planning.run import Placement, Run, Solver, accept, assign, certificate_of, with_devices
from scheduler.softly import place_softly
from scheduler.teams.desk import Mask


def place_gang(run: Run, pending: PendingGang, within: Mask | None) -> None:
    key = run.key(pending, within)
    known = run.recall(key)
    if known is not None:
        made = room_for(run, [pending], within) if _may_have_room_made(run, pending) else []
        run.verdicts.extend(made or [structs.replace(known, key=pending.key)])
        return
    if _is_in_turn(run, pending):
        _place_in_turn(run, pending, within)
    elif run.translation.devices.is_mixed(pending):
        _place_mixed(run, pending, within)
    else:
        _place_whole(run, pending, within)
    if pending.key not in run.starved and run.verdicts and run.verdicts[-1].key == pending.key:
        run.note(key, pending, run.verdicts[-1])


def _may_have_room_made(run: Run, pending: PendingGang) -> bool:
    return not _is_in_turn(run, pending) and not run.translation.devices.is_mixed(pending)


def _is_in_turn(run: Run, pending: PendingGang) -> bool:
    return not run.translation.is_counted(pending) or run.translation.volumes.contends(pending)


def _place_whole(run: Run, pending: PendingGang, within: Mask | None) -> None:
    run.meter.charge(len(pending.roles))
    gang = run.translation.gang(pending, within=within)
    placement, certificate, solver = _find(run, pending, gang)
    if placement is None:
        made = room_for(run, [pending], within)
        run.verdicts.extend(made or [run.explainer.unfit(run.packing, pending, gang, certificate)])
        return
    run.packing.take_all(gang, placement)
    assignments = with_devices(run, assign(run.translation, pending, placement))
    accept(run, pending, assignments, certificate_of(pending, assignments), solver)


def _find(run: Run, pending: PendingGang, gang: Gang) -> tuple[Placement | None, Certificate, Solver]:
    """Greedy first; where it fails although nothing forbids the gang, CP-SAT settles it."""
    placement = place_softly(run.translation, run.packing, pending.roles, gang)
    if placement is not None:
        return placement, Optimal(), "greedy"
    return _settle(run, pending, gang)


def _settle(
    run: Run, pending: PendingGang, gang: Gang, demand: DeviceDemand | None = None
) -> tuple[Placement | None, Certificate, Solver]:
    """A proof that nothing will do, or what CP-SAT finds. demand: where devices decide, not counts alone."""
    core = prove_unfit(run.packing, gang)
    if core is not None:
        return None, core, "greedy"
    allowance = run.meter.allowance()
    if allowance <= 0:
        if run.budget.per_gang > 0:
            run.starved.add(pending.key)
        return None, Unknown(0.0), "greedy"
    answer = solve_gang(run.packing, gang, budget=allowance, seed=run.budget.seed, demand=demand)
    run.meter.charge_solver(answer.spent)
    return answer.placement, answer.certificate, "cp-sat"


def _place_in_turn(run: Run, pending: PendingGang, within: Mask | None) -> None:
    """A gang whose pods see each other's labels. A failure is not proven, and holds while nothing changes."""
    tried = place_in_turn(run.translation, run.packing, pending, within)
    run.meter.charge(tried.attempts)
    if tried.assignments:
        accept(run, pending, tried.assignments, certificate_of(pending, tried.assignments), "greedy")
        return
    short = tried.short or run.translation.gang(pending, within=within)
    certificate = Unknown(run.budget.per_gang)
    run.verdicts.append(run.explainer.unfit(run.packing, pending, short, certificate))


def _place_mixed(run: Run, pending: PendingGang, within: Mask | None) -> None:
    """A gang whose roles ask of devices in several ways: in turn where that works, else device by device.

    Nobody is evicted for it: counts do not say whether it would then fit.
    """
    translation = run.translation
    gang = translation.gang(pending, within=within)
    in_order = replace(pending, roles=tuple(translation.devices.in_order(pending.roles)))
    tried = place_in_turn(translation, run.packing, in_order, within)
    run.meter.charge(tried.attempts)
    if tried.assignments:
        accept(run, pending, tried.assignments, certificate_of(pending, tried.assignments), "greedy")
        return
    placement, certificate, solver = _settle(run, pending, gang, translation.demand(pending, run.packing))
    if placement is not None:
        run.packing.take_all(gang, placement)
        chosen = translation.choose(assign(translation, pending, placement), run.packing)
        if chosen is not None:
            accept(run, pending, chosen, certificate_of(pending, chosen), solver)
            return
        run.packing.give_all(gang, placement)
        certificate = Unknown(run.budget.per_gang)
    run.verdicts.append(run.explainer.unfit(run.packing, pending, gang, certificate))
