"""One gang, placed whole or told what it lacks."""

from __future__ import annotations

from dataclasses import replace

from binpacking.answer import Certificate, Optimal, Unknown
from binpacking.device_model import DeviceDemand
from binpacking.problem import Gang
from binpacking.prove import prove_unfit
from binpacking.solve import solve_gang
from scheduler.in_turn import place_in_turn
from scheduler.model.gang import PendingGang
from scheduler.planning.equals import Asked, asked
from scheduler.planning.room import room_for
from scheduler.planning.run import Placement, Run, Solver, accept, assign, certificate_of, with_devices
from scheduler.softly import place_softly
from scheduler.teams.desk import Mask


def place_gang(run: Run, pending: PendingGang, within: Mask | None) -> None:
    if not run.translation.is_counted(pending) or run.translation.volumes.contends(pending):
        _place_in_turn(run, pending, within)
        return
    ask = _asked(run, pending)
    if ask is not None and ask in run.unfit:
        run.verdicts.append(replace(run.unfit[ask], key=pending.key))
        return
    gang = run.translation.gang(pending, within=within)
    if run.translation.devices.is_mixed(pending):
        _place_mixed(run, pending, gang, within)
        if ask is not None and run.verdicts and run.verdicts[-1].key == pending.key:
            run.unfit[ask] = run.verdicts[-1]
        return
    placement, certificate, solver = _find(run, pending, gang)
    if placement is None:
        made = room_for(run, [pending], within)
        run.verdicts.extend(made or [run.explainer.unfit(run.packing, pending, gang, certificate)])
        if not made and ask is not None:
            run.unfit[ask] = run.verdicts[-1]
        return
    run.packing.take_all(gang, placement)
    assignments = with_devices(run, assign(run.translation, pending, placement))
    accept(run, pending, assignments, certificate_of(pending, assignments), solver)


def _asked(run: Run, pending: PendingGang) -> tuple[Asked, bool] | None:
    """As ``asked``, or None where who asks decides more than what is asked."""
    if (run.desk is not None and run.desk.has_teams) or run.translation.sees_labels:
        return None
    ask = asked(pending)
    # Who comes later is no more urgent; only that it may preempt can make a difference.
    return None if ask is None else (ask, all(pod.can_preempt for pod in pending.pods))


def _find(run: Run, pending: PendingGang, gang: Gang) -> tuple[Placement | None, Certificate, Solver]:
    """Greedy first; where it fails although nothing forbids the gang, CP-SAT settles it."""
    placement = place_softly(run.translation, run.packing, pending.roles, gang)
    if placement is not None:
        return placement, Optimal(), "greedy"
    return _settle(run, gang)


def _settle(
    run: Run, gang: Gang, demand: DeviceDemand | None = None
) -> tuple[Placement | None, Certificate, Solver]:
    """A proof that nothing will do, or what CP-SAT finds. demand: where devices decide, not counts alone."""
    core = prove_unfit(run.packing, gang)
    if core is not None:
        return None, core, "greedy"
    allowance = min(run.budget.per_gang, run.budget.total - run.spent)
    if allowance <= 0:
        return None, Unknown(0.0), "greedy"
    answer = solve_gang(run.packing, gang, budget=allowance, seed=run.budget.seed, demand=demand)
    run.spent += answer.spent
    return answer.placement, answer.certificate, "cp-sat"


def _place_in_turn(run: Run, pending: PendingGang, within: Mask | None) -> None:
    """A gang whose pods see each other's labels. A failure here is never called proven."""
    tried = place_in_turn(run.translation, run.packing, pending, within)
    if tried.assignments:
        accept(run, pending, tried.assignments, certificate_of(pending, tried.assignments), "greedy")
        return
    short = tried.short or run.translation.gang(pending, within=within)
    run.verdicts.append(run.explainer.unfit(run.packing, pending, short, Unknown(0.0)))


def _place_mixed(run: Run, pending: PendingGang, gang: Gang, within: Mask | None) -> None:
    """A gang whose roles ask of devices in several ways: in turn where that works, else device by device.

    Nobody is evicted for it: counts do not say whether it would then fit.
    """
    translation = run.translation
    in_order = replace(pending, roles=tuple(translation.devices.in_order(pending.roles)))
    tried = place_in_turn(translation, run.packing, in_order, within)
    if tried.assignments:
        accept(run, pending, tried.assignments, certificate_of(pending, tried.assignments), "greedy")
        return
    placement, certificate, solver = _settle(run, gang, translation.demand(pending, run.packing))
    if placement is not None:
        run.packing.take_all(gang, placement)
        chosen = translation.choose(assign(translation, pending, placement), run.packing)
        if chosen is not None:
            accept(run, pending, chosen, certificate_of(pending, chosen), solver)
            return
        run.packing.give_all(gang, placement)
        certificate = Unknown(run.budget.per_gang)
    run.verdicts.append(run.explainer.unfit(run.packing, pending, gang, certificate))
