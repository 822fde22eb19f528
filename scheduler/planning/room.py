"""Room that others make: held for whom it was promised, asked for where a gang does not fit."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from scheduler.model.gang import PendingGang
from scheduler.model.plan import Verdict
from scheduler.planning.meter import ROOM_ATTEMPTS
from scheduler.planning.run import Run, accept, certificate_of
from scheduler.teams.desk import Admitted, Mask


def take_kept(run: Run, gang: PendingGang) -> bool:
    """Whether the gang had room promised to it: then it takes that, or goes on waiting for it."""
    kept = None if run.desk is None else run.desk.kept(gang)
    match kept:
        case None:
            return False
        case Verdict():
            run.verdicts.append(kept)
        case _:
            chosen = run.translation.choose(kept, run.packing)
            if chosen is None:
                # A device that the promise counted on fell ill: the gang is looked at anew.
                run.translation.give(kept, run.packing)
                run.failures.forget()
                return False
            accept(run, gang, chosen, certificate_of(gang, chosen), "greedy")
    return True


def refuse(run: Run, answer: Admitted) -> list[Verdict]:
    """Verdicts of those whom a quota forbids."""
    if run.desk is None or not answer.refusals:
        return []
    before = len(run.desk.clearings)
    verdicts, spent = run.desk.refuse(answer.refusals, run.budget, run.meter.left)
    run.meter.charge(ROOM_ATTEMPTS)
    run.meter.charge_solver(spent)
    if len(run.desk.clearings) > before:
        run.failures.forget()
    return verdicts


def room_for(run: Run, gangs: Sequence[PendingGang], within: Mask | None) -> list[Verdict]:
    """Verdicts of the first of these equal gangs for which others leave."""
    if run.desk is None:
        return []
    kind = _kind(run, gangs[0], within)
    if not run.desk.may_make_room(gangs[0]) or run.failures.is_hopeless(kind):
        return []
    verdicts, spent = run.desk.make_room(gangs, within, run.budget, run.meter.left)
    run.meter.charge(ROOM_ATTEMPTS)
    run.meter.charge_solver(spent)
    if verdicts:
        run.failures.forget()
    if len(verdicts) < len(gangs) and kind is not None:
        run.failures.give_up(kind)
    return verdicts


def spare(run: Run) -> None:
    """Let stay whoever was chosen to leave and is needed no more beside those who were chosen later."""
    if run.desk is None:
        return
    said = {verdict.key: verdict for verdict in run.desk.spare()}
    run.verdicts = [said.get(verdict.key, verdict) for verdict in run.verdicts]


def _kind(run: Run, gang: PendingGang, within: Mask | None) -> Hashable:
    """All that decides whom the gang may have evicted, and where it would go; None where more does."""
    key = run.key(gang, within)
    if key is None or run.desk is None:
        return None
    can_preempt = tuple(pod.can_preempt for role in gang.roles for pod in role.pods[:1])
    return key, run.desk.allowance.team(gang), gang.priority, can_preempt
