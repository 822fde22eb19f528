"""Whose turn it is gets what its team allows: one gang, equal single pods, or replica by replica."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from scheduler.model.gang import PendingGang
from scheduler.model.plan import Place
from scheduler.planning.gangs import place_gang
from scheduler.planning.limits import bounded, fault
from scheduler.planning.room import refuse, take_kept
from scheduler.planning.run import Run, Solver, certificate_of
from scheduler.planning.singles import place_singles
from scheduler.teams.desk import Mask


def place(run: Run, batch: Sequence[PendingGang]) -> None:
    """Place one gang, or equal single pods, as far as their teams allow it."""
    rooms = run.rooms.count
    wrong = fault(batch[0])
    if wrong is not None:
        run.verdicts.append(wrong)
        return
    batch = [bounded(gang) for gang in batch]
    if not rooms and run.desk is None:
        _place_admitted(run, batch, None)
    elif run.desk is None or not run.desk.has_teams:
        with run.rooms.opened(batch, run.places):
            _place_admitted(run, batch, None)
    else:
        answer = run.desk.admit(batch)
        run.verdicts.extend(answer.verdicts)
        run.translation.split = answer.split
        with run.rooms.opened(answer.gangs, run.places):
            _place_admitted(run, answer.gangs, answer.within)
        run.translation.split = None
        run.verdicts.extend(refuse(run, answer))
    if run.rooms.count < rooms:
        # A room that nobody needs any more is there for all who were told before.
        run.failures.forget()


def _place_admitted(run: Run, admitted: list[PendingGang], within: Mask | None) -> None:
    if not admitted or take_kept(run, admitted[0]):
        return
    if admitted[0].key.is_single:
        place_singles(run, admitted, within)
    else:
        place_gang(run, admitted[0], within)


def parts_of(gang: PendingGang) -> Iterator[PendingGang]:
    """What starts together of a gang: all of it but its replicas, then, once it stands, each of those."""
    own = tuple(role for role in gang.roles if not role.replica)
    if own:
        yield gang if len(own) == len(gang.roles) else replace(gang, roles=own)
    if gang.need or any(role.minimum for role in own):
        # They come in an attempt of their own: a Binding refused to one of them ends all of that attempt.
        return
    for name in dict.fromkeys(role.replica for role in gang.roles if role.replica):
        mine = (role for role in gang.roles if role.replica == name)
        yield replace(gang, roles=tuple(replace(role, minimum=len(role.pods)) for role in mine))


def place_by_replicas(run: Run, gang: PendingGang) -> None:
    """Each replica where it fits, whatever becomes of the others; all that got places are one Place."""
    places, verdicts = len(run.places), len(run.verdicts)
    for part in parts_of(gang):
        place(run, [part])
    found = run.places[places:]
    if not found:
        del run.verdicts[verdicts + 1 :]
        return
    del run.places[places:], run.verdicts[verdicts:]
    roles = tuple(role for place in found for role in place.gang.roles)
    assignments = tuple(a for place in found for a in place.assignments)
    solver: Solver = "cp-sat" if any(place.solver == "cp-sat" for place in found) else "greedy"
    run.places.append(
        Place(
            gang=replace(gang, roles=roles),
            assignments=assignments,
            certificate=certificate_of(gang, assignments),
            solver=solver,
        )
    )
