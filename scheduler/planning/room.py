"""Room that others make: held for whom it was promised, asked for where a gang does not fit."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.model.gang import PendingGang
from scheduler.model.plan import Verdict
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
                return False
            accept(run, gang, chosen, certificate_of(gang, chosen), "greedy")
    return True


def refuse(run: Run, answer: Admitted) -> list[Verdict]:
    """Verdicts of those whom a quota forbids."""
    if run.desk is None:
        return []
    verdicts, spent = run.desk.refuse(answer.refusals, run.budget, run.budget.total - run.spent)
    run.spent += spent
    return verdicts


def room_for(run: Run, gangs: Sequence[PendingGang], within: Mask | None) -> list[Verdict]:
    """Verdicts of the first of these equal gangs for which others leave."""
    if run.desk is None:
        return []
    verdicts, spent = run.desk.make_room(gangs, within, run.budget, run.budget.total - run.spent)
    run.spent += spent
    if verdicts:
        run.unfit.clear()
    return verdicts
