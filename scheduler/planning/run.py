"""The working state of one planning run, and what every stage does with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from binpacking.answer import Certificate, Feasible, Optimal, RolePlacement
from binpacking.greedy import Packing
from binpacking.problem import BrokenInvariant
from scheduler.explain.verdict import Explainer
from scheduler.model.gang import PendingGang
from scheduler.model.plan import Assignment, Budget, Place, Policy, Verdict
from scheduler.planning.equals import Asked
from scheduler.planning.kept_rooms import KeptRooms
from scheduler.teams.desk import Desk
from scheduler.translation import Translation

Solver = Literal["greedy", "cp-sat"]
Placement = tuple[RolePlacement, ...]


@dataclass(slots=True, kw_only=True)
class Run:
    """The working state of one planning run."""

    policy: Policy
    budget: Budget
    translation: Translation
    packing: Packing
    explainer: Explainer
    rooms: KeptRooms
    #: None where there are no teams, and nobody may be evicted for anybody.
    desk: Desk | None = None
    #: Verdicts of this run by what was asked for, and whether it may preempt: since then nothing was
    #: released, so equals fail alike.
    unfit: dict[tuple[Asked, bool], Verdict] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    spent: float = 0.0


def accept(
    run: Run,
    gang: PendingGang,
    assignments: Sequence[Assignment],
    certificate: Certificate,
    solver: Solver,
) -> None:
    run.translation.note(assignments)
    if run.desk is not None:
        run.desk.placed(gang, assignments)
    run.places.append(
        Place(gang=gang, assignments=tuple(assignments), certificate=certificate, solver=solver)
    )


def certificate_of(pending: PendingGang, assignments: Sequence[Assignment]) -> Certificate:
    """Of a gang that stands: best possible where no pod of it is left."""
    wanted, got = len(pending.pods), len(assignments)
    return Optimal(float(got)) if got == wanted else Feasible(float(got), float(wanted))


def assign(translation: Translation, pending: PendingGang, placement: Placement) -> list[Assignment]:
    """Pods by ordinal onto nodes in index order, so that neighbouring ranks share a node."""
    assignments: list[Assignment] = []
    for role, where in zip(pending.roles, placement, strict=True):
        names = translation.node_names(where)
        assignments += [Assignment(pod=p, node=n) for p, n in zip(role.pods, names, strict=False)]
    return assignments


def with_devices(run: Run, assignments: Sequence[Assignment]) -> list[Assignment]:
    """The pods' devices. Raises BrokenInvariant: the packer counted them, so they are there."""
    chosen = run.translation.choose(assignments, run.packing)
    if chosen is None:
        raise BrokenInvariant("the devices that a plan counted on are not there")
    return chosen
